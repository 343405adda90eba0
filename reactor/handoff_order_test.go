//go:build linux

package reactor

import (
	"runtime"
	"testing"
	"time"
)

// found hands fd off on another goroutine and returns its protocol as soon as the context has it, which may be before
// Handoff has answered.
func found(t testing.TB, c *Context, fd int) (a *actor, handed chan error) {
	t.Helper()
	handed = make(chan error, 1)
	go func() { handed <- c.Handoff(fd, ClientInfo{}) }()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if p := c.Protocol(fd); p != nil {
			return p.(*actor), handed
		}
	}
	t.Fatal("waited in vain for the protocol")
	return nil, nil
}

// What another goroutine asks of a protocol that it has found in the context happens, however early that is.
func TestOrdersDuringHandoff(t *testing.T) {
	for name, order := range map[string]func(a *actor, done func() Action) error{
		"Abort":      func(a *actor, _ func() Action) error { return a.Abort() },
		"Close":      func(a *actor, _ func() Action) error { return a.Base.Close() },
		"Post":       func(a *actor, done func() Action) error { return a.Post(done) },
		"SetTimeout": func(a *actor, _ func() Action) error { return a.SetTimeout(0) }, // calls done, too
	} {
		t.Run(name, func(t *testing.T) {
			c := contextFor(t, ContextOptions{Loops: 2, CloseTimeout: time.Hour})
			calls := name == "Post" || name == "SetTimeout"
			for range 300 {
				called := make(chan struct{})
				done := func() Action { close(called); return Close }
				c.SetFactory(func() Protocol {
					a := newActor()
					a.timeout = func(*actor) Action { return done() }
					return a
				})
				fd, peer := wire(t)
				a, handed := found(t, c, fd)
				if err := order(a, done); err != nil {
					t.Fatalf("%v; the connection is closed: %t", err, a.Closed())
				}
				if name == "Abort" && !a.Closed() {
					t.Error("Closed says no after Abort")
				}
				if err := await(t, "Handoff", handed); err != nil {
					t.Error(err)
				}
				if calls {
					await(t, "the call", called)
				}
				expectEnd(t, peer) // in which each order ends
				peer.Close()
			}
		})
	}
}
