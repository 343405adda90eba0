package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// keptCapacity is the size in bytes of a write buffer that an idle connection may keep.
const keptCapacity = 4 << 10

// Base is a [Protocol] for embedding, and what a protocol knows and does of its connection:
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
//
// Its methods are for the protocol's own, unless they say otherwise. It belongs to one connection and is not used
// again. A Protocol that embeds another as an interface hides the other's Base, which then knows of no connection:
// embed its type.
type Base struct {
	// WriteBuffer is what WriteReady has to write. It is the protocol's own: put something in and answer WritePending.
	WriteBuffer bytes.Buffer

	conn atomic.Pointer[connection] // nil: none yet
}

var (
	_ Protocol        = (*Base)(nil)
	_ TimeoutReceiver = (*Base)(nil)
)

// ConnectionMade does nothing.
func (b *Base) ConnectionMade(int, ClientInfo) {}

// DataReceived drops the data.
func (b *Base) DataReceived(Buffer) Action { return Continue }

// WriteReady writes what is in WriteBuffer and, when that is empty, has the connection read again.
func (b *Base) WriteReady() Action {
	switch done, err := b.Flush(); {
	case done:
		return ReadPending
	case err != nil:
		return Close
	}
	return Continue
}

// TimedOut closes the connection.
func (b *Base) TimedOut() Action { return Close }

// ConnectionLost does nothing.
func (b *Base) ConnectionLost() {}

// Flush writes as much of WriteBuffer as the descriptor takes, and tells whether nothing is left. A datagram socket
// sends it as one datagram, which is dropped when it cannot be sent to where it should go. Errors as for Write.
func (b *Base) Flush() (done bool, err error) {
	if b.WriteBuffer.Len() == 0 {
		return true, nil
	}
	c := b.conn.Load()
	if c == nil {
		return false, b.unbound("write")
	}
	n, err := c.write(b.WriteBuffer.Bytes())
	switch {
	case err == nil:
		b.emptied()
		return true, nil
	case errors.Is(err, ErrWouldBlock):
		b.WriteBuffer.Next(n)
		return false, nil
	case c.from != nil:
		b.emptied()
		return true, err
	}
	return false, err
}

// emptied lets go of what was in WriteBuffer, and of a large one altogether.
func (b *Base) emptied() {
	b.WriteBuffer.Reset()
	if b.WriteBuffer.Cap() > keptCapacity {
		b.WriteBuffer = bytes.Buffer{}
	}
}

// Read reads what is there, up to len(p) bytes, with one system call: for those who want more than DataReceived has
// brought. ErrWouldBlock: nothing is there yet. io.EOF: the peer sends no more; DataReceived is going to be told, too.
// Any other error ends the connection when the callback returns.
func (b *Base) Read(p []byte) (int, error) {
	if c := b.conn.Load(); c != nil {
		return c.read(p)
	}
	return 0, b.unbound("read")
}

// Write writes as much of p as the descriptor takes, with one system call. Less than all of it comes with
// ErrWouldBlock: the rest is for WriteReady. Any other error ends the connection when the callback returns. A datagram
// is written whole or not at all; on a socket that is not connected it goes to the sender of the last one received, and
// an error, which is about that one, ends nothing.
func (b *Base) Write(p []byte) (int, error) {
	if c := b.conn.Load(); c != nil {
		return c.write(p)
	}
	return 0, b.unbound("write")
}

func (b *Base) unbound(op string) error { return &net.OpError{Op: op, Net: "fd", Err: ErrNoSocket} }

// FD is the descriptor, which stays the context's; -1 before it was handed off and after ConnectionLost.
func (b *Base) FD() int {
	if c := b.conn.Load(); c != nil {
		return c.socket.FD()
	}
	return -1
}

// Info is what ConnectionMade was told. From any goroutine.
func (b *Base) Info() ClientInfo {
	if c := b.conn.Load(); c != nil {
		return c.info
	}
	return ClientInfo{}
}

// Context is the context that the connection belongs to, nil before it was handed off. From any goroutine.
func (b *Base) Context() *Context {
	if c := b.conn.Load(); c != nil {
		return c.context
	}
	return nil
}

// Closed tells whether the connection is closed, or about to be: no method but ConnectionLost is called any more. From
// any goroutine.
func (b *Base) Closed() bool {
	c := b.conn.Load()
	return c != nil && c.started() && c.over()
}

// Err tells, in ConnectionLost, what has ended the connection: an error of reading or writing, a *PanicError, ErrClosed
// when the context was closed; nil when it was closed as it should be, by either end.
func (b *Base) Err() error {
	if c := b.conn.Load(); c != nil {
		return c.socket.Err()
	}
	return nil
}

// SetTimeout has TimedOut called once, d from now, whatever was set before; see Loop.SetTimeout. From any goroutine.
// The error is ErrNoSocket.
func (b *Base) SetTimeout(d time.Duration) error {
	return b.time("set timeout", func(s *Socket) error { return s.SetTimeout(d) })
}

// CancelTimeout has it not be called after all. From any goroutine. The error is ErrNoSocket.
func (b *Base) CancelTimeout() error { return b.time("cancel timeout", (*Socket).CancelTimeout) }

// time sets the timer, which is the protocol's until the connection closes.
func (b *Base) time(op string, set func(*Socket) error) error {
	c, err := b.bound(op)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		return fmt.Errorf("reactor: %s: %w", op, ErrNoSocket)
	}
	return set(c.socket)
}

// Close closes the connection as the [Action] of that name does. From any goroutine. The error is ErrNoSocket: it is
// closed already, or was given back.
func (b *Base) Close() error { return b.Post(func() Action { return Close }) }

// Abort closes the connection at once: its next and last callback is ConnectionLost. A stream with unread input is
// reset, and what is on its way to the peer may be lost. From any goroutine. The error is ErrNoSocket.
func (b *Base) Abort() error {
	if c := b.conn.Load(); c != nil && c.started() {
		return c.socket.Close()
	}
	return b.unbound("close")
}

// Post has f called like one of the protocol's methods, after those that are due: on the loop's goroutine, its answer
// being what is to happen next. From any goroutine: it is how another one, or another connection, has something written
// or closed. f is not called when the connection ends before. The error is ErrNoSocket or ErrClosed, or ErrInvalid for
// a nil f.
func (b *Base) Post(f func() Action) error {
	c, err := b.bound("post")
	switch {
	case err != nil:
		return err
	case f == nil:
		return fmt.Errorf("reactor: post: %w: nil function", ErrInvalid)
	}
	return c.socket.loop.Post(func() { c.invoke(f) })
}

// Release gives the descriptor back to the caller, open and non-blocking; no method is called any more, not even
// ConnectionLost. ErrNoSocket; ErrBusy on another goroutine while a method is running, which may be using it.
func (b *Base) Release() (fd int, err error) {
	c, err := b.bound("release")
	if err != nil {
		return -1, err
	}
	return c.release()
}

// bound is the connection, if it is there and not over.
func (b *Base) bound(op string) (*connection, error) {
	if c := b.conn.Load(); c != nil && c.started() && !c.over() {
		return c, nil
	}
	return nil, fmt.Errorf("reactor: %s: %w", op, ErrNoSocket)
}

// base finds the Base in a Protocol that embeds one.
func (b *Base) base() *Base { return b }
