//go:build linux

package reactor

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

func TestProtocolLifecycle(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	a := newActor()
	fd, peer := wire(t)
	var order []string
	note := func(what string) {
		order = append(order, what)
		if a.FD() != fd || a.Context() != c || a.Info() != (ClientInfo{Addr: "somebody", Type: "unix"}) {
			t.Errorf("%s: fd %d of %v, %+v", what, a.FD(), a.Context(), a.Info())
		}
		if !isOpen(uintptr(fd)) {
			t.Errorf("%s: the descriptor is closed", what)
		}
		if a.Closed() != (what == "lost") {
			t.Errorf("%s: Closed says %t", what, a.Closed())
		}
	}
	a.made = func(*actor) { note("made") }
	a.data = func(_ *actor, data Buffer) Action {
		note("data " + data.String())
		if len(data) == 0 {
			return Close
		}
		return sendBack(a, data)
	}
	a.room = func(*actor) Action { note("room"); return a.Base.WriteReady() }
	a.lost = func(*actor) { note("lost") }
	if a.FD() != -1 || a.Context() != nil || a.Info() != (ClientInfo{}) || a.Closed() || a.Err() != nil {
		t.Error("something is known of a connection that is not there yet")
	}
	c.SetFactory(func() Protocol { return a })
	if err := c.Handoff(fd, ClientInfo{Addr: "somebody"}); err != nil {
		t.Fatal(err)
	}
	put(t, peer, "hello")
	expect(t, peer, "hello")
	peer.CloseWrite()
	expectEnd(t, peer)
	closeContext(t, c)
	if want := []string{"made", "data hello", "room", "data ", "lost"}; !slices.Equal(order, want) {
		t.Errorf("called %q, want %q", order, want)
	}
	if a.FD() != -1 || isOpen(uintptr(fd)) || !a.Closed() {
		t.Errorf("fd %d after the end, closed %t", a.FD(), a.Closed())
	}
}

// ConnectionMade comes first also when there is something to read, or an end, before anything was posted.
func TestConnectionMadeIsFirst(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	for range 200 {
		a := newActor()
		made := false
		a.made = func(*actor) { made = true }
		a.data = func(_ *actor, data Buffer) Action {
			if !made {
				t.Error("DataReceived came first")
			}
			return Close
		}
		fd, peer := wire(t)
		put(t, peer, "waiting")
		peer.Close()
		give(t, c, fd, a)
		a.end(t)
	}
}

// What ConnectionMade puts into the write buffer is sent without an answer that says so; then the connection is read.
func TestProtocolThatSpeaksFirst(t *testing.T) {
	for name, greeting := range map[string]string{"little": "220 hello", "much": string(pattern(1<<20, 0))} {
		t.Run(name, func(t *testing.T) {
			a := newActor()
			a.made = func(*actor) { a.WriteBuffer.WriteString(greeting) }
			a.data = sendBack
			peer := serve(t, a)
			expect(t, peer, greeting)
			put(t, peer, "hello")
			expect(t, peer, "hello")
		})
	}
}

// One that ends the connection in ConnectionMade says nothing, and hears nothing.
func TestConnectionMadeEnds(t *testing.T) {
	for name, end := range map[string]func(a *actor) error{
		"Abort":   func(a *actor) error { return a.Abort() },
		"Release": func(a *actor) error { fd, err := a.Release(); syscall.Close(fd); return err },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor()
			a.made = func(*actor) {
				a.WriteBuffer.WriteString("unsaid")
				if err := end(a); err != nil {
					t.Error(err)
				}
			}
			a.data = func(*actor, Buffer) Action { t.Error("DataReceived was called"); return Close }
			a.room = func(*actor) Action { t.Error("WriteReady was called"); return Close }
			c := contextFor(t, ContextOptions{})
			fd, peer := wire(t)
			give(t, c, fd, a)
			expectEnd(t, peer)
			closeContext(t, c)
		})
	}
}

// A connection that reads is not asked to write, and one that writes does not read: as the kernel is told, and as the
// callbacks show.
func TestActionsSwitchWhatIsPolledFor(t *testing.T) {
	var reads, writes int // belong to the loop, as do the answers
	var readAnswer, writeAnswer Action
	a := newActor()
	a.data = func(*actor, Buffer) Action { reads++; return readAnswer }
	a.room = func(*actor) Action { writes++; return writeAnswer }
	peer := serve(t, a)
	expectCalls := func(what string, wantReads, wantWrites int, wantPolled uint16) {
		t.Helper()
		a.until(t, what, func() bool { return reads >= wantReads && writes >= wantWrites })
		a.quiet(t)
		a.do(t, func() Action {
			if reads != wantReads || writes != wantWrites {
				t.Errorf("%s: received %d times, asked to write %d times; want %d and %d", what, reads, writes, wantReads,
					wantWrites)
			}
			if s := a.conn.Load().socket; s.wants != wantPolled || s.asked != wantPolled {
				t.Errorf("%s: waits for %#x and polls for %#x, want %#x", what, s.wants, s.asked, wantPolled)
			}
			return Continue
		})
	}
	expectCalls("at first", 0, 0, csrc.Readable)
	for i, keep := range []Action{Continue, ReadPending} {
		a.do(t, func() Action { readAnswer = keep; return Continue })
		put(t, peer, "x")
		expectCalls("reading, "+keep.String(), i+1, 0, csrc.Readable)
	}

	crammed := a.cram(t)
	for _, keep := range []Action{Continue, WritePending} {
		a.do(t, func() Action { writeAnswer = keep; return WritePending })
		put(t, peer, "y") // which nobody reads
		expectCalls("no room, "+keep.String(), 2, 1, csrc.Writable)
	}

	a.do(t, func() Action { writeAnswer = ReadPending; return Continue })
	if _, err := io.CopyN(io.Discard, peer, crammed); err != nil {
		t.Fatal(err)
	}
	expectCalls("what has waited", 3, 2, csrc.Readable)

	a.do(t, func() Action { readAnswer, writeAnswer = WritePending, Continue; return Continue })
	put(t, peer, "z")
	a.until(t, "room time and again", func() bool { return writes > 10 })
	a.do(t, func() Action { writes = 0; return ReadPending })
	expectCalls("room that is not wanted", 4, 0, csrc.Readable)
}

