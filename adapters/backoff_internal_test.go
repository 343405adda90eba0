package adapters

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
)

// A consumer with nothing to do sleeps, asks nobody while it does, and ends when it is woken.
func TestBackoffSleeps(t *testing.T) {
	b := newBackoff()
	var asked atomic.Int64 // after it has said that it sleeps
	ended := make(chan struct{})
	for round := range int64(10) {
		go func() {
			b.wait(func() bool {
				if b.asleep.Load() {
					asked.Add(1)
				}
				return false
			})
			ended <- struct{}{}
		}()
		for asked.Load() == round { // it does so once; if it never sleeps, the test does not end
			runtime.Gosched()
		}
		for range 1000 {
			runtime.Gosched()
		}
		if n := asked.Load(); n != round+1 {
			t.Fatalf("asked %d times while it slept", n-round-1)
		}
		b.wake()
		b.wake() // nobody sleeps: no token may be left over
		<-ended
	}
	if len(b.token) != 0 {
		t.Error("a token is left over")
	}
}

// What is there when it says that it sleeps keeps a consumer from sleeping.
func TestBackoffLooksOnceMore(t *testing.T) {
	b := newBackoff()
	b.budget = 0
	b.wait(func() bool { return b.asleep.Load() }) // hangs if it does not look after saying so
	if b.asleep.Load() || len(b.token) != 0 {
		t.Errorf("asleep %v, %d tokens", b.asleep.Load(), len(b.token))
	}
	woken := false
	b.wait(func() bool { // woken between saying so and looking
		if b.asleep.Load() && !woken {
			woken = true
			b.wake()
		}
		return woken
	})
	if b.asleep.Load() || len(b.token) != 0 {
		t.Errorf("woken in between: asleep %v, %d tokens", b.asleep.Load(), len(b.token))
	}
}

// The budget halves, down to nothing, while nothing comes soon, and doubles, up to maxSpin, while something does.
func TestBackoffAdapts(t *testing.T) {
	b := newBackoff()
	for n := 0; b.budget > 0; n++ {
		b.learn(maxSpin)
		if n > 20 {
			t.Fatalf("still %v after %d waits in vain", b.budget, n)
		}
	}
	for _, want := range []time.Duration{maxSpin / 8, maxSpin / 4, maxSpin / 2, maxSpin, maxSpin} {
		if b.learn(maxSpin - 1); b.budget != want {
			t.Errorf("budget %v, want %v", b.budget, want)
		}
	}
	b.learn(time.Hour)
	if b.budget != maxSpin/2 {
		t.Errorf("budget %v, want %v", b.budget, maxSpin/2)
	}
}

// An event loop that sleeps because nobody wants its events wakes up when somebody does.
func TestRegisterWakesTheLoop(t *testing.T) {
	l, err := NewEventLoop(8, 8)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Post("waits"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.Run() }()
	for !l.idle.asleep.Load() {
		runtime.Gosched()
	}
	handled := make(chan struct{})
	if err := l.Register(api.HandlerFunc(func(any) error { close(handled); return nil })); err != nil {
		t.Fatal(err)
	}
	<-handled // if it is not woken, the test does not end
	l.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
