package api

// Ring is a bounded queue, first in, first out.
type Ring[T any] interface {
	// Enqueue appends an item; false when the ring is full.
	Enqueue(item T) bool
	// Dequeue takes the oldest item; false when the ring is empty.
	Dequeue() (T, bool)
	// Len returns the number of items.
	Len() int
	// Cap returns the most items there can be.
	Cap() int
}

// Batch is a run of items that is cut up without copying or allocating.
type Batch[T any] interface {
	// Len returns the number of items.
	Len() int
	// Get returns item index, or the zero value when there is none.
	Get(index int) T
	// Slice returns items start to end-1, sharing their memory.
	Slice(start, end int) Batch[T]
	// Underlying returns the items as a slice, sharing their memory.
	Underlying() []T
	// Split cuts the batch before item index.
	Split(index int) (first, second Batch[T])
	// Reset empties the batch and keeps its memory.
	Reset()
}
