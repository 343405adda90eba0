package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/internal/report"
)

// yieldInterval is how often, at most, a loop lets other goroutines have its P before it waits. One that never does
// looks to the runtime's monitor like one that hogs it, and is preempted again and again, which costs more.
const yieldInterval = 2 * time.Millisecond

// Run drives the loop until Close and returns nil, or the error that broke it. It does so on a goroutine of its own,
// which is locked to a thread where that is of use. ErrBusy when it is being driven already, ErrLoopClosed when it
// was closed before.
func (l *Loop) Run() error {
	if err := l.drive(); err != nil {
		return err
	}
	go l.spin()
	<-l.done
	return l.err
}

// Turn is one turn on the caller's goroutine, waiting up to timeoutMs milliseconds (0: not at all; below 0: without
// limit) when nothing is ready. It returns the number of events that were handled; everything that their targets asked
// for has been done, too. ErrBusy when the loop is being driven already, ErrLoopClosed when it is closed before or
// meanwhile, syscall.EINVAL with Config.RunOnly; any other error has ended the loop. runtime.Goexit in a callback ends
// the caller's goroutine as it should.
func (l *Loop) Turn(timeoutMs int64) (int, error) {
	if l.runOnly {
		return 0, errRunOnly
	}
	if err := l.drive(); err != nil {
		return 0, err
	}
	l.owner.Store(gid.Current())
	defer l.let()
	n, err := l.once(timeoutMs)
	if err == nil {
		l.runFuncs()
		err = l.perform()
	}
	if err != nil {
		l.fail(err)
	} else if l.closing.Load() {
		err = ErrLoopClosed
	}
	return n, err
}

var errRunOnly = fmt.Errorf("loop: Turn with Config.RunOnly: %w", syscall.EINVAL)

// drive makes the caller the one who drives the loop.
func (l *Loop) drive() error {
	if l.driving.CompareAndSwap(false, true) {
		return nil
	}
	if l.closing.Load() {
		return ErrLoopClosed
	}
	return ErrBusy
}

// let ends what drive began, and the loop with it if it was closed meanwhile.
func (l *Loop) let() {
	if l.inCallback() {
		l.failed(errGoexit)
	}
	if l.closing.Load() {
		l.teardown()
		return
	}
	l.owner.Store(0)
	l.driving.Store(false)
	if l.closing.Load() && l.driving.CompareAndSwap(false, true) {
		l.owner.Store(gid.Current()) // Close came in between and has left it to us
		l.teardown()
	}
}

// fail has the loop end because of err.
func (l *Loop) fail(err error) {
	l.err = err
	l.closing.Store(true)
}

