package reactor

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
	"github.com/momentics/hioload-ws/internal/report"
)

// Listener is a listening socket of a Loop. Its methods may be called by any goroutine.
type Listener struct {
	conn   loop.Conn
	loop   *Loop
	addr   net.Addr
	sotype int
	accept func(*Accepted)
	closed atomic.Bool
	limit  report.Limiter
}

// Listen makes a listening socket and has accept called for each connection, like any callback: on the goroutine that
// drives the loop, one at a time. accept says what becomes of the connection (Accepted.Add, Accepted.Take); one of
// which it says nothing is closed when it returns or panics. A panic is reported, and the listener lives on.
//
// network is "tcp", "tcp4", "tcp6", "unix" or "unixpacket", address as for net.Listen, port 0 for one of the system's
// choice (Listener.Addr). A name in it is looked up at once, which may take its time. Connections of TCP come with
// Nagle's algorithm off.
//
// When descriptors run out, accepting pauses for 100 ms at a time, which is reported, and connections wait in the
// kernel's queue. The error is a *net.OpError, ErrInvalid for a nil function, ErrTooManySockets, ErrClosed.
func (l *Loop) Listen(network, address string, accept func(*Accepted)) (*Listener, error) {
	if accept == nil {
		return nil, fmt.Errorf("reactor: listen: %w: nil function", ErrInvalid)
	}
	fd, addr, err := netfd.Listen(network, address)
	if err != nil {
		return nil, err
	}
	ln := &Listener{loop: l, addr: addr, sotype: netfd.SocketType(fd), accept: accept}
	if err := l.loop.Listen(&ln.conn, (*listenTarget)(ln), fd); err != nil {
		netfd.Unlink(ln.addr)
		_ = netfd.Close(fd)
		return nil, fmt.Errorf("reactor: listen: %w", known(err))
	}
	return ln, nil
}

// Addr is the address that it listens on, with the port that the system has chosen.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Close ends it: accept is not called any more, and the file of a Unix socket is gone when it returns. The descriptor
// is closed by the loop's next turn. What was accepted lives on. The error is ErrNoSocket when it is closed already, by
// itself or with its loop.
func (ln *Listener) Close() error {
	if ln.closed.Swap(true) {
		return fmt.Errorf("reactor: close: %w", ErrNoSocket)
	}
	netfd.Unlink(ln.addr)
	ln.loop.insist(func() error { return ln.conn.Abort(false) })
	return nil
}

// listenTarget makes a Listener what the core calls, without an exported method.
type listenTarget Listener

// HandleEvent implements loop.Target.
func (t *listenTarget) HandleEvent(ev *csrc.Event) { (*Listener)(t).handle(ev) }

func (ln *Listener) handle(ev *csrc.Event) {
	switch ev.Type {
	case csrc.EvAccept:
		a := &Accepted{listener: ln, fd: int(ev.Result)}
		a.peer.SetRaw(ev.Bytes())
		ln.accepted(a)
	case csrc.EvAcceptError:
		ln.report("reactor: accepting pauses", syscall.Errno(-ev.Result))
	case csrc.EvClosed:
		if !ln.closed.Swap(true) { // else Close has done that
			netfd.Unlink(ln.addr)
			if ev.Result != 0 && ev.Result != -int32(syscall.ECANCELED) {
				ln.report("reactor: a listener broke and is closed", syscall.Errno(-ev.Result))
			}
		}
	}
}

// accepted calls accept, and closes what that has not provided for.
func (ln *Listener) accepted(a *Accepted) {
	defer func() {
		if cause := recover(); cause != nil {
			ln.loop.panics.Add(1)
			ln.loop.log.Error("reactor: accept panicked, the connection is closed unless it was given away",
				slog.Any("address", ln.addr), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		}
		if fd := a.Take(); fd >= 0 {
			_ = netfd.Close(fd)
		}
	}()
	if ln.closed.Load() || ln.loop.closed.Load() {
		return
	}
	ln.loop.count()
	ln.accept(a)
}

// report logs what has gone wrong, not more often than one can read.
func (ln *Listener) report(what string, cause error) {
	if ok, suppressed := ln.limit.Allow(what, time.Now()); ok {
		ln.loop.log.Warn(what, slog.Any("address", ln.addr), slog.Any("error", cause), slog.Int("suppressed", suppressed))
	}
}

// Accepted is a connection that a Listener has accepted, for the function that is called for it: what is neither added
// nor taken is closed when that returns.
type Accepted struct {
	listener *Listener
	fd       int // -1: given away
	peer     netfd.Sockaddr
}

// Listener is what has accepted it.
func (a *Accepted) Listener() *Listener { return a.listener }

// RemoteAddr is the address of the peer; nil when the system doesn't say. That of a Unix socket is mostly empty.
func (a *Accepted) RemoteAddr() net.Addr { return a.peer.Addr(a.listener.sotype) }

// Add gives the connection to the listener's loop, as Loop.Add does. On error it is still to be provided for.
func (a *Accepted) Add(h Handler) (Token, error) {
	if h == nil {
		return 0, fmt.Errorf("reactor: add: %w: nil handler", ErrInvalid)
	}
	if a.fd < 0 {
		return 0, fmt.Errorf("reactor: add: %w: given away already", ErrNoSocket)
	}
	s := newSocket(a.listener.loop, h, a.fd, a.listener.sotype)
	s.peer = a.RemoteAddr()
	if err := a.listener.loop.adopt(s); err != nil {
		return 0, fmt.Errorf("reactor: add: %w", err)
	}
	a.fd = -1
	return s.token, nil
}

// Take gives the descriptor, which is non-blocking, to the caller, who closes it, or passes it on to another loop; -1
// when it was added or taken before.
func (a *Accepted) Take() int {
	fd := a.fd
	a.fd = -1
	return fd
}
