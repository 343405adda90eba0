//go:build linux

package reactor

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// The addresses of a name are tried one after the other, each within its share of the time.
func TestDialTriesEachAddress(t *testing.T) {
	good := peerFor(t, "tcp", "127.0.0.1:0")
	full := fullBacklog(t)
	l := running(t, Options{})
	try := func(timeout time.Duration, addresses ...string) *outcome {
		t.Helper()
		o, _ := dialAll(t, l, timeout, addresses...)
		return o
	}
	o := try(patience, freeAddr(t), freeAddr(t), good.String())
	if got := await(t, "the third address", o.events); got != "connected" {
		t.Errorf("%q, want connected; %v", got, errOf(o))
	}
	last := freeAddr(t)
	if err := try(patience, freeAddr(t), last).failure(t); !errors.Is(err, syscall.ECONNREFUSED) ||
		!strings.Contains(err.Error(), last) {
		t.Errorf("two that refuse: %v, want the second's error", err)
	}
	if err := try(20*time.Millisecond, full, good.String()).failure(t); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one that does not answer, for all of the time: %v", err)
	}
}

// Called off by another goroutine at any moment: while one address is tried, or between two of them.
func TestRemoveBetweenAttempts(t *testing.T) {
	l := running(t, Options{})
	dead := freeAddr(t)
	before := descriptors(t)
	for i := range 300 {
		o, token := dialAll(t, l, patience, dead, dead, dead, dead, dead, dead)
		for range i % 30 {
			l.Stats() // some time passes
		}
		removed := l.Remove(token) == nil
		if err := o.failure(t); removed && err != nil || !removed && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("removed: %t; Err: %v", removed, err)
		}
	}
	on(t, l, func() {})
	if n := descriptors(t) - before; n > 0 || l.Stats().Sockets > 0 {
		t.Errorf("%d descriptors and %d sockets are left", n, l.Stats().Sockets)
	}
}

func TestDialSharesTheTime(t *testing.T) {
	const second = int64(time.Second)
	for _, test := range []struct {
		todo             int
		now, until, want int64
	}{
		{3, 0, 0, 0},
		{0, second, 10 * second, 10 * second},
		{3, second, 41 * second, 11 * second},
		{3, second, 5 * second, 3 * second}, // not less than 2 s
		{3, second, 2 * second, 2 * second}, // but for want of time
	} {
		d := dialing{todo: make([]netfd.Sockaddr, test.todo), until: test.until}
		if got := d.limit(test.now); got != test.want {
			t.Errorf("%d more addresses, at %d of %d s: until %d s, want %d", test.todo, test.now/second,
				test.until/second, got/second, test.want/second)
		}
	}
}

// A look-up that hangs holds up nobody, and ends with its time, with Remove, and with the loop.
func TestLookupOffTheLoop(t *testing.T) {
	resolver, started, finished := hangingResolver()
	l := newLoop(t, Options{Resolver: resolver})
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()
	late, _ := dial(t, l, "tcp", "late.test:80", 10*time.Millisecond)
	if err := late.failure(t); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "late.test") {
		t.Errorf("after its time: %v", err)
	}
	await(t, "its look-up", started)
	questions := 1
	for len(started) > 0 {
		<-started
		questions++
	}
	removed, token := dial(t, l, "tcp", "removed.test:80", 0)
	await(t, "its look-up", started)
	open, openToken := dial(t, l, "tcp", "open.test:80", 0)
	await(t, "its look-up", started)
	setTimeout(t, l, openToken, time.Millisecond) // is not told of before it is connected
	ln := listen(t, l, func(a *Accepted) { a.Add(&hooks{readable: echo}) })
	exchange(t, dialNet(t, ln.Addr()), "meanwhile")
	if err := l.Remove(token); err != nil {
		t.Error(err)
	}
	if err := removed.failure(t); err != nil {
		t.Errorf("after Remove: %v", err)
	}
	l.Close()
	if err := open.failure(t); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	await(t, "Run", ended)
	for questions += 2 + len(started); questions > 0; questions-- {
		if err := await(t, "the look-ups to end", finished); !errors.Is(err, context.Canceled) {
			t.Errorf("a look-up was left to itself: %v", err)
		}
	}
}

// A name that does not exist is the resolver's error.
func TestLookupFails(t *testing.T) {
	l := running(t, Options{Resolver: &net.Resolver{PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ENETDOWN }}})
	o, _ := dial(t, l, "tcp", "nobody.test:80", patience)
	var dns *net.DNSError
	if err := o.failure(t); !errors.As(err, &dns) || dns.Name != "nobody.test" {
		t.Errorf("Err: %v, want a net.DNSError", err)
	}
	service, _ := dial(t, l, "tcp", "127.0.0.1:no-such-service", patience)
	if err := service.failure(t); err == nil || !strings.Contains(err.Error(), "no-such-service") {
		t.Errorf("Err: %v", err)
	}
}

// A timeout that has passed before the connection stands is told after OnWritable.
func TestTimeoutSetWhileConnecting(t *testing.T) {
	addr := peerFor(t, "tcp", "127.0.0.1:0")
	l := newLoop(t, Options{})
	o := newOutcome()
	o.timeout = func(*Socket) { o.events <- "timeout" }
	token, err := l.Dial("tcp", addr.String(), 0, o)
	if err != nil {
		t.Fatal(err)
	}
	l.sockets.named(token).timer.fired = true
	pollUntil(t, l, "two callbacks", func() bool { return len(o.events) >= 2 })
	if first, second := <-o.events, <-o.events; first != "connected" || second != "timeout" {
		t.Errorf("%q, then %q; want connected, timeout", first, second)
	}
}

// An attempt that was given up in the very turn in which it succeeds stays given up.
func TestAttemptEndsOnce(t *testing.T) {
	l := newLoop(t, Options{})
	o, token := dial(t, l, "tcp", peerFor(t, "tcp", "127.0.0.1:0").String(), 0)
	s := l.sockets.named(token)
	if err := l.Post(func() { // once it has begun, before the core tells what comes of it
		s.dialTimeout()
		s.dialed()
	}); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, l, "the end", func() bool { return len(o.err) == 1 })
	if err := o.failure(t); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Err: %v, want that the time is over", err)
	}
}

// Of a socket that TCP has connected with itself nobody is at the other end.
func TestOwnPeerIsRecognised(t *testing.T) {
	l := newLoop(t, Options{})
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	own(t, fd)
	loopback := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := syscall.Bind(fd, loopback); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, bound); err != nil {
		t.Fatal(err)
	}
	s := newSocket(l, &hooks{}, fd, syscall.SOCK_STREAM)
	s.state.Store(stateDialing)
	s.dial = &dialing{network: netfd.Network{Name: "tcp", Type: syscall.SOCK_STREAM}}
	s.dialed()
	if s.state.Load() != stateDialing || !errors.Is(s.dial.err, syscall.ECONNREFUSED) {
		t.Errorf("it is connected, or failed for another reason: %v", s.dial.err)
	}
	c := dialNet(t, peerFor(t, "tcp", "127.0.0.1:0"))
	raw, _ := c.(*net.TCPConn).SyscallConn()
	raw.Control(func(fd uintptr) {
		s := newSocket(l, &hooks{}, int(fd), syscall.SOCK_STREAM)
		s.state.Store(stateIdle)
		if s.isItsOwnPeer() {
			t.Error("a connection with somebody else is taken for one with itself")
		}
	})
}
