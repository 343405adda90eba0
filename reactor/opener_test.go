//go:build linux

package reactor

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

// openHooks is a Handler that is an Opener, and notes what is called.
type openHooks struct {
	hooks
	open  func(s *Socket)
	low   bool
	calls []string // belongs to the loop
	err   error    // what Err has said in OnClose
}

func (h *openHooks) OnOpen(s *Socket) {
	h.calls = append(h.calls, "open")
	call(h.open, s)
}

func (h *openHooks) OnReadable(s *Socket, buffer []byte) {
	h.calls = append(h.calls, "readable")
	h.hooks.OnReadable(s, buffer)
}

func (h *openHooks) OnWritable(s *Socket) {
	h.calls = append(h.calls, "writable")
	h.hooks.OnWritable(s)
}

func (h *openHooks) OnTimeout(s *Socket) {
	h.calls = append(h.calls, "timeout")
	h.hooks.OnTimeout(s)
}

func (h *openHooks) OnClose(s *Socket) {
	h.calls = append(h.calls, "close")
	h.err = s.Err()
	h.hooks.OnClose(s)
}

func (h *openHooks) IsLowPriority() bool { return h.low }

// called expects that these callbacks have been made, and no more.
func (h *openHooks) called(t testing.TB, want ...string) {
	t.Helper()
	if !slices.Equal(h.calls, want) {
		t.Errorf("called %q, want %q", h.calls, want)
	}
}

func (h *openHooks) has(what string) func() bool {
	return func() bool { return slices.Contains(h.calls, what) }
}

// OnOpen comes first, once, however the loop has come by the socket, and whatever is to be told of it besides.
func TestOnOpenComesFirst(t *testing.T) {
	for _, low := range []bool{false, true} {
		for name, begin := range map[string]func(t *testing.T, l *Loop, h *openHooks){
			"Add": func(t *testing.T, l *Loop, h *openHooks) {
				token, peer := connPair(t, l, h)
				setTimeout(t, l, token, 0)
				send(t, peer, "x")
			},
			"Accepted.Add": func(t *testing.T, l *Loop, h *openHooks) {
				var ln *Listener
				ln = listen(t, l, func(a *Accepted) {
					if a.Listener() != ln {
						t.Error("Accepted.Listener is another one")
					}
					if _, err := a.Add(h); err != nil {
						t.Error(err)
					}
				})
				put(t, dialNet(t, ln.Addr()), "x")
			},
			"Dial": func(t *testing.T, l *Loop, h *openHooks) {
				ln := listen(t, l, func(a *Accepted) { a.Add(&hooks{readable: echo}) })
				h.writable = func(s *Socket) { s.Write([]byte("x")) }
				if _, err := l.Dial("tcp", ln.Addr().String(), 0, h); err != nil {
					t.Fatal(err)
				}
			},
			"ListenPacket": func(t *testing.T, l *Loop, h *openHooks) {
				_, addr := listenPacket(t, l, "udp4", "127.0.0.1:0", h)
				put(t, dialNet(t, addr), "x")
			},
		} {
			t.Run(name, func(t *testing.T) {
				l := newLoop(t, Options{})
				h := &openHooks{low: low}
				h.open = func(s *Socket) {
					if s.LocalAddr() == nil || s.FD() < 0 {
						t.Errorf("fd %d at %v in OnOpen", s.FD(), s.LocalAddr())
					}
				}
				begin(t, l, h)
				pollUntil(t, l, "input", h.has("readable"))
				if i := slices.Index(h.calls, "open"); i != 0 || slices.Contains(h.calls[1:], "open") {
					t.Errorf("called %q, want open first, and once", h.calls)
				}
			})
		}
	}
}

// It needs nothing else to happen: the handler speaks first.
func TestOnOpenSpeaksFirst(t *testing.T) {
	l := newLoop(t, Options{})
	h := &openHooks{open: func(s *Socket) { s.Write([]byte("220 hello")) }}
	_, peer := connPair(t, l, h)
	pollUntil(t, l, "OnOpen", h.has("open"))
	if got := drain(t, peer); got != "220 hello" {
		t.Errorf("the peer got %q", got)
	}
	for range 3 {
		turn(t, l)
	}
	h.called(t, "open")
}

