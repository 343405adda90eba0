package tcpio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// How a Conn waits.
//
// Reads and Writes first just try. Who has to wait does so in Go's own poller, which the descriptor joins when somebody
// waits on it for the first time: it holds no thread, and it does not depend on any loop of this package. The latter
// matters in callbacks. If they waited for a loop, two loops could each be in a callback that waits for the other,
// and whether one is in a callback at all is not known in every build.

// side is one direction of a connection.
type side struct {
	deadline atomicDuration // the user's, by now(); 0: none

	// The rest is guarded by Conn.mu.
	user  time.Time // the same
	bound time.Duration
	set   bool // the file has a deadline
}

func (s *side) expired() bool {
	d := s.deadline.Load()
	return d != 0 && now() >= d
}

var longAgo = time.Unix(1, 0)

// errDraining ends a wait for input: there will be no more.
var errDraining = errors.New("tcpio: shutting down")

// SetDeadline sets the deadlines of Read and of Write, those that wait now included; the zero time is none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.in, &c.out) }

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.in) }

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.out) }

func (c *Conn) setDeadline(t time.Time, sides ...*side) error {
	if !c.gate.enter() {
		return c.opError("set", net.ErrClosed)
	}
	defer c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sides {
		s.user = t
		if t.IsZero() {
			s.deadline.Store(0)
		} else {
			s.deadline.Store(max(1, later(now(), time.Until(t))))
		}
		if err := c.schedule(s); err != nil {
			return c.opError("set", err)
		}
	}
	return nil
}

// schedule tells Go's poller when waiting on a side has to end: at the deadline, at a time-out, or, when there is
// nothing to wait for any more, now. mu is held.
func (c *Conn) schedule(s *side) error {
	if c.file == nil {
		return nil
	}
	t := s.user
	if s.bound != 0 {
		if bound := epoch.Add(s.bound); t.IsZero() || bound.Before(t) {
			t = bound
		}
	}
	if c.gate.isShut() || s == &c.in && c.gate.isDraining() {
		t = longAgo
	}
	if t.IsZero() && !s.set {
		return nil
	}
	s.set = !t.IsZero()
	if s == &c.in {
		return c.file.SetReadDeadline(t)
	}
	return c.file.SetWriteDeadline(t)
}

// await calls attempt until it returns true: at once, and then whenever that side of the descriptor may be ready. The
// caller has entered the gate.
func (c *Conn) await(s *side, attempt func(fd uintptr) bool) error {
	c.worker.parked.add(c)
	defer c.worker.parked.remove(c)
	for {
		raw, err := c.park(s)
		if err != nil {
			return err
		}
		if s == &c.in {
			err = raw.Read(attempt)
		} else {
			err = raw.Write(attempt)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		switch {
		case c.gate.isShut():
			return net.ErrClosed
		case s.expired():
			return os.ErrDeadlineExceeded
		case s == &c.in && c.gate.isDraining():
			return errDraining
		}
		// A time-out may have passed, which park knows.
	}
}

// park makes the descriptor ready to be waited on.
func (c *Conn) park(s *side) (syscall.RawConn, error) {
	bound, err := c.bound(s)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		c.file = os.NewFile(uintptr(c.fd), "tcp connection")
		if c.raw, err = c.file.SyscallConn(); err != nil {
			return nil, err
		}
	}
	s.bound = bound
	return c.raw, c.schedule(s)
}

// bound tells which time-out has passed, or else when to look again; 0: there is none.
func (c *Conn) bound(s *side) (time.Duration, error) {
	if s == &c.in {
		return c.activity.overdue(c.worker.limits, now())
	}
	timeout := c.worker.listener.options.WriteTimeout
	if timeout == 0 {
		return 0, nil
	}
	due := later(c.moved, timeout)
	if due <= now() {
		return 0, ErrWriteTimeout
	}
	return due, nil
}

// progress notes that something was written. Writing holds the lock of that name.
func (c *Conn) progress() {
	if !c.worker.timed && c.worker.listener.options.WriteTimeout == 0 {
		return
	}
	c.moved = now()
	c.activity.sent.Store(c.moved)
}

// SyscallConn gives access to the descriptor. It stays the connection's, and non-blocking. The error is always nil.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// rawConn is the syscall.RawConn of a Conn.
type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	c := r.c
	if !c.gate.enter() {
		return c.opError("raw-control", net.ErrClosed)
	}
	defer c.leave()
	f(uintptr(c.fd))
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	c := r.c
	if !c.gate.enter() {
		return c.opError("raw-read", net.ErrClosed)
	}
	defer c.leave()
	switch err := c.await(&c.in, f); err {
	case nil: // f has read all that was there, or could have: who knows
		if c.worker.timed {
			c.heard()
		}
		c.rearm()
		return nil
	case errDraining:
		return c.rawReadLast(f)
	default:
		return c.opError("raw-read", err)
	}
}

// rawReadLast is readLast by way of f.
func (c *Conn) rawReadLast(f func(fd uintptr) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return io.EOF
	}
	before := netfd.Unread(c.fd)
	done := f(uintptr(c.fd))
	c.left = max(0, c.left-max(0, before-netfd.Unread(c.fd)))
	if !done {
		return io.EOF // it wants more than there is
	}
	return nil
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	c := r.c
	if !c.gate.enter() {
		return c.opError("raw-write", net.ErrClosed)
	}
	defer c.leave()
	c.writing.Lock()
	defer c.writing.Unlock()
	c.moved = now()
	err := c.await(&c.out, f)
	if err == nil {
		c.progress()
		return nil
	}
	err = c.opError("raw-write", err)
	if errors.Is(err, ErrWriteTimeout) {
		c.end(err, abrupt)
	}
	return err
}
