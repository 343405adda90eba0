//go:build linux

package reactor

import (
	"errors"
	"net"
	"testing"
	"time"
)

// Adding and removing from inside callbacks: the socket itself, its neighbours in the same turn, new ones.
func TestAddAndRemoveInCallbacks(t *testing.T) {
	l := newLoop(t, Options{})
	const sockets = 10
	var tokens [sockets]Token
	calls, closed, added := 0, 0, 0
	for i := range tokens {
		var peer uintptr
		tokens[i], peer = connPair(t, l, &hooks{
			readable: func(s *Socket, _ []byte) {
				calls++
				for _, token := range tokens { // all, itself too; none of them is called any more
					if err := l.Remove(token); err != nil {
						t.Error(err)
					}
				}
				_, peer := connPair(t, l, &hooks{readable: func(s *Socket, buffer []byte) { added++; s.Close() }})
				send(t, peer, "x")
			},
			closed: func(*Socket) { closed++ },
		})
		send(t, peer, "x")
	}
	pollUntil(t, l, "all to close", func() bool { return l.Stats().Sockets == 0 })
	if calls != 1 || closed != sockets || added != 1 {
		t.Errorf("%d callbacks, %d closed, %d added; want 1, %d, 1", calls, closed, added, sockets)
	}
}

// The first callback of two that are due may end the second.
func TestCloseBetweenReadableAndWritable(t *testing.T) {
	l := newLoop(t, Options{})
	writes := 0
	token, peer := connPair(t, l, &hooks{
		readable: func(s *Socket, _ []byte) { s.Close() },
		writable: func(*Socket) { writes++ },
	})
	l.sockets.named(token).Interest(true, true)
	send(t, peer, "x")
	setTimeout(t, l, token, 0)
	pollUntil(t, l, "it to close", func() bool { return l.Stats().Sockets == 0 })
	if writes != 0 {
		t.Error("OnWritable after Close")
	}
	_, peer = connPair(t, l, &hooks{
		readable: func(s *Socket, _ []byte) { s.Interest(false, false) },
		writable: func(*Socket) { writes++ },
	})
	send(t, peer, "x")
	for range 3 {
		turn(t, l)
	}
	if writes != 0 {
		t.Error("OnWritable that is not asked for any more")
	}
}

// A socket closed by another goroutine gets its OnClose, also while a callback is blocked.
func TestRemoveFromElsewhere(t *testing.T) {
	l := running(t, Options{})
	entered, leave, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	token, peer := connPair(t, l, &hooks{
		readable: func(s *Socket, _ []byte) {
			close(entered)
			<-leave
			if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after Remove: %v", err)
			}
		},
		closed: func(*Socket) { close(closed) },
	})
	send(t, peer, "x")
	await(t, "the callback", entered)
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
		t.Error("OnClose while another callback is running")
	default:
	}
	close(leave)
	await(t, "OnClose", closed)
	again := make(chan struct{})
	idle, _ := connPair(t, l, &hooks{closed: func(*Socket) { close(again) }})
	if err := l.Remove(idle); err != nil {
		t.Fatal(err)
	}
	await(t, "OnClose of an idle socket", again)
}

func TestRelease(t *testing.T) {
	l := newLoop(t, Options{})
	calls := 0
	count := func(*Socket) { calls++ }
	fd, peer := pair(t)
	token := add(t, l, fd, &hooks{readable: func(*Socket, []byte) { calls++ }, timeout: count, closed: count})
	setTimeout(t, l, token, time.Millisecond)
	send(t, peer, "x")
	got, err := l.Release(token)
	if err != nil || got != fd {
		t.Fatalf("Release: %d, %v; want %d", got, err, fd)
	}
	own(t, fd)
	if _, err := l.Release(token); !errors.Is(err, ErrNoSocket) {
		t.Errorf("second Release: %v", err)
	}
	marker := false
	setTimeout(t, l, quiet(t, l, func(*Socket) { marker = true }), 3*time.Millisecond)
	pollUntil(t, l, "a later timeout", func() bool { return marker })
	if calls != 0 {
		t.Errorf("%d callbacks after Release", calls)
	}
	if drain(t, uintptr(fd)) != "x" {
		t.Error("input was lost")
	}
	// It may come back, to this loop or another one, and in a callback.
	other := newLoop(t, Options{})
	for range 3 {
		for _, l := range []*Loop{l, other} {
			released := false
			add(t, l, fd, &hooks{
				readable: func(s *Socket, buffer []byte) {
					if _, err := s.Read(buffer); err != nil {
						t.Error(err)
					}
					if _, err := l.Release(s.Token()); err != nil {
						t.Error(err)
					}
					if _, err := s.Read(buffer); !errors.Is(err, net.ErrClosed) {
						t.Errorf("Read of a socket that was released: %v", err)
					}
					released = true
				},
				closed: func(*Socket) { t.Error("OnClose of a socket that was released") },
			})
			send(t, peer, "x")
			pollUntil(t, l, "the release", func() bool { return released })
		}
	}
	l.Close()
	if !isOpen(uintptr(fd)) {
		t.Error("the descriptor was closed with the loop")
	}
}

// Nobody gets a descriptor while a callback on another goroutine may be using it.
func TestReleaseWhileACallbackRuns(t *testing.T) {
	knowsGoroutines(t)
	l := running(t, Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	token, peer := connPair(t, l, &hooks{readable: func(s *Socket, buffer []byte) {
		s.Read(buffer)
		close(entered)
		<-leave
	}})
	send(t, peer, "x")
	await(t, "the callback", entered)
	if _, err := l.Release(token); !errors.Is(err, ErrBusy) {
		t.Errorf("Release: %v, want ErrBusy", err)
	}
	close(leave)
	on(t, l, func() {})
	fd, err := l.Release(token)
	if err != nil {
		t.Fatal(err)
	}
	own(t, fd)
}
