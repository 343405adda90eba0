package adapters

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
	"github.com/momentics/hioload-ws/internal/report"
)

// executorQueue is how many tasks an executor of NewExecutorAdapter lets wait.
const executorQueue = 1 << 16

// ExecutorAdapter implements api.Executor: workers that take tasks from one bounded queue, first in, first out.
//
// A worker takes one task at a time, although several at a time would share the lock: tasks may wait for each other, and one
// that is behind another on the same worker would never begin.
type ExecutorAdapter struct {
	limit int        // most tasks that wait
	cpus  *numa.Mask // what workers are bound to; nil: nothing

	mu      sync.Mutex
	more    sync.Cond // a task has come, or there are too many workers, or it was closed
	none    sync.Cond // the last worker has ended
	tasks   *fifo[func()]
	wanted  int // workers asked for
	running int // workers that exist
	closed  bool
}

var _ api.Executor = (*ExecutorAdapter)(nil)

// NewExecutorAdapter returns a running *ExecutorAdapter with that many workers (less than 1 means one per processor).
// With numaNode >= 0 each worker has a thread of its own that is bound to those processors of that memory node that the
// process may use; if that is not possible, workers run unbound and a warning is logged. At most 65536 tasks wait. Close ends it.
func NewExecutorAdapter(workers, numaNode int) api.Executor {
	return NewBoundedExecutor(workers, numaNode, executorQueue)
}

// NewBoundedExecutor is NewExecutorAdapter with the number of tasks that may wait (at least 1).
func NewBoundedExecutor(workers, numaNode, queue int) *ExecutorAdapter {
	if numaNode < 0 {
		return newExecutor(workers, nil, queue)
	}
	mask, err := numa.Select(-1, numaNode)
	if err != nil {
		slog.Warn("executor runs unbound", "node", numaNode, "error", err)
		return newExecutor(workers, nil, queue)
	}
	return newExecutor(workers, &mask, queue)
}

func newExecutor(workers int, cpus *numa.Mask, queue int) *ExecutorAdapter {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	e := &ExecutorAdapter{limit: max(queue, 1), cpus: cpus, tasks: newFIFO[func()](16)}
	e.more.L, e.none.L = &e.mu, &e.mu
	e.Resize(workers)
	return e
}

// Submit queues task. ErrClosed after Close, api.ErrResourceExhausted when the queue is full, api.ErrInvalidArgument for
// nil. A task that panics is reported and costs no worker. Any goroutine, also a task.
func (e *ExecutorAdapter) Submit(task func()) error {
	if task == nil {
		return fmt.Errorf("adapters: executor: nil task: %w", api.ErrInvalidArgument)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	if e.tasks.Len() >= e.limit {
		return fmt.Errorf("adapters: executor: %d tasks wait: %w", e.limit, api.ErrResourceExhausted)
	}
	if e.tasks.Len() == e.tasks.Cap() {
		e.tasks.resize(2 * e.tasks.Cap())
	}
	e.tasks.Enqueue(task)
	e.more.Signal()
	return nil
}

// NumWorkers returns the number of workers asked for; 0 after Close.
func (e *ExecutorAdapter) NumWorkers() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wanted
}

// Resize changes the number of workers (less than 1 means 1). New ones start at once, surplus ones end after their
// current task. After Close it does nothing. Any goroutine.
func (e *ExecutorAdapter) Resize(workers int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.wanted = max(workers, 1)
	for ; e.running < e.wanted; e.running++ {
		go e.work()
	}
	e.more.Broadcast()
}

// Close runs what is queued, refuses what comes later, and returns when the last worker has ended. Closing twice is
// harmless. Any goroutine but a task, which would wait for itself.
func (e *ExecutorAdapter) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.wanted = 0
	e.more.Broadcast()
	for e.running > 0 {
		e.none.Wait()
	}
}

// work is the life of one worker.
func (e *ExecutorAdapter) work() {
	returned := false
	defer func() {
		if !returned { // a task called runtime.Goexit: this goroutine ends, its work goes on in another
			go e.work()
		}
	}()
	if e.cpus != nil {
		if restore, err := numa.BindThread(e.cpus); err == nil {
			defer restore()
		} else {
			slog.Warn("worker runs unbound", "error", err)
		}
	}
	for task := e.next(); task != nil; task = e.next() {
		run(task)
	}
	returned = true
}

// next waits for a task. nil tells the worker to end; it is counted as gone by then.
func (e *ExecutorAdapter) next() func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		surplus := e.running > e.wanted
		if surplus && !e.closed {
			break
		}
		if task, ok := e.tasks.Dequeue(); ok {
			return task
		}
		if e.closed {
			break
		}
		e.more.Wait()
	}
	e.running--
	if e.running == 0 {
		e.none.Broadcast()
	}
	return nil
}

// run calls task and reports its panic.
func run(task func()) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.Error("task panicked", "panic", cause, "stack", report.Stack())
		}
	}()
	task()
}
