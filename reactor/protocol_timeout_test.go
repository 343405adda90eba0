//go:build linux

package reactor

import (
	"syscall"
	"testing"
	"time"
)

func TestTimedOut(t *testing.T) {
	a := newActor()
	ticks := 0
	a.made = func(*actor) { a.SetTimeout(time.Millisecond) }
	a.timeout = func(*actor) Action {
		if ticks++; ticks < 3 {
			a.SetTimeout(time.Millisecond)
			return Continue
		}
		a.WriteBuffer.WriteString("three")
		return WritePending
	}
	peer := serve(t, a)
	expect(t, peer, "three")
	a.quiet(t)
	a.do(t, func() Action {
		if ticks != 3 {
			t.Errorf("called %d times, 3 were set", ticks)
		}
		return Continue
	})
}

func TestBaseTimedOutCloses(t *testing.T) {
	a := newActor()
	peer := serve(t, a)
	if err := a.SetTimeout(time.Millisecond); err != nil { // on another goroutine than the loop's
		t.Error(err)
	}
	expectEnd(t, peer)
	peer.Close()
	a.closes(t)
}

// What is cancelled, or put off, does not come when one comes that was set later.
func TestTimeoutsThatDoNotCome(t *testing.T) {
	for name, change := range map[string]func(a *actor) error{
		"cancelled": func(a *actor) error { return a.CancelTimeout() },
		"put off":   func(a *actor) error { return a.SetTimeout(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			c := contextFor(t, ContextOptions{})
			a, later := newActor(), newActor()
			a.timeout = func(*actor) Action { t.Error("TimedOut was called"); return Close }
			passed := make(chan struct{})
			later.timeout = func(*actor) Action { close(passed); return Continue }
			for _, actor := range []*actor{a, later} {
				fd, _ := wire(t)
				give(t, c, fd, actor)
			}
			a.do(t, func() Action {
				if err := a.SetTimeout(time.Millisecond); err != nil {
					t.Error(err)
				}
				if err := change(a); err != nil {
					t.Error(err)
				}
				return Continue
			})
			later.SetTimeout(5 * time.Millisecond)
			await(t, "a later timeout", passed)
		})
	}
}

// A timeout that was set does not take the place of CloseTimeout, whenever and wherever that is done.
func TestTimeoutOfAClosingConnection(t *testing.T) {
	a := newActor()
	a.data = func(*actor, Buffer) Action {
		a.SetTimeout(time.Hour)
		return Close
	}
	fd, peer := wire(t)
	give(t, contextFor(t, ContextOptions{CloseTimeout: time.Millisecond}), fd, a)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				a.SetTimeout(time.Hour)
				a.CancelTimeout()
			}
		}
	}()
	put(t, peer, "x")
	a.closes(t)
	close(stop)
	await(t, "the other goroutine", stopped)
}

// plain is a Protocol without a Base: it writes what it gets to its descriptor itself.
type plain struct {
	fd     int
	unsent []byte
	gone   chan struct{}
}

func (p *plain) ConnectionMade(fd int, _ ClientInfo) { p.fd = fd }

func (p *plain) DataReceived(data Buffer) Action {
	p.unsent = append(p.unsent, data...)
	return WritePending
}

func (p *plain) WriteReady() Action {
	n, err := syscall.Write(p.fd, p.unsent)
	if p.unsent = p.unsent[max(n, 0):]; err == syscall.EAGAIN || len(p.unsent) > 0 {
		return Continue
	}
	return ReadPending
}

func (p *plain) ConnectionLost() { close(p.gone) }

// A Protocol needs no Base; one that is no TimeoutReceiver is not told of time, and lives on.
func TestProtocolWithoutBase(t *testing.T) {
	p := &plain{gone: make(chan struct{})}
	fd, peer := wire(t)
	c := contextFor(t, ContextOptions{Factory: func() Protocol { return p }})
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	put(t, peer, "hello")
	expect(t, peer, "hello")
	later, passed := newActor(), make(chan struct{})
	later.timeout = func(*actor) Action { close(passed); return Continue }
	laterFD, _ := wire(t)
	give(t, c, laterFD, later)
	loop := later.conn.Load().socket.loop
	later.do(t, func() Action {
		if err := loop.SetTimeout(loop.sockets.byFD[fd].token, time.Millisecond); err != nil {
			t.Error(err)
		}
		return Continue
	})
	later.SetTimeout(5 * time.Millisecond)
	await(t, "a later timeout", passed)
	put(t, peer, "again")
	expect(t, peer, "again")
	peer.CloseWrite()
	expectEnd(t, peer)
	await(t, "ConnectionLost", p.gone)
}
