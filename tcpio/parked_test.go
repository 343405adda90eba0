package tcpio

import (
	"context"
	"io"
	"net"
	"testing"
)

// waits are the ways in which a callback may wait for its peer.
var waits = map[string]func(conn *Conn) error{
	"Read": func(conn *Conn) error {
		_, err := conn.Read(make([]byte, 1))
		return err
	},
	"Write": func(conn *Conn) error {
		_, err := conn.Write(make([]byte, 64<<20))
		return err
	},
	"raw Read": func(conn *Conn) error {
		raw, _ := conn.SyscallConn()
		return raw.Read(func(uintptr) bool { return false })
	},
	"raw Write": func(conn *Conn) error {
		raw, _ := conn.SyscallConn()
		return raw.Write(func(uintptr) bool { return false })
	},
}

var (
	readers = []string{"Read", "raw Read"}
	writers = []string{"Write", "raw Write"}
)

// parkings is how many wait on a connection.
func parkings(conn *Conn) int {
	p := &conn.worker.parked
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[conn]
}

func isParked(conn *Conn) bool { return parkings(conn) > 0 }

// blocked is a listener whose only loop is in a callback.
type blocked struct {
	*serving
	conn   *Conn
	client *net.TCPConn
	result chan error // what the callback has waited in vain for
}

// block serves a connection whose callback calls await, once hold is closed.
func block(t *testing.T, await func(conn *Conn) error, hold <-chan struct{}) *blocked {
	t.Helper()
	b := &blocked{result: make(chan error, 1)}
	inside := make(chan *Conn, 1)
	b.serving = serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return err
		}
		inside <- conn.(*Conn)
		<-hold
		err := await(conn.(*Conn))
		b.result <- err
		return err
	}})
	b.client = b.dial()
	send(t, b.client, "x")
	b.conn = wait(t, "the callback", inside)
	return b
}

// blockIn is block with one of waits, which has begun.
func blockIn(t *testing.T, way string) *blocked {
	t.Helper()
	hold := make(chan struct{})
	close(hold)
	b := block(t, waits[way], hold)
	until(t, "it waits", func() bool { return isParked(b.conn) })
	return b
}

// Close ends what a callback waits in, though the loop cannot.
func TestCloseEndsWaitInCallback(t *testing.T) {
	for way := range waits {
		t.Run(way, func(t *testing.T) {
			b := blockIn(t, way)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			is(t, wait(t, "the wait to end", b.result), net.ErrClosed)
			wait(t, "Start to return", b.ended)
			is(t, wait(t, "OnClose", b.closes), ErrListenerClosed)
			if isParked(b.conn) {
				t.Error("it still counts as one that waits")
			}
		})
	}
}

// To a Read in a callback Shutdown is the end of the input.
func TestShutdownEndsReadInCallback(t *testing.T) {
	for _, way := range readers {
		t.Run(way, func(t *testing.T) {
			b := blockIn(t, way)
			done := make(chan error, 1)
			go func() { done <- b.Shutdown(patient(t)) }()
			if err := wait(t, "the wait to end", b.result); err != io.EOF {
				t.Errorf("it has ended with %v", err)
			}
			expectEnd(t, b.client)
			b.client.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
			wait(t, "Start to return", b.ended)
		})
	}
}

// A Write in a callback goes on, as long as Shutdown has time.
func TestShutdownEndsWriteInCallback(t *testing.T) {
	for _, way := range writers {
		t.Run(way, func(t *testing.T) {
			b := blockIn(t, way)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- b.Shutdown(ctx) }()
			until(t, "it was told", b.conn.gate.isDraining)
			if !isParked(b.conn) {
				t.Error("it waits no more")
			}
			cancel()
			is(t, wait(t, "Shutdown", done), context.Canceled)
			is(t, wait(t, "the wait to end", b.result), net.ErrClosed)
			wait(t, "Start to return", b.ended)
			is(t, wait(t, "OnClose", b.closes), ErrListenerClosed)
		})
	}
}

// A wait that a callback begins when the listener is being closed, or shut down, ends at once.
func TestWaitInCallbackBeginsTooLate(t *testing.T) {
	for way, await := range waits {
		t.Run("Close, "+way, func(t *testing.T) {
			hold := make(chan struct{})
			b := block(t, await, hold)
			b.Close()
			close(hold)
			is(t, wait(t, "the wait to end", b.result), net.ErrClosed)
			wait(t, "Start to return", b.ended)
		})
	}
	for _, way := range readers {
		t.Run("Shutdown, "+way, func(t *testing.T) {
			hold := make(chan struct{})
			b := block(t, waits[way], hold)
			done := make(chan error, 1)
			go func() { done <- b.Shutdown(patient(t)) }()
			until(t, "it has begun", func() bool {
				p := &b.conn.worker.parked
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.stop != nil
			})
			close(hold)
			if err := wait(t, "the wait to end", b.result); err != io.EOF {
				t.Errorf("it has ended with %v", err)
			}
			b.client.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
		})
	}
}

// It makes no difference whose connection the callback waits on.
func TestWaitInCallbackOfAnother(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(s *serving)
		want error
	}{
		"Close":    {func(s *serving) { s.Close() }, net.ErrClosed},
		"Shutdown": {func(s *serving) { s.Shutdown(patient(s.t)) }, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			opened, result := make(chan *Conn, 1), make(chan error, 1)
			var silent *Conn // the first
			s := serve(t, ListenerOptions{
				OnOpen: func(conn net.Conn) error {
					if silent == nil {
						silent = conn.(*Conn)
						opened <- silent
					}
					return nil
				},
				OnConnEvent: func(conn net.Conn) error {
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						return err
					}
					_, err := silent.Read(make([]byte, 1))
					result <- err
					return err
				},
			})
			other := s.dial()
			conn := wait(t, "OnOpen", opened)
			client := s.dial()
			send(t, client, "x")
			until(t, "it waits", func() bool { return isParked(conn) })
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				test.end(s)
			}()
			is(t, wait(t, "the wait to end", result), test.want)
			client.Close()
			other.Close()
			wait(t, "the end", ended)
			wait(t, "Start to return", s.ended)
		})
	}
}

func TestParked(t *testing.T) {
	var p parked
	var told []string
	tell := func(what string) func(*Conn) {
		return func(*Conn) { told = append(told, what) }
	}
	expect := func(wants ...string) {
		t.Helper()
		if len(told) != len(wants) {
			t.Fatalf("told %q, want %q", told, wants)
		}
		for i, want := range wants {
			if told[i] != want {
				t.Fatalf("told %q, want %q", told, wants)
			}
		}
		told = nil
	}
	early, twice, late := new(Conn), new(Conn), new(Conn)
	for _, c := range []*Conn{early, twice, twice} {
		p.add(c)
	}
	p.remove(early)
	expect()
	p.end(tell("shutdown"), false)
	expect("shutdown") // of twice, once
	p.add(late)
	expect("shutdown")
	p.end(tell("close"), true)
	expect("close", "close")
	p.end(tell("shutdown"), false)
	p.add(early)
	expect("close")
	for _, c := range []*Conn{early, twice, twice, late} {
		p.remove(c)
	}
	if len(p.conns) > 0 {
		t.Errorf("%d are left", len(p.conns))
	}
}
