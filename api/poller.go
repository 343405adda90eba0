package api

// Poller passes queued events to handlers, in batches, on the goroutine that calls Poll.
type Poller interface {
	// Poll passes up to maxEvents events on and returns how many. It does not wait for any. Calls are serialised.
	Poll(maxEvents int) (int, error)
	// Register adds a handler: it gets every event from now on, after those that were registered before.
	Register(Handler) error
	// Unregister takes a handler out again; ErrNotFound when it is not registered.
	Unregister(Handler) error
	// Stop ends the poller: Poll and Register fail from now on, what is queued is dropped. Stopping twice is harmless.
	Stop()
}
