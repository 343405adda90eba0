//go:build linux

package reactor

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/internal/loop"
)

// The end of a stream is io.EOF, on sockets and pipes; the handler closes, OnClose comes last and once.
func TestStreamToItsEnd(t *testing.T) {
	for name, make := range map[string]func(t testing.TB) (int, uintptr){
		"socket": pair,
		"pipe": func(t testing.TB) (int, uintptr) {
			var fds [2]int
			if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil { // blocking: Add changes that
				t.Fatal(err)
			}
			return fds[0], own(t, fds[1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, Options{})
			fd, peer := make(t)
			var got []string
			h := &hooks{}
			h.readable = func(s *Socket, buffer []byte) {
				if s.FD() != fd || s.Loop() != l {
					t.Errorf("fd %d, want %d", s.FD(), fd)
				}
				n, err := s.Read(buffer)
				switch {
				case err == io.EOF:
					got = append(got, "EOF")
					if err := s.Close(); err != nil {
						t.Error(err)
					}
					if err := s.Close(); !errors.Is(err, ErrNoSocket) {
						t.Errorf("second Close: %v", err)
					}
				case err != nil:
					t.Error(err)
				default:
					got = append(got, string(buffer[:n]))
					if _, err := s.Read(buffer); err != ErrWouldBlock || !errors.Is(err, syscall.EAGAIN) {
						t.Errorf("Read with nothing there: %v, want ErrWouldBlock", err)
					}
				}
			}
			h.closed = func(s *Socket) {
				got = append(got, "closed")
				if s.Err() != nil {
					t.Errorf("Err: %v", s.Err())
				}
				if !isOpen(uintptr(fd)) || s.FD() != fd {
					t.Error("the descriptor is closed before OnClose has returned")
				}
				_, readErr := s.Read(l.buffer)
				_, writeErr := s.Write([]byte("x"))
				if !errors.Is(readErr, net.ErrClosed) || !errors.Is(writeErr, net.ErrClosed) {
					t.Errorf("Read and Write in OnClose: %v, %v", readErr, writeErr)
				}
			}
			token := add(t, l, fd, h)
			send(t, peer, "one")
			pollUntil(t, l, "one", func() bool { return len(got) == 1 })
			send(t, peer, "two")
			pollUntil(t, l, "two", func() bool { return len(got) == 2 })
			closeFD(t, peer)
			pollUntil(t, l, "the end", func() bool { return len(got) == 4 })
			if want := "one two EOF closed"; strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if isOpen(uintptr(fd)) {
				t.Error("the descriptor is still open")
			}
			if err := l.Remove(token); !errors.Is(err, ErrNoSocket) {
				t.Errorf("Remove of a closed socket: %v", err)
			}
		})
	}
}

func TestAddRefuses(t *testing.T) {
	l := newLoop(t, Options{MaxSockets: 2})
	file, err := os.Create(filepath.Join(t.TempDir(), "regular"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, _ := pair(t)
	add(t, l, fd, &hooks{})
	other, _ := pair(t)
	own(t, other)
	refused := func(fd int, h Handler, want error, text string) {
		t.Helper()
		if _, err := l.Add(fd, h); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("Add(%d): %v; want %v, and %q", fd, err, want, text)
		}
	}
	refused(other, nil, ErrInvalid, "nil handler")
	refused(-1, &hooks{}, syscall.EBADF, "fd -1")
	refused(1<<20-1, &hooks{}, syscall.EBADF, "fd 1048575")
	refused(int(file.Fd()), &hooks{}, syscall.EPERM, "regular file")
	refused(fd, &hooks{}, ErrRegistered, "already")
	second, _ := pair(t)
	token := add(t, l, second, &hooks{})
	refused(other, &hooks{}, ErrTooManySockets, "too many")
	if !isOpen(uintptr(other)) || !isOpen(file.Fd()) {
		t.Error("a descriptor that was refused is closed")
	}
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, l, "room", func() bool { return l.Stats().Sockets == 1 })
	third, _ := pair(t)
	add(t, l, third, &hooks{}) // there is room again
}

// What the kernel does not watch after all is the socket's end, and a number that is not ours is not closed.
func TestRefusedAfterAdd(t *testing.T) {
	l := newLoop(t, Options{})
	fd, _ := pair(t)
	other := newEventfd(t)
	own(t, other)
	closed := false
	token := add(t, l, fd, &hooks{closed: func(s *Socket) {
		closed = true
		if !errors.Is(s.Err(), syscall.EBADF) || s.FD() != -1 || s.LocalAddr() != nil {
			t.Errorf("Err is %v, FD %d", s.Err(), s.FD())
		}
		if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
			t.Error(err)
		}
	}})
	syscall.Close(fd) // which nobody should
	pollUntil(t, l, "the end", func() bool { return closed })
	if !isOpen(uintptr(fd)) {
		t.Fatal("a descriptor of somebody else's was closed")
	}
	if err := l.Remove(token); !errors.Is(err, ErrNoSocket) {
		t.Errorf("Remove: %v", err)
	}
	add(t, l, fd, &hooks{}) // the number is free
}

// What must be done is asked for again while there is no memory to remember it with.
func TestInsist(t *testing.T) {
	l := newLoop(t, Options{})
	asked := 0
	l.insist(func() error {
		if asked++; asked < 4 {
			return loop.ErrNoMemory
		}
		return loop.ErrClosed
	})
	if asked != 1 {
		t.Errorf("asked %d times at once", asked)
	}
	for range 10 {
		turn(t, l)
	}
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
}

