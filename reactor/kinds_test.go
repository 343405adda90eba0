//go:build linux

package reactor

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// Whatever the kernel can wait for: each is quiet until something happens, is then read, and closed by the loop.
func TestEveryPollableKind(t *testing.T) {
	for name, open := range map[string]func(t testing.TB) (fd int, provoke func()){
		"eventfd": func(t testing.TB) (int, func()) {
			fd := newEventfd(t)
			return fd, func() { raise(t, fd) }
		},
		"timerfd": func(t testing.TB) (int, func()) {
			const monotonic = 1
			fd := opened(t, syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_CLOEXEC)
			return fd, func() {
				spec := struct{ interval, value syscall.Timespec }{value: syscall.NsecToTimespec(1)}
				_, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(fd), 0,
					uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
				if errno != 0 {
					t.Error(os.NewSyscallError("timerfd_settime", errno))
				}
			}
		},
		"inotify": func(t testing.TB) (int, func()) {
			dir := t.TempDir()
			fd := opened(t, syscall.SYS_INOTIFY_INIT1, syscall.O_CLOEXEC, 0)
			if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE); err != nil {
				t.Fatal(os.NewSyscallError("inotify_add_watch", err))
			}
			return fd, func() {
				if err := os.Mkdir(filepath.Join(dir, "new"), 0o700); err != nil {
					t.Error(err)
				}
			}
		},
		"named pipe": func(t testing.TB) (int, func()) {
			path := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return fd, func() { send(t, uintptr(fd), "x") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, Options{})
			fd, provoke := open(t)
			read, closed := 0, false
			add(t, l, fd, &hooks{
				readable: func(s *Socket, buffer []byte) {
					n, err := s.Read(buffer)
					if err != nil {
						t.Error(err)
					}
					read += n
					s.Close()
				},
				closed: func(*Socket) { closed = true },
			})
			for range 3 {
				turn(t, l)
			}
			if read != 0 || closed {
				t.Fatalf("%d bytes were read before anything happened", read)
			}
			provoke()
			pollUntil(t, l, "the end", func() bool { return closed })
			if read == 0 || isOpen(uintptr(fd)) {
				t.Errorf("read %d bytes; the descriptor is open: %t", read, isOpen(uintptr(fd)))
			}
		})
	}
}

// opened returns the descriptor that a system call opens.
func opened(t testing.TB, trap, a, b uintptr) int {
	t.Helper()
	fd, _, errno := syscall.Syscall(trap, a, b, 0)
	if errno != 0 {
		t.Fatal(os.NewSyscallError("system call", errno))
	}
	return int(fd)
}

// The writing end of a pipe: full, drained, and without a reader, which is an error and no signal.
func TestWritingEndOfAPipe(t *testing.T) {
	l := newLoop(t, Options{})
	reader, writer := pipe(t)
	delete(owned, writer) // it is going to be the loop's
	var failure error
	wrote := 0
	token := add(t, l, int(writer), &hooks{writable: func(s *Socket) {
		n, err := s.Write(make([]byte, 1<<20))
		switch wrote += n; {
		case errors.Is(err, ErrWouldBlock):
		case err != nil:
			failure = err
			s.Close()
		}
	}})
	l.sockets.named(token).Interest(false, true)
	for range 2 {
		before := wrote
		pollUntil(t, l, "room in the pipe", func() bool { return wrote > before })
		full := wrote
		for range 3 {
			turn(t, l)
		}
		if wrote != full {
			t.Errorf("a full pipe has taken %d bytes", wrote-full)
		}
		drain(t, reader)
	}
	closeFD(t, reader)
	pollUntil(t, l, "the end", func() bool { return l.Stats().Sockets == 0 })
	if !errors.Is(failure, syscall.EPIPE) {
		t.Errorf("Write: %v, want EPIPE", failure)
	}
}
