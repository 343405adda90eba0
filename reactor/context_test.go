//go:build linux

package reactor

import (
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// greeter makes protocols that say who they are, and then echo.
func greeter(name string) Factory {
	return func() Protocol {
		a := newActor()
		a.made = func(*actor) { a.Write([]byte(name)) }
		a.data = sendBack
		return a
	}
}

// join hands off one end of a connection to the context and returns the other.
func join(t testing.TB, c *Context) (fd int, peer *net.UnixConn) {
	t.Helper()
	fd, peer = wire(t)
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

// Contexts share nothing: each has its factory, connections, loops, and end.
func TestContextsAreIsolated(t *testing.T) {
	one := contextFor(t, ContextOptions{Factory: greeter("one")})
	two := contextFor(t, ContextOptions{Factory: greeter("two")})
	fd1, peer1 := join(t, one)
	fd2, peer2 := join(t, two)
	expect(t, peer1, "one")
	expect(t, peer2, "two")
	p1, p2 := one.Protocol(fd1), two.Protocol(fd2)
	if p1 == nil || p2 == nil || one.Protocol(fd2) != nil || two.Protocol(fd1) != nil {
		t.Errorf("one has %v and %v, two %v and %v", p1, one.Protocol(fd2), two.Protocol(fd1), p2)
	}
	if p1.(*actor).Context() != one || p2.(*actor).Context() != two {
		t.Error("a connection is in the wrong context")
	}
	for _, c := range []*Context{one, two} {
		if stats := c.Stats(); stats.Connections != 1 || stats.Handoffs != 1 || len(stats.Loops) != 1 {
			t.Errorf("%+v, want 1 connection of 1 hand-off and 1 loop", stats)
		}
	}
	one.SetFactory(greeter("uno"))
	_, other := join(t, two)
	expect(t, other, "two")
	closeContext(t, one)
	if err := p1.(*actor).end(t); !errors.Is(err, ErrClosed) {
		t.Errorf("ended with %v, want ErrClosed", err)
	}
	put(t, peer2, "alive")
	expect(t, peer2, "alive")
	if n := two.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A new factory is for new connections.
func TestSetFactory(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	fd, _ := wire(t)
	own(t, fd)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "factory") {
		t.Errorf("no factory: %v, want ErrInvalid", err)
	}
	c.SetFactory(greeter("first"))
	_, old := join(t, c)
	expect(t, old, "first")
	c.SetFactory(greeter("second"))
	_, young := join(t, c)
	expect(t, young, "second")
	put(t, old, "echo")
	expect(t, old, "echo")
	c.SetFactory(nil)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("factory taken away: %v, want ErrInvalid", err)
	}
	if !isOpen(uintptr(fd)) {
		t.Error("the descriptor was closed")
	}
}

// Connections spread over the loops, and speak to each other.
func TestContextWithSeveralLoops(t *testing.T) {
	const loops, each = 3, 4
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), Loops: loops})
	count := map[*Loop]int{}
	for range loops * each {
		fd, peer := join(t, c)
		expect(t, peer, "hi")
		count[c.Protocol(fd).(*actor).conn.Load().socket.Loop()]++
	}
	for l, n := range count {
		if n != each {
			t.Errorf("loop %p has %d connections, want %d", l, n, each)
		}
	}
	stats := c.Stats()
	if len(count) != loops || len(stats.Loops) != loops || stats.Connections != loops*each {
		t.Errorf("%d loops are used, %+v", len(count), stats)
	}
	for _, l := range stats.Loops {
		if l.Sockets != each || l.Callbacks == 0 {
			t.Errorf("a loop has %d sockets and made %d callbacks", l.Sockets, l.Callbacks)
		}
	}
}

func TestMaxConnections(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), MaxConnections: 2, Loops: 2})
	fd1, peer1 := join(t, c)
	_, peer2 := join(t, c)
	expect(t, peer1, "hi")
	expect(t, peer2, "hi")
	fd, peer := wire(t)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrTooManySockets) || !strings.Contains(err.Error(), "2") {
		t.Errorf("the third: %v, want ErrTooManySockets", err)
	}
	first := c.Protocol(fd1).(*actor)
	peer1.Close()
	first.closes(t)
	for c.Protocol(fd1) != nil { // there is room when ConnectionLost has returned
		put(t, peer2, "x")
		expect(t, peer2, "x")
	}
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	expect(t, peer, "hi")
}

