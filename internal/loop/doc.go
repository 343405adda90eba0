// Package loop drives the C core from Go. A [Loop] is one hl_loop and the goroutine that turns it; a [Conn] is one slot
// of it (a stream, a listener, a watched descriptor, a timer) with a [Target] that is told what happens to it; a
// [Buffer] is a counted view of received bytes.
//
// # Turns
//
// A turn is one call into C: it performs the operations queued since the last one, waits if nothing is ready, and comes
// back with events, which the loop hands to their targets one after the other on its own goroutine. Operations made
// there (from HandleEvent, or a function given to [Loop.Do]) are appended to the submission ring with plain stores: no
// lock, no crossing, no allocation. The same methods called on any other goroutine post a letter to the loop, which
// costs one crossing, and many letters share one wake-up.
//
// # Order
//
// All operations on one slot take effect in the order in which they were made, whoever made them: before the loop's
// goroutine appends an operation it queues the letters posted before (see "Order" in hl_loop.h).
//
// # Rules for targets
//
// HandleEvent must not block: everything else on this loop waits for it. When it panics, or calls runtime.Goexit, that
// is reported and counted, and the slot it was called for is aborted, unless it is a listener; the loop lives.
package loop
