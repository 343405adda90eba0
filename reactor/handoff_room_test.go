//go:build linux

package reactor

import (
	"errors"
	"testing"
	"time"
)

// A protocol whose connection found no room has had none: it can be handed off again.
func TestHandoffAgain(t *testing.T) {
	c := contextFor(t, ContextOptions{Loop: Options{MaxSockets: 1}})
	first, next := newActor(), newActor()
	next.data = sendBack
	fd, _ := wire(t)
	give(t, c, fd, first)
	c.SetFactory(func() Protocol { return next })
	fd, peer := wire(t)
	err := c.Handoff(fd, ClientInfo{})
	if !errors.Is(err, ErrTooManySockets) {
		t.Errorf("with no room: %v, want ErrTooManySockets", err)
	}
	if next.Context() != nil || next.FD() != -1 || next.Closed() || next.Info() != (ClientInfo{}) {
		t.Errorf("it has a connection: %v, fd %d, closed %t", next.Info(), next.FD(), next.Closed())
	}
	if err := next.Abort(); !errors.Is(err, ErrNoSocket) {
		t.Errorf("Abort: %v, want ErrNoSocket", err)
	}
	if err := first.Abort(); err != nil {
		t.Error(err)
	}
	first.closes(t)
	for deadline := time.Now().Add(patience); errors.Is(err, ErrTooManySockets) && time.Now().Before(deadline); {
		err = c.Handoff(fd, ClientInfo{}) // there is room when the first one's descriptor is closed
	}
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, peer, "served after all")
}

// A context that takes nothing has no protocol made for nothing.
func TestFactoryIsNotAskedWithoutRoom(t *testing.T) {
	asked := 0
	c := contextFor(t, ContextOptions{MaxConnections: 1, Factory: func() Protocol {
		asked++
		return newActor()
	}})
	join(t, c)
	fd, _ := wire(t)
	own(t, fd)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrTooManySockets) || asked != 1 {
		t.Errorf("with no room: %v, the factory was asked %d times; want ErrTooManySockets, once", err, asked)
	}
	closeContext(t, c)
	if err := c.Handoff(fd, ClientInfo{}); !errors.Is(err, ErrClosed) || asked != 1 {
		t.Errorf("closed: %v, the factory was asked %d times; want ErrClosed, once", err, asked)
	}
}
