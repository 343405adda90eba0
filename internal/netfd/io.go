package netfd

import (
	"syscall"
	"unsafe"
)

// Write writes as much of p as fd takes, which is less than len(p) when it is full. syscall.EAGAIN: it takes nothing.
// For sockets use Send, which raises no SIGPIPE.
func Write(fd int, p []byte) (int, error) {
	published()
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// Send is Write for sockets: syscall.EPIPE comes without a signal.
func Send(fd int, p []byte) (int, error) { return send(fd, p, nil, 0) }

// Unread is the number of received bytes that the kernel holds for a stream, 0 for what is none.
func Unread(fd int) int {
	var n int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

// send is sendto(2); without an address the socket has to be connected.
func send(fd int, p []byte, to unsafe.Pointer, toLen uintptr) (int, error) {
	published()
	for {
		n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), syscall.MSG_NOSIGNAL, uintptr(to), toLen)
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}
