package adapters

import "github.com/momentics/hioload-ws/api"

// fifo is a bounded queue in a fixed array. It has no lock of its own: its owner guards it.
type fifo[T any] struct {
	items []T
	first int // index of the oldest item
	count int
}

var _ api.Ring[int] = (*fifo[int])(nil)

func newFIFO[T any](capacity int) *fifo[T] { return &fifo[T]{items: make([]T, capacity)} }

func (q *fifo[T]) Len() int { return q.count }

func (q *fifo[T]) Cap() int { return len(q.items) }

func (q *fifo[T]) Enqueue(item T) bool {
	if q.count == len(q.items) {
		return false
	}
	q.items[(q.first+q.count)%len(q.items)] = item
	q.count++
	return true
}

func (q *fifo[T]) Dequeue() (item T, ok bool) {
	if q.count == 0 {
		return item, false
	}
	var zero T
	item, q.items[q.first] = q.items[q.first], zero // zero: keep nothing alive that has left
	q.first = (q.first + 1) % len(q.items)
	q.count--
	return item, true
}

// resize moves the items to an array of the given capacity, which must hold them all.
func (q *fifo[T]) resize(capacity int) {
	items := make([]T, capacity)
	n := copy(items, q.items[q.first:min(q.first+q.count, len(q.items))])
	copy(items[n:], q.items[:q.count-n])
	q.items, q.first = items, 0
}
