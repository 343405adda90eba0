package server

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/protocol"
)

// opens is a handler that passes on the connections that open.
func opens(to chan<- *protocol.WSConnection, next api.Handler) api.Handler {
	return api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			to <- event.Conn.(*protocol.WSConnection)
		}
		return next.Handle(data)
	})
}

func TestManyGoroutinesSend(t *testing.T) {
	const senders, each = 8, 500
	opened := make(chan *protocol.WSConnection, 1)
	s := start(t, local(), opens(opened, api.HandlerFunc(echo)))
	c := dial(t, s.Addr())
	conn := <-opened
	var all sync.WaitGroup
	for i := 0; i < senders; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := 0; n < each; n++ {
				payload := binary.BigEndian.AppendUint32([]byte{byte(i)}, uint32(n))
				if err := conn.SendFrame(&protocol.WSFrame{
					IsFinal: true, Opcode: protocol.OpcodeBinary, PayloadLen: 5, Payload: payload,
				}); err != nil {
					t.Errorf("sender %d: %v", i, err)
				}
				clear(payload) // it is ours again
			}
		}()
	}
	var next [senders]uint32
	for i := 0; i < senders*each; i++ {
		f, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		sender, n := f.payload[0], binary.BigEndian.Uint32(f.payload[1:])
		if n != next[sender] {
			t.Fatalf("sender %d: got %d, want %d", sender, n, next[sender])
		}
		next[sender]++
	}
	all.Wait()
	if got := conn.GetStats()["frames_sent"]; got != senders*each {
		t.Errorf("frames_sent is %d", got)
	}
	c.goodbye()
}

// Whoever sends when the peer leaves gets an error sooner or later, and neither a panic nor a wait.
func TestSendWhilePeerLeaves(t *testing.T) {
	opened := make(chan *protocol.WSConnection, 1)
	s := start(t, local(), opens(opened, api.HandlerFunc(echo)))
	for i := 0; i < 5; i++ {
		c := dial(t, s.Addr())
		conn := <-opened
		var senders sync.WaitGroup
		for j := 0; j < 4; j++ {
			senders.Add(1)
			go func() {
				defer senders.Done()
				var err error
				for err == nil || errors.Is(err, api.ErrResourceExhausted) {
					err = conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte("hello?")})
				}
				if !errors.Is(err, api.ErrTransportClosed) {
					t.Error(err)
				}
			}()
		}
		if _, err := c.next(); err != nil {
			t.Fatal(err)
		}
		c.conn.Close()
		senders.Wait()
		<-conn.Done()
		if err := conn.Close(); err != nil {
			t.Errorf("Close after the end: %v", err)
		}
	}
}

// What a peer leaves unread is bounded; what was accepted arrives.
func TestQueueIsBounded(t *testing.T) {
	opened := make(chan *protocol.WSConnection, 1)
	s := start(t, local(), opens(opened, api.HandlerFunc(echo)))
	c := dial(t, s.Addr())
	conn := <-opened
	payload := make([]byte, 1<<20)
	accepted := 0
	var err error
	for ; err == nil && accepted < 1000; accepted++ {
		err = conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeBinary, Payload: payload})
	}
	if !errors.Is(err, api.ErrResourceExhausted) {
		t.Fatalf("%d MiB sent that nobody reads: %v", accepted, err)
	}
	accepted--
	if got := s.GetControl().Stats()["connections.queue_full"]; got != int64(1) {
		t.Errorf("connections.queue_full is %v", got)
	}
	if err := c.drink(protocol.OpcodeBinary, payload, accepted); err != nil {
		t.Fatal(err)
	}
	c.send(protocol.OpcodeText, []byte("still there"))
	c.expect(protocol.OpcodeText, []byte("still there"))
}

func TestConnectionStats(t *testing.T) {
	opened, ended := make(chan *protocol.WSConnection, 1), make(chan *protocol.WSConnection, 1)
	s := start(t, local(), opens(opened, ends(ended, api.HandlerFunc(echo))))
	c := dial(t, s.Addr())
	conn := <-opened
	c.send(protocol.OpcodeText, []byte("hello"))
	c.expect(protocol.OpcodeText, []byte("hello"))
	c.send(protocol.OpcodePing, nil)
	c.expect(protocol.OpcodePong, nil)
	c.goodbye()
	<-ended
	const accept = 129 // bytes of the handshake's answer
	want := map[string]int64{
		"bytes_received":  int64(len(request)) + (2 + 4 + 5) + (2 + 4) + (2 + 4 + 2),
		"bytes_sent":      accept + (2 + 5) + 2 + (2 + 2),
		"frames_received": 3,
		"frames_sent":     3,
	}
	got := conn.GetStats()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %d, want %d", key, got[key], value)
		}
	}
	stats := s.GetControl().Stats()
	if stats["bytes.received"] != want["bytes_received"] || stats["bytes.sent"] != want["bytes_sent"] {
		t.Errorf("the server counts %v and %v bytes", stats["bytes.received"], stats["bytes.sent"])
	}
}

