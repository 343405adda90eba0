//go:build linux

package reactor

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

// quiet adds a socket that nobody writes to, with a handler of its timeouts.
func quiet(t testing.TB, l *Loop, timeout func(*Socket)) Token {
	t.Helper()
	token, _ := connPair(t, l, &hooks{timeout: timeout})
	return token
}

func setTimeout(t testing.TB, l *Loop, token Token, d time.Duration) {
	t.Helper()
	if err := l.SetTimeout(token, d); err != nil {
		t.Fatal(err)
	}
}

// A timeout passes once, never before its time, and earlier ones pass first.
func TestTimeoutsPassInOrderAndNotEarly(t *testing.T) {
	l := newLoop(t, Options{})
	var order []time.Duration
	begin := l.now()
	for i := 20; i > 0; i-- {
		d := time.Duration(i) * time.Millisecond
		start := time.Now()
		setTimeout(t, l, quiet(t, l, func(*Socket) {
			if waited := time.Since(start); waited < d {
				t.Errorf("a timeout of %v passed after %v", d, waited)
			}
			order = append(order, d)
		}), d)
	}
	turn(t, l)
	// The core hears of all of them in this turn, and lets each pass its own time later. It counts milliseconds.
	apart := time.Duration(l.now()-begin) + 2*time.Millisecond
	pollUntil(t, l, "20 timeouts", func() bool { return len(order) >= 20 })
	for range 3 {
		turn(t, l)
	}
	if len(order) != 20 {
		t.Errorf("%d callbacks for 20 timeouts", len(order))
	}
	for i, d := range order[1:] {
		if d < order[i]-apart {
			t.Errorf("passed in the order %v", order)
			break
		}
	}
}

// A timeout that is days away stays where it is while near ones pass, and can be brought near.
func TestFarAndNearTimeouts(t *testing.T) {
	l := newLoop(t, Options{})
	passed := map[string]int{}
	note := func(what string) func(*Socket) { return func(*Socket) { passed[what]++ } }
	far := quiet(t, l, note("far"))
	for _, d := range []time.Duration{90 * 24 * time.Hour, 1000 * 24 * time.Hour, math.MaxInt64} {
		setTimeout(t, l, far, d)
		near := quiet(t, l, note("near"))
		setTimeout(t, l, near, time.Millisecond)
		before := passed["near"]
		pollUntil(t, l, "the near timeout", func() bool { return passed["near"] > before })
	}
	if passed["far"] != 0 {
		t.Fatal("a timeout that is days away has passed")
	}
	setTimeout(t, l, far, time.Millisecond)
	pollUntil(t, l, "the far timeout, brought near", func() bool { return passed["far"] == 1 })
}

// Set anew, put off and cancelled: only the last word counts.
func TestTimeoutsPutOffAndCancelled(t *testing.T) {
	l := newLoop(t, Options{})
	var putOff, cancelled, again, last int
	a := quiet(t, l, func(*Socket) { putOff++ })
	b := quiet(t, l, func(*Socket) { cancelled++ })
	c := quiet(t, l, func(*Socket) { again++ })
	d := quiet(t, l, func(*Socket) { last++ })
	for _, token := range []Token{a, b, c} {
		setTimeout(t, l, token, time.Millisecond)
	}
	turn(t, l)
	putOff, cancelled, again = 0, 0, 0 // in case it has taken that long
	setTimeout(t, l, a, 2*time.Millisecond)
	setTimeout(t, l, a, time.Hour)
	setTimeout(t, l, b, 2*time.Millisecond)
	if err := l.CancelTimeout(b); err != nil {
		t.Fatal(err)
	}
	setTimeout(t, l, c, time.Hour)
	if err := l.CancelTimeout(c); err != nil {
		t.Fatal(err)
	}
	setTimeout(t, l, c, 2*time.Millisecond)
	setTimeout(t, l, d, 20*time.Millisecond)
	pollUntil(t, l, "the last timeout", func() bool { return last > 0 })
	if putOff != 0 || cancelled != 0 || again != 1 {
		t.Errorf("put off for an hour: %d; cancelled: %d; cancelled and set again: %d calls", putOff, cancelled, again)
	}
}

// Putting a timeout off costs the core nothing until the old time comes, and then one operation.
func TestPuttingOffIsFree(t *testing.T) {
	l := newLoop(t, Options{})
	token := quiet(t, l, nil)
	setTimeout(t, l, token, time.Hour)
	turn(t, l)
	before := l.loop.Stats().Ops
	for range 1000 {
		setTimeout(t, l, token, time.Hour)
	}
	turn(t, l)
	if ops := l.loop.Stats().Ops - before; ops != 0 {
		t.Errorf("%d operations for a timeout that was put off 1000 times", ops)
	}
	setTimeout(t, l, token, time.Millisecond)
	setTimeout(t, l, token, time.Hour)
	pollUntil(t, l, "the timer", func() bool { return l.loop.Stats().Events > 0 })
	turn(t, l)
	if ops := l.loop.Stats().Ops - before; ops != 2 {
		t.Errorf("%d operations, want one to bring the timer forward and one to put it back", ops)
	}
}

