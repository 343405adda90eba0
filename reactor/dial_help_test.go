//go:build linux

package reactor

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// outcome is what a dialing handler is told, in order.
type outcome struct {
	hooks
	events chan string
	err    chan error
}

func newOutcome() *outcome {
	o := &outcome{events: make(chan string, 16), err: make(chan error, 1)}
	o.writable = func(s *Socket) {
		o.events <- "connected"
		s.Write([]byte("hello"))
	}
	o.readable = func(s *Socket, buffer []byte) {
		n, err := s.Read(buffer)
		if err != nil {
			s.Close()
			return
		}
		o.events <- string(buffer[:n])
	}
	o.closed = func(s *Socket) { o.events <- "closed"; o.err <- s.Err() }
	return o
}

// dial dials and expects that there is something to be waited for.
func dial(t testing.TB, l *Loop, network, address string, timeout time.Duration) (*outcome, Token) {
	t.Helper()
	o := newOutcome()
	token, err := l.Dial(network, address, timeout, o)
	if err != nil {
		t.Fatal(err)
	}
	return o, token
}

// failure waits for the end of a dial that must not have connected.
func (o *outcome) failure(t testing.TB) error {
	t.Helper()
	if event := await(t, "the end", o.events); event != "closed" {
		t.Fatalf("%q, want a failure", event)
	}
	return await(t, "the error", o.err)
}

// peerFor runs an echo server of package net until the test ends, and leaves nothing behind that the next could see.
func peerFor(t testing.TB, network, address string) net.Addr {
	t.Helper()
	if network == "udp" || network == "udp6" {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		t.Cleanup(func() { c.Close(); wg.Wait() })
		wg.Add(1)
		go func() {
			defer wg.Done()
			buf := make([]byte, 2048)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				c.WriteTo(buf[:n], from)
			}
		}()
		return c.LocalAddr()
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() { // ends with the connection, which the test's loop closes: it was made later
				defer wg.Done()
				defer c.Close()
				buf := make([]byte, 2048)
				for n, err := c.Read(buf); n > 0 && err == nil; n, err = c.Read(buf) {
					c.Write(buf[:n])
				}
			}()
		}
	}()
	return ln.Addr()
}

func errOf(o *outcome) error {
	select {
	case err := <-o.err:
		return err
	default:
		return nil
	}
}

// dialAll dials as if a look-up had found the addresses.
func dialAll(t testing.TB, l *Loop, timeout time.Duration, addresses ...string) (*outcome, Token) {
	t.Helper()
	network, err := netfd.NetworkNamed("tcp")
	if err != nil {
		t.Fatal(err)
	}
	o := newOutcome()
	s := newSocket(l, o, -1, network.Type)
	s.dial = &dialing{network: network, until: after(l.now(), timeout)}
	for _, address := range addresses {
		to, ok, err := network.Literal(address)
		if !ok {
			t.Fatal(err)
		}
		s.dial.todo = append(s.dial.todo, to)
	}
	if err := l.sockets.enter(s); err != nil {
		t.Fatal(err)
	}
	if err := l.loop.Do(s.connect); err != nil {
		t.Fatal(err)
	}
	return o, s.token
}

// hangingResolver looks names up in vain until the context ends. It tells of each question that starts, and ends.
func hangingResolver() (resolver *net.Resolver, started chan struct{}, finished chan error) {
	started, finished = make(chan struct{}, 100), make(chan error, 100)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		started <- struct{}{}
		<-ctx.Done()
		finished <- ctx.Err()
		return nil, ctx.Err()
	}}, started, finished
}

// bound is a socket that has an address of this machine, and does not listen.
func bound(t testing.TB) (fd int, addr net.Addr) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	own(t, fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	return fd, netfd.LocalAddr(fd)
}

// freeAddr is an address of this machine where nobody listens until the test ends.
func freeAddr(t testing.TB) string {
	t.Helper()
	_, addr := bound(t)
	return addr.String()
}

// fullBacklog is the address of a listener that accepts nothing and whose queue is full: connecting hangs.
func fullBacklog(t testing.TB) string {
	t.Helper()
	fd, listening := bound(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	dialNet(t, listening) // however long that takes: the queue has room for one
	addr := listening.String()
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue of a listener never fills")
	return ""
}
