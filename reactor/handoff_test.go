//go:build linux

package reactor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// After Handoff the descriptor is the context's, which closes it; the caller has nothing more to do.
func TestHandoffTakesOwnership(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	a := newActor()
	fd, peer := wire(t)
	syscall.SetNonblock(fd, false)
	give(t, c, fd, a)
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("the descriptor is blocking: flags %#x, %v", flags, errno)
	}
	peer.Close()
	a.closes(t)
	closeContext(t, c)
	if isOpen(uintptr(fd)) {
		t.Error("the descriptor was not closed")
	}
}

// On error the descriptor stays the caller's, open and of use.
func TestHandoffRefused(t *testing.T) {
	used := newActor()
	for name, c := range map[string]struct {
		factory Factory
		want    error
		says    string
	}{
		"no factory":       {nil, ErrInvalid, "factory"},
		"no protocol":      {func() Protocol { return nil }, ErrInvalid, "nil"},
		"nil protocol":     {func() Protocol { var p *actor; return p }, ErrInvalid, "nil *reactor.actor"},
		"nil without Base": {func() Protocol { var p *plain; return p }, ErrInvalid, "nil *reactor.plain"},
		"protocol in use":  {func() Protocol { return used }, ErrInvalid, "*reactor.actor"},
		"protocol without": {func() Protocol { return struct{ *Base }{} }, ErrInvalid, "nil"},
		"factory panics":   {func() Protocol { panic("a bug of the user's") }, nil, "a bug of the user's"},
	} {
		t.Run(name, func(t *testing.T) {
			context := contextFor(t, ContextOptions{})
			fd, other := wire(t)
			if name == "protocol in use" {
				give(t, context, fd, used)
				fd, other = wire(t)
			}
			before := context.Connections()
			context.SetFactory(c.factory)
			err := context.Handoff(fd, ClientInfo{})
			var failure *PanicError
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &failure) {
				t.Errorf("Handoff: %v, want %v", err, c.want)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Handoff: %v, want an error that says %q", err, c.says)
			}
			if n := context.Connections(); n != before || context.Protocol(fd) != nil {
				t.Errorf("%d connections, want %d", n, before)
			}
			mine := connOf(t, uintptr(fd))
			put(t, mine, "mine")
			expect(t, other, "mine")
		})
	}
}

func TestHandoffOfBadDescriptors(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi")})
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	regular, err := DupFD(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	own(t, regular)
	taken, peer := join(t, c)
	expect(t, peer, "hi")
	for fd, want := range map[int]error{-1: syscall.EBADF, 1 << 20: syscall.EBADF, 1 << 40: syscall.EBADF,
		regular: syscall.EPERM, taken: ErrRegistered} {
		err := c.Handoff(fd, ClientInfo{})
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "reactor: hand off fd ") {
			t.Errorf("fd %d: %v, want %v", fd, err, want)
		}
	}
	if !isOpen(uintptr(regular)) {
		t.Error("the file was closed")
	}
	if n := c.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	put(t, peer, "untouched")
	expect(t, peer, "untouched")
}

// A duplicate is independent: each side closes its own, and what one closes the other may still use.
func TestDupFD(t *testing.T) {
	ours, peer := pair(t)
	own(t, ours)
	dup, err := DupFD(ours)
	if err != nil {
		t.Fatal(err)
	}
	if flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(dup), syscall.F_GETFD, 0); flags&syscall.FD_CLOEXEC == 0 {
		t.Error("programs that are executed inherit it")
	}
	c := contextFor(t, ContextOptions{})
	a := newActor()
	a.data = func(_ *actor, data Buffer) Action { sendBack(a, data); return WritePending }
	give(t, c, dup, a)
	send(t, peer, "hello")
	other := connOf(t, peer)
	expect(t, other, "hello")
	a.Abort()
	a.closes(t)
	closeContext(t, c)
	if isOpen(uintptr(dup)) || !isOpen(uintptr(ours)) {
		t.Errorf("the duplicate is open: %t, the original %t", isOpen(uintptr(dup)), isOpen(uintptr(ours)))
	}
	send(t, uintptr(ours), "from the original")
	expect(t, other, "from the original")
	for _, fd := range []int{-1, dup, 1<<32 | ours} { // the kernel would take the last for ours
		if fd, err := DupFD(fd); fd != -1 || !errors.Is(err, syscall.EBADF) {
			t.Errorf("of what is none: %d, %v; want -1, EBADF", fd, err)
		}
	}
}

