package adapters_test

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

func TestExecutorRunsEverything(t *testing.T) {
	e := adapters.NewExecutorAdapter(3, -1).(*adapters.ExecutorAdapter)
	if e.NumWorkers() != 3 {
		t.Errorf("%d workers, want 3", e.NumWorkers())
	}
	var ran atomic.Int64
	for i := 0; i < 1000; i++ {
		if err := e.Submit(func() { ran.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	if ran.Load() != 1000 {
		t.Errorf("%d tasks have run when Close returned, want 1000", ran.Load())
	}
	if err := e.Submit(func() {}); !errors.Is(err, adapters.ErrClosed) {
		t.Errorf("Submit after Close: got %v", err)
	}
	e.Close()
	e.Resize(5)
	if e.NumWorkers() != 0 {
		t.Errorf("%d workers after Close", e.NumWorkers())
	}
}

// allAtOnce passes when n tasks run at the same time: each waits for all others.
func allAtOnce(t *testing.T, e api.Executor, n int) {
	t.Helper()
	var meet, done sync.WaitGroup
	meet.Add(n)
	done.Add(n)
	for i := 0; i < n; i++ {
		if err := e.Submit(func() { meet.Done(); meet.Wait(); done.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	done.Wait()
}

func TestExecutorGrows(t *testing.T) {
	e := adapters.NewBoundedExecutor(1, -1, 100)
	defer e.Close()
	e.Resize(8)
	if e.NumWorkers() != 8 {
		t.Errorf("%d workers, want 8", e.NumWorkers())
	}
	allAtOnce(t, e, 8)
}

func TestExecutorIsBounded(t *testing.T) {
	e := adapters.NewBoundedExecutor(1, -1, 2)
	defer e.Close()
	started, release := make(chan struct{}), make(chan struct{})
	e.Submit(func() { close(started); <-release })
	<-started
	for i := 0; i < 2; i++ {
		if err := e.Submit(func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Submit(func() {}); !errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("a task too many: got %v", err)
	}
	if err := e.Submit(nil); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("nil task: got %v", err)
	}
	close(release)
}

func TestExecutorSurvivesItsTasks(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	e := adapters.NewBoundedExecutor(1, -1, 100)
	e.Submit(func() { panic("spilled") })
	e.Submit(func() { runtime.Goexit() })
	allAtOnce(t, e, 1)
	e.Close()
	if !strings.Contains(out.String(), "spilled") {
		t.Errorf("the panic was not reported: %q", out)
	}
}

func TestExecutorOnNode(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	e := adapters.NewBoundedExecutor(2, 0, 10)
	allAtOnce(t, e, 2)
	e.Close()
	e = adapters.NewBoundedExecutor(1, 4095, 10)
	allAtOnce(t, e, 1)
	e.Close()
	if !strings.Contains(out.String(), "4095") {
		t.Errorf("a node that does not exist must be reported, got %q", out)
	}
}
