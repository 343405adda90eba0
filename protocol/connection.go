package protocol

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// WSConnection is one WebSocket connection. All methods are safe from any goroutine; none but RecvZeroCopy waits.
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
	stateOpen    = 1 << iota // the handshake is done
	stateClosing             // our close frame is queued: nothing may be sent any more
	statePartial             // a fragmented message is being sent
	stateEnded               // the connection is over
	stateCounted             // ... and its traffic is in its shard's sum; guarded by shard.mu
)

// Errors of sending, made once.
var (
	errQueueFull = fmt.Errorf("protocol: the peer takes too little: unsent output has reached its limit: %w",
		api.ErrResourceExhausted)
	errHandled  = fmt.Errorf("protocol: a handler takes the messages: %w", api.ErrNotSupported)
	errPartial  = badFrame("the fragmented message under way has to be finished first")
	errFragment = badFrame("a continuation frame without a message to continue")
)

// SendFrame queues a frame. The payload may be reused as soon as it returns, unless it lies in the message that is being
// handled: that is referred to, not copied, and must not be changed any more, though it may be released. It does not wait: a slow peer makes the queue grow, up to a limit.
//
// A message may be sent in fragments: a frame of OpcodeText or OpcodeBinary that is not final, then frames of
// OpcodeContinuation, the last of them final. Control frames may come in between; another text or binary frame is refused
// until then. Keeping the goroutines apart that take part in this at the same time is up to the caller.
//
// Text has to be UTF-8; that is not checked here. OpcodeClose begins the closing handshake as Close does, with the status
// code and reason in the payload. Errors match api.ErrTransportClosed when the connection is closing or closed,
// api.ErrInvalidArgument for a frame that may not be sent, api.ErrResourceExhausted when the peer has left more than the
// limit unread; nothing was queued then.
func (c *WSConnection) SendFrame(f *WSFrame) error {
	if err := f.check(); err != nil {
		return err
	}
	if c.state.Load()&(stateClosing|stateEnded) != 0 {
		return api.ErrTransportClosed
	}
	switch f.Opcode {
	case OpcodeClose:
		code, reason, err := parseClose(f.Payload)
		if err != nil {
			return err
		}
		return c.close(code, reason)
	case OpcodePing, OpcodePong:
		return c.sendError(c.conn.Send(f.Opcode, f.Payload))
	}
	return c.sendData(f)
}

// sendData sends a frame of a text or binary message.
func (c *WSConnection) sendData(f *WSFrame) error {
	partial := c.state.Load()&statePartial != 0
	kind := f.Opcode
	switch {
	case f.Opcode == OpcodeContinuation && !partial:
		return errFragment
	case f.Opcode == OpcodeContinuation:
		kind = csrc.SendContinuation
	case partial:
		return errPartial
	}
	if !f.IsFinal {
		kind |= csrc.SendPartial
	}
	if err := c.conn.Send(kind, f.Payload); err != nil {
		return c.sendError(err)
	}
	if partial == f.IsFinal { // a first fragment or the last: otherwise nothing changes
		c.setState(statePartial, !partial)
		if partial {
			c.resumeTopics()
		}
	}
	return nil
}

// sendError turns an error of the loop into one of this package.
func (c *WSConnection) sendError(err error) error {
	switch err {
	case nil:
		return nil
	case loop.ErrClosed, loop.ErrLoopClosed:
		return api.ErrTransportClosed
	case loop.ErrQueueFull:
		c.shard.endpoint.queueFull.Add(1)
		return errQueueFull
	}
	return fmt.Errorf("protocol: send: %w", err)
}

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

// Close sends what is queued and then a close frame with status code 1000, and waits, in the background and for a limited
// time, for the peer to answer. It returns nil, also when the connection is closing or closed already.
func (c *WSConnection) Close() error {
	if err := c.close(CloseNormalClosure, ""); err != nil && err != api.ErrTransportClosed {
		return err
	}
	return nil
}

// close queues a close frame, the last frame there is. Code 0 repeats the peer's.
func (c *WSConnection) close(code int, reason string) error {
	if !c.setState(stateClosing, true) {
		return api.ErrTransportClosed
	}
	err := c.sendError(c.conn.Close(uint16(code), reason))
	if err != nil && err != api.ErrTransportClosed { // no memory: nothing was queued, it may be tried again
		c.setState(stateClosing, false)
	}
	return err
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
// RecvZeroCopy that waits returns what has come by now.
func (c *WSConnection) SetHandler(h api.Handler) { c.extension().setHandler(h) }

// RecvZeroCopy waits for at least one message and returns all that have come, for a connection whose messages no handler
// takes (SetHandler(nil), or a server without handler). Every buffer is the caller's to release. io.EOF when the connection
// has ended and all messages have been taken. api.ErrNotSupported when a handler takes them and none is left from before;
// also on the loop's goroutine, where waiting would wait for itself, which only builds for amd64 and arm64 can tell. When
// as many messages wait as the server's ChannelCapacity, or 1 MiB of them, no more are received until they are taken.
func (c *WSConnection) RecvZeroCopy() ([]api.Buffer, error) {
	if c.shard.loop.OnLoop() {
		return nil, fmt.Errorf("protocol: RecvZeroCopy on the loop's goroutine: %w", api.ErrNotSupported)
	}
	return c.extension().receive(c)
}

// Transport returns the connection seen as an api.Transport: Send sends binary messages, Recv copies what RecvZeroCopy
// returns.
func (c *WSConnection) Transport() api.Transport { return transport{c} }

// target returns the handler that messages go to; nil: they wait for RecvZeroCopy.
func (c *WSConnection) target() api.Handler {
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
