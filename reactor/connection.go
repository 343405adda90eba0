package reactor

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// connection is a Protocol as the Handler of its descriptor. What is not said at hand-off belongs to the loop.
type connection struct {
	context  *Context
	protocol Protocol
	base     *Base // the protocol's, nil if it has none
	socket   *Socket
	info     ClientInfo
	fd       int

	made    bool            // ConnectionMade was called
	writing bool            // it waits for room, and not for bytes
	ended   bool            // the peer sends no more, and DataReceived knows
	from    *netfd.Sockaddr // of the last datagram; nil unless the socket is an unconnected one for datagrams
	failure error           // of the callback's Read or Write
	low     LowPriority     // the protocol, if it is one

	mu      sync.Mutex  // orders Handoff, closing, and what other goroutines ask for
	closing atomic.Bool // Close was answered; until the peer ends, too, what it sends is dropped
}

var (
	_ Handler = (*connection)(nil)
	_ Opener  = (*connection)(nil)
)

// IsLowPriority asks the protocol, which is not spoken to before ConnectionMade, nor after it has answered Close. Nobody
// asks when it is no LowPriority; see start.
func (c *connection) IsLowPriority() bool {
	return c.made && !c.closing.Load() && c.low.IsLowPriority()
}

func (c *connection) OnOpen(*Socket) {
	c.made = true
	c.protocol.ConnectionMade(c.fd, c.info)
	if c.base != nil && c.base.WriteBuffer.Len() > 0 {
		c.settle(WritePending) // this one speaks first
	} else {
		c.settle(Continue)
	}
}

// invoke calls f like a callback.
func (c *connection) invoke(f func() Action) {
	c.socket.invoke(func() {
		if c.listens() {
			c.settle(f())
		}
	})
}

func (c *connection) OnReadable(s *Socket, buffer []byte) {
	n, err := c.read(buffer)
	switch {
	case c.closing.Load():
		if err != nil && !errors.Is(err, ErrWouldBlock) {
			s.end(nil)
		}
	case err == nil:
		c.settle(c.protocol.DataReceived(buffer[:n:n]))
	case errors.Is(err, io.EOF):
		c.ended = true
		action := c.protocol.DataReceived(nil)
		if action == Continue {
			action = Close
		}
		c.settle(action)
	default: // there was nothing, or the read has failed
		c.settle(Continue)
	}
}

func (c *connection) OnWritable(s *Socket) {
	if c.listens() {
		c.settle(c.protocol.WriteReady())
	}
}

func (c *connection) OnTimeout(s *Socket) {
	if c.closing.Load() {
		s.end(nil) // the peer has had its time
	} else if t, ok := c.protocol.(TimeoutReceiver); ok {
		c.settle(t.TimedOut())
	}
}

// listens tells whether the protocol is to be told anything but that the connection is lost.
func (c *connection) listens() bool { return c.socket.calling() && !c.closing.Load() }

func (c *connection) OnClose(*Socket) {
	defer c.context.leave(c)
	if c.made {
		c.protocol.ConnectionLost()
	}
}

// started waits until Handoff has given the connection to its loop, and tells whether that went well.
func (c *connection) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket != nil
}

// over tells whether the connection is closed, closing or released.
func (c *connection) over() bool { return c.closing.Load() || c.socket.state.Load() >= stateClosing }

// settle does what a callback has answered, unless it has ended the connection, or was left with an error.
func (c *connection) settle(action Action) {
	switch {
	case !c.socket.calling():
		return
	case c.failure != nil:
		c.socket.end(c.failure)
		return
	}
	switch action {
	case Continue:
	case WritePending:
		c.startWriting()
	case ReadPending:
		c.startReading()
	case Close:
		c.close()
	default:
		panic(fmt.Sprintf("a protocol answered %v", action))
	}
}

// startWriting has WriteReady called: at once, because there is room almost always, and the kernel is only asked when
// there was none.
func (c *connection) startWriting() {
	if c.writing {
		return
	}
	c.writing = true
	if c.settle(c.protocol.WriteReady()); c.writing && c.listens() {
		c.socket.Interest(false, true)
	}
}

func (c *connection) startReading() {
	c.writing = false
	if c.ended {
		c.socket.end(nil) // there is nothing more to come
		return
	}
	c.socket.Interest(true, false)
}

// close ends the connection so that its peer may read everything: closing a socket that has unread input resets it,
// which can destroy what is on its way. Unless the peer has ended already, what it still sends is dropped until it
// does, or until the time for that is over.
func (c *connection) close() {
	s := c.socket
	connected := s.sotype == syscall.SOCK_STREAM || s.sotype == syscall.SOCK_SEQPACKET
	if c.ended || !connected {
		s.end(nil)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing.Store(true)
	s.Interest(true, false)
	if syscall.Shutdown(s.fd, syscall.SHUT_WR) != nil || s.SetTimeout(c.context.closeTimeout) != nil {
		s.end(nil)
	}
}

func (c *connection) read(p []byte) (n int, err error) {
	if c.from != nil {
		n, err = c.socket.receive(p, c.from)
	} else {
		n, err = c.socket.Read(p)
	}
	if err != nil {
		c.note(err)
	}
	return n, err
}

func (c *connection) write(p []byte) (n int, err error) {
	switch {
	case c.from == nil:
		if n, err = c.socket.Write(p); err != nil {
			c.note(err)
		}
		return n, err
	case c.from.Family() == 0:
		return c.socket.Write(p) // nobody to answer
	}
	n, err = c.socket.send(p, c.from) // an error is about this one, and no reason not to serve others
	if errors.Is(err, ErrWouldBlock) && c.from.Family() == syscall.AF_UNIX {
		// the receiver's queue is full: the socket itself stays writable, so there is no telling when it is not
		err = c.socket.failure("write", syscall.ENOBUFS)
	}
	return n, err
}

// note remembers an error after which reading or writing on makes no sense: a protocol that ignores it would be called
// for ever.
func (c *connection) note(err error) {
	if !errors.Is(err, ErrWouldBlock) && !errors.Is(err, io.EOF) {
		c.failure = err
	}
}

// shuttingDown tells the protocol, if it wants to know.
func (c *connection) shuttingDown() {
	p, ok := c.protocol.(ShutdownReceiver)
	if ok && c.started() {
		_ = c.socket.loop.Post(func() { c.invoke(p.ShuttingDown) }) // fails when the loop is closed, and with it the connection
	}
}

// release gives the descriptor back.
func (c *connection) release() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		return -1, fmt.Errorf("reactor: release: %w", ErrNoSocket)
	}
	fd, err := c.socket.release()
	if err != nil {
		return -1, fmt.Errorf("reactor: release: %w", err)
	}
	c.context.leave(c)
	return fd, nil
}

// unconnected tells whether each datagram of a socket may come from somebody else.
func unconnected(s *Socket) bool {
	if s.sotype != syscall.SOCK_DGRAM {
		return false
	}
	_, err := netfd.RemoteName(s.fd)
	return err == syscall.ENOTCONN
}