// What Post's functions answer switches as well.
func TestPostedActions(t *testing.T) {
	a := newActor()
	received := make(chan string, 1)
	a.data = func(_ *actor, data Buffer) Action { received <- data.String(); return Continue }
	peer := serve(t, a)
	a.do(t, func() Action {
		a.WriteBuffer.WriteString("from elsewhere")
		return WritePending
	})
	expect(t, peer, "from elsewhere")
	put(t, peer, "answer")
	if got := await(t, "the answer", received); got != "answer" {
		t.Errorf("received %q", got)
	}
	a.do(t, func() Action { return Close })
	expectEnd(t, peer)
	peer.Close()
	a.closes(t)
	if err := a.Post(func() Action { return Continue }); !errors.Is(err, ErrNoSocket) {
		t.Errorf("Post after the end: %v, want ErrNoSocket", err)
	}
}

// Close ends the connection, whichever method has answered it.
func TestCloseFromEveryMethod(t *testing.T) {
	for name, set := range map[string]func(a *actor){
		"DataReceived": func(a *actor) { a.data = returning(Close) },
		"WriteReady": func(a *actor) {
			a.data = returning(WritePending)
			a.room = func(*actor) Action { return Close }
		},
		"WriteReady later": func(a *actor) {
			a.data = returning(WritePending)
			calls := 0
			a.room = func(*actor) Action {
				if calls++; calls < 3 {
					return Continue
				}
				return Close
			}
		},
		"TimedOut": func(a *actor) {
			a.data = func(*actor, Buffer) Action { a.SetTimeout(1); return Continue }
		},
		"Base.Close": func(a *actor) {
			a.data = func(*actor, Buffer) Action { a.Base.Close(); return Continue }
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor()
			set(a)
			peer := serve(t, a)
			put(t, peer, "x")
			expectEnd(t, peer)
			peer.Close()
			a.closes(t)
		})
	}
}

func TestUnknownAction(t *testing.T) {
	for _, action := range []Action{-1, 4} {
		a := newActor()
		a.data = returning(action)
		put(t, serve(t, a), "x")
		var failure *PanicError
		if err := a.end(t); !errors.As(err, &failure) || !strings.Contains(err.Error(), action.String()) {
			t.Errorf("ended with %v, want one that names %v", err, action)
		}
	}
}

func TestActionString(t *testing.T) {
	for action, want := range map[Action]string{Continue: "Continue", ReadPending: "ReadPending",
		WritePending: "WritePending", Close: "Close", -1: "Action(-1)", 4: "Action(4)"} {
		if got := action.String(); got != want {
			t.Errorf("%d is %q, want %q", int(action), got, want)
		}
	}
}

// heavyActor is a Protocol whose methods are heavy.
type heavyActor struct{ *actor }

func (heavyActor) IsLowPriority() bool { return true }

// A Protocol that says it is of low priority waits for its share of each turn, and is served all the same.
func TestProtocolOfLowPriority(t *testing.T) {
	const heavies, budget = 20, 2
	c := contextFor(t, ContextOptions{Loop: Options{LowPriorityBudget: budget}})
	light := newActor()
	lightFD, _ := wire(t)
	give(t, c, lightFD, light)
	var peers []net.Conn
	served, most, turn := 0, 0, uint64(0) // belong to the loop
	perTurn := 0
	for range heavies {
		a := newActor()
		a.data = func(_ *actor, data Buffer) Action {
			if now := light.conn.Load().socket.loop.Stats().Turns; now != turn {
				turn, perTurn = now, 0
			}
			served++
			perTurn++
			most = max(most, perTurn)
			return sendBack(a, data)
		}
		fd, peer := wire(t)
		c.SetFactory(func() Protocol { return heavyActor{a} })
		if err := c.Handoff(fd, ClientInfo{}); err != nil {
			t.Fatal(err)
		}
		await(t, "ConnectionMade", a.ready)
		peers = append(peers, peer)
	}
	light.do(t, func() Action { // so that all are ready in the same turn
		for _, peer := range peers {
			put(t, peer, "x")
		}
		return Continue
	})
	for _, peer := range peers {
		expect(t, peer, "x")
	}
	light.do(t, func() Action {
		if served != heavies || most > budget {
			t.Errorf("%d were served, up to %d in a turn; want %d and %d", served, most, heavies, budget)
		}
		return Continue
	})
}