// A descriptor that is no socket and no stream: an eventfd, written and read through the loop.
func TestAnyPollableDescriptor(t *testing.T) {
	l := newLoop(t, Options{})
	fd := newEventfd(t)
	var count []byte
	token := add(t, l, fd, &hooks{
		readable: func(s *Socket, buffer []byte) {
			n, err := s.Read(buffer)
			if err != nil {
				t.Error(err)
			}
			count = append(count, buffer[:n]...)
			s.Interest(false, false)
			if s.LocalAddr() != nil || s.RemoteAddr() != nil {
				t.Error("an eventfd has addresses")
			}
			if _, err := s.Write([]byte("short")); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "write") {
				t.Errorf("Write: %v, want EINVAL", err)
			}
		},
	})
	s := l.sockets.named(token)
	if _, err := s.Write([]byte{3, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, l, "the count", func() bool { return len(count) > 0 })
	if len(count) != 8 || count[0] != 3 {
		t.Errorf("read % x", count)
	}
}

// Only what is asked for is called; what is not read is reported again; a full socket says when it takes bytes again.
func TestInterest(t *testing.T) {
	l := newLoop(t, Options{})
	var reads, writes int
	token, peer := connPair(t, l, &hooks{
		readable: func(*Socket, []byte) { reads++ },
		writable: func(*Socket) { writes++ },
	})
	s := l.sockets.named(token)
	expect := func(what string, r, w int) {
		t.Helper()
		reads, writes = 0, 0
		turn(t, l) // the change of interest is made
		reads, writes = 0, 0
		for range 3 {
			turn(t, l)
		}
		if reads != r || writes != w {
			t.Errorf("%s: %d reads, %d writes in three turns; want %d, %d", what, reads, writes, r, w)
		}
	}
	expect("at first", 0, 0)
	send(t, peer, "input")
	expect("level-triggered", 3, 0)
	s.Interest(true, true)
	expect("both", 3, 3)
	s.Interest(false, true)
	expect("write", 0, 3)
	s.Interest(false, false)
	expect("neither", 0, 0)
	s.Interest(false, true)
	chunk := make([]byte, 1<<20)
	n, err := s.Write(chunk)
	if n == 0 || n >= len(chunk) || err != ErrWouldBlock {
		t.Fatalf("Write of more than the socket takes: %d, %v; want a part and ErrWouldBlock", n, err)
	}
	if n, err := s.Write(chunk); n != 0 || err != ErrWouldBlock {
		t.Fatalf("Write to a full socket: %d, %v", n, err)
	}
	expect("full", 0, 0)
	drain(t, peer)
	expect("drained", 0, 3)
}

// A peer that hangs up is heard of by whatever callback is asked for, and by none when none is.
func TestHangUpComesToWhatIsAskedFor(t *testing.T) {
	l := newLoop(t, Options{})
	var called []string
	token, peer := connPair(t, l, &hooks{
		readable: func(*Socket, []byte) { called = append(called, "readable") },
		writable: func(*Socket) { called = append(called, "writable") },
	})
	s := l.sockets.named(token)
	for _, test := range []struct {
		read, write bool
		want        []string
	}{
		{false, false, nil}, {true, false, []string{"readable"}}, {false, true, []string{"writable"}},
		{true, true, []string{"readable", "writable"}},
	} {
		s.Interest(test.read, test.write)
		turn(t, l)
		if owned[peer] {
			closeFD(t, peer)
		}
		called = nil
		turn(t, l)
		if !slices.Equal(called, test.want) {
			t.Errorf("asked for reading: %t, writing: %t; called %v", test.read, test.write, called)
		}
	}
}

// A handler that forgets its methods does not keep the loop busy.
func TestBaseHandlerStopsAsking(t *testing.T) {
	l := newLoop(t, Options{})
	token, peer := connPair(t, l, BaseHandler{})
	s := l.sockets.named(token)
	send(t, peer, "nobody reads this")
	s.Interest(true, true)
	setTimeout(t, l, token, 0)
	for range 3 {
		turn(t, l)
	}
	if s.wants != 0 {
		t.Errorf("it still asks for %#x", s.wants)
	}
	if l.Stats().Callbacks == 0 {
		t.Error("nothing was called")
	}
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, l, "it to close", func() bool { return l.Stats().Sockets == 0 })
}

// Errors of a connection come from Read and Write, with its addresses, and leave closing to the handler.
func TestErrorsOfTheConnection(t *testing.T) {
	l := newLoop(t, Options{})
	var readErr, writeErr error
	var local, remote net.Addr
	ln := listen(t, l, func(a *Accepted) {
		a.Add(&hooks{readable: func(s *Socket, buffer []byte) {
			local, remote = s.LocalAddr(), s.RemoteAddr()
			if _, readErr = s.Read(buffer); readErr != nil {
				_, writeErr = s.Write([]byte("x"))
				s.Close()
			}
		}})
	})
	c := dialNet(t, ln.Addr())
	c.(*net.TCPConn).SetLinger(0)
	pollUntil(t, l, "the connection", func() bool { return l.Stats().Sockets == 1 })
	c.Close() // a reset
	pollUntil(t, l, "the error", func() bool { return writeErr != nil })
	var op *net.OpError
	if !errors.Is(readErr, syscall.ECONNRESET) || !errors.As(readErr, &op) || op.Net != "tcp" ||
		op.Source.String() != ln.Addr().String() || !strings.HasPrefix(op.Err.Error(), "read: ") {
		t.Errorf("Read: %#v", readErr)
	}
	if !errors.Is(writeErr, syscall.EPIPE) {
		t.Errorf("Write: %v, want EPIPE, and no signal", writeErr)
	}
	if local.String() != ln.Addr().String() || remote.String() != c.LocalAddr().String() {
		t.Errorf("addresses %v, %v; want %v, %v", local, remote, ln.Addr(), c.LocalAddr())
	}
}
