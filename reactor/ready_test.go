//go:build linux

package reactor

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReadReadinessOfEveryKind(t *testing.T) {
	kinds := []struct {
		name string
		open func() (watched, other uintptr)
		text string
	}{
		{"socket", func() (uintptr, uintptr) { return socketpair(t) }, "hello"},
		{"pipe", func() (uintptr, uintptr) { return pipe(t) }, "hello"},
		{"eventfd", func() (uintptr, uintptr) { fd := eventfd(t); return fd, fd }, "\x01\x00\x00\x00\x00\x00\x00\x00"},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			r := open(t)
			var got log
			fd, other := kind.open()
			register(t, r, fd, EventRead, got.note)
			poll(t, r)
			got.none(t)

			send(t, other, kind.text)
			for range 3 { // level-triggered: as long as it is unread
				if err := r.Poll(-1); err != nil {
					t.Fatal(err)
				}
				if got.fds[0] != fd {
					t.Fatalf("called for fd %d, want %d", got.fds[0], fd)
				}
				if events := got.last(t); events != EventRead {
					t.Fatalf("events %b, want EventRead", events)
				}
			}
			if text := drain(t, fd); text != kind.text {
				t.Fatalf("read %q, want %q", text, kind.text)
			}
			poll(t, r)
			got.none(t)
		})
	}
}

func TestWriteReadiness(t *testing.T) {
	r := open(t)
	var got log
	a, b := socketpair(t)
	register(t, r, a, EventWrite, got.note)
	send(t, b, "unread") // not asked for, so not told
	poll(t, r)
	if events := got.last(t); events != EventWrite {
		t.Fatalf("events %b of an empty socket, want EventWrite", events)
	}
	fill(t, a)
	poll(t, r)
	got.none(t)
	drain(t, b)
	poll(t, r)
	if events := got.last(t); events != EventWrite {
		t.Fatalf("events %b after the peer has read, want EventWrite", events)
	}
}

func TestBothDirectionsInOneCall(t *testing.T) {
	r := open(t)
	var got log
	a, b := socketpair(t)
	send(t, b, "x")
	register(t, r, a, EventRead|EventWrite, got.note)
	poll(t, r)
	if events := got.last(t); events != EventRead|EventWrite {
		t.Fatalf("events %b, want EventRead|EventWrite", events)
	}
}

func TestHalfClosedPeerIsReadableNotInError(t *testing.T) {
	r := open(t)
	var got log
	a, b := socketpair(t)
	register(t, r, a, EventRead, got.note)
	if err := syscall.Shutdown(int(b), syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	poll(t, r)
	if events := got.last(t); events != EventRead {
		t.Fatalf("events %b, want EventRead", events)
	}
}

func TestErrorEventComesUnasked(t *testing.T) {
	hangUp := func(t *testing.T) uintptr { a, b := socketpair(t); closeFD(t, b); return a }
	readEnd := func(t *testing.T) uintptr { a, b := pipe(t); closeFD(t, b); return a }
	writeEnd := func(t *testing.T) uintptr { a, b := pipe(t); closeFD(t, a); return b }
	for _, c := range []struct {
		name  string
		open  func(*testing.T) uintptr
		asked FDEventType
		want  FDEventType
	}{
		{"socket asked to read", hangUp, EventRead, EventRead | EventError},
		{"socket asked to write", hangUp, EventWrite, EventWrite | EventError},
		{"socket asked for nothing else", hangUp, EventError, EventError},
		{"pipe without writer", readEnd, EventRead, EventRead | EventError},
		{"pipe without writer, nothing else", readEnd, EventError, EventError},
		{"pipe without reader", writeEnd, EventWrite, EventWrite | EventError},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			var got log
			register(t, r, c.open(t), c.asked, got.note)
			for range 2 { // the state lasts, and so do its events
				if err := r.Poll(-1); err != nil {
					t.Fatal(err)
				}
				if events := got.last(t); events != c.want {
					t.Fatalf("events %b, want %b", events, c.want)
				}
			}
		})
	}
}

func TestErrorEventAloneIsQuietUntilThen(t *testing.T) {
	r := open(t)
	var got log
	a, b := socketpair(t)
	register(t, r, a, EventError, got.note)
	send(t, b, "not asked for")
	poll(t, r)
	got.none(t)
	drain(t, a)
	closeFD(t, b)
	poll(t, r)
	if events := got.last(t); events != EventError {
		t.Fatalf("events %b, want EventError", events)
	}
}

func TestPollTimesOut(t *testing.T) {
	r := open(t)
	a, _ := socketpair(t)
	register(t, r, a, EventRead, func(uintptr, FDEventType) { t.Error("called") })
	poll(t, r)
	const wait = 30 * time.Millisecond
	start := time.Now()
	if err := r.Poll(int(wait / time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < wait {
		t.Errorf("Poll returned after %v, before its %v had passed", took, wait)
	}
}

func TestManyDescriptorsAllGetTheirTurn(t *testing.T) {
	const count = 3000 // more than the rings hold, more than the kernel is asked for at a time
	r := open(t)
	calls := make(map[uintptr]int, count)
	for range count {
		register(t, r, signalled(t), EventRead, func(fd uintptr, _ FDEventType) { calls[fd]++ })
	}
	// Nobody reads, so all stay ready: they share the polls fairly or some never come.
	for range 100 {
		poll(t, r)
		if len(calls) == count {
			return
		}
	}
	t.Fatalf("after 100 polls %d of %d ready descriptors were called", len(calls), count)
}

func TestNumbersBeyondIntAreRefused(t *testing.T) {
	r := open(t)
	err := r.Register(1<<32, EventRead, func(uintptr, FDEventType) {})
	if err == nil || !strings.Contains(err.Error(), "4294967296") {
		t.Errorf("error %v, want one that names the number", err)
	}
}

func TestSteadyStateIsOneCrossingAndNoAllocation(t *testing.T) {
	r := open(t)
	calls := 0
	for range 10 {
		register(t, r, signalled(t), EventRead, func(uintptr, FDEventType) { calls++ })
	}
	poll(t, r)
	calls = 0
	before := r.loop.Stats().Crossings
	const runs = 200
	perPoll := testing.AllocsPerRun(runs, func() {
		if err := r.Poll(-1); err != nil {
			t.Fatal(err)
		}
	})
	if perPoll != 0 {
		t.Errorf("%v allocations per Poll of 10 events, want none", perPoll)
	}
	if crossings := r.loop.Stats().Crossings - before; crossings*10 != uint64(calls) || calls < 10*runs {
		t.Errorf("%d events took %d crossings into C, want 10 ready descriptors with each", calls, crossings)
	}
}
