package tcpio

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/gid"
)

func TestClosingEndsStart(t *testing.T) {
	for name, end := range map[string]func(l *Listener) error{
		"Close":       (*Listener).Close,
		"GetListener": func(l *Listener) error { return l.GetListener().Close() },
		"shutdown(2)": func(l *Listener) error {
			raw, err := l.GetListener().SyscallConn()
			if err != nil {
				return err
			}
			failed := raw.Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
			return errors.Join(failed, err)
		},
	} {
		for mode, options := range modes {
			t.Run(name+", "+mode, func(t *testing.T) {
				s := serve(t, options)
				var clients []*net.TCPConn
				for range 10 {
					clients = append(clients, s.dial())
					send(t, clients[len(clients)-1], "x")
					expect(t, clients[len(clients)-1], "x")
				}
				if err := end(s.Listener); err != nil {
					t.Error(err)
				}
				wait(t, "Start to return", s.ended)
				for _, client := range clients {
					is(t, wait(t, "OnClose", s.closes), ErrListenerClosed, net.ErrClosed)
					expectEnd(t, client)
				}
				s.Start() // returns at once, as it has before
				is(t, s.GetListener().Close(), net.ErrClosed)
			})
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s := serve(t, ListenerOptions{})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	is(t, s.Close(), net.ErrClosed)
}

func TestCloseWithoutStart(t *testing.T) {
	before := descriptors(t)
	for range 10 {
		l, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0", Loops: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		l.Start() // returns
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are left", after-before)
	}
}

func TestCloseInCallback(t *testing.T) {
	listener := make(chan *Listener, 1)
	s := serve(t, ListenerOptions{OnConnEvent: func(net.Conn) error {
		l := <-listener
		if gid.Current() != 0 { // else nobody knows
			is(t, l.Shutdown(context.Background()), errInCallback)
		}
		return l.Close()
	}})
	listener <- s.Listener
	send(t, s.dial(), "x")
	wait(t, "Start to return", s.ended)
}

func TestLoopsAreBalanced(t *testing.T) {
	s := serve(t, ListenerOptions{Loops: 3, OnConnEvent: echo})
	var clients []*net.TCPConn
	for range 30 {
		clients = append(clients, s.dial())
	}
	until(t, "all are accepted", func() bool { return s.Stats().Conns == 30 })
	for _, n := range s.Stats().PerLoop {
		if n != 10 {
			t.Fatalf("connections per loop: %v", s.Stats().PerLoop)
		}
	}
	for _, c := range clients {
		send(t, c, "x")
		expect(t, c, "x")
	}
	for _, c := range clients[:20] {
		c.Close()
	}
	until(t, "some are gone", func() bool { return s.Stats().Conns == 10 })
	for range 20 {
		s.dial()
	}
	until(t, "all are accepted", func() bool { return s.Stats().Conns == 30 })
	for _, n := range s.Stats().PerLoop {
		if n != 10 {
			t.Fatalf("connections per loop: %v", s.Stats().PerLoop)
		}
	}
}

func TestMaxConns(t *testing.T) {
	s := serve(t, ListenerOptions{MaxConns: 2, OnConnEvent: echo})
	first, second := s.dial(), s.dial()
	for _, c := range []*net.TCPConn{first, second} {
		send(t, c, "x")
		expect(t, c, "x")
	}
	expectEnd(t, s.dial())
	is(t, s.failed(), ErrTooManyConns)
	first.Close()
	until(t, "the first is gone", func() bool { return s.Stats().Conns == 1 })
	third := s.dial()
	send(t, third, "x")
	expect(t, third, "x")
	if st := s.Stats(); st.Refused != 1 || st.Accepted != 3 || st.Conns != 2 {
		t.Errorf("%+v", st)
	}
}

func TestDeadlinePausesAccepting(t *testing.T) {
	s := serve(t, ListenerOptions{OnConnEvent: echo})
	if err := s.GetListener().SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	is(t, s.failed(), os.ErrDeadlineExceeded)
	client := s.dial() // waits in the kernel's queue
	send(t, client, "x")
	if n := s.Stats().Accepted; n != 0 {
		t.Errorf("%d connections were accepted", n)
	}
	if err := s.GetListener().SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	expect(t, client, "x")
}

// exhaust uses all descriptors but some up, until the function that it returns is called.
func exhaust(t *testing.T, spare int) (release func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = uint64(descriptors(t) + 100)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var taken []int
	release = func() {
		for _, fd := range taken {
			syscall.Close(fd)
		}
		taken = nil
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(release)
	for {
		fd, err := syscall.Dup(0)
		if err == syscall.EMFILE {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, fd)
	}
	for range spare {
		syscall.Close(taken[len(taken)-1])
		taken = taken[:len(taken)-1]
	}
	return release
}

// When there is no descriptor, clients wait until there is one.
func TestAcceptingBacksOff(t *testing.T) {
	for name, spare := range map[string]int{"none to accept": 1, "none to keep": 2} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, ListenerOptions{OnConnEvent: echo})
			warm := s.dial()
			send(t, warm, "x")
			expect(t, warm, "x")
			for try := 0; !starve(t, s, warm, spare); try++ { // something else has let go of a descriptor meanwhile
				if try == 10 {
					t.Fatal("no error is reported")
				}
			}
			if n := s.Stats().Refused; n != 0 {
				t.Errorf("%d connections were refused", n)
			}
		})
	}
}

