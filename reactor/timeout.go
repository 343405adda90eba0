package reactor

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// timeouts are the times that a socket waits for, in nanoseconds of its loop, 0: none. They share the one timer of the
// socket's slot in the core. That is moved when it has to fire earlier; when a time is put off, as that of an idle
// timeout is with every message, the timer fires at the old one, finds nothing due, and is set anew. Setting a timeout
// over and over thus costs one operation per period, not per message.
type timeouts struct {
	mu    sync.Mutex
	due   int64 // when OnTimeout is to be called
	limit int64 // when an attempt to connect is given up
	armed int64 // when the core's timer fires
	fired bool  // due has passed, and OnTimeout is on its way
	slot  bool  // the socket has one, and with it a timer
}

// SetTimeout has OnTimeout called once, d from now, whatever was set before: not earlier, and when the loop is not busy
// at most Options.TimerResolution later. There is no limit to d; one that is not positive passes at once. The error is
// ErrNoSocket.
func (l *Loop) SetTimeout(t Token, d time.Duration) error {
	if s := l.sockets.named(t); s != nil {
		return s.setTimeout(d)
	}
	return fmt.Errorf("reactor: set timeout: %w", ErrNoSocket)
}

// CancelTimeout has OnTimeout not be called after all. The error is ErrNoSocket.
func (l *Loop) CancelTimeout(t Token) error {
	if s := l.sockets.named(t); s != nil {
		return s.cancelTimeout()
	}
	return fmt.Errorf("reactor: cancel timeout: %w", ErrNoSocket)
}

func (s *Socket) setTimeout(d time.Duration) error {
	now := s.loop.now()
	due := after(now, d)
	if step := s.loop.resolution; step > int64(time.Millisecond) && due < math.MaxInt64-step {
		due = (due + step - 1) / step * step
	}
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	if s.state.Load() >= stateClosing {
		return fmt.Errorf("reactor: set timeout: %w", ErrNoSocket)
	}
	s.timer.due, s.timer.fired = due, false
	return s.arm(now)
}

func (s *Socket) cancelTimeout() error {
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	if s.state.Load() >= stateClosing {
		return fmt.Errorf("reactor: cancel timeout: %w", ErrNoSocket)
	}
	s.timer.due, s.timer.fired = 0, false
	return s.arm(s.loop.now())
}

// arm has the core's timer fire in time. s.timer.mu is held, so that what the core is told comes to it in the order in
// which it was decided.
func (s *Socket) arm(now int64) error {
	t := &s.timer
	if !t.slot {
		return nil // setLimit does it when there is one
	}
	next := t.due
	if t.limit != 0 && (next == 0 || t.limit < next) {
		next = t.limit
	}
	var err error
	switch {
	case next == 0 && t.armed != 0:
		err = s.conn.StopTimer()
	case next != 0 && (t.armed == 0 || next < t.armed):
		err = s.conn.Reset(max(time.Duration(next-now), 1))
	default:
		return nil
	}
	if errors.Is(err, loop.ErrClosed) {
		return nil // the slot has just ended; so has the socket, or the next attempt gets another slot
	}
	if err == nil {
		t.armed = next
	}
	return known(err)
}

// attach gives the socket its slot in the core, and with it the timer. No other goroutine speaks to the slot meanwhile.
func (s *Socket) attach(begin func() error) error {
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	if err := begin(); err != nil {
		return err
	}
	s.timer.slot, s.timer.armed = true, 0
	return nil
}

// detach takes it away.
func (s *Socket) detach() {
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	s.timer.slot = false
}

// abort ends the slot, whose last event then ends the socket. A socket that is between two slots ends when it would get
// the second.
func (s *Socket) abort() {
	s.loop.insist(func() error {
		s.timer.mu.Lock()
		defer s.timer.mu.Unlock()
		return s.conn.Abort(false)
	})
}

// setLimit says when an attempt to connect is given up, and has the timer of a new slot set, whatever for.
func (s *Socket) setLimit(limit int64) {
	if err := s.armLimit(limit); err != nil {
		s.end(err)
	}
}

func (s *Socket) armLimit(limit int64) error {
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	s.timer.limit = limit
	return s.arm(s.loop.now())
}

// expire is told that the core's timer has fired.
func (s *Socket) expire() {
	limit, err := s.passed()
	if err != nil {
		s.end(err)
	}
	if limit {
		s.dialTimeout()
	}
	if s.timer.pending() {
		s.deliver(evTimeout, false)
	}
}

// passed notes which times have passed and sets the timer to the next. It reports whether it was the limit.
func (s *Socket) passed() (limit bool, err error) {
	s.timer.mu.Lock()
	defer s.timer.mu.Unlock()
	t, now := &s.timer, s.loop.now()
	t.armed = 0
	if t.due != 0 && t.due <= now {
		t.due, t.fired = 0, true
	}
	if t.limit != 0 && t.limit <= now {
		t.limit, limit = 0, true
	}
	return limit, s.arm(now)
}

func (t *timeouts) pending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fired
}

// take tells whether OnTimeout is to be called, which it then is.
func (t *timeouts) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	fired := t.fired
	t.fired = false
	return fired
}

// after is now + d, within what there is; 1 at least.
func after(now int64, d time.Duration) int64 {
	switch {
	case d <= 0:
		return max(now, 1)
	case int64(d) > math.MaxInt64-now:
		return math.MaxInt64
	}
	return now + int64(d)
}
