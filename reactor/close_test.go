//go:build linux

package reactor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestClosedLoop(t *testing.T) {
	l := newLoop(t, Options{})
	fd, _ := pair(t)
	own(t, fd)
	ran := false
	if err := l.Post(func() { ran = true }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	await(t, "Done", l.Done())
	if !ran {
		t.Error("what was posted before has not run")
	}
	_, addErr := l.Add(fd, &hooks{})
	_, dialErr := l.Dial("tcp", "127.0.0.1:1", 0, &hooks{})
	_, nameErr := l.Dial("tcp", "localhost:1", 0, &hooks{})
	_, listenErr := l.Listen("tcp", "127.0.0.1:0", func(*Accepted) {})
	_, packetErr := l.ListenPacket("udp", "127.0.0.1:0", &hooks{})
	_, releaseErr := l.Release(1)
	for what, err := range map[string]error{
		"Add": addErr, "Dial": dialErr, "Dial of a name": nameErr, "Listen": listenErr, "ListenPacket": packetErr,
		"Post": l.Post(func() {}), "Run": l.Run(context.Background()), "PollOnce": l.PollOnce(0),
	} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	for what, err := range map[string]error{
		"Remove": l.Remove(1), "Release": releaseErr, "SetTimeout": l.SetTimeout(1, 1), "CancelTimeout": l.CancelTimeout(1),
	} {
		if !errors.Is(err, ErrNoSocket) {
			t.Errorf("%s: %v, want ErrNoSocket", what, err)
		}
	}
	l.Stop()
	if !isOpen(uintptr(fd)) {
		t.Error("a descriptor that was not taken over is closed")
	}
	if n := l.Stats().Sockets; n != 0 {
		t.Errorf("it counts %d sockets", n)
	}
}

// Close ends each socket with one OnClose, whoever calls it, whatever the socket is doing.
func TestCloseWithManySockets(t *testing.T) {
	const sockets = 500
	for name, closeIt := range map[string]func(t *testing.T, l *Loop, h *heavy){
		"undriven":      func(t *testing.T, l *Loop, _ *heavy) { l.Close() },
		"polled":        func(t *testing.T, l *Loop, _ *heavy) { turn(t, l); l.Close() },
		"in a function": func(t *testing.T, l *Loop, _ *heavy) { l.Post(func() { l.Close() }); l.Run(context.Background()) },
		"while some wait": func(t *testing.T, l *Loop, h *heavy) {
			h.readable = func(*Socket, []byte) { l.Close() }
			l.Run(context.Background())
		},
		"while it runs": func(t *testing.T, l *Loop, _ *heavy) {
			ended := make(chan error, 1)
			go func() { ended <- l.Run(context.Background()) }()
			on(t, l, func() {})
			l.Close()
			if err := await(t, "Run", ended); !errors.Is(err, ErrClosed) {
				t.Errorf("Run: %v, want ErrClosed", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			l := newLoop(t, Options{LowPriorityBudget: 1})
			closed := make(map[Token]int)
			h := &heavy{hooks: hooks{closed: func(s *Socket) {
				closed[s.Token()]++
				if err := s.Err(); !errors.Is(err, ErrClosed) {
					t.Errorf("Err is %v, want ErrClosed", err)
				}
				if s.Close() == nil || !isOpen(uintptr(s.FD())) {
					t.Error("OnClose of a socket that was not closing, or whose descriptor was closed")
				}
			}}}
			h.low.Store(true)
			var peers []int
			for i := range sockets {
				fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				setTimeout(t, l, add(t, l, fds[0], h), time.Duration(i)*time.Hour)
				peers = append(peers, fds[1])
				send(t, uintptr(fds[1]), "input that waits")
			}
			if _, err := l.Listen("tcp", "127.0.0.1:0", func(*Accepted) {}); err != nil {
				t.Fatal(err)
			}
			closeIt(t, l, h)
			await(t, "Done", l.Done())
			if len(closed) != sockets {
				t.Errorf("OnClose of %d sockets, want %d", len(closed), sockets)
			}
			for token, n := range closed {
				if n != 1 {
					t.Errorf("%d calls of OnClose for socket %d", n, token)
				}
			}
			for _, peer := range peers {
				if _, err := syscall.Write(peer, []byte("x")); err != syscall.EPIPE {
					t.Errorf("the other end can still write: %v", err)
				}
				syscall.Close(peer)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

// After Close in a callback, nothing but OnClose is called, however many were ready in the same turn.
func TestCloseInACallbackIsTheEnd(t *testing.T) {
	l := newLoop(t, Options{})
	calls, closed := 0, 0
	var accepted int
	ln := listen(t, l, func(*Accepted) { accepted++; l.Close() })
	for range 5 {
		dialNet(t, ln.Addr())
	}
	for range 20 {
		_, peer := connPair(t, l, &hooks{
			readable: func(*Socket, []byte) { calls++; l.Close() },
			closed:   func(*Socket) { closed++ },
		})
		send(t, peer, "x")
	}
	if err := l.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	if calls+accepted != 1 || closed != 20 {
		t.Errorf("%d callbacks and %d of accept, want one in all; %d of OnClose, want 20", calls, accepted, closed)
	}
}

// Close and everything else at once, from many goroutines: each socket that was taken over gets one OnClose.
func TestCloseRacesEverythingElse(t *testing.T) {
	for range 20 {
		l := newLoop(t, Options{})
		ended := make(chan error, 1)
		go func() { ended <- l.Run(context.Background()) }()
		var taken, closed atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
					if err != nil {
						t.Error(err)
						return
					}
					defer syscall.Close(fds[1])
					token, err := l.Add(fds[0], &hooks{closed: func(*Socket) { closed.Add(1) }})
					if err != nil {
						syscall.Close(fds[0])
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					if taken.Add(1) == 50 {
						l.Close()
					}
					switch g {
					case 0:
						l.Remove(token)
					case 1:
						l.SetTimeout(token, time.Millisecond)
					case 2:
						if fd, err := l.Release(token); err == nil {
							taken.Add(-1)
							syscall.Close(fd)
						}
					}
				}
			}()
		}
		wg.Wait()
		l.Close() // Release may have kept the others from it
		if err := await(t, "Run", ended); !errors.Is(err, ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if taken.Load() != closed.Load() {
			t.Fatalf("%d sockets were taken over, %d closed", taken.Load(), closed.Load())
		}
	}
}
