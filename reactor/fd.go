package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// fdReactor is the Reactor on a loop that whoever calls Poll drives.
type fdReactor struct {
	loop    *loop.Loop
	polling atomic.Bool // a goroutine is in Poll
	closed  atomic.Bool // written with mu held
	calls   int         // callbacks made by this Poll; belongs to the goroutine that is in it

	// mu orders registrations and what the loop is asked for on their behalf. It is never held in a callback.
	mu      sync.Mutex
	watches map[uintptr]*watch
}

// NewReactor makes a reactor, which has to be closed. It holds a few descriptors of its own and runs no goroutine:
// nothing happens outside of Poll.
func NewReactor() (Reactor, error) {
	l, err := loop.New(loop.Config{})
	if err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	return &fdReactor{loop: l, watches: make(map[uintptr]*watch)}, nil
}

func (r *fdReactor) Register(fd uintptr, events FDEventType, cb FDCallback) error {
	if err := r.register(fd, events, cb); err != nil {
		return fmt.Errorf("reactor: register fd %d: %w", fd, err)
	}
	return nil
}

func (r *fdReactor) register(fd uintptr, events FDEventType, cb FDCallback) error {
	switch {
	case cb == nil:
		return fmt.Errorf("%w: nil callback", ErrInvalid)
	case events == 0:
		return fmt.Errorf("%w: no events", ErrInvalid)
	case events&^(EventRead|EventWrite|EventError) != 0:
		return fmt.Errorf("%w: unknown events %#x", ErrInvalid, int(events))
	}
	file, err := identify(fd)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	old := r.watches[fd]
	if old != nil && old.file.same(file) {
		return ErrRegistered
	}
	if err := file.pollable(fd); err != nil {
		return err
	}
	if old != nil { // its file was closed without Unregister, and the number has come back with another one
		r.end(old)
	}
	w := &watch{reactor: r, fd: fd, events: events, cb: cb, file: file}
	if err := r.loop.Watch(&w.Conn, w, int(fd), flagsOf(events)); err != nil {
		return translate(err)
	}
	r.watches[fd] = w
	return nil
}

func (r *fdReactor) Unregister(fd uintptr) error {
	if err := r.unregister(fd); err != nil {
		return fmt.Errorf("reactor: unregister fd %d: %w", fd, err)
	}
	return nil
}

func (r *fdReactor) unregister(fd uintptr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	w := r.watches[fd]
	if w == nil {
		return ErrNotRegistered
	}
	r.end(w)
	return nil
}

// end ends a registration, if it has not ended yet. mu is held.
func (r *fdReactor) end(w *watch) {
	if r.watches[w.fd] == w {
		delete(r.watches, w.fd)
	}
	w.phase.Store(phaseEnded) // from here on no callback starts
	_ = w.Abort(false)        // fails when the slot has closed by itself; HandleEvent repeats it when memory was short
}

func (r *fdReactor) Poll(timeoutMs int) error {
	if r.closed.Load() {
		return fmt.Errorf("reactor: poll: %w", ErrClosed)
	}
	if !r.polling.CompareAndSwap(false, true) {
		return fmt.Errorf("reactor: poll: %w", ErrPolling)
	}
	defer r.polling.Store(false) // also when a callback calls runtime.Goexit
	if err := r.poll(timeoutMs); err != nil {
		return fmt.Errorf("reactor: poll: %w", translate(err))
	}
	return nil
}

// poll turns the loop until a callback was called or the time has passed: a turn also ends, with nothing to show, when
// another goroutine has registered or unregistered something.
func (r *fdReactor) poll(timeoutMs int) error {
	r.calls = 0
	wait := int64(timeoutMs)
	var deadline time.Time
	if timeoutMs > 0 {
		deadline = time.Now().Add(time.Duration(timeoutMs) * time.Millisecond)
	}
	for {
		if _, err := r.loop.Turn(wait); err != nil {
			return err
		}
		if r.calls > 0 || timeoutMs == 0 {
			return nil
		}
		if timeoutMs > 0 {
			left := time.Until(deadline)
			if left <= 0 {
				return nil
			}
			wait = int64((left + time.Millisecond - 1) / time.Millisecond) // rounded down it would spin at the end
		}
	}
}

