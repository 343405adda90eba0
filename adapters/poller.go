package adapters

import (
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
)

// PollerAdapter implements api.Poller with an EventLoop: Push queues events from any goroutine, Poll passes a batch of them
// to every handler on the goroutine that calls it.
type PollerAdapter struct {
	loop    *EventLoop
	stopped atomic.Bool
}

var _ api.Poller = (*PollerAdapter)(nil)

// NewPollerAdapter returns a *PollerAdapter that passes on at most batchSize events at a time (less than 1 means 32) and
// holds at most ringCapacity (less than 1 means 1024), rounded up to a power of two and to no more than 2^30.
func NewPollerAdapter(batchSize, ringCapacity int) api.Poller {
	loop, err := NewEventLoop(batchSize, min(ringCapacity, maxRingSize))
	if err != nil {
		panic(err) // no capacity is out of bounds any more
	}
	return &PollerAdapter{loop: loop}
}

// Push queues an event. api.ErrResourceExhausted when the ring is full, ErrClosed after Stop. Any goroutine.
func (p *PollerAdapter) Push(event any) error { return p.loop.Post(event) }

// Poll passes up to maxEvents queued events, and no more than the batch size, to every handler, and returns how many. It
// does not wait; while no handler is registered, events do. Errors of handlers do not stop the batch; the first one is
// returned, and a panic is reported and counts as one. ErrClosed after Stop. A handler must not call Poll.
func (p *PollerAdapter) Poll(maxEvents int) (int, error) {
	if p.stopped.Load() {
		return 0, ErrClosed
	}
	return p.loop.Turn(maxEvents)
}

// Register adds a handler. api.ErrInvalidArgument for nil, api.ErrAlreadyExists for one that is registered, ErrClosed
// after Stop. Any goroutine, also a handler.
func (p *PollerAdapter) Register(h api.Handler) error { return p.loop.Register(h) }

// Unregister takes a handler out. A batch under way still reaches it. api.ErrNotFound when it is not registered. Any
// goroutine, also a handler.
func (p *PollerAdapter) Unregister(h api.Handler) error { return p.loop.Unregister(h) }

// Stop drops what is queued and makes every later call fail. A batch under way is finished. Any goroutine.
func (p *PollerAdapter) Stop() {
	p.stopped.Store(true)
	p.loop.Close()
	p.loop.Discard()
}

// Stats returns the counters.
func (p *PollerAdapter) Stats() EventLoopStats { return p.loop.Stats() }
