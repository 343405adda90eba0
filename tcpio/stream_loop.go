package tcpio

import (
	"net"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// streamTarget is a Stream as its loop sees it. What follows here runs on the loop's goroutine.
type streamTarget Stream

// HandleEvent implements loop.Target.
func (t *streamTarget) HandleEvent(ev *csrc.Event) {
	s := (*Stream)(t)
	if ev.Type == csrc.EvClosed {
		s.finish(ev)
		return
	}
	if s.closed.Load() {
		return
	}
	switch ev.Type {
	case csrc.EvData:
		s.received(ev.Bytes())
	case csrc.EvEnd, csrc.EvQuiet:
		s.ended(ev.Type == csrc.EvEnd)
	case csrc.EvDrain:
		s.call(s.worker.listener.options.OnDrain)
	case csrc.EvTimeout:
		s.timeout(ev.Kind)
	}
}

// open brings s to life.
func (s *Stream) open() error {
	o := &s.worker.listener.options
	s.in.framing = o.Framing
	s.activity.start()
	if err := s.worker.loop.Attach(&s.slot, (*streamTarget)(s), s.fd, false); err != nil {
		return err
	}
	if o.ReadTimeout > 0 {
		_ = s.slot.SetDeadline(csrc.DeadlineRead, o.ReadTimeout)
	}
	if o.WriteTimeout > 0 {
		_ = s.slot.SetDeadline(csrc.DeadlineWrite, o.WriteTimeout)
	}
	s.checkTimeouts() // sets the timer
	s.call(o.OnOpen)
	return nil
}

func (s *Stream) received(data []byte) {
	if s.worker.timed {
		s.activity.begun.Store(true)
		s.activity.received.Store(now())
	}
	returned := false
	defer func() {
		if !returned {
			s.panicked(recover())
		}
	}()
	var err error
	if s.in.framing == nil { // as feed would, without the detour: this is the hot path
		err = s.worker.listener.options.OnData(s, data)
	} else {
		err = s.in.feed(data, s.deliver)
	}
	returned = true
	if err != nil {
		s.fail(err)
	}
}

// deliver hands a message to OnData, and tells whether another may follow.
func (s *Stream) deliver(message []byte) (more bool, err error) {
	err = s.worker.listener.options.OnData(s, message)
	return !s.closed.Load(), err
}

// ended is the end of the input: the peer's, or as far as Shutdown lets it come, and then the beginning of a message is
// nothing that the peer could be answerable for.
func (s *Stream) ended(byPeer bool) {
	if s.over {
		return // OnEnd knows
	}
	s.over = true
	if byPeer {
		s.call(func(net.Conn) error { return s.in.end(s.deliver) })
	}
	onEnd := s.worker.listener.options.OnEnd
	if onEnd == nil {
		s.end(nil, orderly)
		return
	}
	s.call(onEnd)
}

// call calls back, unless there is nobody to call or the connection has been closed, and closes it unless all went
// well.
func (s *Stream) call(callback func(net.Conn) error) {
	if callback == nil || s.closed.Load() {
		return
	}
	returned := false
	defer func() {
		if !returned {
			s.panicked(recover())
		}
	}()
	err := callback(s)
	returned = true
	if err != nil {
		s.fail(err)
	}
}

// panicked deals with a callback that did not return.
func (s *Stream) panicked(cause any) { s.end(s.worker.listener.panicked(cause), abrupt) }

// fail deals with what a callback has returned.
func (s *Stream) fail(err error) {
	s.told = true
	s.worker.listener.report(err)
	s.end(err, orderly)
}

// timeout closes the connection when it has been silent for too long.
func (s *Stream) timeout(kind uint8) {
	switch kind {
	case csrc.DeadlineRead:
		s.end(s.opError("read", ErrReadTimeout), abrupt)
	case csrc.DeadlineWrite:
		s.end(s.opError("write", ErrWriteTimeout), abrupt)
	case csrc.DeadlineOnce:
		s.checkTimeouts()
	}
}

// checkTimeouts does so for the time-outs that the loop does not know, or looks again later.
func (s *Stream) checkTimeouts() {
	if !s.worker.timed {
		return
	}
	s.look()
	t := now()
	next, err := s.activity.overdue(s.worker.limits, t)
	if err != nil && netfd.Unread(s.fd) > 0 { // it is not the peer who is silent
		s.activity.begun.Store(true)
		s.activity.received.Store(t)
		next, err = s.activity.overdue(s.worker.limits, t)
	}
	if err != nil {
		s.end(s.opError("read", err), abrupt)
	} else if next != 0 {
		_ = s.slot.SetDeadline(csrc.DeadlineOnce, next-t) // more than 0, which would switch it off
	}
}

// look notes whether the peer has taken something since the last look.
func (s *Stream) look() {
	if stats, err := s.slot.Stats(); err == nil && stats.Sent != s.sent {
		s.sent = stats.Sent
		s.activity.sent.Store(now())
	}
}

// drain has the input end behind what the kernel holds now.
func (s *Stream) drain() {
	if !s.closed.Load() {
		_ = s.slot.Quiesce() // fails for one that has closed
	}
}

// finish is the end: the loop has closed the descriptor.
func (s *Stream) finish(ev *csrc.Event) {
	errno := syscall.Errno(max(0, -ev.Result))
	s.mu.Lock()
	switch closed := s.closed.Swap(true); {
	case errno == 0:
	case closed && s.cause == nil && errno != syscall.ECANCELED: // what was written could not all be sent
		s.cause = s.opError("close", errno)
	case closed:
	case errno == syscall.ECANCELED:
		s.cause = ErrListenerClosed
	default:
		s.cause = s.opError("read", os.NewSyscallError("recv", errno))
	}
	cause := s.cause
	s.mu.Unlock()
	// Deferred, for callbacks that call runtime.Goexit.
	defer s.worker.remove(s)
	defer s.worker.listener.closed(s, cause)
	if cause != nil && cause != ErrListenerClosed && !s.told {
		s.worker.listener.report(cause)
	}
}
