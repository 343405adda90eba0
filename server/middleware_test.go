package server

import (
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// Everything that happens to a connection goes through the chain: the open event, its messages, the close event.
func TestEvents(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			seen := make(chan string, 10)
			s := start(t, local(), api.HandlerFunc(func(data any) error {
				conn := connOf(data)
				if conn != api.ContextFromData(data).Value("connection") {
					t.Error("the context does not carry the connection")
				}
				switch event := data.(type) {
				case api.OpenEvent:
					seen <- fmt.Sprint("open ", event.Conn == conn, api.FromContext(event.Ctx) == conn)
				case api.CloseEvent:
					<-event.Ctx.Done()
					seen <- fmt.Sprint("close ", event.Conn == conn, event.Ctx.Err() != nil)
				case api.Buffer:
					seen <- fmt.Sprintf("%d %s", protocol.MessageOpcode(data), event.Bytes())
				default:
					seen <- fmt.Sprintf("%T", data)
				}
				return nil
			}), mode.options...)
			c := dial(t, s.Addr())
			c.send(protocol.OpcodeText, []byte("a"))
			c.send(protocol.OpcodeBinary, []byte("b"))
			c.goodbye()
			for _, want := range []string{"open true true", "1 a", "2 b", "close true true"} {
				if got := <-seen; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// tag is middleware that notes that it was there.
func tag(name string, to chan<- string) Middleware {
	return func(next api.Handler) api.Handler {
		return api.HandlerFunc(func(data any) error {
			if _, ok := data.(api.Buffer); ok {
				to <- name
			}
			return next.Handle(data)
		})
	}
}

func TestMiddlewareAfterRun(t *testing.T) {
	seen := make(chan string, 10)
	s := start(t, local(), api.HandlerFunc(echo), WithMiddleware(tag("a", seen), nil))
	s.UseMiddleware(tag("b", seen))
	c := dial(t, s.Addr())
	say := func(want ...string) {
		t.Helper()
		c.send(protocol.OpcodeText, []byte("x"))
		c.expect(protocol.OpcodeText, []byte("x"))
		for _, name := range want {
			if got := <-seen; got != name {
				t.Errorf("got %s, want %s", got, name)
			}
		}
		if len(seen) > 0 {
			t.Errorf("and %s", <-seen)
		}
	}
	say("a", "b")
	s.UseMiddleware(tag("c", seen), tag("d", seen))
	say("a", "b", "c", "d")
}

func TestNewHandlerChain(t *testing.T) {
	seen := make(chan string, 10)
	base := api.HandlerFunc(func(any) error { return errors.New("from the base") })
	chain := NewHandlerChain(base, tag("first", seen), nil, tag("second", seen))
	if err := chain.Handle(api.Buffer(nil)); err == nil || err.Error() != "from the base" {
		t.Errorf("got %v", err)
	}
	if reflect.ValueOf(NewHandlerChain(base)).Pointer() != reflect.ValueOf(base).Pointer() {
		t.Error("without middleware the chain should be the base")
	}
}

// The middleware and the probes of the echo server that users know, with its handler that panics on events.
func TestEchoServerOfOld(t *testing.T) {
	var active, total atomic.Int64
	ended := make(chan struct{}, 1)
	s := start(t, local(), adapters.HandlerFunc(func(data any) error {
		buf := data.(api.Buffer) // panics on events
		total.Add(1)
		conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
		frame := &protocol.WSFrame{
			IsFinal:    true,
			Opcode:     protocol.OpcodeBinary,
			PayloadLen: int64(len(buf.Bytes())),
			Payload:    buf.Bytes(),
		}
		buf.Release()
		return conn.SendFrame(frame)
	}), WithMiddleware(adapters.LoggingMiddleware, adapters.RecoveryMiddleware))
	s.UseMiddleware(adapters.HandlerMetricsMiddleware(s.GetControl()))
	s.UseMiddleware(func(next api.Handler) api.Handler {
		return adapters.HandlerFunc(func(data any) error {
			switch event := data.(type) {
			case api.OpenEvent:
				active.Add(1)
				defer next.Handle(event)
			case api.CloseEvent:
				active.Add(-1)
				defer func() { ended <- struct{}{} }()
				defer next.Handle(event)
			default:
				return next.Handle(data)
			}
			return nil
		})
	})
	control := s.GetControl()
	control.RegisterDebugProbe("active_connections", func() any { return active.Load() })
	control.RegisterDebugProbe("messages_processed", func() any { return total.Load() })
	c := dial(t, s.Addr())
	for i := 0; i < 3; i++ {
		c.send(protocol.OpcodeText, []byte("hello"))
		c.expect(protocol.OpcodeBinary, []byte("hello"))
	}
	check := func(want map[string]int64) {
		t.Helper()
		stats := control.Stats()
		for key, value := range want {
			if stats[key] != value {
				t.Errorf("%s is %v, want %d", key, stats[key], value)
			}
		}
	}
	check(map[string]int64{
		"active_connections": 1, "debug.active_connections": 1, "connections.active": 1,
		"messages_processed": 3, "debug.messages_processed": 3, "messages.received": 3,
		"handler.processed": 4, "handler.panics": 1,
	})
	c.goodbye()
	<-ended
	check(map[string]int64{"active_connections": 0, "connections.active": 0, "handler.processed": 5})
}

// Without recovery middleware a panic costs its connection and nothing else.
func TestPanicCostsOneConnection(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			ended := make(chan *protocol.WSConnection, 1)
			s := start(t, local(), ends(ended, api.HandlerFunc(func(data any) error {
				if message, ok := data.(api.Buffer); ok && string(message.Bytes()) == "panic" {
					panic("as asked")
				}
				return echo(data)
			})), mode.options...)
			bystander := dial(t, s.Addr())
			for i := int64(1); i <= 3; i++ {
				c := dial(t, s.Addr())
				c.send(protocol.OpcodeText, []byte("panic"))
				<-ended
				if f, err := c.next(); err == nil {
					t.Errorf("got %v after a panic", f)
				}
				bystander.send(protocol.OpcodeText, []byte("x"))
				bystander.expect(protocol.OpcodeText, []byte("x"))
				if got := s.GetControl().Stats()["handler.panics"]; got != i {
					t.Errorf("handler.panics is %v, want %d", got, i)
				}
			}
		})
	}
}