// spin is Run's goroutine. It is locked to a thread when that is to be pinned, or when the kernel expects one and the
// same; else the thread may change: every yield of a locked goroutine costs two thread switches.
func (l *Loop) spin() {
	oneThread := l.core.Features()&csrc.FeatureOneThread != 0
	if oneThread {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	defer l.pin()()
	l.owner.Store(gid.Current())
	l.turns(oneThread)
}

// turns drives the loop until it is closed, and ends it. A callback that ends the goroutine does not end that: another
// goroutine goes on behind it, or, where the kernel insists on the thread, the deferred function does.
func (l *Loop) turns(oneThread bool) {
	defer func() {
		if !l.inCallback() {
			return
		}
		l.failed(errGoexit)
		if oneThread {
			l.turns(oneThread)
			return
		}
		l.owner.Store(0)
		go l.spin()
	}()
	for !l.closing.Load() {
		if _, err := l.once(-1); err != nil {
			l.fail(err)
		}
	}
	l.teardown()
}

// once is one turn. It returns the number of events handled.
func (l *Loop) once(timeoutMs int64) (int, error) {
	l.runSome(funcsATurn)
	if l.head == atomic.LoadUint32(&l.shared.CQ.Tail) { // else a callback has ended the goroutine in mid-batch
		if l.funcs.pending() || l.closing.Load() {
			timeoutMs = 0
		}
		if timeoutMs != 0 {
			l.yield()
		}
		if err := l.enter(timeoutMs, 0); err != nil {
			return 0, err
		}
	}
	n := l.deliver()
	l.settle()
	return n, nil
}

// enter crosses into C.
func (l *Loop) enter(timeoutMs int64, flags uint32) error {
	atomic.StoreUint32(&l.shared.CQ.Head, l.head)
	atomic.StoreUint32(&l.shared.SQ.Tail, l.tail)
	l.turn++
	l.run = nil
	l.unsent = flags == csrc.EnterPerform
	_, err := l.core.Enter(timeoutMs, flags)
	return err
}

// yield lets other goroutines have the P, if the last time is long enough ago.
func (l *Loop) yield() {
	if now := time.Since(l.started); now-l.yielded >= yieldInterval {
		l.yielded = now
		runtime.Gosched()
	}
}

// deliver hands the events in the completion ring to their targets and returns their number.
func (l *Loop) deliver() int {
	first, end := l.head, atomic.LoadUint32(&l.shared.CQ.Tail)
	for l.deliverTo(end) {
	}
	return int(end - first)
}

// deliverTo handles one event after the other; true means that a handler panicked and the rest is still to be done.
func (l *Loop) deliverTo(end uint32) (again bool) {
	defer l.rescue(&again)
	var c *Conn
	for l.head != end {
		ev := &l.events[int(l.head)&(len(l.events)-1)]
		l.head++
		if c == nil || c.Handle() != ev.Handle { // often several in a row are one stream's
			c = l.table.find(ev.Handle)
		}
		if c != nil {
			l.handle(c, ev)
			if ev.Type == csrc.EvClosed {
				c = nil // it may become another slot's, of another loop even
			}
		} else if ev.Type == csrc.EvAccept {
			_ = syscall.Close(int(ev.Result)) // its listener's target is gone: nobody else would
		}
	}
	return false
}

// handle calls a target.
func (l *Loop) handle(c *Conn, ev *csrc.Event) {
	l.conn, l.current = c, ev
	if ev.Type != csrc.EvClosed {
		c.target.HandleEvent(ev)
	} else {
		c.state.Or(closed)
		if ev.Result == -int32(syscall.ENOMEM) {
			l.pool.relieve()
		}
		c.target.HandleEvent(ev)
		c.detach()
	}
	l.conn, l.current = nil, nil
}

// errGoexit is the cause when a callback has ended its goroutine.
var errGoexit = errors.New("runtime.Goexit was called")

func (l *Loop) inCallback() bool { return l.conn != nil || l.calling }

// rescue is deferred by whoever makes callbacks.
func (l *Loop) rescue(again *bool) {
	if v := recover(); v != nil {
		l.failed(v)
		*again = true
	}
}

// failed deals with a callback that did not return.
func (l *Loop) failed(cause any) {
	c := l.conn
	l.conn, l.current, l.calling = nil, nil, false
	l.panics.Add(1)
	if cause == errGoexit { // there is no telling where; and behind thousands of them the stack is deep
		l.log.Error("hioload: a callback of an event loop called runtime.Goexit")
	} else {
		l.log.Error("hioload: panic in a callback of an event loop",
			slog.Any("panic", cause), slog.String("stack", report.Stack()))
	}
	switch {
	case c == nil:
	case c.state.Load()&closed != 0:
		c.detach()
	case c.state.Load() != kindListener: // one bad connection should not keep others from being accepted
		_ = c.Abort(false) // ErrClosed is fine
	}
}

// teardown ends the loop. When a callback ends the goroutine meanwhile, the deferred function goes on, on the thread that
// the core may insist on.
func (l *Loop) teardown() {
	defer func() {
		if l.inCallback() {
			l.failed(errGoexit)
			l.teardown()
		}
	}()
	l.barrier()
	for !l.funcs.close() {
		l.runFuncs()
	}
	l.deliver()
	if l.err == nil {
		_ = l.perform() // an error says that the core is broken, which does not matter any more
	}
	for _, c := range l.table.all() {
		l.cancel(c)
	}
	l.settle()
	l.mu.Lock()
	l.final, l.freed = l.stats(), true
	l.core.Free()
	l.mu.Unlock()
	l.pool.release()
	l.owner.Store(0)
	close(l.done)
}

// barrier returns when no other goroutine posts to the loop any more: those that come now find it closing.
func (l *Loop) barrier() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

// cancel tells the target of a slot that the loop ends.
func (l *Loop) cancel(c *Conn) {
	var again bool
	defer l.rescue(&again)
	l.handle(c, &csrc.Event{Handle: c.Handle(), Result: -int32(syscall.ECANCELED), Type: csrc.EvClosed})
}
