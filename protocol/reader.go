package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// CloseError is returned by NextReader, and the readers it has returned, when the connection ended otherwise than in good
// order between two messages. It matches io.ErrUnexpectedEOF and api.ErrTransportClosed.
type CloseError struct {
	Code   int // as CloseStatus returns
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("protocol: the connection has ended with status code %d", e.Code)
	}
	return fmt.Sprintf("protocol: the connection has ended with status code %d: %q", e.Code, e.Reason)
}

// Unwrap returns io.ErrUnexpectedEOF and api.ErrTransportClosed.
func (e *CloseError) Unwrap() []error { return []error{io.ErrUnexpectedEOF, api.ErrTransportClosed} }

var errSuperseded = errors.New("protocol: NextReader has gone on to the next message")

// NextReader waits for the next message and returns its opcode and a reader of it, on a connection that streams messages
// (Config.Streaming of a server, Options.Streaming of a client) or whose messages no handler takes. A message that is
// streamed is read while it arrives, however long it is: up to 1 MiB of it, or as many pieces as the server's
// ChannelCapacity, wait in the connection, and while they do no more is received.
//
// The reader returns io.EOF at the end of the message, and is an io.WriterTo; its method ReadContext(ctx, p) waits as long
// as another context allows. What is not read of a message is skipped by the next call. NextReader and the readers belong
// to one goroutine at a time.
//
// ctx bounds the waiting of both: then the error is ctx.Err(), and nothing is lost. The error is io.EOF when the peer has
// closed with CloseNormalClosure, CloseGoingAway or no status code, or the server has shut down, behind the last message;
// a *CloseError at any other end, and always within a message; api.ErrNotSupported when a handler takes the messages, and
// on the loop.
func (c *WSConnection) NextReader(ctx context.Context) (opcode byte, r io.Reader, err error) {
	if c.shard.loop.OnLoop() {
		return 0, nil, errOnLoop
	}
	x := c.extension()
	if last := x.reader; last != nil {
		if err := last.skip(ctx); err != nil {
			return 0, nil, err
		}
	}
	x.settleAccount()
	it, err := x.take(ctx, c, false)
	if err != nil {
		return 0, nil, err
	}
	x.reader = &messageReader{conn: c, ctx: ctx}
	x.reader.set(it)
	return it.opcode, x.reader, nil
}

// messageReader reads one message.
type messageReader struct {
	conn  *WSConnection
	ctx   context.Context
	piece *loop.Buffer // that rest lies in
	rest  []byte
	last  bool  // piece is the last one
	err   error // from now on
}

func (r *messageReader) Read(p []byte) (int, error) { return r.ReadContext(r.ctx, p) }

// ReadContext is Read with another context than NextReader was given.
func (r *messageReader) ReadContext(ctx context.Context, p []byte) (int, error) {
	for len(r.rest) == 0 && len(p) > 0 {
		if err := r.advance(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo writes what is left of the message to w without copying it in between.
func (r *messageReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(r.rest) > 0 {
			written, err := w.Write(r.rest)
			n += int64(written)
			r.rest = r.rest[written:]
			if err != nil {
				return n, err
			}
			if len(r.rest) > 0 {
				return n, io.ErrShortWrite
			}
		}
		if err := r.advance(r.ctx); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// advance goes on to the next piece. Only ctx leaves the reader as it was.
func (r *messageReader) advance(ctx context.Context) error {
	if r.err != nil {
		return r.err
	}
	if r.last {
		r.finish(io.EOF)
		return io.EOF
	}
	it, err := r.conn.extension().take(ctx, r.conn, true)
	if err != nil {
		if ctx.Err() == nil {
			r.finish(err)
		}
		return err
	}
	r.set(it)
	return nil
}

func (r *messageReader) set(it item) {
	if r.piece != nil {
		r.piece.Release()
	}
	r.piece, r.rest, r.last = it.buffer, it.buffer.Bytes(), !it.more
}

// finish lets go of the last piece; from now on the reader returns err.
func (r *messageReader) finish(err error) {
	if r.piece != nil {
		r.piece.Release()
	}
	r.piece, r.rest, r.err = nil, nil, err
}

// skip reads to the end of the message.
func (r *messageReader) skip(ctx context.Context) error {
	for r.err == nil {
		if err := r.advance(ctx); err != nil && r.err == nil {
			return err
		}
	}
	r.err = errSuperseded
	return nil
}

// smallPiece is the size in bytes up to which a piece of a message is copied: it must not hold the receive buffer.
const smallPiece = 4 << 10

// piece puts a piece of a message that is streamed into the inbox.
func (c *WSConnection) piece(ev *csrc.Event) {
	it := item{kind: itemMessage, size: int(ev.Len), more: ev.Flags&csrc.More != 0, opcode: ev.Kind}
	if it.size <= smallPiece {
		if b, err := c.shard.loop.Pool().Get(it.size, -1); err == nil {
			copy(b.Bytes(), ev.Bytes())
			it.buffer = b
		}
	}
	if it.buffer == nil {
		it.buffer = c.shard.loop.Lend(ev, c.messageContext(ev.Kind))
	}
	c.extension().addMessage(c, it)
}

// settleAccount notes that whoever receives is done with what it has been given.
func (x *extension) settleAccount() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.consuming = false
}

// take waits for the next item of the inbox; within tells that a message has begun.
func (x *extension) take(ctx context.Context, c *WSConnection, within bool) (item, error) {
	if err := ctx.Err(); err != nil {
		return item{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inbox.len() == 0 && ctx.Done() != nil {
		defer context.AfterFunc(ctx, x.wakeReceivers)()
	}
	for x.inbox.len() == 0 {
		if x.farewell >= 0 {
			_ = c.close(x.farewell, "")
			x.farewell = -1
		}
		switch {
		case x.exhausted:
			return item{}, x.endError(within)
		case c.target() != nil:
			return item{}, errHandled
		case ctx.Err() != nil:
			return item{}, ctx.Err()
		}
		x.arrived.Wait()
	}
	it := x.inbox.pop()
	x.consuming = true
	x.balance(c)
	return it, nil
}

func (x *extension) wakeReceivers() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.arrived.Broadcast()
}

// endError tells why there is no more; with mu.
func (x *extension) endError(within bool) error {
	code, reason := x.peerCode, ""
	if x.ended {
		code, reason = x.code, x.reason
	}
	switch code {
	case 0: // a shutdown
		code = CloseGoingAway
		fallthrough
	case CloseNormalClosure, CloseGoingAway, CloseNoStatusReceived:
		if !within {
			return io.EOF
		}
	}
	return &CloseError{Code: code, Reason: reason}
}
