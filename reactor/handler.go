package reactor

import "github.com/momentics/hioload-ws/csrc"

// Handler is told what happens to a socket. Its methods are called by the socket's loop, one at a time, on the
// goroutine that runs or polls it, and should not block: everything else on the loop waits. They may do anything with
// this loop and with others: add and remove sockets, this one too, dial, listen, post, stop, close.
//
// A panic in a callback closes its socket and is reported to Options.Logger; so does runtime.Goexit. The loop lives.
type Handler interface {
	// OnReadable is called while there is something to read: bytes, a datagram, the end of the stream, or an error,
	// which one call of s.Read tells. It is called again, turn after turn, until that has been read or is no longer
	// asked for (Socket.Interest); at the end of the stream or after an error the handler should call s.Close.
	//
	// buffer is there to be read into. It is one and the same for all sockets of the loop, so what the handler wants to
	// keep when it returns has to be copied.
	OnReadable(s *Socket, buffer []byte)

	// OnWritable is called once when a connection that Dial started stands, and from then on while the socket takes
	// bytes and that is asked for (Socket.Interest).
	OnWritable(s *Socket)

	// OnTimeout is called once for each time that was set (Socket.SetTimeout) and not cancelled or set anew before. The
	// socket lives on.
	OnTimeout(s *Socket)

	// OnClose is the last callback, called exactly once for each socket that was not given back (Loop.Release): after
	// Close or Remove, an error that Err then tells, a panic, or when the loop is closed. The descriptor is still open,
	// so that its number is nobody else's yet, and is closed when OnClose returns. Reading and writing is over.
	OnClose(s *Socket)
}

// Opener is implemented by handlers that want to be called before they are told anything else, to speak first for
// instance: as soon as the loop has the socket, or the connection that Dial has started stands. A socket that ends
// before, with its loop say, gets OnClose alone.
type Opener interface {
	OnOpen(s *Socket)
}

// LowPriority is implemented by handlers whose callbacks may be heavy: TLS handshakes, compression, parsing of large
// messages. It is asked before each event. While it says true, the event waits until all others of the turn have been
// dealt with, and then for its share of Options.LowPriorityBudget, first come, first served. OnClose does not wait.
type LowPriority interface {
	IsLowPriority() bool
}

// BaseHandler is a Handler for embedding in those that need only some of the methods. What nobody handles is not asked
// for again, so that forgetting a method does not keep the loop busy.
type BaseHandler struct{}

var _ Handler = BaseHandler{}

// OnReadable stops asking whether the socket is readable.
func (BaseHandler) OnReadable(s *Socket, _ []byte) { s.Interest(false, s.wants&csrc.Writable != 0) }

// OnWritable stops asking whether the socket is writable.
func (BaseHandler) OnWritable(s *Socket) { s.Interest(s.wants&csrc.Readable != 0, false) }

// OnTimeout does nothing.
func (BaseHandler) OnTimeout(*Socket) {}

// OnClose does nothing.
func (BaseHandler) OnClose(*Socket) {}