// A socket that ends in OnOpen gets OnClose, and nothing else though there is something to tell.
func TestOnOpenEnds(t *testing.T) {
	for name, test := range map[string]struct {
		open func(s *Socket)
		want error
	}{
		"Close":  {func(s *Socket) { s.Close() }, nil},
		"Remove": {func(s *Socket) { s.Loop().Remove(s.Token()) }, nil},
		"panic":  {func(*Socket) { panic("a bug of the user's") }, &PanicError{"a bug of the user's"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, Options{})
			h := &openHooks{open: test.open}
			other := &openHooks{hooks: hooks{readable: echo}}
			token, peer := connPair(t, l, h)
			_, otherPeer := connPair(t, l, other)
			setTimeout(t, l, token, 0)
			send(t, peer, "x")
			send(t, otherPeer, "x")
			pollUntil(t, l, "the end", func() bool { return h.has("close")() && other.has("readable")() })
			h.called(t, "open", "close")
			var failure *PanicError
			if (h.err == nil) != (test.want == nil) || test.want != nil && !errors.As(h.err, &failure) {
				t.Errorf("ended with %v, want %v", h.err, test.want)
			}
			if got := drain(t, otherPeer); got != "x" {
				t.Errorf("the other one answered %q", got)
			}
		})
	}
}

// One that is released in OnOpen is told nothing more.
func TestOnOpenReleases(t *testing.T) {
	l := newLoop(t, Options{})
	released := -1
	h := &openHooks{open: func(s *Socket) {
		fd, err := s.Loop().Release(s.Token())
		if err != nil {
			t.Error(err)
		}
		released = fd
	}}
	_, peer := connPair(t, l, h)
	send(t, peer, "x")
	pollUntil(t, l, "OnOpen", h.has("open"))
	own(t, released)
	for range 3 {
		turn(t, l)
	}
	h.called(t, "open")
	if got := drain(t, uintptr(released)); got != "x" {
		t.Errorf("%q is there to be read", got)
	}
}

// A socket that ends before it is opened gets OnClose alone; one that is given back before, nothing.
func TestEndBeforeOnOpen(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(t *testing.T, l *Loop, token Token)
		want []string
		err  error
	}{
		"removed": {func(t *testing.T, l *Loop, token Token) {
			if err := l.Remove(token); err != nil {
				t.Error(err)
			}
		}, []string{"close"}, nil},
		"loop closed": {func(t *testing.T, l *Loop, _ Token) { l.Close() }, []string{"close"}, ErrClosed},
		"released": {func(t *testing.T, l *Loop, token Token) {
			fd, err := l.Release(token)
			if err != nil {
				t.Fatal(err)
			}
			own(t, fd)
		}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, Options{})
			h := new(openHooks)
			token, peer := connPair(t, l, h)
			send(t, peer, "x")
			test.end(t, l, token)
			for range 3 {
				if err := l.PollOnce(0); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
			h.called(t, test.want...)
			if !errors.Is(h.err, test.err) {
				t.Errorf("ended with %v, want %v", h.err, test.err)
			}
		})
	}
	t.Run("not connected", func(t *testing.T) {
		l := newLoop(t, Options{})
		h := new(openHooks)
		_, addr := bound(t) // where nobody listens
		if _, err := l.Dial("tcp", addr.String(), 0, h); err != nil {
			t.Fatal(err)
		}
		pollUntil(t, l, "the end", h.has("close"))
		h.called(t, "close")
		if !errors.Is(h.err, syscall.ECONNREFUSED) {
			t.Errorf("ended with %v, want ECONNREFUSED", h.err)
		}
	})
}