// What the caller does not say of the peer is asked of the system; what he says is not touched.
func TestClientInfo(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (int, ClientInfo){
		"tcp": func(t *testing.T) (int, ClientInfo) {
			fd, peer := tcpPair(t)
			return fd, ClientInfo{Addr: "127.0.0.1", Port: peer.LocalAddr().(*net.TCPAddr).Port, Type: "tcp"}
		},
		"udp, connected": func(t *testing.T) (int, ClientInfo) {
			peer := listenDatagrams(t, "udp4", "127.0.0.1:0").LocalAddr().(*net.UDPAddr)
			conn, err := net.DialUDP("udp4", nil, peer)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return dupOf(t, conn), ClientInfo{Addr: "127.0.0.1", Port: peer.Port, Type: "udp"}
		},
		"udp": func(t *testing.T) (int, ClientInfo) {
			return dupOf(t, listenDatagrams(t, "udp4", "127.0.0.1:0").(*net.UDPConn)), ClientInfo{Type: "udp"}
		},
		"unix": func(t *testing.T) (int, ClientInfo) {
			fd, _ := wire(t)
			return fd, ClientInfo{Type: "unix"}
		},
		"unixgram": func(t *testing.T) (int, ClientInfo) {
			peer := listenDatagrams(t, "unixgram", filepath.Join(t.TempDir(), "peer")).LocalAddr().(*net.UnixAddr)
			conn, err := net.DialUnix("unixgram", nil, peer)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return dupOf(t, conn), ClientInfo{Addr: peer.Name, Type: "unixgram"}
		},
		"pipe": func(t *testing.T) (int, ClientInfo) {
			var fds [2]int
			if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			own(t, fds[1])
			return fds[0], ClientInfo{Type: "fd"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := contextFor(t, ContextOptions{})
			for _, given := range []ClientInfo{{}, {Addr: "mine"}, {Type: "mine"}, {"mine", 7, "mine"}} {
				fd, want := open(t)
				if given.Addr != "" {
					want.Addr, want.Port = given.Addr, given.Port
				}
				if given.Type != "" {
					want.Type = given.Type
				}
				a := newActor()
				c.SetFactory(func() Protocol { return a })
				if err := c.Handoff(fd, given); err != nil {
					t.Fatal(err)
				}
				await(t, "ConnectionMade", a.ready)
				if got := a.Info(); got != want {
					t.Errorf("given %+v it is %+v, want %+v", given, got, want)
				}
				a.Abort()
				a.closes(t)
			}
		})
	}
}

func TestClientInfoString(t *testing.T) {
	for want, info := range map[string]ClientInfo{
		"127.0.0.1:80": {Addr: "127.0.0.1", Port: 80, Type: "tcp"},
		"[::1]:65535":  {Addr: "::1", Port: 65535, Type: "udp"},
		"[::1%lo]:80":  {Addr: "::1%lo", Port: 80, Type: "tcp"},
		"10.0.0.1":     {Addr: "10.0.0.1"},
		"/path":        {Addr: "/path", Type: "unix"},
		"@abstract":    {Addr: "@abstract", Type: "unixgram"},
		"unix":         {Type: "unix"},
		"fd":           {Type: "fd"},
		"":             {},
	} {
		if got := info.String(); got != want {
			t.Errorf("%#v is %q, want %q", info, got, want)
		}
	}
}

// dupOf duplicates the descriptor of a connection of package net.
func dupOf(t testing.TB, conn any) int {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(original uintptr) { fd, err = DupFD(int(original)) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// A callback hands off as well: to its own context, and to another.
func TestHandoffInCallback(t *testing.T) {
	mine := contextFor(t, ContextOptions{})
	other := contextFor(t, ContextOptions{Factory: greeter("other")})
	fd1, peer1 := wire(t)
	fd2, peer2 := wire(t)
	a := newActor()
	a.made = func(*actor) {
		mine.SetFactory(greeter("mine"))
		if err := mine.Handoff(fd1, ClientInfo{}); err != nil {
			t.Error(err)
		}
		if err := other.Handoff(fd2, ClientInfo{}); err != nil {
			t.Error(err)
		}
	}
	fd, _ := wire(t)
	give(t, mine, fd, a)
	expect(t, peer1, "mine")
	expect(t, peer2, "other")
}

// A connection moves to another context: given back by one, taken by the other, with nothing lost in between.
func TestHandoffOfAReleasedConnection(t *testing.T) {
	to := contextFor(t, ContextOptions{Factory: func() Protocol {
		a := newActor()
		a.data = sendBack
		return a
	}})
	a := newActor()
	a.data = func(_ *actor, data Buffer) Action {
		fd, err := a.Release()
		if err != nil {
			t.Error(err)
		}
		if err := to.Handoff(fd, a.Info()); err != nil {
			t.Error(err)
		}
		return WritePending // means nothing any more
	}
	fd, peer := wire(t)
	give(t, contextFor(t, ContextOptions{Loop: Options{ReadBuffer: 5}}), fd, a)
	put(t, peer, "move,rest")
	expect(t, peer, "rest")
	if n := to.Connections(); n != 1 || to.Protocol(fd) == nil {
		t.Errorf("%d connections, want the one that has moved", n)
	}
}
