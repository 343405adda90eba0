package netfd

import (
	"math"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// Connect makes a non-blocking socket of the address's family and that type, syscall.SOCK_STREAM say, and starts to
// connect it. The socket becomes writable when it is connected or that has failed, which Connected then tells. On error
// there is no socket.
func Connect(to *Sockaddr, sotype int) (fd int, err error) {
	fd, err = syscall.Socket(to.Family(), sotype|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	prepare(fd, to.Family(), sotype)
	_, _, errno := syscall.Syscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)),
		uintptr(to.size))
	switch errno {
	case 0, syscall.EINPROGRESS, syscall.EINTR: // interrupted, it goes on all the same (connect(2))
		return fd, nil
	}
	_ = Close(fd)
	return -1, errno
}

// prepare sets what package net sets, too. It is not worth failing for.
func prepare(fd, family, sotype int) {
	switch {
	case family == syscall.AF_UNIX:
	case sotype == syscall.SOCK_STREAM:
		_ = SetNoDelay(fd)
	case sotype == syscall.SOCK_DGRAM:
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1)
	}
}

// Connected tells what has become of a connection that Connect has started: nil when it stands, syscall.EINPROGRESS
// when it is not decided yet, or why it has failed.
func Connected(fd int) error {
	code, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return syscall.Errno(code)
	}
	var peer Sockaddr
	if err := name(syscall.SYS_GETPEERNAME, fd, &peer); err == syscall.ENOTCONN {
		return syscall.EINPROGRESS
	}
	return nil
}

// LocalName is the address that a socket is bound to.
func LocalName(fd int) (Sockaddr, error) {
	var a Sockaddr
	err := name(syscall.SYS_GETSOCKNAME, fd, &a)
	return a, err
}

// RemoteName is the address that a socket is connected to; syscall.ENOTCONN when it is not.
func RemoteName(fd int) (Sockaddr, error) {
	var a Sockaddr
	err := name(syscall.SYS_GETPEERNAME, fd, &a)
	return a, err
}

// LocalAddr is LocalName as package net would have it; nil when there is none.
func LocalAddr(fd int) net.Addr { return addr(fd, syscall.SYS_GETSOCKNAME) }

// RemoteAddr is RemoteName as package net would have it; nil when there is none.
func RemoteAddr(fd int) net.Addr { return addr(fd, syscall.SYS_GETPEERNAME) }

func addr(fd int, trap uintptr) net.Addr {
	var a Sockaddr
	if name(trap, fd, &a) != nil {
		return nil
	}
	return a.Addr(SocketType(fd))
}

func name(trap uintptr, fd int, a *Sockaddr) error {
	a.size = uint32(unsafe.Sizeof(a.raw))
	_, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)),
		uintptr(unsafe.Pointer(&a.size)))
	if errno != 0 {
		a.size = 0
		return errno
	}
	return nil
}

// SetNoDelay turns Nagle's algorithm off (RFC 896). Connections that a listening socket accepts inherit it.
func SetNoDelay(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}

// TCP_USER_TIMEOUT is a socket option that package syscall does not have.
const TCP_USER_TIMEOUT = 18

// SetUserTimeout has the kernel abort a TCP connection whose peer has taken nothing of what was written for that long,
// in whole milliseconds, rounded up (tcp(7), TCP_USER_TIMEOUT); 0: as the system does. It takes the place of the number
// of keep-alive probes, too: a peer that answers none is given up when it has been silent for that long, be that sooner
// or later than without, but not before the second would be due.
func SetUserTimeout(fd int, d time.Duration) error {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, TCP_USER_TIMEOUT, int(min(ms, math.MaxInt32)))
}
