package loop

import (
	"log/slog"
	"syscall"
	"unsafe"
)

// pin binds the calling thread to the loop's CPUs, if it was given any. A machine that forbids it costs speed, not
// service: it is reported.
func (l *Loop) pin() {
	if len(l.cpus) == 0 {
		return
	}
	if err := setAffinity(l.cpus); err != nil {
		l.log.Warn("hioload: event loop is not pinned", slog.Any("cpus", l.cpus), slog.Any("error", err))
		return
	}
	l.pinned.Store(true)
}

// setAffinity is sched_setaffinity(2) for the calling thread.
func setAffinity(cpus []int) error {
	var mask [1024 / wordBits]uintptr
	for _, cpu := range cpus {
		if cpu < 0 || cpu/wordBits >= len(mask) {
			return syscall.EINVAL
		}
		mask[cpu/wordBits] |= 1 << (cpu % wordBits)
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY,
		0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if errno != 0 {
		return errno
	}
	return nil
}

const wordBits = 8 * int(unsafe.Sizeof(uintptr(0)))
