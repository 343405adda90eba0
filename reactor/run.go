package reactor

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// Run drives the loop until Stop, and returns nil; until ctx is done, and returns its error; or until Close, and
// returns ErrClosed. After the first two, the loop is as it was and may be driven again. Any other error says that the
// loop is broken and has been closed. While the loop is driven by somebody else, ErrPolling.
//
// Callbacks run on a goroutine of the loop's own, one at a time, and one that calls runtime.Goexit ends that alone:
// another takes its place.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.take(); err != nil {
		return fmt.Errorf("reactor: run: %w", err)
	}
	defer l.driving.Store(false)
	defer context.AfterFunc(ctx, l.loop.Wake)()
	result := make(chan error)
	go l.spin(ctx, result)
	if err := <-result; err != nil {
		return fmt.Errorf("reactor: run: %w", known(err))
	}
	if l.stopped.Swap(false) {
		return nil
	}
	return ctx.Err()
}

// spin is Run's goroutine. With io_uring it keeps to one thread; see PollOnce.
func (l *Loop) spin(ctx context.Context, result chan<- error) {
	if l.loop.Backend() == "io_uring" {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	returned := false
	defer func() {
		if !returned {
			go l.spin(ctx, result) // a callback has ended this one
		}
	}()
	err := l.loop.Drive(func() (int64, bool) {
		l.low.serve()
		more := !l.stopped.Load() && ctx.Err() == nil
		if !l.low.empty() {
			return 0, more
		}
		return -1, more
	})
	returned = true
	result <- err
}

// PollOnce is one turn on the caller's goroutine: it makes the callbacks that are due and returns. When there are none
// it waits for them, for at most d, rounded up to milliseconds (0: not at all; below 0: without limit), and returns
// early when another goroutine has something to say: Add, Post, Stop and so on. ErrPolling when somebody else drives
// the loop or it is called in a callback; ErrClosed when the loop is closed, before or meanwhile; any other error says
// that the loop is broken and has been closed. A callback that calls runtime.Goexit ends the caller's goroutine.
//
// With io_uring, who polls again and again should keep to one thread (runtime.LockOSThread), as Run does: the kernel
// finishes requests on the thread that has made them, and what it finishes on another may come a turn later.
func (l *Loop) PollOnce(d time.Duration) error {
	if err := l.take(); err != nil {
		return fmt.Errorf("reactor: poll: %w", err)
	}
	defer l.driving.Store(false) // also after runtime.Goexit
	turns := 0
	err := l.loop.Drive(func() (int64, bool) {
		if turns++; turns > 1 {
			l.low.serve()
			l.stopped.Store(false)
			return 0, false
		}
		if l.stopped.Swap(false) || !l.low.empty() {
			return 0, true
		}
		return milliseconds(d), true
	})
	if err != nil {
		return fmt.Errorf("reactor: poll: %w", known(err))
	}
	return nil
}

// take makes the caller the one who drives the loop.
func (l *Loop) take() error {
	switch {
	case l.closed.Load():
		return ErrClosed
	case !l.driving.CompareAndSwap(false, true):
		return ErrPolling
	}
	return nil
}

// milliseconds rounds up, so that a wait does not end before its time only to begin again.
func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond != 0 {
		ms++
	}
	return ms
}

// Post has f run on the goroutine that drives the loop, in the order in which functions were posted, each once: before
// the loop next waits, or at once if it waits now. What was posted before Close runs even then. The error is ErrClosed.
func (l *Loop) Post(f func()) error {
	if f == nil {
		return fmt.Errorf("reactor: post: %w: nil function", ErrInvalid)
	}
	if err := l.loop.Do(f); err != nil {
		return fmt.Errorf("reactor: post: %w", known(err))
	}
	return nil
}

// Stop makes the Run or PollOnce under way return when the turn is over; if there is none, the next Run
// returns at once, and the next PollOnce after a turn that does not wait. Sockets stay as they are.
func (l *Loop) Stop() {
	l.stopped.Store(true)
	if l.loop.OnLoop() {
		// Functions run when it is decided already that the turn waits; it does not when there are more of them.
		_ = l.loop.Do(func() {})
	} else {
		l.loop.Wake()
	}
}
