//go:build linux

package reactor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOptionsOutOfBoundsAreNamed(t *testing.T) {
	for name, o := range map[string]Options{
		"ReadBuffer":        {ReadBuffer: -1},
		"LowPriorityBudget": {LowPriorityBudget: -1},
		"MaxSockets":        {MaxSockets: 1<<24 + 1},
		"TimerResolution":   {TimerResolution: 1500 * time.Microsecond},
		"Backend":           {Backend: "kqueue"},
	} {
		l, err := NewLoop(o)
		if err == nil {
			l.Close()
			t.Errorf("%+v was accepted", o)
			continue
		}
		if !strings.Contains(err.Error(), name) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%+v: %v; want an error that is EINVAL and names %s", o, err, name)
		}
	}
	for _, o := range []Options{{TimerResolution: time.Microsecond}, {TimerResolution: 2 * time.Hour}} {
		if _, err := NewLoop(o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", o, err)
		}
	}
}

func TestReadBufferIsOneAndOfItsSize(t *testing.T) {
	for _, size := range []int{0, 1, 1000} {
		o := Options{ReadBuffer: size}
		l, err := NewLoop(o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if size == 0 {
			size = 512 << 10
		}
		var first *byte
		calls := 0
		h := &hooks{readable: func(s *Socket, buffer []byte) {
			if calls++; len(buffer) != size {
				t.Errorf("a buffer of %d bytes, want %d", len(buffer), size)
			}
			if first != nil && first != &buffer[0] {
				t.Error("another buffer")
			}
			first = &buffer[0]
			s.Close()
		}}
		for range 3 {
			_, peer := connPair(t, l, h)
			send(t, peer, "x")
		}
		pollUntil(t, l, "3 sockets", func() bool { return calls == 3 })
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	l := newLoop(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	on(t, l, cancel) // it runs, then
	if err := await(t, "Run", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with a context that is done: %v", err)
	}
	go func() { ended <- l.Run(context.Background()) }()
	on(t, l, func() {}) // the loop is as it was
	l.Stop()
	if err := await(t, "Run", ended); err != nil {
		t.Errorf("Run after Stop: %v", err)
	}
}

func TestStopIsNotLost(t *testing.T) {
	l := newLoop(t, Options{})
	fd := newEventfd(t)
	calls := 0
	add(t, l, fd, &hooks{readable: func(s *Socket, _ []byte) { calls++; s.Interest(false, false) }})
	raise(t, fd)
	l.Stop()
	if err := l.Run(context.Background()); err != nil {
		t.Errorf("Run: %v", err)
	}
	l.Stop()
	if err := l.PollOnce(-1); err != nil {
		t.Errorf("PollOnce: %v", err)
	}
	if calls != 1 {
		t.Errorf("%d calls in the turn that PollOnce still makes", calls)
	}
	// One Stop, one return.
	if err := l.Post(l.Stop); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(context.Background()); err != nil {
		t.Errorf("Run: %v", err)
	}
	turned := false
	l.Post(func() { turned = true; l.Stop() })
	if err := l.Run(context.Background()); err != nil || !turned {
		t.Errorf("Run: %v; it ran: %t", err, turned)
	}
}

// A PollOnce that was stopped meanwhile has been stopped; the next one waits again.
func TestStopIsForOnePoll(t *testing.T) {
	knowsGoroutines(t) // else Stop wakes the loop, to be on the safe side, and the next poll may be woken
	l := newLoop(t, Options{})
	stopped := false
	setTimeout(t, l, quiet(t, l, func(*Socket) { stopped = true; l.Stop() }), time.Millisecond)
	pollUntil(t, l, "Stop in a callback", func() bool { return stopped })
	const d = 2 * time.Millisecond
	start := time.Now()
	if err := l.PollOnce(d); err != nil || time.Since(start) < d {
		t.Errorf("PollOnce: %v after %v, want to wait %v", err, time.Since(start), d)
	}
}

func TestPollOnceWaits(t *testing.T) {
	l := newLoop(t, Options{})
	const d = 5 * time.Millisecond
	start := time.Now()
	for _, d := range []time.Duration{d, 0, 300 * time.Microsecond} {
		if err := l.PollOnce(d); err != nil {
			t.Fatal(err)
		}
	}
	if waited := time.Since(start); waited < d+time.Millisecond {
		t.Errorf("waited %v, want %v and what 300 us are rounded up to", waited, d)
	}
	if turns := l.Stats().Turns; turns > 4 {
		t.Errorf("%d turns for three polls", turns)
	}
}

func TestOnlyOneDrives(t *testing.T) {
	l := running(t, Options{})
	on(t, l, func() {
		for _, err := range []error{l.PollOnce(0), l.Run(context.Background())} {
			if !errors.Is(err, ErrPolling) {
				t.Errorf("in a callback: %v, want ErrPolling", err)
			}
		}
	})
	for _, err := range []error{l.PollOnce(0), l.Run(context.Background())} {
		if !errors.Is(err, ErrPolling) {
			t.Errorf("while it runs: %v, want ErrPolling", err)
		}
	}
}

func TestPostKeepsOrderAndWakes(t *testing.T) {
	l := running(t, Options{})
	var got []int
	for i := range 100 {
		if err := l.Post(func() { got = append(got, i) }); err != nil {
			t.Fatal(err)
		}
	}
	on(t, l, func() {
		for i, n := range got {
			if i != n {
				t.Fatalf("ran in the order %v", got)
			}
		}
		if len(got) != 100 {
			t.Errorf("%d functions ran, want 100", len(got))
		}
	})
	if err := l.Post(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("Post(nil): %v", err)
	}
}

func TestBackendIsVisible(t *testing.T) {
	for _, backend := range []string{"epoll", "io_uring"} {
		var log bytes.Buffer
		l, err := NewLoop(Options{Backend: backend, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		stats := l.Stats()
		l.Close()
		switch {
		case stats.Backend == backend && stats.BackendError == nil && log.Len() == 0:
		case stats.Backend == "epoll" && stats.BackendError != nil && strings.Contains(log.String(), "epoll"):
		default:
			t.Errorf("asked for %s: in use %q, for the reason %v; log: %s", backend, stats.Backend, stats.BackendError, &log)
		}
		if stats := l.Stats(); stats.Backend != "" {
			t.Errorf("a closed loop uses %q", stats.Backend)
		}
	}
	t.Setenv("HIOLOAD_BACKEND", "pigeons")
	if _, err := NewLoop(Options{}); err == nil || !strings.Contains(err.Error(), "HIOLOAD_BACKEND") {
		t.Errorf("with an unknown backend in the environment: %v", err)
	}
}

// newEventfd makes an eventfd for a loop to own.
func newEventfd(t testing.TB) int {
	t.Helper()
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		t.Fatal(os.NewSyscallError("eventfd2", errno))
	}
	return int(fd)
}

// raise makes an eventfd readable.
func raise(t testing.TB, fd int) {
	t.Helper()
	send(t, uintptr(fd), "\x01\x00\x00\x00\x00\x00\x00\x00")
}
