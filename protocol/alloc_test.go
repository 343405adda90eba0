package protocol_test

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/protocol"
)

const handshake = "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// The echo handler, with the middleware around it, that users of this module have.
func echoChain(counter *atomic.Int64) api.Handler {
	echo := adapters.HandlerFunc(func(data any) error {
		buf, ok := data.(api.Buffer)
		if !ok {
			return nil
		}
		counter.Add(1)
		conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
		frame := &protocol.WSFrame{
			IsFinal:    true,
			Opcode:     protocol.OpcodeBinary,
			PayloadLen: int64(len(buf.Bytes())),
			Payload:    buf.Bytes(),
		}
		buf.Release()
		return conn.SendFrame(frame)
	})
	track := func(next api.Handler) api.Handler {
		return adapters.HandlerFunc(func(data any) error {
			switch event := data.(type) {
			case api.OpenEvent:
				defer next.Handle(event)
			case api.CloseEvent:
				defer next.Handle(event)
			default:
				return next.Handle(data)
			}
			return nil
		})
	}
	metrics := adapters.HandlerMetricsMiddleware(adapters.NewControlAdapter())
	return adapters.LoggingMiddleware(adapters.RecoveryMiddleware(metrics(track(echo))))
}

// stream is one end of a socket pair as a plain descriptor, which Go's poller does not know: no goroutine, no allocation.
type stream struct{ fd int }

func (s stream) Read(b []byte) (int, error) {
	n, err := syscall.Read(s.fd, b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (s stream) Write(b []byte) (int, error) { return syscall.Write(s.fd, b) }

// A message costs the Go half of the echo path no allocation: not the buffer, which is used again; not its conversion to
// any, because it is a pointer; not the context, which is the connection seen as another type; not the frame, which stays
// on the handler's stack.
func TestEchoAllocatesNothing(t *testing.T) {
	t.Run("Handle", func(t *testing.T) { testAllocations(t, echoChain) })
	t.Run("Events", func(t *testing.T) {
		testAllocations(t, func(counter *atomic.Int64) api.Handler {
			return adapters.RecoveryMiddleware(protocol.Events{
				OnMessage: func(c *protocol.WSConnection, opcode byte, data []byte) {
					counter.Add(1)
					if err := c.Send(opcode, data); err != nil {
						t.Error(err)
					}
				},
			})
		})
	})
}

func testAllocations(t *testing.T, handler func(counter *atomic.Int64) api.Handler) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines: everything works by letters")
	}
	l, err := loop.New(loop.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var counter atomic.Int64
	e := protocol.NewEndpoint(protocol.EndpointConfig{})
	e.SetHandler(handler(&counter), true)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := stream{fds[1]}
	defer syscall.Close(peer.fd)
	if err := e.AddShard(l).Serve(fds[0], netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Write([]byte(handshake)); err != nil {
		t.Fatal(err)
	}
	turn := func() {
		if _, err := l.Turn(-1); err != nil {
			t.Fatal(err)
		}
	}
	written := int64(0)
	for counter.Load() == 0 { // the first message says that the handshake is done
		turn()
		if _, err := peer.Write([]byte("\x82\x80abcd")); err != nil {
			t.Fatal(err)
		}
		written++
	}
	for counter.Load() < written {
		turn()
	}
	answers := make([]byte, 1<<16)
	if n, err := peer.Read(answers); err != nil || !strings.HasPrefix(string(answers[:n]), "HTTP/1.1 101") {
		t.Fatalf("%q, %v", answers[:n], err)
	}
	for _, test := range []struct {
		name        string
		size, batch int
	}{
		{"one", 64, 1}, {"pipelined", 64, 100}, {"without a copy", 5000, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := make([]byte, test.size)
			head := []byte{0x82, 126, byte(test.size >> 8), byte(test.size)}
			if test.size < 126 {
				head = []byte{0x82, byte(test.size)}
			}
			answer := append(append([]byte{}, head...), payload...)
			head[1] |= 0x80
			message := append(append(head, 0, 0, 0, 0), payload...)
			messages := bytes.Repeat(message, test.batch)
			want := bytes.Repeat(answer, test.batch)
			got := answers[:len(want)]
			echo := func() {
				if _, err := peer.Write(messages); err != nil {
					t.Fatal(err)
				}
				for target := counter.Load() + int64(test.batch); counter.Load() < target; {
					turn()
				}
				if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
					t.Fatal("an echo differs from what was sent", err)
				}
			}
			if n := testing.AllocsPerRun(100, echo); n != 0 {
				t.Errorf("%v allocations for %d messages", n, test.batch)
			}
		})
	}
}
