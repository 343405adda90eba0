package adapters_test

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

func mustRing[T any](t testing.TB, capacity int) *adapters.Ring[T] {
	t.Helper()
	r, err := adapters.NewRing[T](capacity)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRingFillsAndEmpties(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 8} {
		r := mustRing[int](t, capacity)
		if r.Cap() < capacity || r.Cap() > 2*capacity {
			t.Fatalf("NewRing(%d).Cap() = %d", capacity, r.Cap())
		}
		for round := 0; round < 5; round++ {
			if _, ok := r.Dequeue(); ok {
				t.Fatal("an item in an empty ring")
			}
			for i := 0; i < r.Cap(); i++ {
				if r.Len() != i || !r.Enqueue(i) {
					t.Fatalf("Enqueue %d of %d failed, Len %d", i, r.Cap(), r.Len())
				}
			}
			if r.Enqueue(-1) {
				t.Fatal("a full ring took an item")
			}
			for i := 0; i < r.Cap(); i++ {
				if got, ok := r.Dequeue(); !ok || got != i {
					t.Fatalf("Dequeue = %d, %v; want %d", got, ok, i)
				}
			}
		}
	}
}

func TestRingRefusesSizes(t *testing.T) {
	for _, capacity := range []int{-1, 0, 1<<30 + 1} {
		if _, err := adapters.NewRing[int](capacity); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("NewRing(%d): %v", capacity, err)
		}
	}
}

func TestRingDequeueBatch(t *testing.T) {
	r := mustRing[int](t, 8)
	next, want := 0, 0
	items := make([]int, 8)
	for _, c := range []struct{ put, room, got int }{
		{0, 8, 0}, {8, 3, 3}, {0, 8, 5}, {6, 0, 0}, {0, 6, 6}, {8, 8, 8}, {1, 8, 1}, {0, 8, 0}, // past the end of the array
	} {
		for range c.put {
			if !r.Enqueue(next) {
				t.Fatal("the ring is full")
			}
			next++
		}
		n := r.DequeueBatch(items[:c.room])
		if n != c.got {
			t.Fatalf("%+v: got %d", c, n)
		}
		for _, item := range items[:n] {
			if item != want {
				t.Errorf("got %d, want %d", item, want)
			}
			want++
		}
	}
}

// Nothing is lost, nothing comes twice, and every consumer sees each producer's items in order.
func TestRingUnderContention(t *testing.T) {
	const producers, consumers, each = 3, 3, 50000
	r := mustRing[[2]int](t, 64)
	var left atomic.Int64
	left.Store(producers * each)
	var seen [producers][each]atomic.Bool
	var all sync.WaitGroup
	for p := range producers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				for !r.Enqueue([2]int{p, i}) {
					runtime.Gosched()
				}
			}
		}()
	}
	for c := range consumers {
		all.Add(1)
		go func() {
			defer all.Done()
			var last [producers]int
			items := make([][2]int, 5)
			for left.Load() > 0 {
				n, ok := 1, false
				if c == 0 { // one takes them one by one
					items[0], ok = r.Dequeue()
				} else {
					n = r.DequeueBatch(items)
					ok = n > 0
				}
				if !ok {
					runtime.Gosched()
					continue
				}
				left.Add(-int64(n))
				for _, item := range items[:n] {
					p, i := item[0], item[1]
					if seen[p][i].Swap(true) {
						t.Errorf("item %d of producer %d came twice", i, p)
					}
					if i < last[p] {
						t.Errorf("item %d of producer %d came after %d", i, p, last[p])
					}
					last[p] = i
				}
			}
		}()
	}
	all.Wait()
	if r.Len() != 0 {
		t.Errorf("%d items are left", r.Len())
	}
}

func TestRingKeepsNothingAlive(t *testing.T) {
	r := mustRing[*[1024]byte](t, 4)
	collected := make(chan struct{})
	func() {
		p := new([1024]byte)
		runtime.SetFinalizer(p, func(*[1024]byte) { close(collected) })
		r.Enqueue(p)
		r.Dequeue()
	}()
	for i := 0; i < 100; i++ {
		runtime.GC()
		select {
		case <-collected:
			runtime.KeepAlive(r)
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("an item that has left is kept alive")
}

func TestRingAllocatesNothing(t *testing.T) {
	r := mustRing[[3]int](t, 8)
	if n := testing.AllocsPerRun(1000, func() {
		r.Enqueue([3]int{1, 2, 3})
		r.Dequeue()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRing(b *testing.B) {
	r := mustRing[int](b, 1024)
	b.Run("Ring", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			r.Enqueue(i)
			r.Dequeue()
		}
	})
	b.Run("channel", func(b *testing.B) {
		c := make(chan int, 1024)
		for i := 0; i < b.N; i++ {
			c <- i
			<-c
		}
	})
}
