package csrc

/*
#include "hl_slab.h"
*/
import "C"

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Slab hands out counted blocks of C memory.
type Slab struct{ c *C.hl_slab }

// SlabClasses is the number of size classes; one more stands for the blocks above the largest.
const SlabClasses = C.HL_SLAB_CLASSES

// SlabClassStats are the counters of one size class (hl_slab_class_stats).
type SlabClassStats struct {
	Size  uint64 // bytes of a block of this class; 0 for the large ones
	InUse uint64 // blocks handed out
	Total uint64 // blocks that exist
	Gets  uint64 // handed out so far
}

// SlabStats are the counters of a slab (hl_slab_stats).
type SlabStats struct {
	Reserved uint64 // bytes mapped
	Limit    uint64 // bytes that may be mapped; 0: no limit
	Failures uint64 // blocks refused
	Classes  [SlabClasses + 1]SlabClassStats
}

// NewSlab makes a slab that maps at most limit bytes; 0: no limit.
func NewSlab(limit uint64) (*Slab, error) {
	c := C.hl_slab_new(C.uint64_t(limit))
	if c == nil {
		return nil, check("hl_slab_new", -int(syscall.ENOMEM))
	}
	return &Slab{c}, nil
}

// Free unmaps everything at once: the last call on the slab, with no block of it in use any more. It returns the number
// of blocks that were.
func (s *Slab) Free() uint64 {
	n := C.hl_slab_free(s.c)
	s.c = nil
	return uint64(n)
}

// Get returns a block with room for size bytes, contents undefined, and one reference, the caller's; or nil when the
// slab's limit or the machine's memory is reached.
func (s *Slab) Get(size int) *Block {
	return (*Block)(unsafe.Pointer(C.hl_slab_get(s.c, C.size_t(size))))
}

// Stats returns the counters.
func (s *Slab) Stats() SlabStats {
	var stats SlabStats
	C.hl_slab_stats_read(s.c, (*C.hl_slab_stats)(unsafe.Pointer(&stats)))
	return stats
}

// Block is the header of a counted piece of C memory (hl_block); its bytes follow it at once. Blocks exist in C memory
// only: never copy one.
type Block struct {
	refs  int32
	class uint32
	size  uint64
	slab  unsafe.Pointer
	link  uint64
	spare [4]uint64
}

// Size is the number of bytes that the block has room for.
func (b *Block) Size() uint64 { return b.size }

// Data is the address of the first of them.
func (b *Block) Data() unsafe.Pointer { return unsafe.Add(unsafe.Pointer(b), unsafe.Sizeof(*b)) }

// Bytes is the whole room of the block.
func (b *Block) Bytes() []byte { return unsafe.Slice((*byte)(b.Data()), b.size) }

// Ref adds a reference. The caller holds one already, or knows that somebody who does is waiting for it.
func (b *Block) Ref() { atomic.AddInt32(&b.refs, 1) }

// Unref takes a reference away; the last one returns the block to its slab. Only that one costs a crossing: it is
// C's to take away.
func (b *Block) Unref() {
	for {
		n := atomic.LoadInt32(&b.refs)
		if n <= 1 {
			C.hl_block_unref((*C.hl_block)(unsafe.Pointer(b)))
			return
		}
		if atomic.CompareAndSwapInt32(&b.refs, n, n-1) {
			return
		}
	}
}
