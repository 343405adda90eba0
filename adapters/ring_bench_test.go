package adapters_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// BenchmarkRingShared has producers and consumers pass items through a Ring and through a channel of the same size. The
// time is per item.
func BenchmarkRingShared(b *testing.B) {
	const size = 1024
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("%dto%d/Ring", n, n), func(b *testing.B) {
			r := mustRing[int](b, size)
			share(b, n, func(item int) {
				for !r.Enqueue(item) {
					runtime.Gosched()
				}
			}, func() {
				for {
					if _, ok := r.Dequeue(); ok {
						return
					}
					runtime.Gosched()
				}
			})
		})
		b.Run(fmt.Sprintf("%dto%d/channel", n, n), func(b *testing.B) {
			c := make(chan int, size)
			share(b, n, func(item int) { c <- item }, func() { <-c })
		})
	}
}

// share puts b.N items, rounded up to a multiple of n, by n goroutines, and gets them by n others.
func share(b *testing.B, n int, put func(item int), get func()) {
	each := (b.N + n - 1) / n
	var all sync.WaitGroup
	b.ResetTimer()
	for range n {
		all.Add(2)
		go func() {
			defer all.Done()
			for i := range each {
				put(i)
			}
		}()
		go func() {
			defer all.Done()
			for range each {
				get()
			}
		}()
	}
	all.Wait()
}
