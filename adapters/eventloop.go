package adapters

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
)

// BatchHandler is a handler that wants events by the batch.
type BatchHandler interface {
	api.Handler
	// HandleBatch is called in place of Handle, with at least one event. It may use the slice until it returns, and must
	// not change it: other handlers get the same one.
	HandleBatch(events []any) error
}

// EventLoop passes events to handlers, in batches and in the order in which they were posted. Any number of goroutines post
// to its lock-free ring; whoever runs it takes up to a batch of events out and gives each handler all of them, in the order
// of registration, one batch at a time. It is run by Run, which waits for events, or by calls of Turn, which don't.
//
// What is posted is handled, or its Post has failed: the ring is bounded, and nothing is dropped but what Discard drops and
// what is left without a handler when the loop is closed, both of which Stats counts. An event that comes while no handler
// is registered waits for one.
//
// All methods are safe from any goroutine.
type EventLoop struct {
	ring    *Ring[any]
	idle    backoff
	running atomic.Bool

	handlers    atomic.Pointer[[]api.Handler] // replaced, never written over
	registering sync.Mutex                    // held by who replaces it, and while a batch is taken out for them

	turning sync.Mutex // guards what follows; held while handlers run
	batch   []any      // under way
	targets []api.Handler
	target  int // next of targets ...
	next    int // ... and the next of batch for it
	limiter report.Limiter

	stats struct{ events, batches, failures, panics, dropped atomic.Int64 }
}

// EventLoopStats are the counters of an EventLoop.
type EventLoopStats struct {
	Events   int64 // given to handlers
	Batches  int64 // that they came in
	Failures int64 // errors that handlers returned
	Panics   int64 // handlers that panicked
	Dropped  int64 // events discarded, or left without a handler when the loop was closed
	Queued   int   // events that wait
}

// NewEventLoop returns an event loop with batches of up to batchSize events (less than 1 means 32) and room for
// ringCapacity (less than 1 means 1024), rounded up to a power of two. One that is too large is an api.ErrInvalidArgument.
func NewEventLoop(batchSize, ringCapacity int) (*EventLoop, error) {
	if batchSize < 1 {
		batchSize = 32
	}
	if ringCapacity < 1 {
		ringCapacity = 1024
	}
	ring, err := NewRing[any](ringCapacity)
	if err != nil {
		return nil, err
	}
	l := &EventLoop{ring: ring, idle: newBackoff(), batch: make([]any, 0, min(batchSize, ring.Cap()))}
	l.handlers.Store(new([]api.Handler))
	return l, nil
}

// Post queues an event and wakes the loop if it sleeps. api.ErrResourceExhausted when the ring is full, ErrClosed after
// Close.
func (l *EventLoop) Post(event any) error {
	if l.ring.Enqueue(event) {
		l.idle.wake()
		return nil
	}
	if l.ring.sealed() {
		return ErrClosed
	}
	return fmt.Errorf("adapters: event loop holds %d events: %w", l.ring.Cap(), api.ErrResourceExhausted)
}

// Run gives events to handlers until Close, and what was posted by then, and returns nil. Errors of handlers are logged
// and counted. api.ErrAlreadyExists when another Run is under way. It ends with its goroutine when a handler calls
// runtime.Goexit, behind what it has taken; a new Run goes on.
func (l *EventLoop) Run() error {
	if !l.running.CompareAndSwap(false, true) {
		return fmt.Errorf("adapters: event loop is running: %w", api.ErrAlreadyExists)
	}
	defer l.running.Store(false)
	for {
		n, err := l.Turn(cap(l.batch))
		switch {
		case n > 0:
			l.complain(err)
		case err != nil:
			return nil // closed, and everything is handled
		case l.ready():
			runtime.Gosched() // a Post has claimed a place and not filled it yet
		default:
			l.idle.wait(l.ready)
		}
	}
}

// ready tells whether there is anything for Turn to do.
func (l *EventLoop) ready() bool {
	return !l.ring.isEmpty() && len(*l.handlers.Load()) > 0 || l.ring.sealed()
}

// complain logs the error of a handler, if there is one that is not logged yet, as often as is good.
func (l *EventLoop) complain(err error) {
	if _, logged := err.(panicked); err == nil || logged {
		return
	}
	if ok, suppressed := l.limiter.Allow(err.Error(), time.Now()); ok {
		slog.Warn("event handler failed", "error", err, "suppressed", suppressed)
	}
}

// Turn gives up to limit events, and no more than a batch, to every handler, and returns how many. It does not wait for
// any. Errors of handlers don't stop it; the first one is returned. A handler that panics is reported and counts as one
// that failed. ErrClosed, and 0, after Close when everything has been handled. Calls are serialised: a handler must not
// make one.
func (l *EventLoop) Turn(limit int) (int, error) {
	l.turning.Lock()
	defer l.turning.Unlock()
	l.take(limit)
	n := len(l.batch)
	if n == 0 {
		if l.ring.sealed() && l.ring.isEmpty() {
			return 0, ErrClosed
		}
		return 0, nil
	}
	defer l.handled()
	return n, l.handle()
}

// handle gives the batch to its targets, all of it: a handler that ends the goroutine ends that and no more.
func (l *EventLoop) handle() (first error) {
	returned := false
	defer func() {
		if !returned {
			_ = l.handle() // which nobody is there to be told of any more
		}
	}()
	for again := true; again; {
		var err error
		again, err = l.deliver()
		if first == nil {
			first = err
		}
	}
	returned = true
	return first
}

