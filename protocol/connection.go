package protocol

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// WSConnection is one WebSocket connection. All methods are safe from any goroutine. None waits but RecvZeroCopy and those
// that are given a context; these return an error that matches api.ErrNotSupported when they are called on the loop's
// goroutine, as handlers are unless there are workers: it would wait for itself. Only builds for amd64 and arm64 can tell.
//
// The connection answers pings by itself, and a closing handshake once everything received before it has been handled.
type WSConnection struct {
	conn    loop.Conn
	shard   *Shard
	opening atomic.Pointer[opening]   // until the OpenEvent has been handled; then the route's, which many share, or nil
	extra   atomic.Pointer[extension] // what most connections never need; made when asked for
	state   atomic.Uint32
	pieces  uint32 // that the handshake came in: the core counts them as frames received
}

// Bits of WSConnection.state.
const (
	stateOpen        = 1 << iota // the handshake is done
	stateClosing                 // our close frame is queued: nothing may be sent any more
	statePartial                 // a fragmented message is being sent
	stateEnded                   // the connection is over
	stateCounted                 // ... and its traffic is in its shard's sum; guarded by shard.mu
	stateStreamed                // messages come in pieces, for NextReader
	stateAwaitsDrain             // the loop has been asked to tell when there is room, and has not yet
)

// setState sets or clears a bit and tells whether that changed anything.
func (c *WSConnection) setState(bit uint32, on bool) bool {
	for {
		old := c.state.Load()
		changed := old | bit
		if !on {
			changed = old &^ bit
		}
		if changed == old {
			return false
		}
		if c.state.CompareAndSwap(old, changed) {
			return true
		}
	}
}

// Done returns a channel that is closed when the connection has ended and nothing more will be received.
func (c *WSConnection) Done() <-chan struct{} { return c.extension().doneChannel() }

// CloseStatus tells how the connection ended: the status code of the peer's close frame with its reason,
// CloseNoStatusReceived when that had no code, CloseAbnormalClosure when none came (RFC 6455 section 7.1.5). Before the end
// it returns 0.
func (c *WSConnection) CloseStatus() (code int, reason string) {
	x := c.extra.Load()
	if x == nil {
		return 0, ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.code, x.reason
}

// Request returns the request of the opening handshake. It is there until the handler of the api.OpenEvent has returned,
// and nil afterwards: a connection does not hold on to it, a handler may.
func (c *WSConnection) Request() *http.Request {
	if o := c.opening.Load(); o != nil {
		return o.request
	}
	return nil
}

// Context is done when the connection has ended, and carries the connection: api.FromContext gives it back. Each call
// returns the same context, which costs no memory.
func (c *WSConnection) Context() context.Context { return (*connContext)(c) }

// GetStats returns how much has been received and sent so far: bytes_received and bytes_sent with all framing and the
// handshake, frames_received and frames_sent with control frames. After the end it returns the final numbers.
func (c *WSConnection) GetStats() map[string]int64 {
	now, _ := c.conn.Stats() // fails when the connection has ended: then x.final stands in
	if x := c.extra.Load(); x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.ended { // by now its slot may be counting for another connection
			now = x.final
		}
	}
	return map[string]int64{
		"bytes_received":  int64(now.Received),
		"bytes_sent":      int64(now.Sent),
		"frames_received": int64(now.FramesReceived) - int64(c.pieces),
		"frames_sent":     max(int64(now.FramesSent)-1, 0), // the handshake's answer, once the core has taken it up
	}
}

// SetHandler gives the messages of this connection, from the next one on, to h alone: not to the server's handler, and
// not through its middleware. With nil they wait for RecvZeroCopy. Open and close events go where they always go. A
// RecvZeroCopy that waits returns what has come by now. Messages of a connection that streams them go to NextReader.
func (c *WSConnection) SetHandler(h api.Handler) { c.extension().setHandler(h) }

// RecvZeroCopy waits for at least one message and returns all that have come, for a connection whose messages no handler
// takes (SetHandler(nil), or a server without handler). Every buffer is the caller's to release. io.EOF when the connection
// has ended and all messages have been taken. api.ErrNotSupported when a handler takes them and none is left from before;
// also on the loop's goroutine, where waiting would wait for itself, which only builds for amd64 and arm64 can tell. When
// as many messages wait as the server's ChannelCapacity, or 1 MiB of them, no more are received until they are taken.
func (c *WSConnection) RecvZeroCopy() ([]api.Buffer, error) {
	if c.shard.loop.OnLoop() {
		return nil, errOnLoop
	}
	if c.state.Load()&stateStreamed != 0 {
		return nil, errStreamed
	}
	return c.extension().receive(c)
}

// Transport returns the connection seen as an api.Transport: Send sends binary messages, Recv copies what RecvZeroCopy
// returns.
func (c *WSConnection) Transport() api.Transport { return transport{c} }

// target returns the handler that messages go to; nil: they wait for RecvZeroCopy or NextReader.
func (c *WSConnection) target() api.Handler {
	if c.state.Load()&stateStreamed != 0 {
		return nil
	}
	if x := c.extra.Load(); x != nil {
		if own := x.handler.Load(); own != nil {
			return own.Handler
		}
	}
	return c.chain().messages
}

// extension returns the rarely needed part of c and makes it if need be.
func (c *WSConnection) extension() *extension {
	if x := c.extra.Load(); x != nil {
		return x
	}
	c.extra.CompareAndSwap(nil, newExtension())
	return c.extra.Load()
}
