package adapters_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
)

// pool is what one would write instead of an executor: workers that take functions from a channel.
type pool struct {
	tasks chan func()
	ended sync.WaitGroup
}

func newPool(workers, queue int) *pool {
	p := &pool{tasks: make(chan func(), queue)}
	for range workers {
		p.ended.Add(1)
		go func() {
			defer p.ended.Done()
			for task := range p.tasks {
				task()
			}
		}()
	}
	return p
}

func (p *pool) Submit(task func()) error {
	p.tasks <- task
	return nil
}

func (p *pool) Close() {
	close(p.tasks)
	p.ended.Wait()
}

type submitter interface {
	Submit(task func()) error
	Close()
}

// eachPool runs a benchmark with the executor and with a channel's pool, both of four workers.
func eachPool(b *testing.B, run func(b *testing.B, p submitter)) {
	const workers, queue = 4, 1024
	for _, c := range []struct {
		name string
		make func() submitter
	}{
		{"Executor", func() submitter { return adapters.NewBoundedExecutor(workers, -1, queue) }},
		{"channel", func() submitter { return newPool(workers, queue) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := c.make()
			defer p.Close()
			b.ReportAllocs()
			b.ResetTimer()
			run(b, p)
		})
	}
}

// submit hands over n small tasks and goes on trying while the queue is full.
func submit(p submitter, n int, task func()) {
	for i := 0; i < n; i++ {
		for p.Submit(task) != nil {
			runtime.Gosched()
		}
	}
}

// One goroutine submits small tasks as fast as it can.
func BenchmarkExecutor(b *testing.B) {
	eachPool(b, func(b *testing.B, p submitter) {
		var done sync.WaitGroup
		done.Add(b.N)
		submit(p, b.N, done.Done)
		done.Wait()
	})
}

// So do several.
func BenchmarkExecutorParallel(b *testing.B) {
	eachPool(b, func(b *testing.B, p submitter) {
		var ran atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				submit(p, 1, func() { ran.Add(1) })
			}
		})
		for ran.Load() < int64(b.N) {
			runtime.Gosched()
		}
	})
}

// One task at a time, for the way there and back.
func BenchmarkExecutorRoundTrip(b *testing.B) {
	eachPool(b, func(b *testing.B, p submitter) {
		done := make(chan struct{})
		task := func() { done <- struct{}{} }
		for i := 0; i < b.N; i++ {
			submit(p, 1, task)
			<-done
		}
	})
}