// handled ends a batch.
func (l *EventLoop) handled() {
	l.stats.events.Add(int64(len(l.batch)))
	l.stats.batches.Add(1)
	clear(l.batch) // keep nothing alive that has been handled
	l.batch, l.targets, l.target, l.next = l.batch[:0], nil, 0, 0
}

// take moves events from the ring to the batch, for the handlers of this moment: what is posted after Unregister has
// returned must not come with those of before.
func (l *EventLoop) take(limit int) {
	l.registering.Lock()
	defer l.registering.Unlock()
	l.targets = *l.handlers.Load()
	if len(l.targets) == 0 {
		if l.ring.sealed() { // no handler comes any more
			l.Discard()
		}
		return
	}
	if limit > 0 {
		n := l.ring.DequeueBatch(l.batch[:min(limit, cap(l.batch))])
		l.batch = l.batch[:n]
	}
}

// panicked is the error of a handler that did.
type panicked struct{ cause any }

func (p panicked) Error() string { return fmt.Sprintf("adapters: event handler panicked: %v", p.cause) }

// deliver gives the batch to its targets. After a panic it returns with again set, to be called for the rest.
func (l *EventLoop) deliver() (again bool, first error) {
	defer func() {
		if cause := recover(); cause != nil {
			l.stats.panics.Add(1)
			slog.Error("event handler panicked", "panic", cause, "stack", report.Stack())
			again = true
			if first == nil {
				first = panicked{cause}
			}
		}
	}()
	failed := func(err error) {
		if err != nil {
			l.stats.failures.Add(1)
			if first == nil {
				first = err
			}
		}
	}
	for l.target < len(l.targets) {
		handler := l.targets[l.target]
		if whole, ok := handler.(BatchHandler); ok {
			l.target++
			failed(whole.HandleBatch(l.batch))
			continue
		}
		for l.next < len(l.batch) {
			event := l.batch[l.next]
			l.next++
			failed(handler.Handle(event))
		}
		l.target++
		l.next = 0
	}
	return false, first
}

// Register adds a handler: it gets every event of later batches, after the handlers that were registered before.
// api.ErrInvalidArgument for nil, api.ErrAlreadyExists for one that is registered, ErrClosed after Close.
func (l *EventLoop) Register(h api.Handler) error {
	if h == nil {
		return fmt.Errorf("adapters: event loop: nil handler: %w", api.ErrInvalidArgument)
	}
	l.registering.Lock()
	defer l.registering.Unlock()
	if l.ring.sealed() {
		return ErrClosed
	}
	handlers := *l.handlers.Load()
	if indexOf(handlers, h) >= 0 {
		return fmt.Errorf("adapters: event loop: handler: %w", api.ErrAlreadyExists)
	}
	handlers = append(handlers[:len(handlers):len(handlers)], h)
	l.handlers.Store(&handlers)
	l.idle.wake() // events may wait for it
	return nil
}

// Unregister takes a handler out. A batch under way still reaches it, an event posted after Unregister has returned does
// not. api.ErrNotFound when it is not registered.
func (l *EventLoop) Unregister(h api.Handler) error {
	l.registering.Lock()
	defer l.registering.Unlock()
	handlers := *l.handlers.Load()
	i := indexOf(handlers, h)
	if i < 0 {
		return fmt.Errorf("adapters: event loop: handler: %w", api.ErrNotFound)
	}
	handlers = append(append(make([]api.Handler, 0, len(handlers)-1), handlers[:i]...), handlers[i+1:]...)
	l.handlers.Store(&handlers)
	return nil
}

// Close makes every later Post and Register fail. What was posted before is still handled, by Run, which then returns, or
// by further Turns. It does not wait for that. Closing twice is harmless.
func (l *EventLoop) Close() {
	l.registering.Lock() // a Register under way comes before
	l.ring.seal()
	l.registering.Unlock()
	l.idle.wake()
}

// Discard drops the events that wait and returns how many.
func (l *EventLoop) Discard() int {
	n := 0
	for {
		if _, ok := l.ring.Dequeue(); ok {
			n++
		} else if l.ring.sealed() && !l.ring.isEmpty() {
			runtime.Gosched() // a Post that came before Close has claimed a place and not filled it yet
		} else {
			l.stats.dropped.Add(int64(n))
			return n
		}
	}
}

// Stats returns the counters, of different moments while the loop is at work.
func (l *EventLoop) Stats() EventLoopStats {
	return EventLoopStats{
		Events:   l.stats.events.Load(),
		Batches:  l.stats.batches.Load(),
		Failures: l.stats.failures.Load(),
		Panics:   l.stats.panics.Load(),
		Dropped:  l.stats.dropped.Load(),
		Queued:   l.ring.Len(),
	}
}

func indexOf(handlers []api.Handler, h api.Handler) int {
	for i, other := range handlers {
		if same(h, other) {
			return i
		}
	}
	return -1
}

// same tells whether two handlers are one and the same. Functions cannot be compared with ==, so of those it compares what
// the interface values hold: type and data word, which for a function is the identity of the closure.
func same(a, b api.Handler) bool {
	if reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() {
		return a == b
	}
	return *(*[2]unsafe.Pointer)(unsafe.Pointer(&a)) == *(*[2]unsafe.Pointer)(unsafe.Pointer(&b))
}
