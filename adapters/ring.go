package adapters

import "github.com/momentics/hioload-ws/api"

// ring is a bounded queue in a fixed array. It has no lock of its own: its owner guards it.
type ring[T any] struct {
	items []T
	first int // index of the oldest item
	count int
}

var _ api.Ring[int] = (*ring[int])(nil)

func newRing[T any](capacity int) *ring[T] { return &ring[T]{items: make([]T, capacity)} }

func (r *ring[T]) Len() int { return r.count }

func (r *ring[T]) Cap() int { return len(r.items) }

func (r *ring[T]) Enqueue(item T) bool {
	if r.count == len(r.items) {
		return false
	}
	r.items[(r.first+r.count)%len(r.items)] = item
	r.count++
	return true
}

func (r *ring[T]) Dequeue() (item T, ok bool) {
	if r.count == 0 {
		return item, false
	}
	var zero T
	item, r.items[r.first] = r.items[r.first], zero // zero: keep nothing alive that has left
	r.first = (r.first + 1) % len(r.items)
	r.count--
	return item, true
}

// resize moves the items to an array of the given capacity, which must hold them all.
func (r *ring[T]) resize(capacity int) {
	items := make([]T, capacity)
	n := copy(items, r.items[r.first:min(r.first+r.count, len(r.items))])
	copy(items[n:], r.items[:r.count-n])
	r.items, r.first = items, 0
}
