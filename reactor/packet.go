package reactor

import (
	"fmt"
	"syscall"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// ListenPacket makes a socket for datagrams and has h called for it, as Add would: network is "udp", "udp4", "udp6" or
// "unixgram", address as for net.ListenPacket, port 0 for one of the system's choice. Socket.LocalAddr tells which; the
// handler reads with Socket.ReadFrom. The file of a Unix socket is not removed at the end. The error is a *net.OpError,
// ErrInvalid for a nil handler, ErrTooManySockets, ErrClosed.
func (l *Loop) ListenPacket(network, address string, h Handler) (Token, error) {
	if h == nil {
		return 0, fmt.Errorf("reactor: listen: %w: nil handler", ErrInvalid)
	}
	fd, addr, err := netfd.ListenPacket(network, address)
	if err != nil {
		return 0, err
	}
	s := newSocket(l, h, fd, syscall.SOCK_DGRAM)
	if err := l.adopt(s); err != nil {
		netfd.Unlink(addr)
		_ = netfd.Close(fd)
		return 0, fmt.Errorf("reactor: listen: %w", err)
	}
	return s.token, nil
}
