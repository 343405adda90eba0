// Package reactor calls functions when file descriptors become ready: sockets, pipes, eventfds, terminals, whatever the
// kernel can wait for.
//
//	r, err := reactor.NewReactor()
//	...
//	err = r.Register(fd, reactor.EventRead, func(fd uintptr, events reactor.FDEventType) {
//		n, err := syscall.Read(int(fd), buf) // one read is enough: what is left is reported again
//		...
//	})
//	for err == nil {
//		err = r.Poll(-1)
//	}
//
// # Readiness
//
// Events are level-triggered: as long as a descriptor is readable (writable) and registered for that, each Poll says so.
// A callback that neither reads nor unregisters is called again at once. Make descriptors non-blocking, and treat EAGAIN
// as "not yet": somebody else may have been faster.
//
// EventError needs no asking for. It means that the descriptor is in an error state or hung up for good, and comes
// together with those of EventRead and EventWrite that were asked for, because a read or write will not block now and
// tells what happened. Since this state lasts, the callback has to unregister sooner or later.
// A stream whose peer has only finished sending is not in error: it is readable, and read returns 0 bytes.
//
// # Ownership
//
// The reactor never reads, writes or closes a registered descriptor, not even in Close: it stays its owner's. The owner
// calls Unregister before closing it, because the kernel may give the number to another file a moment later. No event
// of one registration ever reaches the callback of another, whatever numbers they have. A descriptor of package net or
// os is closed when its Go object is collected: keep the object, or register a duplicate.
//
// # Goroutines
//
// Callbacks run one at a time, on the goroutine that is in Poll, and should not block: everything else on this reactor
// waits. Register, Unregister and Close may be called on any goroutine at any time, in callbacks too, for their own
// descriptor or another; a Poll that waits takes the change in at once.
//
// After Unregister has returned, no callback of that registration starts any more. When it is called by another
// goroutine than the polling one, a callback that has already started may still be running.
//
// A panic in a callback is recovered and reported to [log/slog]; its descriptor is unregistered, stays open, and all
// others live on. A callback that calls runtime.Goexit ends its registration and the goroutine that polls; another one
// may poll on.
package reactor
