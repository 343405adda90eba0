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
	gets      atomic.Int64
	puts      atomic.Int64
	forgotten atomic.Int64
	collected atomic.Int64 // when relieve last ran, nanoseconds since poolEpoch
}

// PoolStats are the counters of a Pool.
type PoolStats struct {
	csrc.SlabStats
	Gets      int64 // buffers handed out by Get
	Puts      int64 // of these, given back
	Forgotten int64 // buffers of any kind that nobody released: the garbage collector did
}

// relieveInterval is how often, at most, memory pressure starts a garbage collection.
const relieveInterval = time.Second

var poolEpoch = time.Now()

// NewPool makes a pool that maps at most limit bytes; 0: no limit.
func NewPool(limit uint64) (*Pool, error) {
	slab, err := csrc.NewSlab(limit)
	if err != nil {
		return nil, err
	}
	p := &Pool{slab: slab}
	p.users.Store(1)
	return p, nil
}

// Get returns a buffer of exactly size bytes, contents undefined, that is the caller's until its Release. ErrNoMemory
// when the limit or the machine's memory is reached, ErrPoolClosed after Close.
func (p *Pool) Get(size int) (*Buffer, error) {
	if size < 0 {
		return nil, ErrSize
	}
	if p.closed.Load() || !p.acquire() {
		return nil, ErrPoolClosed
	}
	block := p.slab.Get(size)
	if block == nil {
		p.release()
		p.relieve()
		return nil, ErrNoMemory
	}
	p.gets.Add(1)
	b := &Buffer{data: block.Bytes()[:size:size], block: block, pool: p, pooled: true}
	b.watch()
	b.state.Store(bufferHeld)
	return b, nil
}

// Stats returns the counters; those of the slab are zero once it is unmapped.
func (p *Pool) Stats() PoolStats {
	stats := PoolStats{Gets: p.gets.Load(), Puts: p.puts.Load(), Forgotten: p.forgotten.Load()}
	if p.acquire() {
		stats.SlabStats = p.slab.Stats()
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
