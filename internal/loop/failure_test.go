package loop

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

// epolls are the descriptors of this process that are epoll sets.
func epolls(t *testing.T) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bool{}
	for _, entry := range entries {
		// A descriptor may be gone by now: the one that ReadDir used is.
		if link, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && link == "anon_inode:[eventpoll]" {
			fd, err := strconv.Atoi(entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			found[fd] = true
		}
	}
	return found
}

// broken makes a loop with one stream whose epoll set is none any more.
func broken(t *testing.T) (*Loop, *stream) {
	t.Helper()
	fd, _ := pair(t) // makes sure that the runtime has its own set already
	before := epolls(t)
	l, err := New(Config{Backend: "epoll"})
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{closed: make(chan csrc.Event, 1)}
	if err := l.Attach(&s.Conn, s, fd, false); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Turn(0); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	replaced := 0
	for fd := range epolls(t) {
		if !before[fd] {
			replaced++
			if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
	}
	if replaced != 1 {
		t.Fatalf("a loop has %d epoll sets", replaced)
	}
	return l, s
}

func TestBrokenBackendEndsTheLoop(t *testing.T) {
	for name, drive := range map[string]func(l *Loop) error{
		"Run":  (*Loop).Run,
		"Turn": func(l *Loop) error { _, err := l.Turn(0); return err },
	} {
		l, s := broken(t)
		if err := drive(l); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
		wait(t, "the loop to end", l.Done())
		wait(t, "the stream to close", s.closed)
		if err := s.Send(0, nil); err != ErrClosed {
			t.Errorf("Send: %v", err)
		}
		if _, err := l.Turn(0); err != ErrLoopClosed {
			t.Errorf("Turn: %v", err)
		}
	}
}

func TestGoexitInTurn(t *testing.T) {
	l, err := New(Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s, peer := attach(t, l, false, func(_ *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			runtime.Goexit()
		}
	})
	_, other := attach(t, l, false, echoRaw)
	peer.Write([]byte("x"))
	other.Write([]byte("alive"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := l.Turn(-1); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	wait(t, "the goroutine to be ended", ended)
	for len(s.closed) == 0 { // another goroutine can go on, with what the first has left
		if _, err := l.Turn(-1); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 5)
	if _, err := other.Read(got); err != nil || string(got) != "alive" {
		t.Errorf("echo: %q, %v", got, err)
	}
	l.Close()
	wait(t, "the loop to end", l.Done())
}

func TestMemoryLimit(t *testing.T) {
	pool, err := NewPool(PoolConfig{Limit: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	l, err := New(Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go l.Run()
	s, peer := attach(t, l, false, echoRaw)
	huge := make([]byte, 64<<20)
	on(t, l, func() {
		if err := s.Send(0, huge); err != ErrNoMemory {
			t.Errorf("Send on the loop: %v", err)
		}
	})
	if err := s.Send(0, huge); err != ErrNoMemory || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("Send: %v", err)
	}
	if n := s.Queued(); n != 0 {
		t.Errorf("%d bytes queued", n)
	}
	echoes(t, peer)
}
