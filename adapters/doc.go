// Package adapters holds ready-made pieces for the interfaces of package api: middleware for handlers, the control
// surface, a worker pool, an event loop and a poller that pass events on in batches, a lock-free ring, processor affinity and
// a store of named values.
package adapters

import "errors"

// ErrClosed is returned by an executor, event loop or poller that has been closed.
var ErrClosed = errors.New("adapters: closed")
