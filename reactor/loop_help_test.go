//go:build linux

package reactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/gid"
)

// patience is how long a test waits for what has to happen before it says that it has not.
const patience = 20 * time.Second

// hooks is a Handler made of functions. Without a readable, input is read and dropped, and its end closes the socket.
type hooks struct {
	readable                  func(s *Socket, buffer []byte)
	writable, timeout, closed func(s *Socket)
}

func (h *hooks) OnReadable(s *Socket, buffer []byte) {
	if h.readable != nil {
		h.readable(s, buffer)
	} else if _, err := s.Read(buffer); err != nil && err != ErrWouldBlock {
		s.Close()
	}
}

func (h *hooks) OnWritable(s *Socket) { call(h.writable, s) }
func (h *hooks) OnTimeout(s *Socket)  { call(h.timeout, s) }
func (h *hooks) OnClose(s *Socket)    { call(h.closed, s) }

func call(f func(*Socket), s *Socket) {
	if f != nil {
		f(s)
	}
}

// echo sends back what it gets.
func echo(s *Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if err == nil {
		_, err = s.Write(buffer[:n])
	}
	if err != nil && err != ErrWouldBlock {
		s.Close()
	}
}

// newLoop makes a loop for the test to poll, which is closed when the test ends.
func newLoop(t testing.TB, o Options) *Loop {
	t.Helper()
	oneThread(t)
	return makeLoop(t, o)
}

func makeLoop(t testing.TB, o Options) *Loop {
	t.Helper()
	if o.ReadBuffer == 0 {
		o.ReadBuffer = 64 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	l, err := NewLoop(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		await(t, "the loop to close", l.Done())
	})
	return l
}

// running makes a loop that runs until the test ends.
func running(t testing.TB, o Options) *Loop {
	t.Helper()
	l := makeLoop(t, o)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Run ended with %v, want ErrClosed", err)
		}
	})
	return l
}

// pollUntil drives the loop until done says so.
func pollUntil(t testing.TB, l *Loop, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		if err := l.PollOnce(patience); err != nil {
			t.Fatal(err)
		}
	}
}

// turn is one that doesn't wait.
func turn(t testing.TB, l *Loop) {
	t.Helper()
	if err := l.PollOnce(0); err != nil {
		t.Fatal(err)
	}
}

func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// on has f run on a running loop and waits for that.
func on(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := l.Post(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	await(t, "a posted function", done)
}

// pair makes two connected, non-blocking stream sockets. Nobody owns the first, which is for a loop.
func pair(t testing.TB) (fd int, peer uintptr) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], own(t, fds[1])
}

// add adds fd to the loop.
func add(t testing.TB, l *Loop, fd int, h Handler) Token {
	t.Helper()
	token, err := l.Add(fd, h)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// connPair adds one end of a socket pair to the loop and returns the other.
func connPair(t testing.TB, l *Loop, h Handler) (Token, uintptr) {
	t.Helper()
	fd, peer := pair(t)
	return add(t, l, fd, h), peer
}

// listen makes a listener on a port of the kernel's choice.
func listen(t testing.TB, l *Loop, accept func(*Accepted)) *Listener {
	t.Helper()
	ln, err := l.Listen("tcp", "127.0.0.1:0", accept)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// abstract is a name for a Unix socket that has no file, unlike those of other runs of these tests.
func abstract(name string) string { return fmt.Sprintf("@hioload-test-%d-%s", os.Getpid(), name) }

// dialNet connects with package net.
func dialNet(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange sends text and expects it back.
func exchange(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// knowsGoroutines skips a test in builds that can't tell whether a call comes from the loop's own goroutine.
func knowsGoroutines(t testing.TB) {
	t.Helper()
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
}

// lockedBuffer is a log that a test reads while others write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
