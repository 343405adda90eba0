package reactor

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"syscall"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/gid"
)

// What a socket's handler is to be told.
const (
	evRead      = 1 << iota
	evWrite     // while that is asked for
	evConnected // OnWritable, asked for or not
	evTimeout
)

// PanicError is what Socket.Err says after one of the socket's callbacks has panicked.
type PanicError struct {
	Value any // that it panicked with; nil: it called runtime.Goexit
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "reactor: a callback called runtime.Goexit"
	}
	return fmt.Sprintf("reactor: a callback panicked: %v", e.Value)
}

// handle takes an event of the core's. Events of another socket never come here, whatever descriptor that has or had:
// the core names slots, not descriptors.
func (s *Socket) handle(ev *csrc.Event) {
	switch ev.Type {
	case csrc.EvReady:
		s.ready(ev.Flags)
	case csrc.EvTimeout:
		s.expire()
	case csrc.EvClosed:
		s.slotClosed(ev.Result)
	}
}

// ready is told what the descriptor is ready for. One in trouble is ready for all that is asked for: no read or write
// blocks, and each tells what happened.
func (s *Socket) ready(flags uint16) {
	if s.state.Load() == stateDialing {
		s.dialed()
		return
	}
	if flags&csrc.Trouble != 0 {
		flags |= csrc.Readable | csrc.Writable
	}
	var events uint8
	if flags&s.wants&csrc.Readable != 0 {
		events |= evRead
	}
	if flags&s.wants&csrc.Writable != 0 {
		events |= evWrite
	}
	if events != 0 {
		s.deliver(events, false)
	}
}

// slotClosed is told that the core has let go of the descriptor: because it was asked to, with the loop, or because the
// descriptor is none that can be waited for.
func (s *Socket) slotClosed(result int32) {
	switch s.state.Load() {
	case stateReleased:
		return
	case stateDialing:
		s.attemptOver()
		return
	case stateIdle:
		if !s.state.CompareAndSwap(stateIdle, stateClosing) {
			s.slotClosed(result) // somebody has released it just now, or removed it
			return
		}
		s.refused(syscall.Errno(-result))
	}
	s.finish()
}

// refused notes why a socket has to end that nobody has closed.
func (s *Socket) refused(errno syscall.Errno) {
	s.err = errno
	switch errno {
	case syscall.ECANCELED:
		s.err = ErrClosed
	case syscall.EBADF: // somebody else has closed the descriptor: its number may be another file's by now
		s.loop.sockets.change(s, -1)
	}
}

// deliver calls the handler for events, or puts them off if that wants to be served late.
func (s *Socket) deliver(events uint8, late bool) {
	if s.late != 0 && !late {
		s.late |= events
		return
	}
	if s.loop.closed.Load() || !s.state.CompareAndSwap(stateIdle, stateCalling) {
		return
	}
	returned := false
	defer func() {
		if !returned {
			s.failed(recover())
		}
	}()
	switch {
	case s.opener != nil && !s.opened():
	case !late && s.low != nil && s.low.IsLowPriority():
		s.loop.low.push(s, events)
	default:
		s.call(events)
	}
	returned = true
	s.called()
}

// invoke calls f as deliver calls the handler.
func (s *Socket) invoke(f func()) {
	if s.loop.closed.Load() || !s.state.CompareAndSwap(stateIdle, stateCalling) {
		return
	}
	returned := false
	defer func() {
		if !returned {
			s.failed(recover())
		}
	}()
	if s.opened() {
		s.loop.count()
		f()
	}
	returned = true
	s.called()
}

// open has OnOpen called if nothing else has happened before.
func (s *Socket) open() { s.invoke(func() {}) }

// opened calls OnOpen, unless that has been done, and reports whether the socket is still to be called for.
func (s *Socket) opened() bool {
	if opener := s.opener; opener != nil {
		s.opener = nil
		s.loop.count()
		opener.OnOpen(s)
	}
	return s.calling()
}

// called ends the callbacks that deliver or invoke has made, unless one of them has ended the socket.
func (s *Socket) called() { s.state.CompareAndSwap(stateCalling, stateIdle) }

// call makes the callbacks, up to the one that ends the socket or no longer wants the next.
func (s *Socket) call(events uint8) {
	if events&evRead != 0 && s.wants&csrc.Readable != 0 {
		s.loop.count()
		s.handler.OnReadable(s, s.loop.buffer)
	}
	if (events&evConnected != 0 || events&evWrite != 0 && s.wants&csrc.Writable != 0) && s.calling() {
		s.loop.count()
		s.handler.OnWritable(s)
	}
	if events&evTimeout != 0 && s.calling() && s.timer.take() {
		s.loop.count()
		s.handler.OnTimeout(s)
	}
}

func (s *Socket) calling() bool { return s.state.Load() == stateCalling }

// last calls OnClose.
func (s *Socket) last() {
	returned := false
	defer func() {
		if !returned {
			s.failed(recover())
		}
	}()
	s.loop.count()
	s.handler.OnClose(s)
	returned = true
}

// failed deals with a callback that did not return, having panicked with cause or, if that is nil, called
// runtime.Goexit, which the core reports.
func (s *Socket) failed(cause any) {
	if cause != nil {
		s.loop.panics.Add(1)
		s.loop.log.Error("reactor: a callback panicked, its socket is closed", slog.Uint64("token", uint64(s.token)),
			slog.Int("fd", s.fd), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
	}
	s.end(&PanicError{cause})
}

func (l *Loop) count() { l.calls.Store(l.calls.Load() + 1) } // one writer: whoever drives the loop

// elsewhere tells that the caller is not on the goroutine that drives the loop; false when that is not known.
func (l *Loop) elsewhere() bool { return gid.Current() != 0 && !l.loop.OnLoop() }