func (r *fdReactor) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Swap(true) {
		clear(r.watches)
		r.loop.Close()
	}
	return nil
}

// translate puts the loop's errors into this package's terms.
func translate(err error) error {
	switch {
	case errors.Is(err, loop.ErrLoopClosed):
		return ErrClosed
	case errors.Is(err, loop.ErrBusy):
		return ErrPolling
	}
	return err
}

// Phases of a registration.
const (
	phaseIdle    = iota
	phaseCalling // its callback is running
	phaseEnded   // no callback starts any more
)

// watch is one registration, and the slot of the loop that belongs to it. Slots carry a generation: what the kernel
// reports for one that is over reaches nobody, even if a new registration has the same descriptor number.
type watch struct {
	loop.Conn
	reactor *fdReactor
	fd      uintptr
	events  FDEventType
	cb      FDCallback
	file    file
	phase   atomic.Uint32
}

// HandleEvent implements loop.Target.
func (w *watch) HandleEvent(ev *csrc.Event) {
	switch ev.Type {
	case csrc.EvReady:
		if w.phase.Load() == phaseEnded {
			// Queued before the end, or the end could not be posted for want of memory: then it is made up for here.
			_ = w.Abort(false)
			return
		}
		w.call(eventsOf(ev.Flags, w.events))
	case csrc.EvClosed:
		// The answer to Abort, the end of the loop, or the kernel has refused the descriptor after all.
		if ev.Result < 0 && syscall.Errno(-ev.Result) != syscall.ECANCELED && w.phase.Load() != phaseEnded {
			w.refused(syscall.Errno(-ev.Result))
		}
	}
}

// call runs the callback, unless the registration or the reactor ends first.
func (w *watch) call(events FDEventType) {
	if w.reactor.closed.Load() || !w.phase.CompareAndSwap(phaseIdle, phaseCalling) {
		return
	}
	returned := false
	defer func() {
		if returned {
			w.phase.CompareAndSwap(phaseCalling, phaseIdle) // it stays ended if the callback has ended it
			return
		}
		w.drop()
		if cause := recover(); cause != nil {
			slog.Error("reactor: a callback panicked and was unregistered", slog.Uint64("fd", uint64(w.fd)),
				slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		}
	}()
	w.reactor.calls++
	w.cb(w.fd, events)
	returned = true
}

// refused tells the owner of a descriptor that the kernel does not watch it: its last event is an error.
func (w *watch) refused(errno syscall.Errno) {
	slog.Error("reactor: descriptor cannot be watched", slog.Uint64("fd", uint64(w.fd)), slog.Any("error", errno))
	w.call(EventError)
	w.drop()
}

// drop ends the registration from within the loop.
func (w *watch) drop() {
	w.reactor.mu.Lock()
	defer w.reactor.mu.Unlock()
	w.reactor.end(w)
}

// flagsOf says to the loop what a registration asks for. Trouble is part of it in any case.
func flagsOf(events FDEventType) uint16 {
	flags := uint16(csrc.Trouble)
	if events&EventRead != 0 {
		flags |= csrc.Readable
	}
	if events&EventWrite != 0 {
		flags |= csrc.Writable
	}
	return flags
}

// eventsOf says to a callback what the loop has found. A descriptor in trouble is ready for all that was asked for: no
// read or write will block on it.
func eventsOf(flags uint16, asked FDEventType) FDEventType {
	var events FDEventType
	if flags&csrc.Readable != 0 {
		events |= EventRead
	}
	if flags&csrc.Writable != 0 {
		events |= EventWrite
	}
	if flags&csrc.Trouble != 0 {
		events |= asked | EventError
	}
	return events & (asked | EventError)
}
