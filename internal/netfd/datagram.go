package netfd

import (
	"syscall"
	"unsafe"
)

// ReceiveFrom receives one datagram into p, cut off at len(p), and says where it comes from. syscall.EAGAIN: there is
// none. On error from stays as it was.
func ReceiveFrom(fd int, p []byte, from *Sockaddr) (int, error) {
	size := uint32(unsafe.Sizeof(from.raw))
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0,
			uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&size)))
		if errno == 0 {
			from.size = size
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// SendTo sends p as one datagram. syscall.EAGAIN: the socket takes none at the moment.
func SendTo(fd int, p []byte, to *Sockaddr) (int, error) {
	return send(fd, p, unsafe.Pointer(&to.raw), uintptr(to.size))
}
