package protocol

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// exchange is a broker as there are many: messages are put into one queue, from where a goroutine delivers them.
type exchange struct {
	messages chan exchanged
	closed   chan struct{}

	mu      sync.Mutex
	members map[int]func(topic string, opcode byte, payload []byte) error
	next    int
}

type exchanged struct {
	topic   string
	opcode  byte
	payload []byte
}

func newExchange() *exchange {
	x := &exchange{
		messages: make(chan exchanged, 16),
		closed:   make(chan struct{}),
		members:  make(map[int]func(string, byte, []byte) error),
	}
	go func() {
		defer close(x.closed)
		for m := range x.messages {
			x.mu.Lock()
			for _, deliver := range x.members {
				_ = deliver(m.topic, m.opcode, m.payload)
			}
			x.mu.Unlock()
			clear(m.payload) // it was not kept
		}
	}()
	return x
}

var errTooLong = errors.New("exchange: message too long")

func (x *exchange) Publish(topic string, opcode byte, payload []byte) error {
	if len(payload) > 100 {
		return errTooLong
	}
	x.messages <- exchanged{topic, opcode, append([]byte{}, payload...)}
	return nil
}

func (x *exchange) Subscribe(deliver func(string, byte, []byte) error) (func(), error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.members == nil {
		return nil, errors.New("exchange: closed")
	}
	x.next++
	number := x.next
	x.members[number] = deliver
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.members, number)
	}, nil
}

// Two endpoints behind one broker: what is published to one reaches the subscribers of both, once and in order.
func TestBroker(t *testing.T) {
	const messages = 100
	x := newExchange()
	a, b := newHub(t, 2, EndpointConfig{}, loop.Config{}), newHub(t, 1, EndpointConfig{}, loop.Config{})
	var leave []func()
	for _, h := range []*hub{a, b} {
		quit, err := h.Join(x)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, quit)
	}
	all := []*subscriber{a.open(0), a.open(1), b.open(0)}
	for _, s := range all {
		s.subscribe("x/+")
	}
	prepared := prepare(t, "prepared")
	defer prepared.Release()
	for i := range messages {
		a.publish("x/a", fmt.Sprint("a", i), 2)
		b.publish("x/b", fmt.Sprint("b", i), 1)
		if n, err := a.PublishPrepared("x/c", prepared); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	for _, s := range all {
		for i := range messages {
			s.expect(fmt.Sprint("a", i), fmt.Sprint("b", i), "prepared")
		}
		s.expectNothing()
	}
	if n, err := a.Publish("x/a", OpcodeBinary, make([]byte, 101)); n != 2 || err != errTooLong {
		t.Errorf("what the broker refuses: %d, %v", n, err)
	}
	leave[1]()
	a.publish("x/a", "only here", 2)
	all[0].expect("only here")
	all[1].expect("only here")
	all[2].expectNothing()
	for _, h := range []*hub{a, b} {
		h.expectNoMemory()
	}
	close(x.messages)
	<-x.closed
}

// What comes from a broker is checked like what comes from anybody, and the broker is told.
func TestBrokerDeliversNonsense(t *testing.T) {
	x := newExchange()
	defer close(x.messages)
	h := newHub(t, 1, EndpointConfig{Topics: TopicLimits{Waiting: 1}}, loop.Config{})
	if _, err := h.Join(x); err != nil {
		t.Fatal(err)
	}
	s := h.open(0)
	s.subscribe("#")
	deliver := x.members[1]
	for what, err := range map[string]error{
		"topic":   deliver("a/+", OpcodeText, nil),
		"opcode":  deliver("a", OpcodeClose, nil),
		"payload": deliver("a", OpcodeText, []byte{0xff}),
	} {
		if !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	blocked, free := make(chan struct{}), make(chan struct{})
	if err := s.shard.loop.Do(func() { close(blocked); <-free }); err != nil {
		t.Fatal(err)
	}
	<-blocked
	if err := deliver("a", OpcodeText, []byte("good")); err != nil {
		t.Error(err)
	}
	if err := deliver("a", OpcodeText, nil); !errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("no room: %v", err)
	}
	close(free)
	s.expect("good")
	s.expectNothing()

	x.mu.Lock()
	x.members = nil
	x.mu.Unlock()
	if _, err := NewEndpoint(EndpointConfig{}).Join(x); err == nil {
		t.Error("joined a broker that is closed")
	}
}
