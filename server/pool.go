package server

import (
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// bufferPool is a loop.Pool as an api.BufferPool.
type bufferPool struct{ pool *loop.Pool }

func (p bufferPool) Get(size, numaPreferred int) api.Buffer {
	b, err := p.pool.Get(size, numaPreferred)
	if err != nil {
		return nil
	}
	return b
}

func (p bufferPool) Put(b api.Buffer) {
	if b != nil {
		b.Release()
	}
}

func (p bufferPool) Stats() api.BufferPoolStats {
	stats := p.pool.Stats()
	return api.BufferPoolStats{
		TotalAlloc: stats.Gets,
		TotalFree:  stats.Puts,
		InUse:      stats.Gets - stats.Puts,
		NUMAStats:  stats.InUse,
	}
}
