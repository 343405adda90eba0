package reactor

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"runtime/debug"
	"syscall"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// Handoff gives a descriptor to the context, which makes it non-blocking, has the factory make its Protocol, reads it,
// and closes it in the end: from now on nobody else closes it. To keep one of one's own, hand off a duplicate (DupFD).
// What info leaves empty is asked of the system.
//
// On error the descriptor stays the caller's: ErrInvalid when there is no factory or it made nothing new, a *PanicError
// when it panicked, ErrTooManySockets, ErrClosed, and what Loop.Add says.
func (c *Context) Handoff(fd int, info ClientInfo) error {
	if err := c.handoff(fd, info); err != nil {
		return fmt.Errorf("reactor: hand off fd %d: %w", fd, err)
	}
	return nil
}

func (c *Context) handoff(fd int, info ClientInfo) error {
	if fd < 0 {
		return syscall.EBADF
	}
	if err := c.room(); err != nil {
		return err
	}
	protocol, base, err := c.newProtocol()
	if err != nil {
		return err
	}
	conn := &connection{context: c, protocol: protocol, base: base, info: info.complete(fd), fd: fd}
	conn.mu.Lock() // who finds it meanwhile waits until it has started
	defer conn.mu.Unlock()
	if base != nil && !base.conn.CompareAndSwap(nil, conn) {
		return fmt.Errorf("%w: the factory made a %T that has a connection already", ErrInvalid, protocol)
	}
	l, err := c.enter(conn)
	if err == nil {
		if err = conn.start(l); err != nil {
			c.leave(conn)
		}
	}
	if err != nil {
		conn.socket = nil
		if base != nil {
			base.conn.Store(nil)
		}
		return err
	}
	c.handoffs.Add(1)
	return nil
}

// start gives the connection's descriptor to the loop.
func (c *connection) start(l *Loop) (err error) {
	if c.socket, err = l.open(c.fd, c); err != nil {
		return err
	}
	if c.low, _ = c.protocol.(LowPriority); c.low == nil {
		c.socket.low = nil
	}
	if unconnected(c.socket) {
		c.from = new(netfd.Sockaddr)
	}
	return l.adopt(c.socket)
}

// newProtocol has the factory make one.
func (c *Context) newProtocol() (p Protocol, base *Base, err error) {
	factory := *c.factory.Load()
	if factory == nil {
		return nil, nil, fmt.Errorf("%w: no protocol factory was set", ErrInvalid)
	}
	defer func() {
		if cause := recover(); cause != nil {
			c.log.Error("reactor: a protocol factory panicked", slog.Any("panic", cause),
				slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("protocol factory: %w", &PanicError{cause})
		}
	}()
	if p = factory(); p == nil {
		return nil, nil, fmt.Errorf("%w: the protocol factory returned nil", ErrInvalid)
	}
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil, fmt.Errorf("%w: the protocol factory returned a nil %T", ErrInvalid, p)
	}
	if holder, ok := p.(interface{ base() *Base }); ok {
		if base = holder.base(); base == nil {
			return nil, nil, fmt.Errorf("%w: the factory made a %T whose Base is nil", ErrInvalid, p)
		}
	}
	return p, base, nil
}

// Adopt gives a connection of package net to the context, or any other that has a descriptor (syscall.Conn): a
// duplicate of that is handed off, because the original is its Go object's, which package net closes when it is
// collected; then conn is closed. On error conn stays the caller's, open: ErrInvalid for one without a descriptor, a
// *tls.Conn say; else as for Handoff.
func (c *Context) Adopt(conn net.Conn) error {
	info := ClientInfo{}
	if conn != nil {
		info = clientAt(conn.RemoteAddr())
	}
	return c.adopt(conn, info)
}

// AdoptFile is Adopt for a file: a pipe, a terminal, a socket, whatever the kernel can wait for.
func (c *Context) AdoptFile(f *os.File) error {
	if f == nil {
		return fmt.Errorf("reactor: adopt: %w: nil file", ErrInvalid)
	}
	return c.adopt(f, ClientInfo{})
}

func (c *Context) adopt(owner io.Closer, info ClientInfo) error {
	holder, ok := owner.(syscall.Conn)
	if !ok {
		return fmt.Errorf("reactor: adopt: %w: a %T has no descriptor of its own", ErrInvalid, owner)
	}
	fd, err := netfd.DupConn(holder)
	if err != nil {
		return fmt.Errorf("reactor: adopt: %w", err)
	}
	if err := c.handoff(fd, info); err != nil {
		_ = netfd.Close(fd)
		return fmt.Errorf("reactor: adopt: %w", err)
	}
	_ = owner.Close() // the connection lives on in the duplicate
	return nil
}

// DupFD returns a second descriptor for what fd refers to, which lives and is closed independently (dup(2), with
// close-on-exec): one for the context, one for its present owner. What belongs to the file itself they share, above all
// that it is non-blocking.
func DupFD(fd int) (int, error) {
	dup, err := netfd.Dup(fd)
	if err != nil {
		return -1, fmt.Errorf("reactor: duplicate fd %d: %w", fd, err)
	}
	return dup, nil
}
