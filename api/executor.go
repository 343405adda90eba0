package api

// Executor runs functions on a pool of workers. All methods are safe for use by many goroutines.
type Executor interface {
	// Submit queues task. It fails when the executor is closed or its queue is full; it never waits.
	Submit(task func()) error
	// NumWorkers returns the number of workers asked for.
	NumWorkers() int
	// Resize changes the number of workers; less than 1 means 1. Surplus workers end after their current task.
	Resize(workers int)
}

// Scheduler runs functions at a later time.
type Scheduler interface {
	// Schedule runs fn once, delayNanos nanoseconds from now.
	Schedule(delayNanos int64, fn func()) (Cancelable, error)
	// Cancel is c.Cancel().
	Cancel(c Cancelable) error
	// Now returns the scheduler's monotonic time in nanoseconds.
	Now() int64
}

// Cancelable is something under way that can be called off.
type Cancelable interface {
	// Cancel calls it off; an error when it is too late for that.
	Cancel() error
	// Done is closed when it has finished or was called off.
	Done() <-chan struct{}
	// Err is nil before Done is closed and after a normal end, and otherwise tells why it ended.
	Err() error
}

// GracefulShutdown is something that can be ended in good order.
type GracefulShutdown interface {
	// Shutdown finishes what is under way, frees every resource and returns what went wrong.
	Shutdown() error
}
