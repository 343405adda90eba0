package loop

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/csrc"
)

// Pool is the slab that loops and buffers take their memory from. Several loops may share one. It is counted: the
// memory is unmapped when Close was called and the last loop and the last buffer over it are gone too, so a buffer that
// outlives its server stays readable. All methods are safe from any goroutine.
type Pool struct {
	slab      *csrc.Slab
	users     atomic.Int64 // Close's own, each loop's, each buffer's that holds a block; 0: unmapped
	closed    atomic.Bool
	nodes     []nodeCount // by memory node + 1; constant but for its counters
	forgotten atomic.Int64
	collected atomic.Int64 // when relieve last ran, nanoseconds since poolEpoch
	easing    atomic.Bool  // trim will run
}

// nodeCount counts the buffers of Get that lie on one memory node.
type nodeCount struct {
	own        bool // the pool has an arena for it
	gets, puts atomic.Int64
}

// PoolConfig is what a Pool may use.
type PoolConfig struct {
	Limit     uint64 // bytes that it may map; 0: no limit
	HugePages bool   // take from the administrator's reserve of huge pages (vm.nr_hugepages) as long as it lasts
}

// PoolStats are the counters of a Pool.
type PoolStats struct {
	csrc.SlabStats
	Nodes     []csrc.SlabNodeStats // one for each memory node that the pool uses
	Gets      int64                // buffers handed out by Get
	Puts      int64                // of these, given back
	InUse     map[int]int64        // of these, not given back, by memory node; -1: not known
	Forgotten int64                // buffers of any kind that nobody released: the garbage collector did
}

const (
	// relieveInterval is how often, at most, memory pressure starts a garbage collection.
	relieveInterval = time.Second
	// trimDelay is how long after use has dropped what became free is given back to the kernel.
	trimDelay = 5 * time.Second
	// trimFloor is how many bytes may be mapped without being used: a chunk of every class, most of it never touched.
	trimFloor = 32 << 20
	// trimSize is the size from which on a buffer that was held and is released makes the pool look at its use.
	trimSize = 64 << 10
)

var poolEpoch = time.Now()

// NewPool makes a pool.
func NewPool(cfg PoolConfig) (*Pool, error) {
	slab, err := csrc.NewSlab(csrc.SlabConfig(cfg))
	if err != nil {
		return nil, err
	}
	p := &Pool{slab: slab}
	for i := range slab.Arenas() {
		node := slab.NodeStats(i).Node // ascending
		p.nodes = append(p.nodes, make([]nodeCount, int(node)+2-len(p.nodes))...)
		p.nodes[node+1].own = true
	}
	p.users.Store(1)
	return p, nil
}

// Get returns a buffer of exactly size bytes, contents undefined, that is the caller's until its Release. It lies on
// memory node `node`, or if that is full or there is none, on the nearest; -1: where the caller runs. ErrNoMemory when
// the limit or the machine's memory is reached, ErrPoolClosed after Close.
func (p *Pool) Get(size, node int) (*Buffer, error) {
	if size < 0 {
		return nil, ErrSize
	}
	if p.closed.Load() || !p.acquire() {
		return nil, ErrPoolClosed
	}
	block := p.slab.Get(size, node)
	if block == nil {
		p.release()
		p.relieve()
		return nil, ErrNoMemory
	}
	return p.wrap(block, size), nil
}

// wrap makes a held Buffer of the block's first bytes. It takes over the caller's use of the pool and reference to the block.
func (p *Pool) wrap(block *csrc.Block, size int) *Buffer {
	p.count(block).gets.Add(1)
	b := &Buffer{data: block.Bytes()[:size:size], block: block, pool: p, pooled: true}
	b.watch()
	b.state = bufferHeld
	return b
}

// count returns where a block of Get is counted.
func (p *Pool) count(block *csrc.Block) *nodeCount {
	if i := block.Node() + 1; i < len(p.nodes) {
		return &p.nodes[i]
	}
	return &p.nodes[0]
}

// Stats returns the counters; those of the slab are zero once it is unmapped.
func (p *Pool) Stats() PoolStats {
	stats := PoolStats{InUse: make(map[int]int64), Forgotten: p.forgotten.Load()}
	for i := range p.nodes {
		puts := p.nodes[i].puts.Load() // first: never more than gets
		gets := p.nodes[i].gets.Load()
		stats.Gets += gets
		stats.Puts += puts
		if p.nodes[i].own || gets > 0 {
			stats.InUse[i-1] = gets - puts
		}
	}
	if p.acquire() {
		stats.SlabStats = p.slab.Stats()
		for i := range p.slab.Arenas() {
			stats.Nodes = append(stats.Nodes, p.slab.NodeStats(i))
		}
		p.release()
	}
	return stats
}

// Close lets go of the memory, as soon as nobody uses it. Closing twice is harmless.
func (p *Pool) Close() {
	if !p.closed.Swap(true) {
		p.release()
	}
}

// acquire makes the caller one more user, unless the memory is unmapped already.
func (p *Pool) acquire() bool {
	for {
		n := p.users.Load()
		if n == 0 {
			return false
		}
		if p.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends what acquire, or being made with a user, began.
func (p *Pool) release() {
	if p.users.Add(-1) == 0 {
		p.slab.Free()
	}
}

// relieve answers memory pressure: forgotten buffers come back with a garbage collection, so it starts one, on a
// goroutine of its own.
func (p *Pool) relieve() {
	now := int64(time.Since(poolEpoch))
	last := p.collected.Load()
	if (last == 0 || now-last >= int64(relieveInterval)) && p.collected.CompareAndSwap(last, now) {
		go runtime.GC()
	}
}

// ease is called when use may have dropped: a connection has closed, a large buffer was released. If much memory lies
// idle, it is given back to the kernel a little later, once; a pool that nobody uses is left in peace.
func (p *Pool) ease() {
	if p.easing.Load() || !p.acquire() {
		return
	}
	defer p.release()
	if p.slab.Ease(trimFloor) && p.easing.CompareAndSwap(false, true) {
		time.AfterFunc(trimDelay, p.trim)
	}
}

// trim gives back what is free.
func (p *Pool) trim() {
	p.easing.Store(false)
	if p.acquire() {
		p.slab.Trim()
		p.release()
	}
}
