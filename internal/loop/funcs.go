package loop

import (
	"math"
	"sync"
	"sync/atomic"
)

// funcs are the functions that wait to be run on a loop's goroutine.
type funcs struct {
	waiting atomic.Bool // there are some; lets the loop look without locking
	mu      sync.Mutex
	queue   []func()
	closed  bool

	// The loop's: those being run, and how far that is.
	batch  []func()
	next   int
	budget int // how many may still be taken in this turn
}

// funcsATurn is how many functions a turn runs at most. Others wait for the next, which does not wait for anything:
// whatever they ask for, events are heard meanwhile.
const funcsATurn = 128

// add queues f. wake is true when the loop does not know of any yet; ok is false when no more are taken.
func (q *funcs) add(f func()) (wake, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, false
	}
	q.queue = append(q.queue, f)
	return !q.waiting.Swap(true), true
}

// begin makes the functions that wait now the ones to be taken, unless some of the last lot are left.
func (q *funcs) begin() {
	if q.next < len(q.batch) || !q.waiting.Load() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch, q.queue, q.next = q.queue, q.batch[:0], 0
	q.waiting.Store(false)
}

// pending tells whether there is something to run.
func (q *funcs) pending() bool { return q.next < len(q.batch) || q.waiting.Load() }

// take returns the next function, nil when none is left, or the budget is used up.
func (q *funcs) take() func() {
	if q.next == len(q.batch) || q.budget == 0 {
		return nil
	}
	q.budget--
	f := q.batch[q.next]
	q.batch[q.next] = nil
	q.next++
	return f
}

// close refuses functions from now on, unless some wait to be taken, in which case it returns false.
func (q *funcs) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = !q.waiting.Load() && q.next == len(q.batch)
	return q.closed
}

// Do has f run on the loop's goroutine, before the loop next waits or, when it waits now, at once. Functions run in the
// order in which they were given, and each one that was accepted runs exactly once, even when the loop is closed
// meanwhile. What f does to connections costs no crossing. The error is ErrLoopClosed.
func (l *Loop) Do(f func()) error {
	wake, ok := l.funcs.add(f)
	if !ok {
		return ErrLoopClosed
	}
	if wake && !l.OnLoop() {
		l.Wake()
	}
	return nil
}

// Wake makes the current or the next Turn that waits return.
func (l *Loop) Wake() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.freed {
		l.core.Wake()
	}
}

// runFuncs runs the functions that wait now. Those that these give to Do come next time, so that they cannot keep the
// loop from its connections.
func (l *Loop) runFuncs() {
	if l.funcs.next < len(l.funcs.batch) {
		l.runSome(math.MaxInt) // what is left of the last lot
	}
	l.runSome(math.MaxInt)
}

// runSome is runFuncs for a limited number; others stay for the next time.
func (l *Loop) runSome(limit int) {
	l.funcs.begin()
	l.funcs.budget = limit
	for l.callFuncs() {
	}
}

// callFuncs calls one function after the other; true means that one of them panicked and the rest is still to be done.
func (l *Loop) callFuncs() (again bool) {
	defer l.rescue(&again)
	for f := l.funcs.take(); f != nil; f = l.funcs.take() {
		l.calling = true
		f()
		l.calling = false
	}
	return false
}