// The loops' own limit holds as well.
func TestMaxSocketsOfAContext(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), Loop: Options{MaxSockets: 1}})
	join(t, c)
	fd, _ := wire(t)
	own(t, fd)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrTooManySockets) {
		t.Errorf("%v, want ErrTooManySockets", err)
	}
	if n := c.Connections(); n != 1 || c.Protocol(fd) != nil {
		t.Errorf("%d connections", n)
	}
}

func TestContextOptions(t *testing.T) {
	before := descriptors(t)
	for name, o := range map[string]ContextOptions{
		"ContextOptions.Loops":          {Loops: -1},
		"Loops is 1025":                 {Loops: 1025},
		"ContextOptions.MaxConnections": {MaxConnections: -1},
		"ContextOptions.CloseTimeout":   {CloseTimeout: -1},
		"Options.MaxSockets":            {Loop: Options{MaxSockets: -1}},
		"kqueue":                        {Loops: 3, Loop: Options{Backend: "kqueue"}},
	} {
		c, err := NewContext(o)
		if c != nil || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want an error that says %q", o, err, name)
		}
		if name != "kqueue" && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Protocol finds a connection from hand-off until its end, on every goroutine.
func TestProtocolByDescriptor(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	a := newActor()
	fd, peer := wire(t)
	a.made = func(*actor) {
		if c.Protocol(fd) != a {
			t.Error("not found in ConnectionMade")
		}
	}
	a.lost = func(*actor) {
		if c.Protocol(fd) != a || c.Connections() != 1 {
			t.Error("not found in ConnectionLost")
		}
	}
	c.SetFactory(func() Protocol { return a })
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	if c.Protocol(fd) != a {
		t.Error("not found after Handoff")
	}
	peer.Close()
	a.closes(t)
	closeContext(t, c)
	for _, fd := range []int{fd, -1, 1 << 30} {
		if p := c.Protocol(fd); p != nil {
			t.Errorf("descriptor %d has protocol %v", fd, p)
		}
	}
}

// Protocols are those of all connections, for whoever wants to tell them something.
func TestProtocols(t *testing.T) {
	const connections = 10
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), Loops: 2})
	if all := c.Protocols(); len(all) != 0 {
		t.Errorf("%d protocols of no connection", len(all))
	}
	var peers []*net.UnixConn
	for range connections {
		_, peer := join(t, c)
		expect(t, peer, "hi")
		peers = append(peers, peer)
	}
	all := c.Protocols()
	if len(all) != connections {
		t.Errorf("%d protocols, want %d", len(all), connections)
	}
	for _, p := range all {
		a := p.(*actor)
		if err := a.Post(func() Action { a.WriteBuffer.WriteString("to all"); return WritePending }); err != nil {
			t.Error(err)
		}
	}
	for _, peer := range peers {
		expect(t, peer, "to all")
	}
}

// Everything about contexts may be asked at any time; the race detector watches.
func TestContextUnderConcurrentUse(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), Loops: 2})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Handoff(fds[0], ClientInfo{}); err != nil {
					t.Error(err)
				}
				if p := c.Protocol(fds[0]); p != nil {
					a := p.(*actor)
					_, _, _ = a.Info(), a.Context(), a.Closed()
				}
				c.SetFactory(greeter("ho"))
				c.Stats()
				ln, err := c.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Error(err)
				} else if err := ln.Close(); err != nil {
					t.Error(err)
				}
				syscall.Close(fds[1])
			}
		}()
	}
	wg.Wait()
	if n := c.Stats().Handoffs; n != 200 {
		t.Errorf("%d hand-offs, want 200", n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.listeners); n > 4 {
		t.Errorf("%d listeners that are closed are remembered", n)
	}
}
