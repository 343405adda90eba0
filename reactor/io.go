package reactor

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// Read reads what is there, up to len(p) bytes, with one system call. ErrWouldBlock: nothing is there yet; io.EOF: the
// peer sends no more; net.ErrClosed as errors.Is sees it: the socket is closed; else a *net.OpError of the system's. Of
// datagrams it reads one, cut off at len(p), which may be empty.
func (s *Socket) Read(p []byte) (int, error) {
	if !s.usable() {
		return 0, s.gone("read")
	}
	n, err := netfd.Read(s.fd, p)
	if err != nil {
		return 0, s.failure("read", err)
	}
	if n == 0 && len(p) > 0 && s.sotype != syscall.SOCK_DGRAM && s.sotype != syscall.SOCK_RAW {
		return 0, io.EOF
	}
	return n, nil
}

// Write writes as much of p as the socket takes, with one system call. Less than all of it comes with ErrWouldBlock:
// the rest is to be written in OnWritable, which has to be asked for (Interest). Other errors as for Read. A datagram
// is written whole or not at all.
func (s *Socket) Write(p []byte) (int, error) {
	if !s.usable() {
		return 0, s.gone("write")
	}
	var n int
	var err error
	if s.sotype != 0 {
		n, err = netfd.Send(s.fd, p)
	} else {
		n, err = netfd.Write(s.fd, p)
	}
	if err != nil {
		return 0, s.failure("write", err)
	}
	if n < len(p) {
		return n, ErrWouldBlock
	}
	return n, nil
}

// CloseWrite shuts the sending end of a stream: the peer reads the end behind what was written, and may go on sending.
// The error is as for Write.
func (s *Socket) CloseWrite() error {
	if !s.usable() {
		return s.gone("shutdown")
	}
	if err := syscall.Shutdown(s.fd, syscall.SHUT_WR); err != nil {
		return s.failure("shutdown", err)
	}
	return nil
}

// ReadFrom is Read for datagrams, and tells who sent it, nil when the system doesn't say. For UDP, ReadFromAddrPort
// allocates nothing.
func (s *Socket) ReadFrom(p []byte) (int, net.Addr, error) {
	var from netfd.Sockaddr
	n, err := s.receive(p, &from)
	if err != nil {
		return 0, nil, err
	}
	return n, from.Addr(s.sotype), nil
}

// ReadFromAddrPort is Read for datagrams of UDP, and tells who sent it: an IPv4 address as such even if the socket is
// of both versions of IP, the zone of an IPv6 address as a number.
func (s *Socket) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	var from netfd.Sockaddr
	n, err := s.receive(p, &from)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return n, from.AddrPort(), nil
}

func (s *Socket) receive(p []byte, from *netfd.Sockaddr) (int, error) {
	if !s.usable() {
		return 0, s.gone("read")
	}
	n, err := netfd.ReceiveFrom(s.fd, p, from)
	if err != nil {
		return 0, s.failure("read", err)
	}
	return n, nil
}

// WriteTo sends p as one datagram to an address, a *net.UDPAddr or a *net.UnixAddr. ErrWouldBlock: the socket takes
// none now. Other errors as for Read. For UDP, WriteToAddrPort allocates nothing.
func (s *Socket) WriteTo(p []byte, addr net.Addr) (int, error) {
	var to netfd.Sockaddr
	if err := to.SetAddr(addr, s.family()); err != nil {
		return 0, &net.OpError{Op: "write", Net: s.network(), Source: s.LocalAddr(), Addr: addr, Err: err}
	}
	return s.send(p, &to)
}

// WriteToAddrPort is WriteTo for UDP.
func (s *Socket) WriteToAddrPort(p []byte, addr netip.AddrPort) (int, error) {
	var to netfd.Sockaddr
	if err := to.SetAddrPort(addr, s.family()); err != nil {
		return 0, &net.OpError{Op: "write", Net: s.network(), Source: s.LocalAddr(), Addr: net.UDPAddrFromAddrPort(addr),
			Err: err}
	}
	return s.send(p, &to)
}

func (s *Socket) send(p []byte, to *netfd.Sockaddr) (int, error) {
	if !s.usable() {
		return 0, s.gone("write")
	}
	n, err := netfd.SendTo(s.fd, p, to)
	if err != nil {
		return 0, s.failure("write", err)
	}
	return n, nil
}

// LocalAddr is the address that the socket is bound to; nil when it has none, or is no socket.
func (s *Socket) LocalAddr() net.Addr {
	if fd := s.FD(); fd >= 0 && s.sotype != 0 {
		return netfd.LocalAddr(fd)
	}
	return nil
}

// RemoteAddr is the address that the socket is connected to; nil when it is not.
func (s *Socket) RemoteAddr() net.Addr {
	if fd := s.FD(); s.peer == nil && fd >= 0 && s.sotype != 0 {
		s.peer = netfd.RemoteAddr(fd)
	}
	return s.peer
}

// usable tells whether the descriptor is the socket's to read and write.
func (s *Socket) usable() bool { return s.state.Load() <= stateCalling && s.fd >= 0 }

// family is the address family of a socket, 0 when it has none.
func (s *Socket) family() int {
	if s.inet == 0 && s.usable() {
		local, _ := netfd.LocalName(s.fd)
		s.inet = local.Family()
	}
	return s.inet
}

// failure is what a method says when the kernel has said errno.
func (s *Socket) failure(op string, errno error) error {
	if errno == syscall.EAGAIN {
		return ErrWouldBlock
	}
	if s.sotype == 0 {
		return os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: s.network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(),
		Err: os.NewSyscallError(op, errno)}
}

// gone is what a method says of a socket that is closed, or released.
func (s *Socket) gone(op string) error {
	return &net.OpError{Op: op, Net: s.network(), Err: ErrNoSocket}
}

func (s *Socket) network() string {
	if addr := s.LocalAddr(); addr != nil {
		return addr.Network()
	}
	return "fd"
}
