package reactor

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// Socket is a descriptor that a Loop owns, as its handler sees it: a socket, a pipe, a terminal, whatever the kernel
// can wait for. The loop closes the descriptor, once, whichever way the socket ends.
//
// Unless they say otherwise, methods are for the callbacks of this socket's loop, and functions given to its Post.
type Socket struct {
	conn    loop.Conn
	loop    *Loop
	handler Handler
	low     LowPriority // the handler, if it is one
	opener  Opener      // the handler, if it is one and OnOpen has yet to be called
	token   Token
	fd      int // -1: none yet, or it was taken away; see FD
	sotype  int // syscall.SOCK_STREAM, say; 0: no socket
	inet    int // address family, once it was asked for
	state   atomic.Uint32
	timer   timeouts
	peer    net.Addr // if it is known without asking
	dial    *dialing // while state is stateDialing
	err     error    // what has ended it

	wants uint16  // what its owner asks for: csrc.Readable, csrc.Writable
	asked uint16  // what the core was told
	late  uint8   // evRead, evWrite, evTimeout: wait in the loop's low-priority queue
	next  *Socket // in that queue
}

// States of a Socket, in the order in which they come.
const (
	stateDialing  = iota
	stateIdle     // none of its callbacks is running
	stateCalling  // one is
	stateClosing  // to be closed; OnClose is still to come, or running
	stateReleased // the descriptor is somebody else's
	stateClosed
)

// target makes a Socket what the core calls, without an exported method.
type target Socket

// HandleEvent implements loop.Target.
func (t *target) HandleEvent(ev *csrc.Event) { (*Socket)(t).handle(ev) }

// newSocket makes a socket that the loop does not know yet.
func newSocket(l *Loop, h Handler, fd, sotype int) *Socket {
	s := &Socket{loop: l, handler: h, fd: fd, sotype: sotype, wants: csrc.Readable}
	s.low, _ = h.(LowPriority)
	s.opener, _ = h.(Opener)
	return s
}

// Add gives the loop a descriptor, of any kind that the kernel can wait for, and has h called for it: OnReadable at
// first, see Socket.Interest. From then on the descriptor is the loop's, which makes it non-blocking and closes it;
// nobody else closes it. On error it stays the caller's: ErrInvalid for a nil handler, syscall.EBADF when it is not
// open, syscall.EPERM for what is always ready and cannot be waited for (regular files), ErrRegistered when it is in
// this loop already, ErrTooManySockets, ErrClosed.
func (l *Loop) Add(fd int, h Handler) (Token, error) {
	t, err := l.add(fd, h)
	if err != nil {
		return 0, fmt.Errorf("reactor: add fd %d: %w", fd, err)
	}
	return t, nil
}

func (l *Loop) add(fd int, h Handler) (Token, error) {
	s, err := l.open(fd, h)
	if err != nil {
		return 0, err
	}
	if err := l.adopt(s); err != nil {
		return 0, err
	}
	return s.token, nil
}

// open makes a socket of a descriptor that can be waited for. It is the loop's once that has adopted it.
func (l *Loop) open(fd int, h Handler) (*Socket, error) {
	if h == nil {
		return nil, fmt.Errorf("%w: nil handler", ErrInvalid)
	}
	if fd < 0 {
		return nil, syscall.EBADF
	}
	file, err := identify(uintptr(fd))
	if err != nil {
		return nil, err
	}
	if err := file.pollable(uintptr(fd)); err != nil {
		return nil, err
	}
	if err := netfd.SetNonblock(fd); err != nil {
		return nil, err
	}
	sotype := 0
	if file.mode&syscall.S_IFMT == syscall.S_IFSOCK {
		sotype = netfd.SocketType(fd)
	}
	return newSocket(l, h, fd, sotype), nil
}

