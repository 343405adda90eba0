// Package reactor calls functions when file descriptors become ready: sockets, pipes, eventfds, terminals, whatever the
// kernel can wait for. It has three ways of doing so. A [Reactor] watches descriptors that stay their owners', and that
// is all it does. A [Loop] owns its sockets, dials and listens, and has timeouts. A [Context] owns connections, runs
// their loops, and gives each a [Protocol].
//
// # Reactor
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
// Events are level-triggered: as long as a descriptor is readable (writable) and registered for that, each Poll says
// so. A callback that neither reads nor unregisters is called again at once. Make descriptors non-blocking, and treat
// EAGAIN as "not yet": somebody else may have been faster.
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
//
// # Loop
//
//	loop, err := reactor.NewLoop(reactor.Options{})
//	...
//	defer loop.Close()
//	_, err = loop.Listen("tcp", ":8080", func(conn *reactor.Accepted) {
//		token, err := conn.Add(&session{}) // a Handler
//		...
//		loop.SetTimeout(token, time.Minute)
//	})
//	...
//	err = loop.Run(ctx)
//
// A descriptor that was added is the loop's, which closes it when its [Socket] ends: closed by its handler or by
// [Loop.Remove], after an error, after a panic, or with the loop. [Handler].OnClose is the last callback in each
// case. Only [Loop.Release] gives it back. What names a socket is its [Token], not its descriptor, whose number the
// kernel gives to another file as soon as it can: no event of one socket ever reaches the handler of another.
//
// Events are level-triggered here, too. Handlers read into one buffer that all sockets of the loop share, so thousands
// of idle connections hold no memory for what they might receive, and messages allocate none.
//
// The loop crosses into the C core once a turn, however many sockets are ready. [Loop.Add], [Loop.Dial],
// [Loop.SetTimeout] and everything else can be done in callbacks, for their own socket or another, and by any other
// goroutine. Callbacks run one at a time, and those of a heavy kind can say so ([LowPriority]) and get a bounded share
// of each turn.
//
// # Protocols
//
//	type echo struct{ reactor.Base }
//
//	func (e *echo) DataReceived(data reactor.Buffer) reactor.Action {
//		if len(data) == 0 {
//			return reactor.Close
//		}
//		e.WriteBuffer.Write(data)
//		return reactor.WritePending
//	}
//	...
//	ctx, err := reactor.NewContext(reactor.ContextOptions{Factory: func() reactor.Protocol { return &echo{} }})
//	...
//	_, err = ctx.Listen("tcp", ":8080")           // each connection gets an echo
//	err = ctx.Handoff(fd, reactor.ClientInfo{})   // so does a descriptor from elsewhere,
//	err = ctx.Adopt(conn)                         // and a connection of package net
//
// A [Context] has loops of its own, which it runs, and connections, each with a [Protocol] that its [Factory] has made.
// The protocol is told what has come in, answers with an [Action] what it waits for next, and is told when there is
// room to write. It embeds [Base], which has all the methods, a write buffer, and what one may ask of the connection.
package reactor
