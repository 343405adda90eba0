package loop

import "github.com/momentics/hioload-ws/internal/gid"

// Drive turns the loop on the caller's goroutine for as long as next says so. next is called before each turn, on the
// loop's goroutine like any function given to Do: it returns how long the turn may wait, in milliseconds (0: not at
// all; below 0: without limit), and whether there is to be one. What it and the turn's targets ask for is done by the
// next turn, on the way; when Drive returns nil, all of it has been done. Else as with Turn: ErrBusy, ErrLoopClosed,
// syscall.EINVAL, or what has ended the loop; runtime.Goexit in a callback ends the caller's goroutine.
func (l *Loop) Drive(next func() (timeoutMs int64, more bool)) error {
	if l.runOnly {
		return errRunOnly
	}
	if err := l.drive(); err != nil {
		return err
	}
	l.owner.Store(gid.Current())
	defer l.let()
	err := l.cycle(next)
	if err == nil && !l.closing.Load() {
		l.runFuncs()
		err = l.perform()
	}
	if err != nil {
		l.fail(err)
	} else if l.closing.Load() {
		err = ErrLoopClosed
	}
	return err
}

// cycle is one turn after the other.
func (l *Loop) cycle(next func() (int64, bool)) error {
	for !l.closing.Load() {
		timeoutMs, more := l.ask(next)
		if !more {
			return nil
		}
		if _, err := l.once(timeoutMs); err != nil {
			return err
		}
	}
	return nil
}

// ask calls next. One that panics has had no say: the turn goes ahead and does not wait.
func (l *Loop) ask(next func() (int64, bool)) (timeoutMs int64, more bool) {
	defer l.rescue(&more)
	l.calling = true
	timeoutMs, more = next()
	l.calling = false
	return timeoutMs, more
}
