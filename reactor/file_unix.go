//go:build unix

package reactor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/internal/loop"
)

// file is which file a descriptor stood for when it was registered.
type file struct {
	device, inode uint64
	mode          uint32
}

// identify tells which file fd stands for; syscall.EBADF when it stands for none.
func identify(fd uintptr) (file, error) {
	if fd > math.MaxInt32 {
		return file{}, syscall.EBADF
	}
	var stat syscall.Stat_t
	for {
		err := syscall.Fstat(int(fd), &stat)
		if err == nil {
			return file{uint64(stat.Dev), uint64(stat.Ino), uint32(stat.Mode)}, nil
		}
		if err != syscall.EINTR {
			return file{}, os.NewSyscallError("fstat", err)
		}
	}
}

// same tells whether two files are the same as far as one can see: sockets, pipes and files differ, but all eventfds,
// timerfds and their like share one inode (anon_inode) on Linux.
func (f file) same(other file) bool { return f.device == other.device && f.inode == other.inode }

// pollable tells whether fd, which stands for f, can be watched; syscall.EPERM when it is always ready.
func (f file) pollable(fd uintptr) error {
	switch f.mode & syscall.S_IFMT {
	case syscall.S_IFSOCK, syscall.S_IFIFO:
		return nil // as all of them can, the kernel need not be asked, which takes a descriptor for a moment
	}
	err := loop.Pollable(int(fd))
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("a %s is always ready and cannot be watched: %w", f.kind(), err)
	}
	return err
}

// kind names what the file is.
func (f file) kind() string {
	switch f.mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return "regular file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFBLK:
		return "block device"
	case syscall.S_IFCHR:
		return "character device of this kind"
	default:
		return "file of this kind"
	}
}