// An error of a handler is counted and ends nothing.
func TestHandlerError(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(func(data any) error {
		return errors.Join(echo(data), errors.New("never content"))
	}))
	c := dial(t, s.Addr())
	for i := 0; i < 3; i++ {
		c.send(protocol.OpcodeText, []byte("x"))
		c.expect(protocol.OpcodeText, []byte("x"))
	}
	c.send(protocol.OpcodePing, nil)
	c.expect(protocol.OpcodePong, nil)
	if got := s.GetControl().Stats()["handler.errors"].(int64); got < 3 {
		t.Errorf("handler.errors is %d", got)
	}
}

// 10,000 pipelined messages on 100 connections cross into C fewer than 1,000 times.
func TestCrossings(t *testing.T) {
	const conns, each = 100, 100
	s := start(t, local(), api.HandlerFunc(echo))
	var all []byte
	payload := make([]byte, 64)
	for i := 0; i < each; i++ {
		all = append(all, encode(true, protocol.OpcodeBinary, payload)...)
	}
	var clients []*client
	for i := 0; i < conns; i++ {
		clients = append(clients, dial(t, s.Addr()))
	}
	crossings := func() int64 { return s.GetControl().Stats()["loop.crossings"].(int64) }
	before := crossings()
	for _, c := range clients {
		c.write(all)
	}
	for _, c := range clients {
		if err := c.drink(protocol.OpcodeBinary, payload, each); err != nil {
			t.Fatal(err)
		}
	}
	took := crossings() - before
	t.Logf("%d messages, %d crossings", conns*each, took)
	if took >= 1000 {
		t.Errorf("%d crossings for %d messages", took, conns*each)
	}
	if got := s.GetControl().Stats()["messages.received"]; got != int64(conns*each) {
		t.Errorf("messages.received is %v", got)
	}
}

func TestBufferPool(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	dial(t, s.Addr()) // it runs
	pool := s.GetBufferPool()
	b := pool.Get(1000, -1)
	if len(b.Bytes()) != 1000 {
		t.Errorf("got %d bytes", len(b.Bytes()))
	}
	if stats := pool.Stats(); stats.TotalAlloc != 1 || stats.InUse != 1 || stats.NUMAStats[b.NUMANode()] != 1 {
		t.Errorf("got %+v", stats)
	}
	pool.Put(b)
	pool.Put(nil)
	if stats := pool.Stats(); stats.TotalFree != 1 || stats.InUse != 0 {
		t.Errorf("got %+v", stats)
	}
}
