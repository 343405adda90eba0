//go:build linux

package reactor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func ignore(uintptr, FDEventType) {}

func TestRegisterRefuses(t *testing.T) {
	r := open(t)
	good, _ := socketpair(t)
	registered, _ := socketpair(t)
	register(t, r, registered, EventRead, ignore)
	open := func(path string) uintptr {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f.Fd()
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, root, null := open(path), open("/"), open("/dev/null")
	gone, _ := pipe(t)
	closeFD(t, gone) // last, so that nothing above takes the number
	for _, c := range []struct {
		name   string
		fd     uintptr
		events FDEventType
		cb     FDCallback
		is     []error
		says   string
	}{
		{"closed number", gone, EventRead, ignore, []error{syscall.EBADF}, ""},
		{"number out of range", ^uintptr(0), EventRead, ignore, []error{syscall.EBADF}, ""},
		{"regular file", file, EventRead, ignore, []error{syscall.EPERM, os.ErrPermission}, "regular file"},
		{"directory", root, EventRead, ignore, []error{syscall.EPERM}, "directory"},
		{"device", null, EventRead, ignore, []error{syscall.EPERM}, "device"},
		{"twice", registered, EventWrite, ignore, []error{ErrRegistered, syscall.EEXIST, os.ErrExist}, "already"},
		{"no events", good, 0, ignore, []error{ErrInvalid, syscall.EINVAL, os.ErrInvalid}, "no events"},
		{"unknown events", good, EventRead | 1<<10, ignore, []error{ErrInvalid}, "unknown events"},
		{"nil callback", good, EventRead, nil, []error{ErrInvalid}, "nil callback"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := r.Register(c.fd, c.events, c.cb)
			for _, want := range c.is {
				if !errors.Is(err, want) {
					t.Errorf("error %v is not %v", err, want)
				}
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
	// None of the refusals has left anything behind.
	register(t, r, good, EventRead, ignore)
	unregister(t, r, good)
	unregister(t, r, registered)
}

func TestUnregisterUnknown(t *testing.T) {
	r := open(t)
	a, _ := socketpair(t)
	for _, err := range []error{r.Unregister(a), r.Unregister(^uintptr(0))} {
		if !errors.Is(err, ErrNotRegistered) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v, want ErrNotRegistered", err)
		}
	}
	register(t, r, a, EventRead, ignore)
	unregister(t, r, a)
	if err := r.Unregister(a); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("second Unregister: %v, want ErrNotRegistered", err)
	}
}

func TestUnregisterInOwnCallback(t *testing.T) {
	r := open(t)
	calls := 0
	fd := signalled(t)
	register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
		calls++
		unregister(t, r, fd)
	})
	for range 3 {
		poll(t, r)
	}
	if calls != 1 {
		t.Errorf("called %d times, want once", calls)
	}
}

func TestUnregisterOthersInCallback(t *testing.T) {
	r := open(t)
	a, b := signalled(t), signalled(t)
	calls := 0
	other := map[uintptr]uintptr{a: b, b: a}
	for fd := range other {
		register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
			if calls++; calls == 1 {
				unregister(t, r, other[fd]) // which is ready too, perhaps in this very batch
			}
		})
	}
	poll(t, r)
	if calls != 1 {
		t.Errorf("%d calls, want only that of the first", calls)
	}
	poll(t, r)
	if calls != 2 {
		t.Errorf("%d calls, want a second of the one that stayed", calls)
	}
}

func TestRegisterInCallback(t *testing.T) {
	r := open(t)
	var got log
	first, second := signalled(t), signalled(t)
	register(t, r, first, EventRead, func(fd uintptr, _ FDEventType) {
		unregister(t, r, fd)
		register(t, r, second, EventRead, got.note)
	})
	poll(t, r)
	got.none(t)
	poll(t, r)
	if events := got.last(t); events != EventRead {
		t.Errorf("events %b, want EventRead", events)
	}
}

func TestReregisterInCallbackForOtherEvents(t *testing.T) {
	r := open(t)
	var got log
	a, b := socketpair(t)
	send(t, b, "x")
	register(t, r, a, EventRead, func(fd uintptr, _ FDEventType) {
		unregister(t, r, fd)
		register(t, r, fd, EventWrite, got.note)
	})
	poll(t, r)
	got.none(t)
	poll(t, r)
	if events := got.last(t); events != EventWrite {
		t.Errorf("events %b, want EventWrite", events)
	}
}

