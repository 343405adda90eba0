//go:build linux

package reactor

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// oneThread keeps a test that polls to one thread, so that what is ready is told by the next turn, with io_uring too:
// see PollOnce.
func oneThread(t testing.TB) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
}

// open makes a reactor for the test to poll, which is closed when the test ends.
func open(t testing.TB) *fdReactor {
	t.Helper()
	oneThread(t)
	r, err := NewReactor()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.(*fdReactor)
}

// socketpair makes two connected, non-blocking stream sockets. The test may close them itself with closeFD.
func socketpair(t testing.TB) (a, b uintptr) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, fds[0]), own(t, fds[1])
}

// pipe makes a non-blocking pipe.
func pipe(t testing.TB) (read, write uintptr) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return own(t, fds[0]), own(t, fds[1])
}

// eventfd makes a non-blocking eventfd with a count of zero: writable, not readable.
func eventfd(t testing.TB) uintptr {
	t.Helper()
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return own(t, int(fd))
}

// signalled makes an eventfd that is readable.
func signalled(t testing.TB) uintptr {
	t.Helper()
	fd := eventfd(t)
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	send(t, fd, string(one[:]))
	return fd
}

// owned is every descriptor that a test has opened and not yet closed, so that the end of a test closes no number that
// belongs to somebody else by then. Tests of this package do not run in parallel.
var owned = map[uintptr]bool{}

func own(t testing.TB, fd int) uintptr {
	owned[uintptr(fd)] = true
	t.Cleanup(func() {
		if owned[uintptr(fd)] {
			closeFD(t, uintptr(fd))
		}
	})
	return uintptr(fd)
}

func closeFD(t testing.TB, fd uintptr) {
	t.Helper()
	delete(owned, fd)
	if err := syscall.Close(int(fd)); err != nil {
		t.Errorf("close %d: %v", fd, err)
	}
}

// send writes all of text.
func send(t testing.TB, fd uintptr, text string) {
	t.Helper()
	if n, err := syscall.Write(int(fd), []byte(text)); err != nil || n != len(text) {
		t.Errorf("write %d: %d bytes, %v", fd, n, err)
	}
}

// drain reads until there is nothing left, and returns what it got.
func drain(t testing.TB, fd uintptr) string {
	t.Helper()
	var text []byte
	buf := make([]byte, 4096)
	for {
		n, err := syscall.Read(int(fd), buf)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN || n == 0 {
			return string(text)
		}
		if err != nil {
			t.Errorf("read %d: %v", fd, err)
			return string(text)
		}
		text = append(text, buf[:n]...)
	}
}

// fill writes until the descriptor takes no more.
func fill(t testing.TB, fd uintptr) {
	t.Helper()
	chunk := make([]byte, 4096)
	for {
		_, err := syscall.Write(int(fd), chunk)
		if err == syscall.EAGAIN {
			return
		}
		if err != nil && err != syscall.EINTR {
			t.Fatalf("write %d: %v", fd, err)
		}
	}
}

func register(t testing.TB, r Reactor, fd uintptr, events FDEventType, cb FDCallback) {
	t.Helper()
	if err := r.Register(fd, events, cb); err != nil {
		t.Fatalf("Register(%d): %v", fd, err)
	}
}

func unregister(t testing.TB, r Reactor, fd uintptr) {
	t.Helper()
	if err := r.Unregister(fd); err != nil {
		t.Errorf("Unregister(%d): %v", fd, err)
	}
}

// poll polls once without waiting.
func poll(t testing.TB, r Reactor) {
	t.Helper()
	if err := r.Poll(0); err != nil {
		t.Fatalf("Poll(0): %v", err)
	}
}

// log is a callback that notes its calls.
type log struct {
	calls []FDEventType
	fds   []uintptr
}

func (l *log) note(fd uintptr, events FDEventType) {
	l.fds = append(l.fds, fd)
	l.calls = append(l.calls, events)
}

// last returns the events of the only call since the last time, and fails unless there was exactly one.
func (l *log) last(t testing.TB) FDEventType {
	t.Helper()
	if len(l.calls) != 1 {
		t.Fatalf("called %d times (%v), want once", len(l.calls), l.calls)
	}
	events := l.calls[0]
	l.calls, l.fds = nil, nil
	return events
}

func (l *log) none(t testing.TB) {
	t.Helper()
	if len(l.calls) != 0 {
		t.Fatalf("called for fds %v with %v, want no call", l.fds, l.calls)
	}
}

// isOpen tells whether fd is a descriptor of this process.
func isOpen(fd uintptr) bool {
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
	return errno == 0
}

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	netPoller()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// netPoller has the runtime open the descriptors that it waits with, which it does when package net first needs them.
var netPoller = sync.OnceFunc(func() {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
})

// captureLog has everything that is logged until the end of the test written to a buffer.
func captureLog(t testing.TB) *bytes.Buffer {
	var report bytes.Buffer
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&report, nil)))
	t.Cleanup(func() { slog.SetDefault(previous) })
	return &report
}
