//go:build linux

package reactor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Shutdown takes nothing new, and waits until each connection has ended as it would have.
func TestShutdownDrains(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), Loops: 2})
	path := filepath.Join(t.TempDir(), "s")
	ln, err := c.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 4 {
		client := dialNet(t, ln.Addr())
		expect(t, client, "hi")
		clients = append(clients, client)
	}
	ended := make(chan error, 2)
	for range 2 { // the second waits with the first
		go func() { ended <- c.Shutdown(context.Background()) }()
	}
	for { // until it has begun
		fd, peer := wire(t)
		if err := c.Handoff(fd, ClientInfo{}); err != nil {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("Handoff: %v, want ErrClosed", err)
			}
			own(t, fd)
			break
		}
		peer.Close()
	}
	for deadline := time.Now().Add(patience); ; { // until it does not listen any more
		conn, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("it still listens")
		}
	}
	for _, client := range clients {
		select {
		case err := <-ended:
			t.Fatalf("Shutdown has returned %v, there are connections", err)
		default:
		}
		exchange(t, client, "still served")
		client.Close()
	}
	for range 2 {
		if err := await(t, "Shutdown", ended); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	await(t, "Done", c.Done())
	if n := c.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen: %v, want ErrClosed", err)
	}
	if err := c.Shutdown(context.Background()); err != nil {
		t.Errorf("another Shutdown: %v", err)
	}
}

// Connections that do not end in time are closed.
func TestShutdownInTime(t *testing.T) {
	a := newActor()
	c := contextFor(t, ContextOptions{})
	fd, peer := wire(t)
	give(t, c, fd, a)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want context.Canceled", err)
	}
	select {
	case err := <-a.gone:
		if !errors.Is(err, ErrClosed) {
			t.Errorf("ended with %v, want ErrClosed", err)
		}
	default:
		t.Error("Shutdown has returned before ConnectionLost")
	}
	expectEnd(t, peer)
	if isOpen(uintptr(fd)) {
		t.Error("the descriptor is open")
	}
}

// A connection that is being closed, and waits for its peer, is one that Shutdown waits for, too.
func TestShutdownWaitsForClosingConnections(t *testing.T) {
	a := newActor()
	a.data = returning(Close)
	c := contextFor(t, ContextOptions{CloseTimeout: time.Hour})
	fd, peer := wire(t)
	give(t, c, fd, a)
	put(t, peer, "x")
	expectEnd(t, peer)
	ended := make(chan error, 1)
	go func() { ended <- c.Shutdown(context.Background()) }()
	peer.Close()
	if err := await(t, "Shutdown", ended); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	a.closes(t)
}

func TestShutdownOfAnEmptyContext(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	if err := c.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	await(t, "Done", c.Done())
}

// Close ends everything, also when a callback does it: the others are told.
func TestCloseContext(t *testing.T) {
	for name, end := range map[string]func(c *Context, a *actor, peer net.Conn){
		"from elsewhere": func(c *Context, _ *actor, _ net.Conn) { c.Close() },
		"in a callback": func(c *Context, a *actor, peer net.Conn) {
			a.Post(func() Action { c.Close(); return WritePending })
		},
		"twice": func(c *Context, _ *actor, _ net.Conn) { c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := contextFor(t, ContextOptions{Loops: 3})
			var actors []*actor
			var peers []net.Conn
			for range 9 {
				a := newActor()
				a.room = func(*actor) Action { return Continue }
				fd, peer := wire(t)
				give(t, c, fd, a)
				actors, peers = append(actors, a), append(peers, peer)
			}
			ln, err := c.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			end(c, actors[0], peers[0])
			await(t, "Done", c.Done())
			for i, a := range actors {
				select {
				case err := <-a.gone:
					if !errors.Is(err, ErrClosed) {
						t.Errorf("ended with %v, want ErrClosed", err)
					}
				default:
					t.Error("Done before ConnectionLost")
				}
				expectEnd(t, peers[i])
			}
			if c.Connections() != 0 || len(c.Stats().Loops) != 0 {
				t.Errorf("%+v after the end", c.Stats())
			}
			if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
				conn.Close()
				t.Error("it still listens")
			}
			fd, _ := wire(t)
			own(t, fd)
			if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrClosed) || !isOpen(uintptr(fd)) {
				t.Errorf("Handoff: %v, want ErrClosed; open: %t", err, isOpen(uintptr(fd)))
			}
		})
	}
}

// A connection that the context does not take is closed, and said so; the listener lives on.
func TestListenWithoutRoom(t *testing.T) {
	report := new(lockedBuffer)
	logger := slog.New(slog.NewTextHandler(report, nil))
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), MaxConnections: 1, Loop: Options{Logger: logger}})
	ln, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := dialNet(t, ln.Addr())
	expect(t, first, "hi")
	expectEnd(t, dialNet(t, ln.Addr()))
	if got := report.String(); !strings.Contains(got, "too many sockets") {
		t.Errorf("the report does not say why: %s", got)
	}
	exchange(t, first, "one of them is served")
	c.SetFactory(func() Protocol { panic("a bug of the user's") })
	first.Close()
	for !strings.Contains(report.String(), "a bug of the user's") { // no factory is asked before the first has gone
		expectEnd(t, dialNet(t, ln.Addr()))
	}
	c.SetFactory(greeter("anew"))
	expect(t, dialNet(t, ln.Addr()), "anew")
}

// Contexts leave nothing behind, whatever they have in hand.
func TestContextsLeaveNothing(t *testing.T) {
	before := descriptors(t)
	for range 50 {
		c, err := NewContext(ContextOptions{Factory: greeter("hi"), Loops: 2, Loop: Options{ReadBuffer: 1024}})
		if err != nil {
			t.Fatal(err)
		}
		fd, peer := wire(t)
		if err := c.Handoff(fd, ClientInfo{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		closeContext(t, c)
		peer.Close()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
