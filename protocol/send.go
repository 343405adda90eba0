package protocol

import (
	"fmt"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// ErrBackpressure is returned for what was not queued because the peer has left so much unread that the limit is reached,
// Config.SendLimit of a server. It matches api.ErrResourceExhausted. The connection lives; room is told of by an
// api.DrainEvent, and Write waits for it.
var ErrBackpressure = fmt.Errorf("protocol: the peer takes too little: unsent output has reached its limit: %w",
	api.ErrResourceExhausted)

// Errors of sending, made once.
var (
	errHandled  = fmt.Errorf("protocol: a handler takes the messages: %w", api.ErrNotSupported)
	errOnLoop   = fmt.Errorf("protocol: waiting on the loop's own goroutine: %w", api.ErrNotSupported)
	errStreamed = fmt.Errorf("protocol: messages of this connection come in pieces: %w", api.ErrNotSupported)
	errPartial  = badFrame("the fragmented message under way has to be finished first")
	errFragment = badFrame("a continuation frame without a message to continue")
)

// SlowConsumerPolicy says what becomes of a connection whose unsent output has reached its limit; TopicPolicy does
// for what is published.
type SlowConsumerPolicy uint8

const (
	// SlowConsumerRefuse: what there is no room for is refused with ErrBackpressure, and the connection goes on.
	SlowConsumerRefuse SlowConsumerPolicy = iota
	// SlowConsumerClose: so it is, and the connection is closed with ClosePolicyViolation behind what is queued.
	SlowConsumerClose
)

// Send queues a message, OpcodeText or OpcodeBinary; p may be reused as for SendFrame, and text has to be UTF-8. It never
// waits: ErrBackpressure when too much is unsent already, and the rest as for SendFrame. Nothing was queued then.
func (c *WSConnection) Send(opcode byte, p []byte) error {
	if opcode != OpcodeText && opcode != OpcodeBinary {
		return badOpcode(opcode)
	}
	if !c.shard.loop.OnLoop() {
		return c.sendWhole(func() error { return c.conn.Send(opcode, p) })
	}
	if err := c.mayBegin(); err != nil {
		return err
	}
	return c.sendError(c.conn.SendHere(opcode, p))
}

func badOpcode(opcode byte) error {
	return badFrame("a message is sent with OpcodeText or OpcodeBinary, not %#x", opcode)
}

// sendWhole calls send, which queues a whole text or binary message, unless one in fragments is under way, between whose
// frames it may not come (RFC 6455 section 5.4).
//
// Looking at statePartial and sending is one step to NextWriter, which begins its message on the loop's goroutine: senders
// there need nothing more, all others hold a lock for reading that it takes for writing. SendFrame begins on its caller's
// goroutine, so a message sent on the loop may come behind its first fragment: keeping these apart is up to the caller.
func (c *WSConnection) sendWhole(send func() error) error {
	if !c.shard.loop.OnLoop() {
		c.shard.fragments.RLock()
		defer c.shard.fragments.RUnlock()
	}
	if err := c.mayBegin(); err != nil {
		return err
	}
	return c.sendError(send())
}

// mayBegin tells what keeps a message from being sent.
func (c *WSConnection) mayBegin() error {
	state := c.state.Load()
	if state&(stateClosing|stateEnded) != 0 {
		return api.ErrTransportClosed
	}
	if state&statePartial != 0 {
		return errPartial
	}
	return nil
}

// beginPartial calls send, which queues the first frame of a message in fragments, and keeps whole messages out until
// endPartial.
func (c *WSConnection) beginPartial(send func() error) error {
	c.shard.fragments.Lock()
	defer c.shard.fragments.Unlock()
	if c.state.Load()&(stateClosing|stateEnded) != 0 {
		return api.ErrTransportClosed
	}
	if !c.setState(statePartial, true) {
		return errPartial
	}
	err := c.sendError(send())
	if err != nil {
		c.setState(statePartial, false)
	}
	return err
}

// endPartial is called when the last frame of a message in fragments has been queued.
func (c *WSConnection) endPartial() {
	c.setState(statePartial, false)
	c.resumeTopics()
}

// SendFrame queues a frame. The payload may be reused as soon as it returns, unless it lies in the message that is being
// handled: that is referred to, not copied, and must not be changed any more, though it may be released. It does not wait:
// a slow peer makes the queue grow, up to a limit.
//
// A message may be sent in fragments: a frame of OpcodeText or OpcodeBinary that is not final, then frames of
// OpcodeContinuation, the last of them final. Control frames may come in between; another text or binary frame is refused
// until then. Keeping the goroutines apart that take part in this at the same time is up to the caller; NextWriter does so
// by itself.
//
// Text has to be UTF-8; that is not checked here. OpcodeClose begins the closing handshake as Close does, with the status
// code and reason in the payload. Errors match api.ErrTransportClosed when the connection is closing or closed,
// api.ErrInvalidArgument for a frame that may not be sent, and are ErrBackpressure when the peer has left more than the
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
	if f.Opcode != OpcodeContinuation {
		if f.IsFinal {
			return c.sendWhole(func() error { return c.conn.Send(f.Opcode, f.Payload) })
		}
		return c.beginPartial(func() error { return c.conn.Send(f.Opcode|csrc.SendPartial, f.Payload) })
	}
	if c.state.Load()&statePartial == 0 {
		return errFragment
	}
	kind := byte(csrc.SendContinuation)
	if !f.IsFinal {
		kind |= csrc.SendPartial
	}
	err := c.sendError(c.conn.Send(kind, f.Payload))
	if err == nil && f.IsFinal {
		c.endPartial()
	}
	return err
}

// sendError turns an error of the loop into one of this package.
func (c *WSConnection) sendError(err error) error {
	if err == nil {
		return nil
	}
	return c.sendFailed(err)
}

func (c *WSConnection) sendFailed(err error) error {
	switch err {
	case loop.ErrClosed, loop.ErrLoopClosed:
		return api.ErrTransportClosed
	case loop.ErrQueueFull:
		c.tooSlow()
		return ErrBackpressure
	}
	return fmt.Errorf("protocol: send: %w", err)
}

// tooSlow deals with a peer that has left unsent output reach its limit.
func (c *WSConnection) tooSlow() {
	e := c.shard.endpoint
	e.queueFull.Add(1)
	_ = c.awaitDrain() // fails when it has closed. Without it, output that never reached the high mark would not drain
	if e.config.SlowConsumer == SlowConsumerClose && c.close(ClosePolicyViolation, "reads too slowly") == nil {
		e.slowClosed.Add(1)
	}
}

// Buffered returns how many bytes wait to be sent: those that were queued and that the kernel has not taken.
func (c *WSConnection) Buffered() int64 { return int64(c.conn.Queued()) }
