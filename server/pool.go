package server

import (
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// bufferPool is a loop.Pool as an api.BufferPool.
type bufferPool struct{ pool *loop.Pool }

// Get ignores the preferred node: blocks do not know theirs yet.
func (p bufferPool) Get(size, _ int) api.Buffer {
	b, err := p.pool.Get(size)
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
	inUse := stats.Gets - stats.Puts
	return api.BufferPoolStats{
		TotalAlloc: stats.Gets,
		TotalFree:  stats.Puts,
		InUse:      inUse,
		NUMAStats:  map[int]int64{-1: inUse},
	}
}
