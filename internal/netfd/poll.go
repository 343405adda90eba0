package netfd

import (
	"syscall"
	"unsafe"
)

// pollFD is struct pollfd of poll(2).
type pollFD struct {
	fd              int32
	events, revents int16
}

const pollHup = 0x10 // POLLHUP

// HungUp tells whether both directions of a connected socket are over: nothing more can be sent, and behind what has
// been received nothing comes. A closed descriptor is not hung up.
func HungUp(fd int) bool {
	p := pollFD{fd: int32(fd)}
	var now syscall.Timespec // do not wait
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1,
			uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		if errno != syscall.EINTR {
			return errno == 0 && n == 1 && p.revents&pollHup != 0
		}
	}
}
