package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// Loop is an event loop: it owns sockets and other pollable descriptors, and calls their handlers. Somebody has to
// drive it, with Run or PollOnce, and to Close it in the end.
//
// Its methods may be called by any goroutine at any time, in callbacks too, and do not block, but for Run and PollOnce.
type Loop struct {
	loop       *loop.Loop
	log        *slog.Logger
	resolver   *net.Resolver
	started    time.Time
	resolution int64 // of timeouts, ns
	sockets    registry

	driving atomic.Bool // a goroutine is in Run or PollOnce
	stopped atomic.Bool // Stop was called, and no Run or PollOnce has returned for it
	closed  atomic.Bool
	panics  atomic.Uint64
	calls   atomic.Uint64 // callbacks

	// The rest belongs to whoever drives the loop.
	buffer []byte
	low    lowQueue
}

// NewLoop makes an event loop. It holds a few descriptors of its own, and runs no goroutine until Run is called. The
// error is an ErrInvalid that names the option that is out of bounds, or the system's.
func NewLoop(o Options) (*Loop, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("reactor: new loop: %w", err)
	}
	core, err := loop.New(o.core())
	if err != nil {
		return nil, fmt.Errorf("reactor: new loop: %w", err)
	}
	l := &Loop{
		loop:       core,
		log:        o.Logger,
		resolver:   o.Resolver,
		started:    time.Now(),
		resolution: int64(o.TimerResolution),
		buffer:     make([]byte, o.ReadBuffer),
		low:        lowQueue{budget: o.LowPriorityBudget},
	}
	l.sockets.init()
	if err := core.BackendError(); err != nil {
		l.log.Warn("reactor: event loop uses epoll", slog.Any("error", err))
	}
	return l, nil
}

// Remove closes a socket: its only callback from now on is OnClose, if one is running that has to return first. The
// error is ErrNoSocket.
func (l *Loop) Remove(t Token) error {
	s := l.sockets.named(t)
	if s == nil || !s.end(nil) {
		return fmt.Errorf("reactor: remove: %w", ErrNoSocket)
	}
	return nil
}

// Release gives a descriptor back to the caller, open and non-blocking. No callback of the socket starts any more, not
// even OnClose. ErrNoSocket; ErrConnecting when Dial has not got that far; ErrBusy when one of its callbacks is running
// on another goroutine, which may be using it.
func (l *Loop) Release(t Token) (fd int, err error) {
	s := l.sockets.named(t)
	if s == nil {
		err = ErrNoSocket
	} else {
		fd, err = s.release()
	}
	if err != nil {
		return -1, fmt.Errorf("reactor: release: %w", err)
	}
	return fd, nil
}

// Close closes the loop. Each of its sockets gets its OnClose, with Err ErrClosed; no other callback starts, but for
// functions that Post has accepted. If another goroutine drives the loop, that one does it, and Done tells when it is
// over; else it is over when Close returns. The first call and every other return nil.
func (l *Loop) Close() error {
	l.closed.Store(true)
	l.loop.Close()
	return nil
}

// Done is closed when the loop has been closed and holds nothing any more: each OnClose has returned, each descriptor
// is closed.
func (l *Loop) Done() <-chan struct{} { return l.loop.Done() }

// Stats are counters of a Loop.
type Stats struct {
	Backend      string // "epoll" or "io_uring"; "" of a loop that is closed
	BackendError error  // why the backend that was asked for is not the one in use; nil when it is
	Sockets      int    // that the loop has, those that are being dialed included
	Turns        uint64 // of the loop
	Crossings    uint64 // calls into the C core: one a turn, and one when a turn has more to say than the rings hold
	Callbacks    uint64 // of handlers
	Panics       uint64 // callbacks that panicked or called runtime.Goexit
}

// Stats returns the counters.
func (l *Loop) Stats() Stats {
	core := l.loop.Stats()
	return Stats{
		Backend:      l.loop.Backend(),
		BackendError: l.loop.BackendError(),
		Sockets:      l.sockets.count(),
		Turns:        core.Turns,
		Crossings:    core.Crossings,
		Callbacks:    l.calls.Load(),
		Panics:       core.Panics + l.panics.Load(),
	}
}

// now is the loop's time: nanoseconds since it was made.
func (l *Loop) now() int64 { return int64(time.Since(l.started)) }

// insist has the core do what must be done. Asked by another goroutine than the loop's, the core may have no memory to
// remember it with; then it is asked again on the loop's, turn after turn.
func (l *Loop) insist(ask func() error) {
	if errors.Is(ask(), loop.ErrNoMemory) {
		_ = l.loop.Do(func() { l.insist(ask) }) // fails when the loop is closed, and everything with it
	}
}

// known puts an error of the core's into this package's terms.
func known(err error) error {
	switch {
	case errors.Is(err, loop.ErrLoopClosed):
		return ErrClosed
	case errors.Is(err, loop.ErrTooManySlots):
		return ErrTooManySockets
	}
	return err
}