// receiver opens a connection to a server without handler.
func receiver(t *testing.T, cfg *Config, options ...ServerOption) (*client, *protocol.WSConnection) {
	t.Helper()
	opened := make(chan *protocol.WSConnection, 1)
	options = append(options, WithMiddleware(func(next api.Handler) api.Handler { return opens(opened, next) }))
	s := start(t, cfg, nil, options...)
	c := dial(t, s.Addr())
	return c, <-opened
}

func TestRecvZeroCopy(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			c, conn := receiver(t, local(), mode.options...)
			const count = 1000
			go func() {
				for i := 0; i < count; i++ {
					if _, err := c.conn.Write(encode(true, protocol.OpcodeBinary, binary.BigEndian.AppendUint32(nil, uint32(i)))); err != nil {
						t.Error(err)
					}
				}
				if _, err := c.conn.Write(encode(true, protocol.OpcodeClose, closePayload(1000, ""))); err != nil {
					t.Error(err)
				}
			}()
			next := uint32(0)
			for {
				messages, err := conn.RecvZeroCopy()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range messages {
					if got := binary.BigEndian.Uint32(m.Bytes()); got != next {
						t.Fatalf("got %d, want %d", got, next)
					}
					if protocol.MessageOpcode(m) != protocol.OpcodeBinary || connOf(m) != conn {
						t.Fatal("a message does not know where it comes from")
					}
					next++
					m.Release()
				}
			}
			if next != count {
				t.Errorf("got %d messages of %d", next, count)
			}
			c.expectClose(1000)
			c.expectEnd()
			if _, err := conn.RecvZeroCopy(); err != io.EOF {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// A handler set later takes what comes from then on, and wakes who waits.
func TestSetHandler(t *testing.T) {
	c, conn := receiver(t, local())
	c.send(protocol.OpcodeText, []byte("for nobody"))
	messages, err := conn.RecvZeroCopy()
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	messages[0].Release()
	c.send(protocol.OpcodePing, nil)
	waiting := make(chan error)
	go func() {
		_, err := conn.RecvZeroCopy()
		waiting <- err
	}()
	c.expect(protocol.OpcodePong, nil)
	conn.SetHandler(api.HandlerFunc(echo))
	if err := <-waiting; !errors.Is(err, api.ErrNotSupported) {
		t.Errorf("RecvZeroCopy beside a handler: %v", err)
	}
	c.send(protocol.OpcodeText, []byte("for the handler"))
	c.expect(protocol.OpcodeText, []byte("for the handler"))
	conn.SetHandler(nil)
	c.send(protocol.OpcodeText, []byte("for Recv"))
	got, err := conn.Transport().Recv()
	if err != nil || len(got) != 1 || string(got[0]) != "for Recv" {
		t.Fatalf("Recv: %q, %v", got, err)
	}
	if err := conn.Transport().Send([][]byte{[]byte("a"), []byte("b")}); err != nil {
		t.Fatal(err)
	}
	c.expect(protocol.OpcodeBinary, []byte("a"))
	c.expect(protocol.OpcodeBinary, []byte("b"))
	if features := conn.Transport().Features(); !features.ZeroCopy || !features.Batch || features.TLS {
		t.Errorf("got %+v", features)
	}
	if err := conn.Transport().Close(); err != nil {
		t.Fatal(err)
	}
	c.expectClose(1000)
}

func TestRecvOnTheLoopIsRefused(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
	refused := make(chan error, 1)
	s := start(t, local(), nil, WithMiddleware(func(next api.Handler) api.Handler {
		return api.HandlerFunc(func(data any) error {
			if event, ok := data.(api.OpenEvent); ok {
				_, err := event.Conn.(*protocol.WSConnection).RecvZeroCopy()
				refused <- err
			}
			return next.Handle(data)
		})
	}))
	dial(t, s.Addr())
	if err := <-refused; !errors.Is(err, api.ErrNotSupported) {
		t.Errorf("got %v", err)
	}
}
