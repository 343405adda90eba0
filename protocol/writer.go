package protocol

import (
	"context"
	"fmt"
	"io"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// fragmentSize is how many bytes of a message that is written in pieces go into one frame.
const fragmentSize = 32 << 10

var errWriterClosed = fmt.Errorf("protocol: the message has been finished: %w", io.ErrClosedPipe)

// NextWriter begins a message of OpcodeText or OpcodeBinary that is sent while it is being written: each Write sends what
// it is given, in frames of up to 32 KiB (RFC 6455 section 5.4), and waits until less than the high mark is unsent. Close
// finishes the message and has to be called. The writer is an io.ReaderFrom; it belongs to one goroutine at a time.
//
// There is one such message at a time: NextWriter and Write of others wait for their turn, Send, SendFrame and SendPrepared
// are refused once the first frame has been sent, and what is published to the connection waits. Pings and pongs, and a
// close frame, may come in between.
//
// ctx bounds all waiting, as for Write. When it has ended, the connection has, or the source of ReadFrom has failed, the
// rest of the message can't be sent, and no message must look whole that is not: Close then closes the connection with
// CloseInternalServerErr, unless nothing was sent yet, and returns why.
func (c *WSConnection) NextWriter(ctx context.Context, opcode byte) (io.WriteCloser, error) {
	if opcode != OpcodeText && opcode != OpcodeBinary {
		return nil, badOpcode(opcode)
	}
	r, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	return &messageWriter{conn: c, ctx: ctx, room: r, opcode: opcode}, nil
}

// messageWriter writes one message. Until it is closed it has the turn.
type messageWriter struct {
	conn   *WSConnection
	ctx    context.Context
	room   *room
	opcode byte
	begun  bool // a frame has been sent
	closed bool
	err    error // why no more can be sent
}

func (w *messageWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(n+fragmentSize, len(p))]
		if err := w.send(part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// ReadFrom sends what src has, each read in a frame of its own.
func (w *messageWriter) ReadFrom(src io.Reader) (n int64, err error) {
	buffer := make([]byte, fragmentSize)
	for {
		got, err := src.Read(buffer)
		if got > 0 {
			if err := w.send(buffer[:got]); err != nil {
				return n, err
			}
			n += int64(got)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			w.fail(fmt.Errorf("protocol: the source of a message has failed: %w", err))
			return n, err
		}
	}
}

// send sends a frame, which is not the last.
func (w *messageWriter) send(part []byte) error {
	if w.closed {
		return errWriterClosed
	}
	if w.err == nil {
		w.fail(w.conn.awaitRoom(w.ctx, w.room))
	}
	if w.err == nil {
		w.fail(w.queue(part))
	}
	return w.err
}

func (w *messageWriter) queue(part []byte) error {
	c := w.conn
	if w.begun {
		return c.sendError(c.conn.SendAbove(csrc.SendContinuation|csrc.SendPartial, part))
	}
	first := func() error { return c.conn.SendAbove(w.opcode|csrc.SendPartial, part) }
	result := make(chan error, 1)
	if err := c.shard.loop.Do(func() { result <- c.beginPartial(first) }); err != nil { // there: see sendWhole
		return api.ErrTransportClosed
	}
	err := <-result
	w.begun = err == nil
	return err
}

func (w *messageWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *messageWriter) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	defer w.room.endTurn()
	c := w.conn
	switch {
	case w.err != nil:
	case w.begun:
		if w.fail(c.sendError(c.conn.SendAbove(csrc.SendContinuation, nil))); w.err == nil {
			c.endPartial()
		}
	default:
		w.fail(c.sendWhole(func() error { return c.conn.SendAbove(w.opcode, nil) }))
	}
	if w.err != nil && w.begun {
		_ = c.close(CloseInternalServerErr, "a message was cut short") // fails when it is closing
	}
	return w.err
}
