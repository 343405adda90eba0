//go:build linux

package reactor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestListenNetworks(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"}, {"tcp", "localhost:0"}, {"tcp", ":0"}, {"tcp4", ":0"}, {"tcp6", "[::1]:0"},
		{"unix", filepath.Join(dir, "s")}, {"unix", abstract("s")}, {"unixpacket", filepath.Join(dir, "p")},
	} {
		t.Run(test.network+" "+test.address, func(t *testing.T) {
			if test.network == "tcp6" {
				needsIPv6(t)
			}
			l := running(t, Options{})
			accepted := make(chan net.Addr, 1)
			ln, err := l.Listen(test.network, test.address, func(a *Accepted) {
				accepted <- a.RemoteAddr()
				if _, err := a.Add(&hooks{readable: echo}); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			c := dialNet(t, ln.Addr())
			exchange(t, c, "over "+test.network)
			if got := await(t, "the connection", accepted); got.String() != c.LocalAddr().String() {
				t.Errorf("RemoteAddr is %v, want %v", got, c.LocalAddr())
			}
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
			if err := ln.Close(); !errors.Is(err, ErrNoSocket) {
				t.Errorf("second Close: %v", err)
			}
			if path := ln.Addr().String(); path[0] == '/' && exists(path) {
				t.Errorf("%s is still there", path)
			}
			for deadline := time.Now().Add(patience); ; {
				c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
				if err != nil {
					break // now the loop has heard of it
				}
				c.Close()
				if time.Now().After(deadline) {
					t.Fatal("a closed listener still accepts")
				}
			}
			if len(accepted) > 0 {
				t.Error("accept was called after Close")
			}
			exchange(t, c, "what was accepted lives on")
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// needsIPv6 skips a test where there is none.
func needsIPv6(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on this machine:", err)
	}
	ln.Close()
}

func TestListenRefuses(t *testing.T) {
	l := newLoop(t, Options{MaxSockets: 1})
	path := filepath.Join(t.TempDir(), "s")
	accept := func(*Accepted) {}
	for _, test := range []struct{ network, address, text string }{
		{"udp", "127.0.0.1:0", "udp"}, {"carrier pigeon", "x", "pigeon"}, {"tcp", "127.0.0.1:99999", "99999"},
		{"tcp", "no port", "no port"}, {"unix", filepath.Join(path, "no", "such", "folder"), "folder"},
	} {
		var op *net.OpError
		if _, err := l.Listen(test.network, test.address, accept); !errors.As(err, &op) ||
			!strings.Contains(err.Error(), test.text) {
			t.Errorf("Listen(%q, %q): %v", test.network, test.address, err)
		}
	}
	if _, err := l.Listen("tcp", "127.0.0.1:0", nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a function: %v", err)
	}
	before := descriptors(t)
	listen(t, l, accept)
	if _, err := l.Listen("unix", path, accept); !errors.Is(err, ErrTooManySockets) {
		t.Errorf("with no room: %v", err)
	}
	if n := descriptors(t) - before; n != 1 || exists(path) {
		t.Errorf("%d descriptors more for one listener; the other one's file is there: %t", n, exists(path))
	}
}

// What accept neither adds nor takes is closed; what it takes is the taker's, even if it panics then.
func TestAcceptedIsProvidedForOnce(t *testing.T) {
	var report bytes.Buffer
	l := newLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&report, nil))})
	other := running(t, Options{})
	var accept func(*Accepted)
	calls := 0
	ln := listen(t, l, func(a *Accepted) { calls++; accept(a) })
	connect := func() net.Conn {
		t.Helper()
		want := calls + 1
		c := dialNet(t, ln.Addr())
		pollUntil(t, l, "accept", func() bool { return calls == want })
		return c
	}
	closed := func(c net.Conn) bool {
		n, err := c.Read(make([]byte, 1))
		return n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	before := descriptors(t)
	for name, f := range map[string]func(a *Accepted){
		"nothing": func(*Accepted) {},
		"panic":   func(*Accepted) { panic("accepting on purpose") },
		"refused": func(a *Accepted) {
			if _, err := a.Add(nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("Add(nil): %v", err)
			}
		},
		"added and removed": func(a *Accepted) {
			token, err := a.Add(&hooks{})
			if err != nil {
				t.Error(err)
			}
			if _, err := a.Add(&hooks{}); !errors.Is(err, ErrNoSocket) {
				t.Errorf("second Add: %v", err)
			}
			if fd := a.Take(); fd != -1 {
				t.Errorf("Take after Add: %d", fd)
			}
			l.Remove(token)
		},
		"added, removed and panic": func(a *Accepted) {
			token, _ := a.Add(&hooks{})
			l.Remove(token)
			panic("once more")
		},
		"taken, closed and panic": func(a *Accepted) {
			syscall.Close(a.Take())
			panic("and again")
		},
	} {
		accept = f
		c := connect()
		pollUntil(t, l, "the socket to go", func() bool { return l.Stats().Sockets == 0 })
		if !closed(c) {
			t.Errorf("%s: the connection is open", name)
		}
		c.Close()
		if n := descriptors(t); n != before {
			t.Errorf("%s: %d descriptors, %d before", name, n, before)
		}
	}
	if n := l.Stats().Panics; n != 3 || !strings.Contains(report.String(), "accepting on purpose") {
		t.Errorf("%d panics counted; report: %s", n, &report)
	}
	// To another loop.
	accept = func(a *Accepted) {
		if _, err := other.Add(a.Take(), &hooks{readable: echo}); err != nil {
			t.Error(err)
		}
	}
	exchange(t, connect(), "to another loop")
}

// runtime.Goexit in accept closes the connection and ends neither the listener nor Run.
func TestGoexitInAccept(t *testing.T) {
	l := running(t, Options{})
	first := true
	ln := listen(t, l, func(a *Accepted) {
		if first {
			first = false
			runtime.Goexit()
		}
		a.Add(&hooks{readable: echo})
	})
	if n, err := dialNet(t, ln.Addr()).Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the first connection lives: %d, %v", n, err)
	}
	exchange(t, dialNet(t, ln.Addr()), "the second lives")
}

