package reactor

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// A socket that is being dialed goes from one slot of the core to the next: that of a timer while names are looked up,
// then for each address one that watches a descriptor. Each slot ends before the next begins; in between, a function
// given to the loop stands for the socket.

// far is when the timer that stands for a look-up fires if nothing else is asked of it.
const far = time.Duration(1<<63 - 1)

// lookup finds the addresses, off the loop.
func (s *Socket) lookup() error {
	d := s.dial
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	if err := s.attach(func() error { return s.loop.loop.Timer(&s.conn, (*target)(s), far) }); err != nil {
		cancel()
		return err
	}
	s.setLimit(d.until)
	go func() {
		found, err := d.network.Lookup(ctx, s.loop.resolver, d.address)
		_ = s.loop.loop.Do(func() { s.found(found, err) }) // fails when the loop, and with it the socket, is closed
	}()
	return nil
}

// found is told what a look-up has found.
func (s *Socket) found(addresses []netfd.Sockaddr, err error) {
	if !s.attempting() {
		return
	}
	s.dial.todo = addresses
	if err != nil {
		s.dial.giveUp(err)
	}
	s.abandon()
}

// attempting tells whether a look-up or an attempt is under way that nobody has ended.
func (s *Socket) attempting() bool { return s.state.Load() == stateDialing && !s.dial.ending }

// abandon ends the slot of the look-up or the attempt. What the core has still to tell of it counts for nothing.
func (s *Socket) abandon() {
	s.dial.ending = true
	s.abort()
}

// connect tries the next address, or ends the socket if there is none or it was closed meanwhile. The socket has no
// slot.
func (s *Socket) connect() {
	d := s.dial
	for s.state.Load() == stateDialing {
		switch {
		case s.loop.closed.Load():
			d.giveUp(ErrClosed)
		case d.late(s.loop.now()):
			d.giveUp(os.ErrDeadlineExceeded)
		case len(d.todo) > 0:
			d.current, d.todo = d.todo[0], d.todo[1:]
			if s.try() {
				return
			}
			continue
		}
		if s.state.CompareAndSwap(stateDialing, stateClosing) {
			s.err = d.err
		}
	}
	s.finish()
}

// try starts to connect to the current address.
func (s *Socket) try() bool {
	d := s.dial
	fd, err := netfd.Connect(&d.current, d.network.Type)
	if err != nil {
		d.failed(os.NewSyscallError("connect", err))
		return false
	}
	s.loop.sockets.change(s, fd)
	d.ending = false
	s.asked = csrc.Writable
	if err := s.attach(func() error { return s.loop.loop.Watch(&s.conn, (*target)(s), fd, s.asked) }); err != nil {
		s.drop()
		d.giveUp(known(err))
		return false
	}
	s.setLimit(d.limit(s.loop.now()))
	if s.state.Load() != stateDialing { // closed meanwhile by somebody who may have seen no slot, or the last one
		s.abort()
	}
	return true
}

// drop closes the descriptor of an attempt that has failed.
func (s *Socket) drop() {
	fd := s.fd
	s.loop.sockets.change(s, -1)
	if fd >= 0 {
		_ = netfd.Close(fd)
	}
}

// dialed is told that the attempt is decided.
func (s *Socket) dialed() {
	if !s.attempting() {
		return
	}
	err := netfd.Connected(s.fd)
	if err == syscall.EINPROGRESS {
		return
	}
	if err == nil && s.isItsOwnPeer() {
		err = syscall.ECONNREFUSED
	}
	if err != nil {
		s.dial.failed(os.NewSyscallError("connect", err))
		s.abandon()
		return
	}
	if !s.state.CompareAndSwap(stateDialing, stateIdle) {
		return
	}
	s.dial.over()
	s.dial = nil
	s.setLimit(0)
	events := uint8(evConnected)
	if s.timer.pending() {
		events |= evTimeout
	}
	s.deliver(events, false)
	s.ask()
}

// isItsOwnPeer tells whether TCP's simultaneous open (RFC 9293 section 3.5) has connected the socket with itself, which
// happens when nobody listens on a port of this machine and the kernel chooses that very port for the socket.
func (s *Socket) isItsOwnPeer() bool {
	if s.sotype != syscall.SOCK_STREAM || s.family() == syscall.AF_UNIX {
		return false
	}
	local, err := netfd.LocalName(s.fd)
	if err != nil {
		return false
	}
	remote, err := netfd.RemoteName(s.fd)
	return err == nil && local.AddrPort() == remote.AddrPort()
}

// attemptOver is told that the slot of a look-up or of an attempt that has failed is gone.
func (s *Socket) attemptOver() {
	s.detach()
	s.dial.over()
	s.drop()
	if s.loop.loop.Do(s.connect) != nil { // the loop is closed already
		s.connect()
	}
}

// dialTimeout is told that the time of a look-up or an attempt is over.
func (s *Socket) dialTimeout() {
	if s.attempting() {
		s.dial.failed(os.ErrDeadlineExceeded)
		s.abandon()
	}
}