// Sockets are added by one goroutine and opened by the loop's, with input in wait; the race detector watches.
func TestOnOpenOfARunningLoop(t *testing.T) {
	l := running(t, Options{})
	for range 200 {
		opened := make(chan struct{})
		closed := make(chan struct{})
		h := &openHooks{open: func(*Socket) { close(opened) }}
		h.closed = func(*Socket) { close(closed) }
		fd, peer := pair(t)
		send(t, peer, "x")
		token := add(t, l, fd, h)
		await(t, "OnOpen", opened)
		l.Remove(token)
		await(t, "OnClose", closed)
		closeFD(t, peer)
	}
}

// CloseWrite tells the peer that there is no more, and reading goes on.
func TestCloseWrite(t *testing.T) {
	l := running(t, Options{})
	got, ended := make(chan string, 1), make(chan struct{})
	var afterClose, again error
	h := &openHooks{open: func(s *Socket) {
		s.Write([]byte("the last"))
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		_, afterClose = s.Write([]byte("x"))
	}}
	h.readable = func(s *Socket, buffer []byte) {
		switch n, err := s.Read(buffer); err {
		case nil:
			got <- string(buffer[:n])
		case io.EOF:
			s.Close()
			again = s.CloseWrite()
		}
	}
	h.closed = func(*Socket) { close(ended) }
	fd, peer := wire(t)
	add(t, l, fd, h)
	expect(t, peer, "the last")
	expectEnd(t, peer)
	put(t, peer, "still heard")
	if text := await(t, "input", got); text != "still heard" {
		t.Errorf("received %q", text)
	}
	peer.Close()
	await(t, "the end", ended)
	if !errors.Is(afterClose, syscall.EPIPE) {
		t.Errorf("Write after CloseWrite: %v, want EPIPE", afterClose)
	}
	if !errors.Is(again, net.ErrClosed) {
		t.Errorf("CloseWrite after Close: %v, want net.ErrClosed", again)
	}
}

// What is no stream says so.
func TestCloseWriteOfAPipe(t *testing.T) {
	l := newLoop(t, Options{})
	reader, writer := pipe(t)
	delete(owned, reader) // it is going to be the loop's
	var err error
	h := &openHooks{open: func(s *Socket) { err = s.CloseWrite() }}
	add(t, l, int(reader), h)
	pollUntil(t, l, "OnOpen", h.has("open"))
	if !errors.Is(err, syscall.ENOTSOCK) {
		t.Errorf("CloseWrite: %v, want ENOTSOCK", err)
	}
	send(t, writer, "x")
	pollUntil(t, l, "input", h.has("readable"))
}

// Stop ends Run, also when a function asks for it that a posted function has posted, or a callback of the last turn.
func TestStopFromPostedFunctions(t *testing.T) {
	for name, post := range map[string]func(l *Loop) error{
		"posted":               func(l *Loop) error { return l.Post(l.Stop) },
		"posted by a posted":   func(l *Loop) error { return l.Post(func() { l.Post(l.Stop) }) },
		"posted by the second": func(l *Loop) error { return l.Post(func() { l.Post(func() { l.Post(l.Stop) }) }) },
	} {
		t.Run(name, func(t *testing.T) {
			l := makeLoop(t, Options{})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			for when, waiting := range map[string]bool{"while Run waits": true, "before Run": false} {
				if !waiting {
					if err := post(l); err != nil {
						t.Fatal(err)
					}
				}
				result := make(chan error, 1)
				go func() { result <- l.Run(ctx) }()
				if waiting {
					on(t, l, func() {})
					if err := post(l); err != nil {
						t.Fatal(err)
					}
				}
				if err := await(t, "Run", result); err != nil {
					t.Errorf("%s: Run: %v", when, err)
				}
			}
		})
	}
}

// A callback that is made outside of a turn, as that of a connection that fails at once, stops the loop as well.
func TestStopInOnCloseOfADial(t *testing.T) {
	l := makeLoop(t, Options{})
	_, addr := bound(t)
	h := &hooks{closed: func(*Socket) { l.Stop() }}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 20 {
		if _, err := l.Dial("tcp", addr.String(), time.Hour, h); err != nil {
			t.Fatal(err)
		}
		if err := l.Run(ctx); err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
}
