package loop

import (
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

// However many functions wait, they are run in order, and a connection is heard in between.
func TestFunctionsDoNotKeepTheLoopFromItsConnections(t *testing.T) {
	const count = 20 * funcsATurn
	l := start(t, Config{})
	ran := 0 // the loop's
	heard := make(chan int, 1)
	s, peer := attach(t, l, false, func(_ *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			heard <- ran
		}
	})
	on(t, l, func() {}) // it is attached
	blocked, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	l.Do(func() { close(blocked); <-free })
	wait(t, "the loop", blocked)
	for i := range count {
		l.Do(func() {
			if ran++; ran != i+1 {
				t.Errorf("function %d ran as number %d", i+1, ran)
			}
		})
	}
	l.Do(func() { close(done) })
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	close(free)
	if n := wait(t, "the data", heard); n > 4*funcsATurn {
		t.Errorf("%d functions came first", n)
	}
	wait(t, "the functions", done)
	_ = s.Abort(false)
}

// A loop that ends runs all that wait.
func TestFunctionsAllRunAtTheEnd(t *testing.T) {
	const count = 5 * funcsATurn
	l := start(t, Config{})
	blocked, free := make(chan struct{}), make(chan struct{})
	l.Do(func() { close(blocked); <-free })
	wait(t, "the loop", blocked)
	ran := 0
	for range count {
		if err := l.Do(func() { ran++ }); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	close(free)
	wait(t, "the end", l.Done())
	if ran != count {
		t.Errorf("%d functions of %d were run", ran, count)
	}
}

// Turn returns when everything has been done that was asked for before, and by its targets.
func TestTurnRunsAllFunctions(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const count = 5 * funcsATurn
	ran := 0
	for range count {
		l.Do(func() { ran++ })
	}
	if _, err := l.Turn(0); err != nil || ran != count {
		t.Errorf("%d functions of %d were run, %v", ran, count, err)
	}
}
