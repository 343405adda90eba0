package adapters

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/momentics/hioload-ws/protocol"
)

// netMessage is the most bytes that go into one message of a net.Conn over a WebSocket.
const netMessage = 32 << 10

// netConn is a WebSocket connection as a net.Conn.
type netConn struct {
	conn    *protocol.WSConnection
	remote  net.Addr
	reading *timedLock
	writing *timedLock
	reader  contextReader // of the message under way; nil: none. Under reading
}

type contextReader interface {
	ReadContext(ctx context.Context, p []byte) (int, error)
}

// NetConn returns a byte stream over c: what protocols that expect a net.Conn speak through a WebSocket. It takes c's
// messages over (SetHandler(nil)), so a handler calls it at the api.OpenEvent, and hands the result to a goroutine: none of
// its methods may be called on the loop but Close, SetDeadline and its like, and the addresses.
//
// Write sends binary messages of at most 32 KiB and waits as WSConnection.Write does; Read reads text and binary alike,
// with no regard to where messages end. Both may be called by many goroutines, one of which has its turn at a time. A
// deadline that passes gives os.ErrDeadlineExceeded and leaves the stream as it was. Read returns io.EOF when the peer has
// closed in good order, else a *protocol.CloseError.
//
// Close begins the closing handshake behind what was written, with status code 1000, and does not wait for it; what the peer
// sends from then on is lost. There is no CloseWrite: WebSockets have no half-closed state (RFC 6455 section 1.4).
func NetConn(c *protocol.WSConnection) net.Conn {
	c.SetHandler(nil)
	remote := c.RemoteAddr()
	if remote == nil {
		remote = netAddr{}
	}
	return &netConn{conn: c, remote: remote, reading: newTimedLock(), writing: newTimedLock()}
}

func (n *netConn) Read(p []byte) (int, error) {
	ctx, err := n.reading.lock()
	if err != nil {
		return 0, n.failure("read", err)
	}
	defer n.reading.unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n.reader == nil {
			_, r, err := n.conn.NextReader(ctx)
			if err != nil {
				return 0, n.failure("read", causeOf(ctx, err))
			}
			n.reader = r.(contextReader)
		}
		got, err := n.reader.ReadContext(ctx, p)
		if err == io.EOF {
			n.reader = nil
			continue
		}
		return got, n.failure("read", causeOf(ctx, err))
	}
}

func (n *netConn) Write(p []byte) (written int, err error) {
	ctx, err := n.writing.lock()
	if err != nil {
		return 0, n.failure("write", err)
	}
	defer n.writing.unlock()
	for written < len(p) {
		part := p[written:min(written+netMessage, len(p))]
		if err := n.conn.Write(ctx, protocol.OpcodeBinary, part); err != nil {
			return written, n.failure("write", causeOf(ctx, err))
		}
		written += len(part)
	}
	return written, nil
}

// Close ends the waiting of all others. The second call returns net.ErrClosed.
func (n *netConn) Close() error {
	if !n.reading.close() {
		return n.failure("close", net.ErrClosed)
	}
	n.writing.close()
	return n.failure("close", n.conn.Close())
}

func (n *netConn) LocalAddr() net.Addr  { return netAddr{} }
func (n *netConn) RemoteAddr() net.Addr { return n.remote }

func (n *netConn) SetDeadline(t time.Time) error {
	return errors.Join(n.SetReadDeadline(t), n.SetWriteDeadline(t))
}

func (n *netConn) SetReadDeadline(t time.Time) error {
	return n.failure("set", n.reading.setDeadline(t))
}
func (n *netConn) SetWriteDeadline(t time.Time) error {
	return n.failure("set", n.writing.setDeadline(t))
}

// failure says where err happened, as package net does. io.EOF is what it is.
func (n *netConn) failure(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: netAddr{}.Network(), Addr: n.remote, Err: err}
}

// causeOf returns why ctx has ended, if that is what err is about.
func causeOf(ctx context.Context, err error) error {
	if err != nil && err == ctx.Err() {
		return context.Cause(ctx)
	}
	return err
}

// netAddr is an address that nobody has kept.
type netAddr struct{}

func (netAddr) Network() string { return "websocket" }
func (netAddr) String() string  { return "unknown" }
