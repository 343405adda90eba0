package gid

import (
	"runtime"
	"sync"
	"testing"
)

// known tells whether this build has an implementation, without which there is nothing to compare.
func known(t *testing.T) {
	t.Helper()
	if Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
}

//go:noinline
func deep(n int) uintptr {
	var frame [256]byte
	if n == 0 {
		return Current()
	}
	frame[n%len(frame)] = byte(n)
	token := deep(n - 1)
	runtime.KeepAlive(&frame)
	return token
}

func TestSameWithinAGoroutine(t *testing.T) {
	known(t)
	done := make(chan struct{})
	go func() { // a new goroutine starts on a small stack, which deep makes the runtime move
		defer close(done)
		before := Current()
		if got := deep(10_000); got != before {
			t.Errorf("token %#x became %#x when the stack grew", before, got)
		}
		var wg sync.WaitGroup
		for i := 0; i < 100; i++ { // blocks, and comes back on whatever thread is free
			wg.Add(1)
			go wg.Done()
			wg.Wait()
			runtime.Gosched()
			if got := Current(); got != before {
				t.Errorf("token %#x became %#x after blocking", before, got)
			}
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if got := Current(); got != before {
			t.Errorf("token %#x became %#x on a locked thread", before, got)
		}
	}()
	<-done
}

func TestDiffersBetweenLiveGoroutines(t *testing.T) {
	known(t)
	const n = 1000
	tokens := make(chan uintptr, n)
	release := make(chan struct{})
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			tokens <- Current()
			<-release
		}()
	}
	seen := map[uintptr]bool{Current(): true}
	for i := 0; i < n; i++ {
		token := <-tokens
		if token == 0 || seen[token] {
			t.Errorf("token %#x is not unique among live goroutines", token)
		}
		seen[token] = true
	}
	close(release)
	wg.Wait()
}

func BenchmarkCurrent(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Current()
	}
}
