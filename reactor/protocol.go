package reactor

// Protocol is what a connection of a [Context] does: each connection has one of its own, which the context's [Factory]
// has made. Embed [Base] and write the methods that you need.
//
// The methods are called by the connection's loop, one at a time, on the loop's goroutine, and should not block:
// everything else on the loop waits. A panic in one of them closes the connection and is reported to Options.Logger; so
// does runtime.Goexit, and an answer that is no [Action]. A Protocol may be a [LowPriority], too, and is asked between
// ConnectionMade and the end.
//
// A connection reads or writes, one of the two at a time: as long as it waits for room to write, nothing is read from
// it. So a peer that sends without reading is held up by the kernel, and not by a growing buffer. It reads at first.
type Protocol interface {
	// ConnectionMade comes first. What it puts into the WriteBuffer of a [Base] is sent. The descriptor is the
	// context's, and open until ConnectionLost has returned.
	ConnectionMade(fd int, info ClientInfo)

	// DataReceived gets what one read has brought, or one datagram. Empty data (of a stream) says that the peer sends
	// no more. It is said once: a protocol that then answers WritePending may write on, until it answers ReadPending,
	// and with any other answer the connection is closed.
	DataReceived(data Buffer) Action

	// WriteReady is called while the connection waits for room to write and there is some: as soon as a method has
	// answered WritePending, because there mostly is, and then whenever the kernel says so.
	WriteReady() Action

	// ConnectionLost comes last, whichever way the connection has ended, exactly once if ConnectionMade was called. The
	// descriptor is closed when it returns, so that until then its number is nobody else's.
	ConnectionLost()
}

// TimeoutReceiver is a Protocol that wants to be told of the time set with [Base.SetTimeout]. [Base] is one, and
// answers Close.
type TimeoutReceiver interface {
	TimedOut() Action
}

// ShutdownReceiver is a Protocol that wants to be told of [Context.Shutdown], to say goodbye or to end when it is idle:
// Shutdown waits for it to end by itself.
type ShutdownReceiver interface {
	ShuttingDown() Action
}

// Factory makes the Protocol of a connection. It is called by Handoff and its kin on their goroutines, so possibly by
// several at once.
type Factory func() Protocol