// adopt makes a socket with a non-blocking descriptor the loop's.
func (l *Loop) adopt(s *Socket) error {
	s.state.Store(stateIdle)
	if err := l.sockets.enter(s); err != nil {
		return err
	}
	s.asked = s.wants
	opens := s.opener != nil // asked now: the loop may be calling it in a moment
	if err := s.attach(func() error { return l.loop.Watch(&s.conn, (*target)(s), s.fd, s.asked) }); err != nil {
		s.state.Store(stateReleased)
		l.sockets.leave(s)
		return known(err)
	}
	if opens {
		_ = l.loop.Do(s.open) // fails when the loop is closed, and the socket with it
	}
	return nil
}

// Token is the socket's name. From any goroutine.
func (s *Socket) Token() Token { return s.token }

// Loop is the loop that the socket belongs to. From any goroutine.
func (s *Socket) Loop() *Loop { return s.loop }

// FD is the descriptor, which stays the loop's; -1 when there is none any more.
func (s *Socket) FD() int {
	if s.state.Load() >= stateReleased {
		return -1
	}
	return s.fd
}

// Err tells, in OnClose, what has ended the socket: why Dial has failed, a *PanicError, ErrClosed when the loop was
// closed, an error of the system's when the descriptor cannot be waited for. nil after Close and Remove.
func (s *Socket) Err() error { return s.err }

// Close closes the socket: its next and last callback is OnClose, after this one has returned. From any goroutine. The
// error is ErrNoSocket: it is closed already, or released.
func (s *Socket) Close() error {
	if !s.end(nil) {
		return fmt.Errorf("reactor: close: %w", ErrNoSocket)
	}
	return nil
}

// Interest says which callbacks the socket is to get: OnReadable when it is readable, OnWritable when it takes bytes.
// At first it is the former alone. A socket that asks for neither does not learn that its peer has hung up.
func (s *Socket) Interest(read, write bool) {
	s.wants = 0
	if read {
		s.wants |= csrc.Readable
	}
	if write {
		s.wants |= csrc.Writable
	}
	s.ask()
}

// ask tells the core what the socket waits for, if that has changed. What has something to do in the low-priority queue
// waits for nothing else.
func (s *Socket) ask() {
	want := s.wants
	if s.late != 0 {
		want = 0
	}
	if want == s.asked || s.state.Load() > stateCalling {
		return
	}
	switch err := s.conn.Rewatch(want); {
	case err == nil:
		s.asked = want
	case !errors.Is(err, loop.ErrClosed): // else the loop is being closed, which ends the socket
		s.end(known(err))
	}
}

// SetTimeout has OnTimeout called once, d from now, whatever was set before; see Loop.SetTimeout. From any goroutine.
func (s *Socket) SetTimeout(d time.Duration) error { return s.setTimeout(d) }

// CancelTimeout has it not be called after all. From any goroutine. The error is ErrNoSocket.
func (s *Socket) CancelTimeout() error { return s.cancelTimeout() }

// end has the socket closed: err is what Err is going to say. It reports whether that is news. Those who have an err
// are on the loop's goroutine.
func (s *Socket) end(err error) bool {
	for {
		state := s.state.Load()
		if state >= stateClosing {
			return false
		}
		if s.state.CompareAndSwap(state, stateClosing) {
			break
		}
	}
	if err != nil {
		s.err = err
	}
	s.abort()
	return true
}

// release makes the descriptor the caller's.
func (s *Socket) release() (fd int, err error) {
	for {
		state := s.state.Load()
		switch {
		case state == stateDialing:
			return -1, ErrConnecting
		case state >= stateClosing:
			return -1, ErrNoSocket
		case state == stateCalling && s.loop.elsewhere():
			return -1, ErrBusy
		}
		if s.state.CompareAndSwap(state, stateReleased) {
			break
		}
	}
	fd = s.fd
	s.loop.sockets.leave(s)
	s.abort()
	return fd, nil
}

// finish is the end: the last callback, and the one place where the descriptor of an open socket is closed.
func (s *Socket) finish() {
	if s.dial != nil {
		s.dial.over()
	}
	defer func() {
		s.loop.sockets.leave(s)
		s.state.Store(stateClosed)
		if s.fd >= 0 {
			_ = netfd.Close(s.fd)
		}
	}()
	s.last()
}
