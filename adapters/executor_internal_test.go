package adapters

import (
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/internal/numa"
)

func (e *ExecutorAdapter) workers() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

func TestExecutorShrinks(t *testing.T) {
	e := NewBoundedExecutor(8, -1, 100)
	e.Resize(0)
	if e.NumWorkers() != 1 {
		t.Errorf("Resize(0) asks for %d workers, want 1", e.NumWorkers())
	}
	for e.workers() > 1 { // the surplus ends by itself; if not, the test does not
		runtime.Gosched()
	}
	const tasks = 50
	var order []int // one worker: no two tasks at once, so no lock
	for i := 0; i < tasks; i++ {
		if err := e.Submit(func() { order = append(order, i) }); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	for i, got := range order {
		if got != i {
			t.Fatalf("task %d ran in place %d", got, i)
		}
	}
	if len(order) != tasks || e.workers() != 0 {
		t.Errorf("%d tasks ran, %d workers are left", len(order), e.workers())
	}
}

func TestWorkersAreBound(t *testing.T) {
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(allowed.CPUs()) == 1 {
		t.Skip("there is one processor only: a bound thread looks like any other")
	}
	one, err := numa.MaskOf(allowed.CPUs()[:1])
	if err != nil {
		t.Fatal(err)
	}
	e := newExecutor(2, &one, 10)
	defer e.Close()
	for range 4 {
		bound := make(chan numa.Mask)
		if err := e.Submit(func() {
			mask, _ := numa.Affinity(0)
			bound <- mask
		}); err != nil {
			t.Fatal(err)
		}
		if mask := <-bound; mask != one {
			t.Errorf("a worker is bound to %v, want %v", &mask, &one)
		}
	}
}
