//go:build linux

package reactor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// told is a Protocol that hears of Shutdown.
type told struct {
	*actor
	down func(a *actor) Action
}

func (p *told) ShuttingDown() Action { return p.down(p.actor) }

// Protocols that want to know of Shutdown are told, once: one says goodbye and closes, another goes on for a while.
func TestShutdownTells(t *testing.T) {
	const connections = 6
	var calls atomic.Int64
	made := 0
	c := contextFor(t, ContextOptions{Loops: 2, Factory: func() Protocol {
		a, lasts := newActor(), made%2 == 1
		made++
		a.data = sendBack
		return &told{a, func(*actor) Action {
			calls.Add(1)
			a.WriteBuffer.WriteString("bye")
			if lasts {
				return WritePending
			}
			if _, err := a.Flush(); err != nil {
				t.Error(err)
			}
			return Close
		}}
	}})
	var quit, last []net.Conn
	for i := range connections {
		_, peer := join(t, c)
		if i%2 == 0 {
			quit = append(quit, peer)
		} else {
			last = append(last, peer)
		}
	}
	ended := make(chan error, 2)
	for range 2 { // the second tells nobody
		go func() { ended <- c.Shutdown(context.Background()) }()
	}
	for _, peer := range quit {
		expect(t, peer, "bye")
		expectEnd(t, peer)
		peer.Close()
	}
	for _, peer := range last {
		expect(t, peer, "bye")
		put(t, peer, "one more")
		expect(t, peer, "one more")
		select {
		case err := <-ended:
			t.Fatalf("Shutdown has returned %v, there are connections", err)
		default:
		}
		peer.Close()
	}
	for range 2 {
		if err := await(t, "Shutdown", ended); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	if n := calls.Load(); n != connections {
		t.Errorf("%d calls of ShuttingDown, want %d", n, connections)
	}
}

// One that has answered Close already is told nothing but its end.
func TestShutdownDoesNotTellTheClosing(t *testing.T) {
	a := newActor()
	c := contextFor(t, ContextOptions{CloseTimeout: time.Hour, Factory: func() Protocol {
		return &told{a, func(*actor) Action {
			t.Error("ShuttingDown after Close was answered")
			return Continue
		}}
	}})
	_, peer := join(t, c)
	if err := a.Base.Close(); err != nil {
		t.Error(err)
	}
	expectEnd(t, peer)
	conn := a.conn.Load()
	conn.shuttingDown()
	on(t, conn.socket.loop, func() {})
	peer.Close()
	a.closes(t)
}

// A connection that is being handed off when Shutdown begins is either refused or told: none is forgotten, and nobody
// has to be waited for in vain. It is told after ConnectionMade.
func TestShutdownTellsWhoIsJustComing(t *testing.T) {
	for round := 0; round < 30 && !t.Failed(); round++ {
		c := contextFor(t, ContextOptions{Loops: 2, Loop: Options{ReadBuffer: 1024}, Factory: func() Protocol {
			a, made := newActor(), false
			a.made = func(*actor) { made = true }
			return &told{a, func(*actor) Action {
				if !made {
					t.Error("ShuttingDown before ConnectionMade")
				}
				if err := a.Abort(); err != nil {
					t.Error(err)
				}
				return Continue
			}}
		}})
		var handing sync.WaitGroup
		over := make(chan struct{})
		for range 2 {
			handing.Add(1)
			go func() {
				defer handing.Done()
				handOffUntilClosed(t, c, over)
			}()
		}
		for c.Connections() < 5 { // it is under way
			on(t, c.loops[0], func() {})
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := c.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		cancel()
		close(over)
		handing.Wait()
	}
}

// handOffUntilClosed hands off one connection after the other, until that is refused, or they are many. Their peers
// live until it is over.
func handOffUntilClosed(t testing.TB, c *Context, over chan struct{}) {
	var peers []int
	defer func() {
		<-over
		for _, peer := range peers {
			syscall.Close(peer)
		}
	}()
	for range 200 {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		peers = append(peers, fds[1])
		if err := c.Handoff(fds[0], ClientInfo{}); err != nil {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("Handoff: %v, want ErrClosed", err)
			}
			syscall.Close(fds[0])
			return
		}
	}
}
