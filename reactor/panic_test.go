//go:build linux

package reactor

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestPanicEndsOnlyItsRegistration(t *testing.T) {
	report := captureLog(t)
	r := open(t)
	bad, good := signalled(t), signalled(t)
	panics, calls := 0, 0
	register(t, r, bad, EventRead, func(uintptr, FDEventType) {
		panics++
		panic("a bug of the user's")
	})
	register(t, r, good, EventRead, func(uintptr, FDEventType) { calls++ })
	for range 3 {
		poll(t, r)
	}
	if panics != 1 {
		t.Errorf("%d panics, want the first to be the last", panics)
	}
	if calls != 3 {
		t.Errorf("the other descriptor was called %d times in 3 polls", calls)
	}
	if err := r.Unregister(bad); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("Unregister: %v, want ErrNotRegistered", err)
	}
	if !isOpen(bad) {
		t.Error("the descriptor was closed, which is its owner's business")
	}
	for _, want := range []string{"level=ERROR", "a bug of the user's", "panic_test.go"} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report does not say %q: %s", want, report.String())
		}
	}
	again := false
	register(t, r, bad, EventRead, func(fd uintptr, _ FDEventType) { again = true })
	poll(t, r)
	if !again {
		t.Error("not called after it was registered anew")
	}
}

func TestPanicAfterUnregister(t *testing.T) {
	captureLog(t)
	r := open(t)
	fd := signalled(t)
	var got log
	register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
		unregister(t, r, fd)
		register(t, r, fd, EventRead, got.note)
		panic("after it was registered anew")
	})
	poll(t, r)
	poll(t, r)
	got.last(t) // the panic ended the old registration, which was over, not the new one
	unregister(t, r, fd)
}

// runtime.Goexit, which t.FailNow calls, ends the polling goroutine and the registration, and nothing else.
func TestGoexitInCallback(t *testing.T) {
	r := open(t)
	bad, good := signalled(t), signalled(t)
	register(t, r, bad, EventRead, func(uintptr, FDEventType) { runtime.Goexit() })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Poll(-1)
		t.Error("Poll has returned: runtime.Goexit had no effect")
	}()
	<-ended
	if err := r.Unregister(bad); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("Unregister: %v, want ErrNotRegistered", err)
	}
	var got log
	register(t, r, good, EventRead, got.note)
	poll(t, r) // another goroutine takes over
	got.last(t)
}
