package tcpio

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// Close closes the connection at once: waiting Reads and Writes fail, callbacks but OnClose are over. While the
// listener shuts down, and beneath a Wrap, which says goodbye, it is in good order: the peer has the chance to read
// everything. A second Close is net.ErrClosed.
func (c *Conn) Close() error {
	how := abrupt
	if c.layer != nil || c.gate.isDraining() {
		how = orderly
	}
	if !c.end(nil, how) {
		return c.opError("close", net.ErrClosed)
	}
	return nil
}

// CloseRead shuts the receiving side down: Read returns io.EOF when what has come was read.
func (c *Conn) CloseRead() error { return c.shutdown(syscall.SHUT_RD) }

// CloseWrite shuts the sending side down: the peer reads io.EOF behind what was written.
func (c *Conn) CloseWrite() error { return c.shutdown(syscall.SHUT_WR) }

func (c *Conn) shutdown(how int) error {
	err := net.ErrClosed
	if c.gate.enter() {
		defer c.leave()
		err = os.NewSyscallError("shutdown", syscall.Shutdown(c.fd, how))
	}
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// leave ends a use of the descriptor, and closes it when that was the last.
func (c *Conn) leave() {
	if !c.gate.leave() {
		return
	}
	if c.file != nil {
		_ = c.file.Close()
	} else {
		_ = netfd.Close(c.fd)
	}
}

// manner is how a connection is closed.
type manner int

const (
	abrupt  manner = iota // now
	orderly               // when the peer had the chance to read everything
)

// end closes the connection because of cause. false: it was closed before.
func (c *Conn) end(cause error, how manner) bool {
	c.mu.Lock()
	if !c.gate.shut() {
		c.mu.Unlock()
		return false
	}
	c.cause = cause
	_ = c.schedule(&c.in) // evicts who waits
	_ = c.schedule(&c.out)
	if how == abrupt && !c.worker.loop.OnLoop() {
		_ = syscall.Shutdown(c.fd, syscall.SHUT_RDWR) // the loop may be in a callback, and the peer need not wait for it
	}
	c.mu.Unlock()
	if peerEnded := c.ended.Load() && !c.gate.isDraining(); how == abrupt || peerEnded {
		c.detach()
	} else {
		_ = c.worker.loop.Do(c.linger) // fails when the loop has ended, and this slot with it
	}
	return true
}

// why is the cause that it was closed for.
func (c *Conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// detach asks the loop to let go of the descriptor, which it answers with csrc.EvClosed.
func (c *Conn) detach() {
	if err := c.watch.Abort(false); errors.Is(err, loop.ErrNoMemory) {
		_ = c.worker.loop.Do(c.detach)
	}
}

// linger is the second half of an orderly close: it ends the output and reads on until the peer ends its own. A close
// while there is unread input would reset the connection, which can destroy what the peer has yet to read.
func (c *Conn) linger() {
	if c.finished {
		return
	}
	c.lingering = true
	if syscall.Shutdown(c.fd, syscall.SHUT_WR) != nil {
		c.detach()
		return
	}
	_ = c.watch.Reset(c.worker.listener.options.CloseTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm(true)
}

func (c *Conn) discard() {
	n, err := netfd.Read(c.fd, c.worker.scratch)
	if n == 0 && err != syscall.EAGAIN {
		c.detach()
	}
}

// tell reports what a callback has returned, which may be why the connection is closed: a time-out would be told twice.
func (c *Conn) tell(err error) {
	c.mu.Lock()
	c.told = true
	c.mu.Unlock()
	c.worker.listener.report(err)
}
