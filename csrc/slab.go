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
	Returned uint64 // bytes that Trim has given back
	Classes  [SlabClasses + 1]SlabClassStats
}

// SlabNodeStats are the counters of a slab's arena for one memory node (hl_slab_node_stats).
type SlabNodeStats struct {
	Node             int64  // the kernel's number; -1: not known
	Fallbacks        uint64 // blocks asked of this node that lie, or were got, elsewhere
	BytesPlain       uint64 // bytes mapped for blocks, as plain pages
	BytesTransparent uint64 // ... where the kernel may give transparent huge pages
	BytesHuge        uint64 // ... from the reserve of huge pages
	Classes          [SlabClasses + 1]SlabClassStats
}

// SlabConfig is what a slab may use (hl_slab_config).
type SlabConfig struct {
	Limit     uint64 // bytes that it may map; 0: no limit
	HugePages bool   // take from the administrator's reserve of huge pages
}

// NewSlab makes a slab.
func NewSlab(cfg SlabConfig) (*Slab, error) {
	config := C.hl_slab_config{limit: C.uint64_t(cfg.Limit)}
	if cfg.HugePages {
		config.flags = C.HL_SLAB_HUGE
	}
	c := C.hl_slab_make(&config)
	if c == nil {
		return nil, check("hl_slab_make", -int(syscall.ENOMEM))
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
// slab's limit or the machine's memory is reached. It comes from memory node `node`, or if that is full or has no memory
// from the nearest; -1: where the caller runs.
func (s *Slab) Get(size, node int) *Block {
	return (*Block)(unsafe.Pointer(C.hl_slab_get_on(s.c, C.size_t(size), C.int(node))))
}

// Ease reports whether more than floor bytes are mapped beyond what is in use, and if so asks the loops' caches to give
// back what they hold: Trim some time later will then find it.
func (s *Slab) Ease(floor uint64) bool { return C.hl_slab_ease(s.c, C.uint64_t(floor)) != 0 }

// Trim gives memory that no block lies in back to the kernel, and returns how many bytes. It takes up to milliseconds
// where many blocks are free.
func (s *Slab) Trim() uint64 { return uint64(C.hl_slab_trim(s.c)) }

// Stats returns the counters.
func (s *Slab) Stats() SlabStats {
	var stats SlabStats
	C.hl_slab_stats_read(s.c, (*C.hl_slab_stats)(unsafe.Pointer(&stats)))
	return stats
}

// Arenas is the number of memory nodes that the slab uses, at least 1.
func (s *Slab) Arenas() int { return int(C.hl_slab_arenas(s.c)) }

// NodeStats returns the counters of one arena, counted from 0.
func (s *Slab) NodeStats(arena int) SlabNodeStats {
	var stats SlabNodeStats
	C.hl_slab_node_stats_read(s.c, C.uint32_t(arena), (*C.hl_slab_node_stats)(unsafe.Pointer(&stats)))
	return stats
}

// Block is the header of a counted piece of C memory (hl_block); its bytes follow it at once. Blocks exist in C memory
// only: never copy one.
type Block struct {
	refs   int32
	class  uint32
	size   uint64
	slab   unsafe.Pointer
	number uint32
	arena  uint16
	node   int16
	spare  [4]uint64
}

// Size is the number of bytes that the block has room for.
func (b *Block) Size() uint64 { return b.size }

// Node is the memory node that the block lies on; -1: not known.
func (b *Block) Node() int { return int(b.node) }

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