// starve leaves a listener so many descriptors for one connection, and tells whether they were not enough.
func starve(t *testing.T, s *serving, warm net.Conn, spare int) bool {
	t.Helper()
	release := exhaust(t, spare)
	client := s.dial() // takes one
	send(t, client, "x")
	answered := make(chan byte, 1)
	go func() {
		var answer [1]byte
		client.Read(answer[:])
		answered <- answer[0]
	}()
	starved := false
	select {
	case err := <-s.errs:
		is(t, err, syscall.EMFILE)
		send(t, warm, "y")
		expect(t, warm, "y")
		starved = true
		release()
		if wait(t, "the answer", answered) != 'x' {
			t.Error("the client was not served in the end")
		}
	case <-answered:
		release()
	}
	return starved
}

// A client that waits for a descriptor does so as long as the listener lives, and no longer.
func TestClosingWhileShortOfDescriptors(t *testing.T) {
	for name, end := range map[string]func(s *serving) error{
		"Close":    func(s *serving) error { return s.Close() },
		"Shutdown": func(s *serving) error { return s.Shutdown(patient(s.t)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, ListenerOptions{})
			for try := 0; ; try++ {
				release := exhaust(t, 2)
				client := s.dial() // takes one
				until(t, "it is accepted, or not", func() bool {
					return len(s.errs) > 0 || s.Stats().Accepted > uint64(try)
				})
				if len(s.errs) > 0 {
					client.CloseWrite() // if it is served after all, that does not take long
					break
				}
				release() // something else has let go of a descriptor meanwhile
				client.Close()
				if try == 10 {
					t.Fatal("no error is reported")
				}
			}
			is(t, s.failed(), syscall.EMFILE)
			var limit syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			limit.Cur = 0 // so that the listener's own, once closed, is no help
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			if err := end(s); err != nil {
				t.Error(err)
			}
			wait(t, "Start to return", s.ended)
		})
	}
}

// Without OnErrorEvent the log says what is wrong.
func TestAcceptErrorsAreLogged(t *testing.T) {
	var log journal
	l, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0", MaxConns: 1, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	go l.Start()
	defer l.Close()
	for range 2 {
		c, err := net.Dial("tcp", l.GetListener().Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	until(t, "the log says so", func() bool { return len(log.String()) > 0 })
}

func TestAcceptedSocketsAreAsPackageNetHasThem(t *testing.T) {
	option := func(c net.Conn, level, name int) (n int) {
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if failed := raw.Control(func(fd uintptr) { n, err = syscall.GetsockoptInt(int(fd), level, name) }); failed != nil {
			t.Fatal(failed)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	theirs, _ := standardPair(t)
	ours, _ := pair(t, ListenerOptions{})
	for name, of := range map[string][2]int{
		"SO_KEEPALIVE":  {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
		"TCP_KEEPIDLE":  {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
		"TCP_KEEPINTVL": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
		"TCP_KEEPCNT":   {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
		"TCP_NODELAY":   {syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
	} {
		if got, want := option(ours, of[0], of[1]), option(theirs, of[0], of[1]); got != want {
			t.Errorf("%s is %d, package net has %d", name, got, want)
		}
	}
	for set, want := range map[time.Duration][2]int{-1: {0, 0}, 1500 * time.Millisecond: {1, 2}} {
		c, _ := pair(t, ListenerOptions{KeepAlive: set})
		if on := option(c, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); on != want[0] {
			t.Errorf("KeepAlive %v: SO_KEEPALIVE is %d", set, on)
		}
		if idle := option(c, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE); want[1] != 0 && idle != want[1] {
			t.Errorf("KeepAlive %v: TCP_KEEPIDLE is %d", set, idle)
		}
	}
}