// A timeout that is cancelled wakes nobody.
func TestCancelledTimerDoesNotFire(t *testing.T) {
	l := newLoop(t, Options{})
	token := quiet(t, l, nil)
	setTimeout(t, l, token, time.Millisecond)
	if err := l.CancelTimeout(token); err != nil {
		t.Fatal(err)
	}
	passed := false
	setTimeout(t, l, quiet(t, l, func(*Socket) { passed = true }), 5*time.Millisecond)
	pollUntil(t, l, "another timeout", func() bool { return passed })
	if events := l.loop.Stats().Events; events != 1 {
		t.Errorf("%d events, want that of the other timeout", events)
	}
}

// A coarse resolution makes timeouts fall due together.
func TestCoarseTimerResolution(t *testing.T) {
	const step = 50 * time.Millisecond
	l := newLoop(t, Options{TimerResolution: step})
	const sockets = 40
	passed := 0
	dues, turns := map[time.Duration]bool{}, map[uint64]bool{}
	for i := range sockets {
		var due time.Duration
		least := time.Duration(l.now()) + time.Duration(i+1)*time.Millisecond
		token := quiet(t, l, func(*Socket) {
			passed++
			turns[l.Stats().Turns] = true
			if now := time.Duration(l.now()); now < due {
				t.Errorf("a timeout passed at %v, want at least %v", now, due)
			}
		})
		setTimeout(t, l, token, time.Duration(i+1)*time.Millisecond)
		due = time.Duration(l.sockets.named(token).timer.due)
		if due < least || due%step != 0 {
			t.Errorf("a timeout is due at %v, want at least %v and a multiple of %v", due, least, step)
		}
		dues[due] = true
		turn(t, l) // the core counts from here
	}
	pollUntil(t, l, "all timeouts", func() bool { return passed == sockets })
	if len(turns) > 4*len(dues) { // up to 3 ms may lie between those of each for the core, which counts milliseconds
		t.Errorf("%d timeouts with %d times to pass did so in %d turns", sockets, len(dues), len(turns))
	}
}

// A timeout that is set in a callback, in that of the timeout above all.
func TestPeriodicTimeout(t *testing.T) {
	l := newLoop(t, Options{})
	ticks := 0
	token, _ := connPair(t, l, &hooks{timeout: func(s *Socket) {
		if ticks++; ticks < 5 {
			if err := s.SetTimeout(time.Millisecond); err != nil {
				t.Error(err)
			}
			return
		}
		s.Close()
	}})
	setTimeout(t, l, token, 0) // at once
	pollUntil(t, l, "the socket to close", func() bool { return l.sockets.count() == 0 })
	if ticks != 5 {
		t.Errorf("%d ticks, want 5", ticks)
	}
}

// Timeouts of a socket that is gone are an error, and are not called.
func TestTimeoutOfAClosedSocket(t *testing.T) {
	l := newLoop(t, Options{})
	calls := 0
	h := &hooks{timeout: func(*Socket) { calls++ }}
	h.closed = func(s *Socket) {
		if err := errors.Join(s.SetTimeout(1), s.CancelTimeout()); !errors.Is(err, ErrNoSocket) {
			t.Errorf("in OnClose: %v", err)
		}
	}
	token, _ := connPair(t, l, h)
	setTimeout(t, l, token, time.Millisecond)
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{l.SetTimeout(token, 1), l.CancelTimeout(token), l.SetTimeout(0, 1), l.CancelTimeout(99)} {
		if !errors.Is(err, ErrNoSocket) {
			t.Errorf("got %v, want ErrNoSocket", err)
		}
	}
	marker := false
	setTimeout(t, l, quiet(t, l, func(*Socket) { marker = true }), 5*time.Millisecond)
	pollUntil(t, l, "another timeout", func() bool { return marker })
	if calls != 0 {
		t.Error("OnTimeout of a socket that was removed")
	}
}

// Any goroutine may set and cancel timeouts while the loop runs; the last word counts here, too.
func TestTimeoutsFromManyGoroutines(t *testing.T) {
	l := running(t, Options{})
	const sockets = 16
	var passed [sockets]chan struct{}
	var cancelled [sockets]int
	var wg sync.WaitGroup
	for i := range sockets {
		passed[i] = make(chan struct{}, 1)
		cancels := i%2 == 0
		token := quiet(t, l, func(*Socket) {
			if cancels {
				cancelled[i]++
				return
			}
			select {
			case passed[i] <- struct{}{}:
			default:
			}
		})
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range 500 {
				if err := l.SetTimeout(token, time.Duration(n%7)*time.Hour+time.Hour); err != nil {
					t.Error(err)
				}
				if err := l.CancelTimeout(token); err != nil {
					t.Error(err)
				}
			}
			if !cancels {
				if err := l.SetTimeout(token, time.Millisecond); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	for i := range passed {
		if i%2 != 0 {
			await(t, "a timeout", passed[i])
		}
	}
	on(t, l, func() {
		if slices.Max(cancelled[:]) > 0 {
			t.Error("a timeout that was cancelled has passed")
		}
	})
}
