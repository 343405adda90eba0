//go:build linux

package reactor

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
)

// methods are places where a protocol can fail: each makes an actor call fail there, given a byte from the peer.
var methods = map[string]func(a *actor, fail func()){
	"ConnectionMade": func(a *actor, fail func()) { a.made = func(*actor) { fail() } },
	"DataReceived": func(a *actor, fail func()) {
		a.data = func(*actor, Buffer) Action { fail(); return Continue }
	},
	"WriteReady": func(a *actor, fail func()) {
		a.data = returning(WritePending)
		a.room = func(*actor) Action { fail(); return Continue }
	},
	"WriteReady, later": func(a *actor, fail func()) {
		a.data = returning(WritePending)
		calls := 0
		a.room = func(*actor) Action {
			if calls++; calls > 1 {
				fail()
			}
			return Continue
		}
	},
	"TimedOut": func(a *actor, fail func()) {
		a.data = func(*actor, Buffer) Action { a.SetTimeout(1); return Continue }
		a.timeout = func(*actor) Action { fail(); return Continue }
	},
	"Post": func(a *actor, fail func()) {
		a.data = func(*actor, Buffer) Action {
			a.Post(func() Action { fail(); return Continue })
			return Continue
		}
	},
	"ConnectionLost": func(a *actor, fail func()) {
		a.data = returning(Close)
		a.lost = func(*actor) { fail() }
	},
}

// A method that panics, or ends its goroutine, costs its connection, and nothing else: the other one lives on.
func TestProtocolPanics(t *testing.T) {
	for name, install := range methods {
		for kind, fail := range map[string]func(){
			"panic":  func() { panic("a bug of the user's") },
			"Goexit": runtime.Goexit,
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				report := new(lockedBuffer)
				c := contextFor(t, ContextOptions{Loop: Options{Logger: slog.New(slog.NewTextHandler(report, nil))}})
				good := newActor()
				good.data = sendBack
				goodFD, goodPeer := wire(t)
				give(t, c, goodFD, good)

				bad := newActor()
				install(bad, fail)
				badFD, badPeer := wire(t)
				give(t, c, badFD, bad)
				badPeer.Write([]byte("x")) // fails when it is over already
				if name == "ConnectionLost" {
					badPeer.Close()
				}
				err := bad.end(t)
				var failure *PanicError
				switch errors.As(err, &failure); {
				case name == "ConnectionLost":
					if err != nil {
						t.Errorf("Err says %v before the panic", err)
					}
				case failure == nil:
					t.Errorf("ended with %v, want a PanicError", err)
				case kind == "panic" && failure.Value != "a bug of the user's", kind == "Goexit" && failure.Value != nil:
					t.Errorf("the PanicError has %v", failure.Value)
				}

				put(t, goodPeer, "still here")
				expect(t, goodPeer, "still here")
				if n := c.Connections(); n != 1 {
					t.Errorf("%d connections, want the other one", n)
				}
				if c.Protocol(badFD) != nil || isOpen(uintptr(badFD)) {
					t.Error("the connection is there, or its descriptor is open")
				}
				if got := report.String(); kind == "panic" &&
					(!strings.Contains(got, "a bug of the user's") || !strings.Contains(got, "protocol_panic_test.go")) {
					t.Errorf("the report does not tell of the panic: %s", got)
				}
				if got := report.String(); !strings.Contains(got, "level=ERROR") {
					t.Errorf("no error was reported: %s", got)
				}
				if n := c.Stats().Loops[0].Panics; n != 1 {
					t.Errorf("%d panics were counted, want 1", n)
				}
			})
		}
	}
}

// A method that blocks holds up its loop, and nobody else's; nothing is lost meanwhile.
func TestBlockingMethod(t *testing.T) {
	c := contextFor(t, ContextOptions{Loops: 2})
	slow, inside, leave := newActor(), make(chan struct{}), make(chan struct{})
	slow.data = func(a *actor, data Buffer) Action {
		if len(data) > 0 {
			close(inside)
			<-leave
		}
		return sendBack(a, data)
	}
	slowFD, slowPeer := wire(t)
	give(t, c, slowFD, slow)
	quick := newActor()
	quick.data = sendBack
	quickFD, quickPeer := wire(t)
	give(t, c, quickFD, quick)
	put(t, slowPeer, "1")
	await(t, "the one that blocks", inside)
	for range 3 {
		put(t, quickPeer, "ping")
		expect(t, quickPeer, "ping")
	}
	close(leave)
	expect(t, slowPeer, "1")
}
