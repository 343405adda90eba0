package tcpio

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// patience bounds every wait of these tests. Nothing is expected to take that long; it only keeps a bug from hanging.
const patience = 20 * time.Second

// serving is a listener that runs until its test ends.
type serving struct {
	*Listener
	t      testing.TB
	errs   chan error    // what OnErrorEvent was told, unless the test has one of its own
	closes chan error    // what OnClose was told, likewise
	ended  chan struct{} // Start has returned
}

// serve starts a listener on a port of the kernel's choice. At the end of the test it has to end, and all connections
// with it.
func serve(t testing.TB, options ListenerOptions) *serving {
	t.Helper()
	s := &serving{t: t, errs: make(chan error, 1<<16), closes: make(chan error, 1<<16), ended: make(chan struct{})}
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	if options.OnErrorEvent == nil {
		options.OnErrorEvent = func(err error) { s.errs <- err }
	}
	if options.OnClose == nil {
		options.OnClose = func(_ net.Conn, err error) { s.closes <- err }
	}
	l, err := Listen(&options)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	go func() {
		defer close(s.ended)
		l.Start()
	}()
	t.Cleanup(func() {
		l.Close()
		wait(t, "Start to return", s.ended)
		if n := l.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left behind", n)
		}
	})
	return s
}

// dial connects to it, as a client that gives up in time.
func (s *serving) dial() *net.TCPConn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.GetListener().Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// failed returns the next error that OnErrorEvent was told of.
func (s *serving) failed() error {
	s.t.Helper()
	return wait(s.t, "an error event", s.errs)
}

// wait fails the test when nothing happens on done.
func wait[T any](t testing.TB, what string, done <-chan T) T {
	t.Helper()
	select {
	case v := <-done:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// until waits for a condition that nobody announces.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// delivered waits until the other end's kernel has all that was written: acknowledged, the end as well.
func delivered(t testing.TB, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it has arrived", func() (all bool) {
		if err := raw.Control(func(fd uintptr) {
			var left int32
			_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&left)))
			all = errno == 0 && left == 0
		}); err != nil {
			t.Fatal(err)
		}
		return all
	})
}

// onLoop has a worker's loop call f, and waits for it.
func onLoop(t testing.TB, w *worker, f func()) {
	t.Helper()
	done := make(chan struct{})
	_ = w.loop.Do(func() {
		defer close(done)
		f()
	})
	wait(t, "the loop", done)
}

func send(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("writing %d bytes: %d, %v", len(text), n, err)
	}
}

// expect reads exactly text.
func expect(t testing.TB, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != text {
		t.Fatalf("read %.40q (%d bytes, %v), want %.40q", got[:n], n, err, text)
	}
}

// expectEnd reads the end of the stream.
func expectEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("read %.40q and %v, want the end", rest, err)
	}
}

// echo is the simplest OnConnEvent.
func echo(conn net.Conn) error {
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	_, err = conn.Write(buf[:n])
	return err
}

// echoData is the simplest OnData.
func echoData(conn net.Conn, data []byte) error {
	_, err := conn.Write(data)
	return err
}

// is tells whether the error is all that it should be.
func is(t testing.TB, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Errorf("the error is %v, which is not %q", err, want)
		}
	}
}

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// journal is a logger that can be read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
