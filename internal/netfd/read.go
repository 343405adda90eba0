//go:build !race

package netfd

import (
	"syscall"
	"unsafe"
)

// Read reads what is there, up to len(p) bytes. 0 bytes without an error are the end of a stream, or an empty datagram,
// or an empty p. syscall.EAGAIN: nothing is there yet.
func Read(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// published is called before bytes are given to the kernel; see read_race.go.
func published() {}
