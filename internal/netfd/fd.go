package netfd

import (
	"net"
	"os"
	"syscall"
)

// Close closes fd. There is nothing to repeat after EINTR: Linux has let go of the descriptor by then.
func Close(fd int) error {
	if err := syscall.Close(fd); err != syscall.EINTR {
		return err
	}
	return nil
}

// Dup returns another descriptor for what fd stands for, which is closed in programs that this one executes.
func Dup(fd int) (int, error) {
	if int(int32(fd)) != fd { // the kernel would look at the lower half
		return -1, syscall.EBADF
	}
	dup, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(dup), nil
}

// DupConn is Dup for what has a descriptor in Go's poller, package net's connections and files for instance. Its own
// stays where it is.
func DupConn(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	if failed := raw.Control(func(original uintptr) { fd, err = Dup(int(original)) }); failed != nil {
		return -1, failed
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// NewConn makes a net.Conn of the socket fd, which belongs to it from then on; on error it is closed.
func NewConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	if f == nil {
		return nil, syscall.EBADF
	}
	defer f.Close() // the net.Conn has a duplicate
	return net.FileConn(f)
}

// SetNonblock makes fd non-blocking, and everything that shares its open file with it. It costs one call when it is
// already.
func SetNonblock(fd int) error {
	flags, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno == 0 && flags&syscall.O_NONBLOCK == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFL, flags|syscall.O_NONBLOCK)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// SocketType is the kind of socket that fd is, syscall.SOCK_STREAM say; 0 when it is none.
func SocketType(fd int) int {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return 0
	}
	return kind
}
