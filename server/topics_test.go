package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// subscribing is a handler that subscribes each connection to a pattern and publishes what it receives to "chat".
func subscribing(s *atomic.Pointer[Server], pattern string) api.Handler {
	return api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			return event.Conn.(*protocol.WSConnection).Subscribe(pattern)
		case api.Buffer:
			defer event.Release()
			_, err := s.Load().Publish("chat/room", protocol.MessageOpcode(data), event.Bytes())
			return err
		}
		return nil
	})
}

// What one connection says reaches all, on all loops.
func TestPublish(t *testing.T) {
	var serving atomic.Pointer[Server]
	cfg := local()
	cfg.ExecutorWorkers = 2
	s := start(t, cfg, subscribing(&serving, "chat/+"))
	serving.Store(s)
	clients := []*client{dial(t, s.Addr()), dial(t, s.Addr()), dial(t, s.Addr())}
	waitFor(t, s, "topics.subscriptions", 3)
	for i, c := range clients {
		text := []byte(fmt.Sprint("hello from ", i))
		c.send(protocol.OpcodeText, text)
		for _, other := range clients {
			other.expect(protocol.OpcodeText, text)
		}
	}
	m, err := protocol.NewPrepared(protocol.OpcodeBinary, []byte("prepared"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if n, err := s.PublishPrepared("chat/other", m); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, c := range clients {
		c.expect(protocol.OpcodeBinary, []byte("prepared"))
		c.goodbye()
	}
	waitFor(t, s, "topics.subscriptions", 0)
	stats := s.GetControl().Stats()
	for key, want := range map[string]int64{"topics.published": 4, "topics.delivered": 12, "topics.refused": 0,
		"topics.slow_closed": 0, "topics.dropped": 0, "topics.replaced": 0} {
		if stats[key] != want {
			t.Errorf("%s is %v, not %d", key, stats[key], want)
		}
	}
}

// waitFor returns when a counter of the server has reached a value.
func waitFor(t testing.TB, s *Server, key string, value int64) {
	t.Helper()
	eventually(t, func() bool { return s.GetControl().Stats()[key] == value })
}

// Policies may be set before Run and while the server runs; what can't be is refused at once.
func TestSetTopicPolicy(t *testing.T) {
	s, err := NewServer(local())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Publish("x", protocol.OpcodeText, nil); n != 0 || err != ErrNotRunning {
		t.Errorf("before Run: %d, %v", n, err)
	}
	if _, err := s.PublishPrepared("x", nil); err != ErrNotRunning {
		t.Errorf("before Run: %v", err)
	}
	latest := protocol.TopicPolicy{Slow: protocol.SlowKeepLatest, Queue: 7}
	set := func() {
		if err := s.SetTopicPolicy("prices/#", latest); err != nil {
			t.Error(err)
		}
		for what, err := range map[string]error{
			"behind": s.SetTopicPolicy("#/x", latest),
			"Queue":  s.SetTopicPolicy("x", protocol.TopicPolicy{Queue: 1 << 20}),
		} {
			if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: got %v", what, err)
			}
		}
	}
	set()
	ended := make(chan error, 1)
	opened := make(chan *protocol.WSConnection, 1)
	go func() {
		ended <- s.Run(api.HandlerFunc(func(data any) error {
			if event, ok := data.(api.OpenEvent); ok {
				opened <- event.Conn.(*protocol.WSConnection)
			}
			return nil
		}))
	}()
	c := dial(t, s.Addr())
	conn := <-opened
	set()
	if err := conn.Subscribe("prices/+"); err != nil {
		t.Error(err)
	}
	if n, err := s.Publish("prices/x", protocol.OpcodeText, []byte("1")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c.expect(protocol.OpcodeText, []byte("1"))
	c.goodbye()
	s.Shutdown()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n, err := s.Publish("prices/x", protocol.OpcodeText, nil); n != 0 || err != nil {
		t.Errorf("after Shutdown: %d, %v", n, err)
	}
}

// switchboard is a broker in this process.
type switchboard struct {
	mu      sync.Mutex
	members map[int]func(string, byte, []byte) error
	fails   error
}

func (b *switchboard) Publish(topic string, opcode byte, payload []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, deliver := range b.members {
		errs = append(errs, deliver(topic, opcode, payload))
	}
	return errors.Join(errs...)
}

func (b *switchboard) Subscribe(deliver func(string, byte, []byte) error) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return nil, b.fails
	}
	number := len(b.members)
	b.members[number] = deliver
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.members, number)
	}, nil
}

// Two servers behind one broker: what the clients of one say, those of both hear, once.
func TestServersBehindABroker(t *testing.T) {
	broker := &switchboard{members: make(map[int]func(string, byte, []byte) error)}
	var servers [2]atomic.Pointer[Server]
	var clients []*client
	t.Run("serving", func(t *testing.T) {
		for i := range servers {
			cfg := local()
			cfg.Broker = broker
			s := start(t, cfg, subscribing(&servers[i], "chat/#"))
			servers[i].Store(s)
			for range 2 {
				clients = append(clients, dial(t, s.Addr()))
			}
			waitFor(t, s, "topics.subscriptions", 2)
		}
		for i, c := range clients {
			text := []byte(fmt.Sprint("hello from ", i))
			c.send(protocol.OpcodeText, text)
			for _, other := range clients {
				other.expect(protocol.OpcodeText, text)
			}
		}
		for _, c := range clients {
			c.goodbye()
		}
		for i := range servers {
			if got := servers[i].Load().GetControl().Stats()["topics.delivered"]; got != int64(8) {
				t.Errorf("%v delivered", got)
			}
		}
	})
	if len(broker.members) > 0 {
		t.Errorf("%d servers are still with the broker", len(broker.members))
	}
	broker.fails = errors.New("no such exchange")
	cfg := local()
	cfg.Broker = broker
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(nil); !errors.Is(err, broker.fails) {
		t.Errorf("Run: %v", err)
	}
}
