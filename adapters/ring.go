package adapters

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
)

// Ring implements api.Ring for any number of producers and consumers, without locks: D. Vyukov's bounded MPMC queue
// (1024cores.net, 2010), as hl_mpmc.h does for C, whose numbered invariants hold here with 64-bit positions. Items come
// out in the order in which they went in; an item that has left is not kept alive. A producer that is suspended in the
// middle of Enqueue makes consumers see an empty ring from its item on, until it goes on; it blocks nobody.
//
// All methods are safe from any goroutine.
type Ring[T any] struct {
	cells []ringCell[T]
	mask  uint64
	_     [cacheLine]byte
	tail  atomic.Uint64 // the next position to enqueue at
	_     [cacheLine - 8]byte
	head  atomic.Uint64 // the next position to dequeue from
	_     [cacheLine - 8]byte
}

type ringCell[T any] struct {
	sequence atomic.Uint64 // position: free for its producer; position + 1: full, for its consumer
	item     T
}

const (
	cacheLine   = 64
	maxRingSize = 1 << 30
)

var _ api.Ring[int] = (*Ring[int])(nil)

// NewRing returns a ring with room for capacity items, rounded up to a power of two of at least 2. A capacity below 1 or
// above 2^30 is an api.ErrInvalidArgument.
func NewRing[T any](capacity int) (*Ring[T], error) {
	if capacity < 1 || capacity > maxRingSize {
		return nil, fmt.Errorf("adapters: ring of %d items, not 1 to %d: %w", capacity, maxRingSize,
			api.ErrInvalidArgument)
	}
	size := max(2, 1<<bits.Len(uint(capacity-1)))
	r := &Ring[T]{cells: make([]ringCell[T], size), mask: uint64(size - 1)}
	for i := range r.cells {
		r.cells[i].sequence.Store(uint64(i))
	}
	return r, nil
}

// Enqueue appends an item; false when the ring is full.
func (r *Ring[T]) Enqueue(item T) bool {
	position := r.tail.Load()
	for {
		cell := &r.cells[position&r.mask]
		switch ahead := int64(cell.sequence.Load() - position); {
		case ahead < 0:
			return false // still full from the last round
		case ahead > 0:
			position = r.tail.Load() // somebody else was faster
		case r.tail.CompareAndSwap(position, position+1):
			cell.item = item
			cell.sequence.Store(position + 1) // hands it to a consumer
			return true
		default:
			position = r.tail.Load()
		}
	}
}

// Dequeue takes the oldest item; false when the ring is empty.
func (r *Ring[T]) Dequeue() (item T, ok bool) {
	position := r.head.Load()
	for {
		cell := &r.cells[position&r.mask]
		switch ahead := int64(cell.sequence.Load() - (position + 1)); {
		case ahead < 0:
			return item, false
		case ahead > 0:
			position = r.head.Load()
		case r.head.CompareAndSwap(position, position+1):
			var zero T
			item, cell.item = cell.item, zero
			cell.sequence.Store(position + r.mask + 1) // hands the cell to the producer of the next round
			return item, true
		default:
			position = r.head.Load()
		}
	}
}

// Len returns the number of items, of one moment when others are at work.
func (r *Ring[T]) Len() int {
	head := r.head.Load() // first, so that tail is not behind it
	return int(min(r.tail.Load()-head, r.mask+1))
}

// Cap returns the most items there can be.
func (r *Ring[T]) Cap() int { return len(r.cells) }
