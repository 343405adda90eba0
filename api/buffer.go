package api

// Buffer is a counted piece of memory, usually outside the Go heap. A handler that is given one owns it until it calls
// Release, in the call or later from any goroutine.
type Buffer interface {
	// Bytes returns the contents: of a message, exactly the message. They are valid until Release,
	// and only while the Buffer itself is reachable; within the handler
	// call that was given the buffer, until that call returns. nil after Release.
	Bytes() []byte
	// Slice returns a view of bytes from..to (as in b[from:to]) that is released on its own. It panics when the bounds
	// are out of range, as slicing does.
	Slice(from, to int) Buffer
	// Release gives the memory back. Releasing twice is harmless.
	Release()
	// Copy returns the contents in ordinary Go memory that the caller owns.
	Copy() []byte
	// NUMANode returns the memory node that the buffer lies on, or -1 when it is not known.
	NUMANode() int
}

// BufferPool hands out Buffers. All methods are safe for use by many goroutines.
type BufferPool interface {
	// Get returns a buffer of exactly size bytes, contents undefined, if possible on node numaPreferred (-1: any). It
	// returns nil when the pool's limit is reached or size is negative.
	Get(size, numaPreferred int) Buffer
	// Put is the same as b.Release; nil is fine.
	Put(b Buffer)
	// Stats returns counters from one moment.
	Stats() BufferPoolStats
}

// BufferPoolStats counts the buffers of a BufferPool.
type BufferPoolStats struct {
	TotalAlloc int64         // handed out so far
	TotalFree  int64         // given back so far
	InUse      int64         // handed out and not given back yet
	NUMAStats  map[int]int64 // buffers in use by memory node; -1: not known
}
