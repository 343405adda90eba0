//go:build linux

package reactor

import (
	"testing"
	"time"
)

// asking is an openHooks that notes the questions for its priority, too.
type asking struct{ openHooks }

func (h *asking) IsLowPriority() bool {
	h.calls = append(h.calls, "low")
	return h.low
}

// A handler is not asked for its priority before OnOpen, although there is something to read already, nor when OnOpen
// has ended the socket.
func TestPriorityIsNotAskedBeforeOnOpen(t *testing.T) {
	for _, low := range []bool{false, true} {
		for ended, want := range map[bool][]string{false: {"open", "low", "readable"}, true: {"open", "close"}} {
			l := newLoop(t, Options{})
			h := &asking{openHooks{low: low}}
			if ended {
				h.open = func(s *Socket) { s.Close() }
			}
			fd, peer := pair(t)
			send(t, peer, "x")
			if err := l.Post(func() { add(t, l, fd, h) }); err != nil { // there, OnOpen is due a turn later
				t.Fatal(err)
			}
			pollUntil(t, l, want[len(want)-1], h.has(want[len(want)-1]))
			h.called(t, want...)
		}
	}
}

// askedActor is a Protocol of low priority that notes when it is asked.
type askedActor struct {
	*actor
	asked func()
}

func (p *askedActor) IsLowPriority() bool { p.asked(); return true }

// A protocol is not asked for its priority before ConnectionMade, nor after it has answered Close.
func TestPriorityOfAProtocolIsAskedInItsTime(t *testing.T) {
	c := contextFor(t, ContextOptions{CloseTimeout: time.Hour})
	other, a := newActor(), newActor()
	fd, _ := wire(t)
	give(t, c, fd, other)
	made, closing, asked := false, false, 0 // belong to the loop
	a.made = func(*actor) { made = true }
	a.data = func(*actor, Buffer) Action {
		closing = true
		return Close
	}
	c.SetFactory(func() Protocol {
		return &askedActor{a, func() {
			asked++
			if !made || closing {
				t.Errorf("asked when ConnectionMade was called: %t, Close answered: %t", made, closing)
			}
		}}
	})
	fd, peer := wire(t)
	put(t, peer, "x")
	other.do(t, func() Action { // so that it has something to read in its first turn
		if err := c.Handoff(fd, ClientInfo{}); err != nil {
			t.Error(err)
		}
		return Continue
	})
	expectEnd(t, peer)
	put(t, peer, "dropped")
	other.quiet(t)
	peer.Close()
	a.closes(t)
	other.do(t, func() Action {
		if asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
		return Continue
	})
}
