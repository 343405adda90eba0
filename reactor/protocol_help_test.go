//go:build linux

package reactor

import (
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// actor is a Protocol made of functions; where it has none, it does what Base does.
type actor struct {
	Base
	made    func(a *actor)
	data    func(a *actor, data Buffer) Action
	room    func(a *actor) Action
	timeout func(a *actor) Action
	lost    func(a *actor)

	ready chan struct{} // closed by ConnectionMade
	gone  chan error    // gets Err in ConnectionLost
}

func newActor() *actor { return &actor{ready: make(chan struct{}), gone: make(chan error, 1)} }

func (a *actor) ConnectionMade(fd int, info ClientInfo) {
	close(a.ready)
	if a.made != nil {
		a.made(a)
	}
}

func (a *actor) DataReceived(data Buffer) Action {
	if a.data != nil {
		return a.data(a, data)
	}
	return a.Base.DataReceived(data)
}

func (a *actor) WriteReady() Action {
	if a.room != nil {
		return a.room(a)
	}
	return a.Base.WriteReady()
}

func (a *actor) TimedOut() Action {
	if a.timeout != nil {
		return a.timeout(a)
	}
	return a.Base.TimedOut()
}

func (a *actor) ConnectionLost() {
	a.gone <- a.Err()
	if a.lost != nil {
		a.lost(a)
	}
}

// returning answers the same to everything that is received.
func returning(action Action) func(*actor, Buffer) Action {
	return func(*actor, Buffer) Action { return action }
}

// sendBack has all that is received written, up to the end of the stream.
func sendBack(a *actor, data Buffer) Action {
	a.WriteBuffer.Write(data)
	return WritePending
}

// do has f called on the connection's loop and waits for that.
func (a *actor) do(t testing.TB, f func() Action) {
	t.Helper()
	done := make(chan struct{})
	if err := a.Post(func() Action { defer close(done); return f() }); err != nil {
		t.Fatal(err)
	}
	await(t, "a posted function", done)
}

// quiet is a few turns of the connection's loop, in each of which it would be called if it had to be.
func (a *actor) quiet(t testing.TB) {
	t.Helper()
	for range 5 {
		a.do(t, func() Action { return Continue })
	}
}

// end waits for ConnectionLost and returns what Err has said in it.
func (a *actor) end(t testing.TB) error {
	t.Helper()
	return await(t, "ConnectionLost", a.gone)
}

// closes expects an orderly end.
func (a *actor) closes(t testing.TB) {
	t.Helper()
	if err := a.end(t); err != nil {
		t.Errorf("ended with %v, want no error", err)
	}
}

// contextFor makes a context which is closed when the test ends, and then must hold nothing.
func contextFor(t testing.TB, o ContextOptions) *Context {
	t.Helper()
	if o.Loop.ReadBuffer == 0 {
		o.Loop.ReadBuffer = 64 << 10
	}
	if o.Loop.Logger == nil {
		o.Loop.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	c, err := NewContext(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeContext(t, c) })
	return c
}

// closeContext closes a context and waits for its end.
func closeContext(t testing.TB, c *Context) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the context to close", c.Done())
	if n := c.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// give hands off fd to become a's, which is made.
func give(t testing.TB, c *Context, fd int, a *actor) {
	t.Helper()
	c.SetFactory(func() Protocol { return a })
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	await(t, "ConnectionMade", a.ready)
}

// serve has a talk to a stream socket, whose other end it returns, in a context of their own.
func serve(t testing.TB, a *actor) net.Conn {
	t.Helper()
	fd, peer := wire(t)
	give(t, contextFor(t, ContextOptions{}), fd, a)
	return peer
}

// wire makes two connected stream sockets: a descriptor for a context, and the other end for the test.
func wire(t testing.TB) (fd int, peer *net.UnixConn) {
	t.Helper()
	fd, other := pair(t)
	return fd, connOf(t, other).(*net.UnixConn)
}

// connOf makes a net.Conn of a descriptor, which is closed.
func connOf(t testing.TB, fd uintptr) net.Conn {
	t.Helper()
	delete(owned, fd)
	f := os.NewFile(fd, "peer")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// put writes all of text.
func put(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// expect reads what must come.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// expectEnd reads the end of the stream.
func expectEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v; want the end", rest, err)
	}
}

// cram writes until the socket takes no more, and returns how much that was.
func (a *actor) cram(t testing.TB) (n int64) {
	t.Helper()
	chunk := make([]byte, 4096)
	a.do(t, func() Action {
		for {
			written, err := a.Write(chunk)
			n += int64(written)
			if err == ErrWouldBlock {
				return Continue
			}
			if err != nil {
				t.Error(err)
				return Close
			}
		}
	})
	return n
}

// until lets the connection's loop turn until done says so. It asks on the loop.
func (a *actor) until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var is bool
		if a.do(t, func() Action { is = done(); return Continue }); is {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// tcpPair makes two connected sockets of TCP.
func tcpPair(t testing.TB) (fd int, peer *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer = dialNet(t, ln.Addr()).(*net.TCPConn)
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if fd, err = netfd.DupConn(c.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	return fd, peer
}
