//go:build linux

package reactor

import (
	"errors"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// polling runs Poll(-1) on a goroutine of its own until the reactor is closed, which must be what ends it.
func polling(t testing.TB, r Reactor) (wait func()) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		for {
			if err := r.Poll(-1); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() {
		t.Helper()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Poll ended with %v, want ErrClosed", err)
		}
	}
}

func TestRegisterWakesPoll(t *testing.T) {
	r := open(t)
	wait := polling(t, r)
	called := make(chan uintptr)
	for range 200 { // each time Poll is about to wait, or waiting
		fd := signalled(t)
		register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
			unregister(t, r, fd)
			called <- fd
		})
		if got := <-called; got != fd {
			t.Fatalf("called for fd %d, want %d", got, fd)
		}
	}
	r.Close()
	wait()
}

// What others register wakes the poller, which then waits for the rest of its time, asleep.
func TestPollWaitsOnAfterItWasWoken(t *testing.T) {
	r := open(t)
	quiet := eventfd(t)
	const changes = 10
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range changes {
			select {
			case <-stop:
				return
			case <-tick.C:
				if err := errors.Join(r.Register(quiet, EventRead, ignore), r.Unregister(quiet)); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	before := r.loop.Stats().Turns
	start := time.Now()
	if err := r.Poll(50); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("Poll(50) returned after %v with no callback called", took)
	}
	if turns := r.loop.Stats().Turns - before; turns > 4*changes {
		t.Errorf("%d turns for %d wake-ups: it has not slept", turns, 2*changes)
	}
	close(stop)
	<-stopped
}

func TestUnregisterEndsCallbacks(t *testing.T) {
	r := open(t)
	wait := polling(t, r)
	for range 500 {
		fd := signalled(t) // always ready
		var gone atomic.Bool
		var late atomic.Int32
		running := make(chan struct{}, 1)
		register(t, r, fd, EventRead, func(uintptr, FDEventType) {
			if gone.Load() {
				late.Add(1)
			}
			select {
			case running <- struct{}{}:
			default:
			}
		})
		<-running
		unregister(t, r, fd)
		gone.Store(true)
		// One more callback of another descriptor, so that the poller has surely been round.
		beat := make(chan struct{})
		pulse := signalled(t)
		register(t, r, pulse, EventRead, func(fd uintptr, _ FDEventType) {
			unregister(t, r, fd)
			close(beat)
		})
		<-beat
		if n := late.Load(); n > 1 { // one may have started before and looked at gone after
			t.Fatalf("%d callbacks after Unregister had returned", n)
		}
		closeFD(t, fd)
		closeFD(t, pulse)
	}
	r.Close()
	wait()
}

func TestSecondPollIsRefused(t *testing.T) {
	r := open(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	fd := signalled(t)
	register(t, r, fd, EventRead, func(fd uintptr, _ FDEventType) {
		if err := r.Poll(0); !errors.Is(err, ErrPolling) || !errors.Is(err, syscall.EBUSY) {
			t.Errorf("Poll in a callback: %v, want ErrPolling", err)
		}
		unregister(t, r, fd)
		close(inside)
		<-leave
	})
	first := make(chan error)
	go func() { first <- r.Poll(-1) }()
	<-inside
	if err := r.Poll(-1); !errors.Is(err, ErrPolling) {
		t.Errorf("Poll beside another: %v, want ErrPolling", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Errorf("the Poll that was first: %v", err)
	}
	poll(t, r) // now it is free again, for whatever goroutine
}

func TestCloseEndsWaitingPoll(t *testing.T) {
	for range 100 { // catches Poll before, in and between waits
		r := open(t)
		wait := polling(t, r)
		var closers sync.WaitGroup
		for range 4 {
			closers.Add(1)
			go func() {
				defer closers.Done()
				if err := r.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
		}
		closers.Wait()
		wait()
	}
}

func TestCloseInCallback(t *testing.T) {
	r := open(t)
	calls := 0
	for range 2 {
		register(t, r, signalled(t), EventRead, func(uintptr, FDEventType) {
			calls++
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	if err := r.Poll(-1); !errors.Is(err, ErrClosed) {
		t.Errorf("Poll: %v, want ErrClosed", err)
	}
	if calls != 1 {
		t.Errorf("%d callbacks, want none after Close", calls)
	}
}

func TestClosedReactor(t *testing.T) {
	r := open(t)
	fd := signalled(t)
	register(t, r, fd, EventRead, func(uintptr, FDEventType) { t.Error("called") })
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for name, err := range map[string]error{
		"Register":   r.Register(eventfd(t), EventRead, ignore),
		"Unregister": r.Unregister(fd),
		"Poll":       r.Poll(-1),
	} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if !isOpen(fd) {
		t.Error("Close has closed a descriptor that was not its own")
	}
}

func TestCloseFreesDescriptors(t *testing.T) {
	use := func() {
		r := open(t)
		wait := polling(t, r)
		called := make(chan struct{})
		register(t, r, signalled(t), EventRead, func(fd uintptr, _ FDEventType) {
			unregister(t, r, fd)
			close(called)
		})
		<-called
		r.Close()
		wait()
	}
	for range 10 { // lets the runtime open what it needs
		use()
	}
	mine := len(owned)
	before := descriptors(t)
	for range 50 {
		use()
	}
	if left := descriptors(t) - before - (len(owned) - mine); left != 0 {
		t.Errorf("50 reactors, closed, have left %d descriptors", left)
	}
}

// The runtime preempts by signal, and programs get signals of their own; neither ends a wait early or with an error.
func TestSignalsDoNotDisturb(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	r := open(t)
	thread := syscall.Gettid() // which stays the test's
	stop, stopped := make(chan struct{}), make(chan struct{})
	var sent atomic.Int32
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _, errno := syscall.Syscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(thread),
					uintptr(syscall.SIGUSR1))
				if errno != 0 {
					t.Errorf("tgkill: %v", errno)
					return
				}
				sent.Add(1)
			}
		}
	}()
	const d = 20 * time.Millisecond
	for deadline := time.Now().Add(patience); sent.Load() < 5 && time.Now().Before(deadline); {
		start := time.Now()
		if err := r.Poll(int(d / time.Millisecond)); err != nil {
			t.Errorf("Poll: %v", err)
		}
		if took := time.Since(start); took < d {
			t.Errorf("Poll(%d) returned after %v", d/time.Millisecond, took)
		}
	}
	close(stop)
	<-stopped
	if n := sent.Load(); n < 5 {
		t.Errorf("only %d signals were sent: nothing was shown", n)
	}
}

// Goroutines register, talk and unregister at once, while others poll and finally close. The race detector watches.
func TestManyGoroutines(t *testing.T) {
	r := open(t)
	wait := polling(t, r)
	type pair struct{ a, b uintptr }
	var pairs []pair
	for range 8 {
		a, b := socketpair(t)
		pairs = append(pairs, pair{a, b})
	}
	var users sync.WaitGroup
	for _, p := range pairs {
		users.Add(1)
		go func() {
			defer users.Done()
			for range 200 {
				got := make(chan byte, 1)
				err := r.Register(p.a, EventRead, func(fd uintptr, _ FDEventType) {
					var one [1]byte
					if n, err := syscall.Read(int(fd), one[:]); n == 1 && err == nil {
						got <- one[0]
					}
				})
				if err != nil {
					t.Errorf("Register: %v", err)
					return
				}
				if _, err := syscall.Write(int(p.b), []byte{'x'}); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if c := <-got; c != 'x' {
					t.Errorf("read %q", c)
				}
				if err := r.Unregister(p.a); err != nil {
					t.Errorf("Unregister: %v", err)
				}
			}
		}()
	}
	users.Wait()
	r.Close()
	wait()
}

func TestCloseRacesEverything(t *testing.T) {
	for range 100 {
		r := open(t)
		wait := polling(t, r)
		fd := signalled(t)
		var users sync.WaitGroup
		for range 3 {
			users.Add(1)
			go func() {
				defer users.Done()
				for {
					err := r.Register(fd, EventRead, ignore)
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, ErrRegistered) {
						t.Errorf("Register: %v", err)
					}
					if err := r.Unregister(fd); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotRegistered) {
						t.Errorf("Unregister: %v", err)
					}
				}
			}()
		}
		r.Close()
		users.Wait()
		wait()
		closeFD(t, fd)
	}
}
