package tcpio

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// Conn is a connection in OnConnEvent's mode, the net.Conn that callbacks get (and Wrap). All methods are safe from
// any goroutine, unless they say otherwise. Read and Write wait as those of a *net.TCPConn do, with deadlines, and Close ends the wait; no thread
// is held meanwhile, and nothing but the caller waits: so does, in a callback, the caller's loop. Errors have the shape
// that package net gives them: *net.OpError around net.ErrClosed, os.ErrDeadlineExceeded or a system call's error, and
// a bare io.EOF.
type Conn struct {
	ends
	worker   *worker
	fd       int
	gate     gate // who uses fd
	watch    loop.Conn
	in, out  side
	activity activity
	ended    atomic.Bool // Read has returned io.EOF
	paused   atomic.Bool // SetReading(false)
	value    any

	writing sync.Mutex    // held by one Write at a time, so that they do not mix
	moved   time.Duration // when that one last got rid of something

	// mu guards what follows, and orders changes of what is watched with the state that they come from.
	mu    sync.Mutex
	file  *os.File // fd as Go's poller knows it, once somebody has waited; see await
	raw   syscall.RawConn
	cause error // why it was closed
	told  bool  // OnErrorEvent has heard of it
	armed bool  // the loop watches for something to read
	left  int   // bytes to be read after gate.drain

	layer *layer // what Wrap is to put on top; nil: there is no Wrap

	// The loop's:
	lingering bool // closed in good order, waiting for the peer to close, too
	finished  bool // the descriptor may stand for something else by now
}

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)

// Read reads what is there, at most len(p) bytes, and waits when nothing is: up to the deadline, or to ReadTimeout and
// its like. io.EOF is the end of the stream.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p, true)
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

// TryRead is Read that does not wait: when nothing is there, the error is ErrWouldBlock.
func (c *Conn) TryRead(p []byte) (int, error) {
	n, err := c.read(p, false)
	if err != nil && err != io.EOF && err != ErrWouldBlock {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *Conn) read(p []byte, wait bool) (int, error) {
	if !c.gate.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	switch {
	case len(p) == 0:
		return 0, nil
	case c.in.expired():
		return 0, os.ErrDeadlineExceeded
	case c.gate.isDraining():
		return c.readLast(p)
	}
	n, err := netfd.Read(c.fd, p)
	if err == syscall.EAGAIN {
		c.rearm()
		if !wait {
			return 0, ErrWouldBlock
		}
		if n, err = c.readLater(p); err == errDraining {
			return c.readLast(p)
		}
	}
	return c.took(n, len(p), err)
}

// readLater reads when something has come.
func (c *Conn) readLater(p []byte) (n int, err error) {
	awaited := c.await(&c.in, func(fd uintptr) bool {
		n, err = netfd.Read(int(fd), p)
		return err != syscall.EAGAIN
	})
	if awaited != nil {
		return 0, awaited
	}
	return n, err
}

// took notes the result of reading.
func (c *Conn) took(n, asked int, err error) (int, error) {
	switch {
	case n > 0:
	case c.gate.isShut():
		return 0, net.ErrClosed // whatever Close has done to the socket meanwhile
	case err != nil:
		return 0, err
	default:
		c.ended.Store(true)
		return 0, io.EOF
	}
	if c.worker.timed {
		c.heard()
	}
	if n < asked || c.worker.listener.options.EdgeTriggered && c.nothing() {
		c.rearm() // that was all
	}
	return n, nil
}

// nothing tells whether all that has come was read.
func (c *Conn) nothing() bool {
	if c.gate.isDraining() {
		return c.drained()
	}
	return netfd.Unread(c.fd) == 0
}

// heard notes that the peer has sent something.
func (c *Conn) heard() {
	if c.layer == nil {
		c.activity.begun.Store(true)
	}
	c.activity.received.Store(now())
}

// readLast is read when Shutdown has set where the input ends. It never waits.
func (c *Conn) readLast(p []byte) (int, error) {
	n, err := c.takeLast(p)
	return c.took(n, len(p), err)
}

func (c *Conn) takeLast(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left > 0 {
		n, err = netfd.Read(c.fd, p[:min(len(p), c.left)])
		if err == syscall.EAGAIN {
			err = nil // another Read was under way when the end was set
		}
	}
	c.left -= n
	if n == 0 {
		c.left = 0
	}
	return n, err
}

// Write writes all of p, and waits while the peer takes no more: up to the deadline, or until WriteTimeout has passed
// without progress, which closes the connection. n says how much was written when it fails.
func (c *Conn) Write(p []byte) (n int, err error) {
	n, err = c.write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *Conn) write(p []byte) (n int, err error) {
	if !c.gate.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	c.writing.Lock()
	defer c.writing.Unlock()
	switch {
	case c.gate.isShut():
		return 0, net.ErrClosed
	case c.out.expired():
		return 0, os.ErrDeadlineExceeded
	}
	n, err = c.put(c.fd, p)
	if err == syscall.EAGAIN {
		var more int
		more, err = c.putLater(p[n:])
		n += more
	}
	switch {
	case err == nil:
	case c.gate.isShut():
		err = net.ErrClosed // whatever Close has done to the socket meanwhile
	case err == ErrWriteTimeout:
		c.end(c.opError("write", err), abrupt)
	}
	return n, err
}

// putLater writes all of p, as the peer makes room for it.
func (c *Conn) putLater(p []byte) (n int, err error) {
	c.moved = now()
	awaited := c.await(&c.out, func(fd uintptr) bool {
		var more int
		more, err = c.put(int(fd), p[n:])
		n += more
		return err != syscall.EAGAIN
	})
	if awaited != nil {
		err = awaited
	}
	return n, err
}

// put writes until nothing is left or the kernel takes no more, which is syscall.EAGAIN.
func (c *Conn) put(fd int, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = netfd.Send(fd, p[n:])
		n += more
	}
	if n > 0 {
		c.progress()
	}
	return n, err
}

// LocalAddr is the *net.TCPAddr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the *net.TCPAddr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Value is what SetValue has set: whatever the program wants to keep with the connection. It belongs to the callbacks
// of the connection.
func (c *Conn) Value() any { return c.value }

// SetValue sets Value.
func (c *Conn) SetValue(v any) { c.value = v }

// SetReading stops or resumes OnConnEvent. What arrives meanwhile waits in the kernel, and TCP holds up the peer. Beneath
// a Wrap, whose layer reads on its own, it fails with ErrWrapped.
func (c *Conn) SetReading(on bool) error {
	if c.layer != nil {
		return c.opError("set", ErrWrapped)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate.isShut() {
		return c.opError("set", net.ErrClosed)
	}
	c.paused.Store(!on)
	c.arm(on && c.watched() && !c.ended.Load())
	if on && c.gate.isDraining() {
		_ = c.worker.loop.Do(c.again) // or it would not hear that there is no more to come
	}
	return nil
}
