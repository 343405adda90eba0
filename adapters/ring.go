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
// middle of Enqueue makes consumers see an empty ring from its item on, until it goes on; it blocks nobody. In the same
// way one that is suspended in the middle of taking something out makes producers see a full ring.
//
// The highest bit of tail seals the ring: no position can be claimed from then on, since claiming is a compare-and-swap
// of tail. What was claimed before is below the sealed tail, so that who empties the ring knows when it has everything.
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
	ringSeal    = 1 << 63
)

var _ api.Ring[int] = (*Ring[int])(nil)

// NewRing returns a ring with room for capacity items, rounded up to a power of two of at least 2. A capacity below 1
// or above 2^30 is an api.ErrInvalidArgument.
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
	for position < ringSeal {
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
	return false
}

// seal has every later Enqueue fail.
func (r *Ring[T]) seal() { r.tail.Or(ringSeal) }

func (r *Ring[T]) sealed() bool { return r.tail.Load() >= ringSeal }

// isEmpty tells that no position is claimed that was not dequeued, which Dequeue cannot: it also fails while an Enqueue
// is under way. Of a sealed ring it is final.
func (r *Ring[T]) isEmpty() bool {
	head := r.head.Load() // first, so that tail is not behind it
	return r.tail.Load()&^ringSeal == head
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

// DequeueBatch takes up to len(items) of the oldest items, in order, and returns how many; 0 when the ring is empty. It
// claims them together, which is cheaper than one after the other.
func (r *Ring[T]) DequeueBatch(items []T) int {
	for {
		position, n := r.head.Load(), uint64(0)
		// What is full from head on stays so while head stays: only who moves it empties cells.
		for n < uint64(len(items)) && r.cells[(position+n)&r.mask].sequence.Load() == position+n+1 {
			n++
		}
		if n == 0 {
			if position == r.head.Load() {
				return 0
			}
			continue // somebody else was faster
		}
		if r.head.CompareAndSwap(position, position+n) {
			for i := range n {
				var zero T
				cell := &r.cells[(position+i)&r.mask]
				items[i], cell.item = cell.item, zero
				cell.sequence.Store(position + i + r.mask + 1) // hands the cell to the producer of the next round
			}
			return int(n)
		}
	}
}

// Len returns the number of items, of one moment when others are at work.
func (r *Ring[T]) Len() int {
	head := r.head.Load() // first, so that tail is not behind it
	return int(min(r.tail.Load()&^ringSeal-head, r.mask+1))
}

// Cap returns the most items there can be.
func (r *Ring[T]) Cap() int { return len(r.cells) }