// Listening, dialing and closing the listener, all in callbacks.
func TestListenAndDialInCallbacks(t *testing.T) {
	l := running(t, Options{})
	got := make(chan string, 1)
	on(t, l, func() {
		var first *Listener
		first = listen(t, l, func(a *Accepted) {
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			second := listen(t, l, func(a *Accepted) {
				if _, err := a.Add(&hooks{readable: echo}); err != nil {
					t.Error(err)
				}
			})
			if _, err := l.Dial("tcp", second.Addr().String(), 0, &hooks{
				writable: func(s *Socket) { s.Write([]byte("round and round")) },
				readable: func(s *Socket, buffer []byte) {
					n, _ := s.Read(buffer)
					got <- string(buffer[:n])
					s.Close()
				},
			}); err != nil {
				t.Error(err)
			}
		})
		if _, err := l.Dial("tcp", first.Addr().String(), 0, &hooks{}); err != nil {
			t.Error(err)
		}
	})
	if text := await(t, "the echo", got); text != "round and round" {
		t.Errorf("got %q", text)
	}
}

// Without descriptors, accepting pauses, says so, and goes on when there are some again. No connection is lost.
func TestAcceptPausesWithoutDescriptors(t *testing.T) {
	var report lockedBuffer
	l := newLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&report, nil))})
	ln := listen(t, l, func(a *Accepted) { a.Add(&hooks{readable: echo}) })
	c := dialNet(t, ln.Addr())
	restore := spareDescriptors(t, 0)
	pollUntil(t, l, "the report", func() bool { return strings.Contains(report.String(), "accepting pauses") })
	if turns := l.Stats().Turns; turns > 10 {
		t.Errorf("%d turns: it spins", turns)
	}
	restore()
	for _, want := range []string{ln.Addr().String(), "too many open files"} {
		if text := report.String(); !strings.Contains(text, want) {
			t.Errorf("the report does not say %q: %s", want, text)
		}
	}
	pollUntil(t, l, "the connection", func() bool { return l.Stats().Sockets == 1 })
	go l.Run(context.Background())
	exchange(t, c, "late, not lost")
}

// spareDescriptors lowers the limit of this process to n more than it has open, 0 or 1, until restore is called.
func spareDescriptors(t testing.TB, n int) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	probe, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(probe) // the lowest number that is free
	low := syscall.Rlimit{Cur: uint64(probe + n), Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}
