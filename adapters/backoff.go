package adapters

import (
	"runtime"
	"sync/atomic"
	"time"
)

// maxSpin is the longest that a consumer stays awake with nothing to do: about what being put to sleep and woken costs
// both sides.
const maxSpin = 20 * time.Microsecond

// backoff is how one consumer waits for what others hand to it: at first awake, letting other goroutines run, then
// asleep. How long it stays awake follows what that would have gained: the time doubles, up to maxSpin, whenever something
// came within maxSpin, and halves, down to nothing, whenever nothing did. An idle consumer costs nothing, and those who
// hand things to a busy one don't pay for waking it.
//
// Nothing is missed: a consumer says that it sleeps and then looks once more; a producer hands over and then looks whether
// the consumer sleeps (Dekker's handshake; the operations of sync/atomic have one order). Whoever changes asleep from true
// to false, and nobody else, owes the consumer one token.
type backoff struct {
	asleep atomic.Bool
	token  chan struct{} // has room for one
	budget time.Duration // the consumer's
}

func newBackoff() backoff { return backoff{token: make(chan struct{}, 1), budget: maxSpin} }

// wait returns when something is there, as ready tells, or wake was called since it was not.
func (b *backoff) wait(ready func() bool) {
	if b.budget > 0 {
		runtime.Gosched() // often enough, and cheaper than a look at the clock
		if ready() {
			b.learn(0)
			return
		}
	}
	began := time.Now()
	for took := time.Duration(0); took < b.budget; took = time.Since(began) {
		runtime.Gosched()
		if ready() {
			b.learn(took)
			return
		}
	}
	b.asleep.Store(true)
	if !ready() || !b.asleep.CompareAndSwap(true, false) {
		<-b.token
	}
	b.learn(time.Since(began))
}

// learn adapts the budget to how long the last wait took. One that was nothing starts at an eighth.
func (b *backoff) learn(took time.Duration) {
	if took < maxSpin {
		b.budget = min(max(2*b.budget, maxSpin/8), maxSpin)
	} else {
		b.budget /= 2
	}
}

// wake ends a wait; it is called after something was handed over. Any goroutine.
func (b *backoff) wake() {
	if b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.token <- struct{}{} // there is room: the last one was taken before asleep became true again
	}
}
