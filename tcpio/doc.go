// Package tcpio is a TCP server that calls functions when something happens on its connections, instead of keeping a
// goroutine for each.
//
//	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
//		Addr: ":8080",
//		OnConnEvent: func(conn net.Conn) error {
//			n, err := conn.Read(buf) // something is there: data, the end, or an error
//			if err != nil {
//				return err // closes conn, and goes to OnErrorEvent
//			}
//			_, err = conn.Write(buf[:n])
//			return err
//		},
//		OnErrorEvent: func(err error) { log.Print(err) },
//	})
//	...
//	listener.Start() // until somebody closes the listener
//
// # Three ways to serve a connection
//
// OnConnEvent is called when a connection is readable, and reads by itself; conn is a [*Conn]. It is the simplest, and
// costs a system call for each Read and each Write.
//
// OnData is handed the bytes that have come, where the loop has received them; conn is a [*Stream]. Write puts bytes
// into a queue, and all that is written in one turn of the loop leaves with one system call per connection: the fastest
// way by far where messages are small and many. With Framing, [Lines], [LengthPrefix] or one of your own, OnData is
// handed whole messages, and [WriteMessage] writes them.
//
// With OnOpen alone, connections belong to goroutines that it starts: they use conn, a [*Conn], as they would one of
// package net.
//
// # Readiness
//
// OnConnEvent is level-triggered: as long as something is unread it is called again, so it need not read everything. It
// is not called when a connection is accepted. Once Read has returned io.EOF it is not called any more; who returns nil
// then keeps the connection for writing, and closes it in the end.
//
// With EdgeTriggered it is called when a connection becomes readable, and again only after somebody has read all there
// was, as a Read has that gets less than it has asked for, or a [Conn.TryRead] that returns [ErrWouldBlock]. That suits
// callbacks that hand connections to goroutines of a pool. [Conn.SetReading] stops calls altogether for a while.
//
// # Callbacks
//
// Those of one connection run one at a time, on the goroutine of its loop: OnOpen first, OnClose last, each once. While
// a callback runs, the other connections of its loop wait, so it should not block. A new connection goes to the loop
// that has the fewest; with one loop, which is the default, all callbacks run one at a time.
//
// In OnConnEvent a Read that finds nothing waits for its connection, up to its deadline, and so does a Write to a peer
// that does not read. The loop waits with them, but cannot be deadlocked: such a wait depends on nothing that a loop
// does, and it ends when another goroutine closes the connection. Set ReadTimeout and WriteTimeout, which bound it.
//
// An error that a callback returns closes its connection, in good order: what was written arrives, even if the peer has
// sent more than was read. It goes to OnErrorEvent and to OnClose as it is. So does a panic, as a [*PanicError], which
// is also logged; it costs its connection and nothing else.
//
// # Closing
//
// [Conn.Close] is at once, as that of package net; [Stream.Close] first sends what was written. [Listener.Close], or
// closing what GetListener returns, closes all connections and has Start return; [Listener.Shutdown] lets them finish.
//
// # TLS
//
// Wrap puts a layer on each connection: it runs on a goroutine of that connection, where crypto/tls may take its time
// for a handshake, within HandshakeTimeout, without holding up the loop. The callbacks of the connection then run on
// that goroutine, with what Wrap has returned: OnConnEvent is level-triggered by what the layer has to read, OnData
// gets what it has read, and blocking holds up nobody else.
//
//	Wrap: func(conn net.Conn) (net.Conn, error) {
//		secure := tls.Server(conn, config)
//		return secure, secure.Handshake()
//	},
//
// # Limits
//
// Everything that a peer could make grow is bounded: connections (MaxConns), what is received at a time (ReadBuffer), a
// message (Lines.Max, LengthPrefix.Max), what is written and not taken (WriteBuffer stops reading, MaxUnsent fails
// Write), and, once it is set, time (the time-outs). When descriptors run out, accepting rests for a moment, which is
// reported, and clients wait in the kernel's queue.
//
// Linux only.
package tcpio
