package adapters

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
)

// PollerAdapter implements api.Poller over a bounded ring: Push queues events from any goroutine, Poll passes a batch of
// them to every handler on the goroutine that calls it.
type PollerAdapter struct {
	polling sync.Mutex // held by Poll, so that one batch at a time is under way
	batch   []any      // guarded by polling: the batch under way

	mu       sync.Mutex
	events   *fifo[any]
	handlers []api.Handler // replaced, never written over: Poll reads it without the lock
	stopped  bool
}

var _ api.Poller = (*PollerAdapter)(nil)

// NewPollerAdapter returns a *PollerAdapter that passes on at most batchSize events at a time (less than 1 means 32) and
// holds at most ringCapacity (less than 1 means 1024).
func NewPollerAdapter(batchSize, ringCapacity int) api.Poller {
	if batchSize < 1 {
		batchSize = 32
	}
	if ringCapacity < 1 {
		ringCapacity = 1024
	}
	return &PollerAdapter{batch: make([]any, 0, batchSize), events: newFIFO[any](ringCapacity)}
}

// Push queues an event. api.ErrResourceExhausted when the ring is full, ErrClosed after Stop. Any goroutine.
func (p *PollerAdapter) Push(event any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return ErrClosed
	}
	if !p.events.Enqueue(event) {
		return fmt.Errorf("adapters: poller holds %d events: %w", p.events.Cap(), api.ErrResourceExhausted)
	}
	return nil
}

// Poll passes up to maxEvents queued events, and no more than the batch size, to every handler, and returns how many. It
// does not wait. Errors of handlers do not stop the batch; the first one is returned. ErrClosed after Stop. A handler
// must not call Poll.
func (p *PollerAdapter) Poll(maxEvents int) (int, error) {
	p.polling.Lock()
	defer p.polling.Unlock()
	handlers, err := p.take(maxEvents)
	if err != nil {
		return 0, err
	}
	defer clear(p.batch[:cap(p.batch)]) // keep nothing alive that has been handled
	for _, event := range p.batch {
		for _, h := range handlers {
			if failure := h.Handle(event); failure != nil && err == nil {
				err = failure
			}
		}
	}
	return len(p.batch), err
}

// take moves events from the ring to p.batch and returns the handlers of that moment.
func (p *PollerAdapter) take(maxEvents int) ([]api.Handler, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, ErrClosed
	}
	p.batch = p.batch[:0]
	for len(p.batch) < min(maxEvents, cap(p.batch)) {
		event, ok := p.events.Dequeue()
		if !ok {
			break
		}
		p.batch = append(p.batch, event)
	}
	return p.handlers, nil
}

// Register adds a handler. api.ErrInvalidArgument for nil, api.ErrAlreadyExists for one that is registered, ErrClosed
// after Stop. Any goroutine, also a handler.
func (p *PollerAdapter) Register(h api.Handler) error {
	if h == nil {
		return fmt.Errorf("adapters: poller: nil handler: %w", api.ErrInvalidArgument)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return ErrClosed
	}
	if p.indexOf(h) >= 0 {
		return fmt.Errorf("adapters: poller: handler: %w", api.ErrAlreadyExists)
	}
	p.handlers = append(p.handlers[:len(p.handlers):len(p.handlers)], h)
	return nil
}

// Unregister takes a handler out. A batch under way still reaches it. api.ErrNotFound when it is not registered. Any
// goroutine, also a handler.
func (p *PollerAdapter) Unregister(h api.Handler) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.indexOf(h)
	if i < 0 {
		return fmt.Errorf("adapters: poller: handler: %w", api.ErrNotFound)
	}
	handlers := make([]api.Handler, 0, len(p.handlers)-1)
	p.handlers = append(append(handlers, p.handlers[:i]...), p.handlers[i+1:]...)
	return nil
}

// Stop drops what is queued and makes every later call fail. A batch under way is finished. Any goroutine.
func (p *PollerAdapter) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.handlers = nil
	p.events = newFIFO[any](0)
}

func (p *PollerAdapter) indexOf(h api.Handler) int {
	for i, other := range p.handlers {
		if same(h, other) {
			return i
		}
	}
	return -1
}

// same tells whether two handlers are one and the same. Functions cannot be compared with ==, so it compares what the
// interface values hold: type and data word, which for a function is the identity of the closure.
func same(a, b api.Handler) bool {
	return *(*[2]unsafe.Pointer)(unsafe.Pointer(&a)) == *(*[2]unsafe.Pointer)(unsafe.Pointer(&b))
}