// A descriptor is unregistered and closed, and its number given to another file, while its event waits in the batch.
func TestReusedNumberInOneBatch(t *testing.T) {
	r := open(t)
	a, b := signalled(t), signalled(t)
	other := map[uintptr]uintptr{a: b, b: a}
	calls, late := 0, 0
	var fresh log
	for fd := range other {
		register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
			if calls++; calls > 1 {
				late++
				return
			}
			unregister(t, r, fd)
			victim := other[fd]
			unregister(t, r, victim)
			closeFD(t, victim)
			if again := eventfd(t); again != victim {
				t.Fatalf("the kernel gave fd %d, want the lowest free number %d", again, victim)
			}
			register(t, r, victim, EventRead, fresh.note)
		})
	}
	for range 3 {
		poll(t, r)
	}
	if late != 0 {
		t.Errorf("%d calls of a registration that had ended", late)
	}
	fresh.none(t) // its file is not readable: the only event was the old file's
}

// Closing without Unregister is a mistake, but a new file under the number is not made to suffer for it.
func TestNumberReusedWithoutUnregister(t *testing.T) {
	r := open(t)
	var stale, fresh log
	a, b := socketpair(t)
	send(t, b, "x")
	register(t, r, a, EventRead, stale.note)
	poll(t, r)
	stale.last(t)
	closeFD(t, a)
	again, peer := socketpair(t)
	if again != a {
		t.Fatalf("the kernel gave fd %d, want the lowest free number %d", again, a)
	}
	register(t, r, again, EventRead, fresh.note)
	poll(t, r)
	fresh.none(t)
	send(t, peer, "y")
	poll(t, r)
	if events := fresh.last(t); events != EventRead {
		t.Errorf("events %b, want EventRead", events)
	}
	stale.none(t)
	unregister(t, r, again)
}

// The documented order, Unregister then close, must leave nothing behind in the kernel, even if the open file lives on
// under another number: epoll would report it for ever, and the loop would spin.
func TestDuplicateOutlivesUnregister(t *testing.T) {
	for _, inCallback := range []bool{true, false} {
		t.Run(fmt.Sprintf("in callback %v", inCallback), func(t *testing.T) {
			r := open(t)
			a, b := socketpair(t)
			dup, err := syscall.Dup(int(a))
			if err != nil {
				t.Fatal(err)
			}
			own(t, dup)
			send(t, b, "unread for ever")
			leave := func() {
				unregister(t, r, a)
				closeFD(t, a)
			}
			calls := 0
			register(t, r, a, EventRead, func(uintptr, FDEventType) {
				if calls++; inCallback {
					leave()
				}
			})
			poll(t, r)
			if !inCallback {
				leave()
			}
			before := r.loop.Stats().Turns
			if err := r.Poll(100); err != nil {
				t.Fatal(err)
			}
			if turns := r.loop.Stats().Turns - before; turns > 10 {
				t.Errorf("%d turns in an idle Poll: the kernel still reports the unregistered file", turns)
			}
			if calls != 1 {
				t.Errorf("called %d times, want once", calls)
			}
		})
	}
}

// Register succeeds, but by the time the loop takes it in the descriptor is gone: its owner hears of it.
func TestRefusedByTheKernelLater(t *testing.T) {
	report := captureLog(t)
	r := open(t)
	var got log
	a, _ := socketpair(t)
	register(t, r, a, EventRead, got.note)
	closeFD(t, a)
	for range 2 {
		poll(t, r)
	}
	if events := got.last(t); events != EventError {
		t.Errorf("events %b, want EventError", events)
	}
	if err := r.Unregister(a); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("Unregister: %v, want ErrNotRegistered", err)
	}
	if !strings.Contains(report.String(), syscall.EBADF.Error()) {
		t.Errorf("the report does not say why: %s", report)
	}
}

// Register while nobody polls is in force in the next Poll, even one that does not wait.
func TestRegisterFromAnotherGoroutineBeforePoll(t *testing.T) {
	r := open(t)
	var got log
	fd := signalled(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Register(fd, EventRead, got.note); err != nil {
			t.Error(err)
		}
	}()
	<-done
	poll(t, r)
	got.last(t)
}
