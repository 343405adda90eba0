package server

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// With an executor ChannelCapacity bounds what waits for a handler that does not return; nothing is lost.
func TestChannelCapacity(t *testing.T) {
	cfg := local()
	cfg.ChannelCapacity = 2
	release := make(chan struct{})
	s := start(t, cfg, api.HandlerFunc(func(data any) error {
		<-release
		return echo(data)
	}), WithExecutorWorkers(2))
	c := dial(t, s.Addr())
	payload := make([]byte, 60_000)
	piece := encode(true, protocol.OpcodeBinary, payload)
	const count = 1000
	size := int64(count * len(piece))
	sent, err := c.pour(piece, 0, size)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("sent %d bytes with %v; the server should have stopped reading", sent, err)
	}
	if got := s.GetControl().Stats()["messages.received"].(int64); got > 4 {
		t.Errorf("%d messages wait for the handler", got)
	}
	close(release)
	drunk := make(chan error, 1)
	go func() { drunk <- c.drink(protocol.OpcodeBinary, payload, count) }()
	eventually(t, func() bool { // it may be slow to begin again
		if sent, err = c.pour(piece, sent, size); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return sent == size
	})
	if err := <-drunk; err != nil {
		t.Fatal(err)
	}
}

// On an executor a connection has one handler at a time, and its messages come in order.
func TestExecutorOrder(t *testing.T) {
	const conns, each = 8, 200
	type state struct {
		busy chan struct{} // has one element while a handler is at work
		next int
	}
	var states sync.Map // of *state, by connection
	s := start(t, local(), api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			states.LoadOrStore(connOf(data), &state{busy: make(chan struct{}, 1)})
			return nil
		}
		found, _ := states.Load(connOf(data))
		st := found.(*state)
		select {
		case st.busy <- struct{}{}:
		default:
			t.Error("two handlers at a time")
		}
		if got := string(message.Bytes()); got != fmt.Sprint(st.next) {
			t.Errorf("got message %s, want %d", got, st.next)
		}
		st.next++
		<-st.busy
		return echo(data)
	}), WithExecutorWorkers(4))
	var clients []*client
	for i := 0; i < conns; i++ {
		clients = append(clients, dial(t, s.Addr()))
	}
	for _, c := range clients {
		var all []byte
		for n := 0; n < each; n++ {
			all = append(all, encode(true, protocol.OpcodeText, fmt.Append(nil, n))...)
		}
		c.write(all)
	}
	for _, c := range clients {
		for n := 0; n < each; n++ {
			c.expect(protocol.OpcodeText, fmt.Append(nil, n))
		}
	}
}

func TestBlockedHandlerHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	s := start(t, local(), api.HandlerFunc(func(data any) error {
		if message, ok := data.(api.Buffer); ok && string(message.Bytes()) == "block" {
			<-release
		}
		return echo(data)
	}), WithExecutorWorkers(2))
	blocked, other := dial(t, s.Addr()), dial(t, s.Addr())
	blocked.send(protocol.OpcodeText, []byte("block"))
	for i := 0; i < 100; i++ {
		other.send(protocol.OpcodeText, []byte("on"))
		other.expect(protocol.OpcodeText, []byte("on"))
	}
	close(release)
	blocked.expect(protocol.OpcodeText, []byte("block"))
}
