package netfd

import (
	"context"
	"net"
	"os"
	"syscall"
)

// Listen makes a listening socket: network is "tcp", "tcp4", "tcp6", "unix" or "unixpacket", address as for net.Listen,
// which does the work, so that hosts, ports, zones and wildcards mean what they mean there. The descriptor is the
// caller's; so is the file of a Unix socket, which Close does not remove. What it accepts has Nagle's algorithm off.
func Listen(network, address string) (fd int, addr net.Addr, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix", "unixpacket":
	default:
		return -1, nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // what is accepted should be the plain sockets that everything else expects
	ln, err := config.Listen(context.Background(), network, address)
	if err != nil {
		return -1, nil, err
	}
	defer ln.Close()
	fd, err = DupConn(ln.(syscall.Conn))
	if err == nil && ln.Addr().Network() == "tcp" {
		if err = SetNoDelay(fd); err != nil {
			_ = Close(fd)
		}
	}
	if err != nil {
		return -1, nil, &net.OpError{Op: "listen", Net: network, Addr: ln.Addr(), Err: err}
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	return fd, ln.Addr(), nil
}

// ListenPacket makes a socket for datagrams: network is "udp", "udp4", "udp6" or "unixgram", address as for
// net.ListenPacket. The descriptor is the caller's, and so is the file of a Unix socket.
func ListenPacket(network, address string) (fd int, addr net.Addr, err error) {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
	default:
		return -1, nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	var config net.ListenConfig
	conn, err := config.ListenPacket(context.Background(), network, address)
	if err != nil {
		return -1, nil, err
	}
	defer conn.Close()
	fd, err = DupConn(conn.(syscall.Conn))
	if err != nil {
		Unlink(conn.LocalAddr())
		return -1, nil, &net.OpError{Op: "listen", Net: network, Addr: conn.LocalAddr(), Err: err}
	}
	return fd, conn.LocalAddr(), nil
}

// Unlink removes the file of a Unix socket; other addresses have none. It comes before the socket is closed: afterwards
// the file might be somebody else's, who listens at the same place.
func Unlink(addr net.Addr) {
	if unix, ok := addr.(*net.UnixAddr); ok && unix.Name != "" && unix.Name[0] != '@' {
		_ = os.Remove(unix.Name)
	}
}
