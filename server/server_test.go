package server

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// local is a configuration for a test: it listens on a free port of the loopback interface.
func local() *Config {
	cfg := DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	return cfg
}

// start runs a server until the test ends.
func start(t testing.TB, cfg *Config, h api.Handler, opts ...ServerOption) *Server {
	t.Helper()
	s, err := NewServer(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(h) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// connOf returns the connection that data came from.
func connOf(data any) *protocol.WSConnection {
	return api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
}

// echo answers each message with itself, as a frame of its own kind. It releases the buffer first, as existing code does.
func echo(data any) error {
	buffer, ok := data.(api.Buffer)
	if !ok {
		return nil
	}
	payload := buffer.Bytes()
	opcode := protocol.MessageOpcode(data)
	buffer.Release()
	return connOf(data).SendFrame(&protocol.WSFrame{
		IsFinal: true, Opcode: opcode, PayloadLen: int64(len(payload)), Payload: payload,
	})
}

func TestEchoOfAllSizes(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			s := start(t, local(), api.HandlerFunc(echo), mode.options...)
			c := dial(t, s.Addr())
			for _, size := range []int{0, 1, 125, 126, 127, 2048, 2049, 65535, 65536, 100_000, 1 << 20, 10_000_000} {
				payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
				for _, opcode := range []byte{protocol.OpcodeText, protocol.OpcodeBinary} {
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						c.conn.Write(encode(true, opcode, payload))
					}()
					c.expect(opcode, payload)
					<-sent
				}
			}
			c.goodbye()
		})
	}
}

// modes are the ways in which handlers can run.
var modes = []struct {
	name    string
	options []ServerOption
}{
	{"on the loops", nil},
	{"on an executor", []ServerOption{WithExecutorWorkers(4)}},
}

func TestPipelinedMessagesStayInOrder(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			s := start(t, local(), api.HandlerFunc(echo), mode.options...)
			c := dial(t, s.Addr())
			var all []byte
			const messages = 500
			for i := 0; i < messages; i++ {
				all = append(all, encode(true, protocol.OpcodeText, fmt.Appendf(nil, "message %d", i))...)
			}
			c.write(all)
			for i := 0; i < messages; i++ {
				c.expect(protocol.OpcodeText, fmt.Appendf(nil, "message %d", i))
			}
		})
	}
}

func TestRunAndShutdown(t *testing.T) {
	s, err := NewServer(unhurried())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Run(api.HandlerFunc(echo)) }()
	c := dial(t, s.Addr()) // the server runs
	if err := s.Run(api.HandlerFunc(echo)); err != ErrAlreadyRunning {
		t.Errorf("a second Run: got %v", err)
	}
	began := time.Now()
	done := make(chan struct{})
	for i := 0; i < 3; i++ {
		go func() {
			s.Shutdown()
			done <- struct{}{}
		}()
	}
	c.expectClose(protocol.CloseGoingAway)
	c.send(protocol.OpcodeClose, closePayload(protocol.CloseGoingAway, ""))
	c.expectEnd()
	for i := 0; i < 3; i++ {
		<-done
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("an idle server took %v to shut down", took)
	}
	if err := s.Run(api.HandlerFunc(echo)); !errors.Is(err, ErrServerClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run after Shutdown: got %v", err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}
