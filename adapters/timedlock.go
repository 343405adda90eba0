package adapters

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// timedLock is a lock with a deadline, for one direction of a net.Conn: it bounds the waiting for the lock, and whatever
// its holder does with the context that goes with it. Those who wait get it in the order in which they came.
type timedLock struct {
	held chan struct{} // holds a token while somebody has the lock

	mu     sync.Mutex
	ctx    context.Context // done when the deadline has passed, or for good; the cause says which
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil: no deadline, or one that has passed
	set    int         // counts deadlines: a timer that was too late to be stopped knows by it
	closed bool
}

func newTimedLock() *timedLock {
	l := &timedLock{held: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// lock waits for the lock. The error is os.ErrDeadlineExceeded or net.ErrClosed.
func (l *timedLock) lock() (context.Context, error) {
	ctx := l.context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case l.held <- struct{}{}:
		return l.context(), nil // it may have taken a while
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *timedLock) unlock() { <-l.held }

func (l *timedLock) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// setDeadline makes t the deadline also of those who wait now; zero: there is none. net.ErrClosed after close.
func (l *timedLock) setDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.set++
	if !t.IsZero() && time.Until(t) <= 0 {
		l.cancel(os.ErrDeadlineExceeded)
		return nil
	}
	if l.ctx.Err() != nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
	}
	if !t.IsZero() {
		set := l.set
		l.timer = time.AfterFunc(time.Until(t), func() { l.expire(set) })
	}
	return nil
}

// expire is called when the deadline of that number has come.
func (l *timedLock) expire(set int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == set && !l.closed {
		l.cancel(os.ErrDeadlineExceeded)
	}
}

// close ends all waiting for good. The second call returns false.
func (l *timedLock) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.ctx.Err() != nil { // a deadline has passed: from now on there is another reason
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
	}
	l.cancel(net.ErrClosed)
	return true
}
