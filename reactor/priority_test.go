//go:build linux

package reactor

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// heavy is a handler of low priority that never gets to the end of its input: each callback reads one byte.
type heavy struct {
	hooks
	low   atomic.Bool
	asked int
}

func (h *heavy) IsLowPriority() bool { h.asked++; return h.low.Load() }

// heavies adds sockets of low priority, each with input for many callbacks, and returns what they count into.
func heavies(t testing.TB, l *Loop, sockets int, work func()) (calls []int, all *int) {
	t.Helper()
	calls, all = make([]int, sockets), new(int)
	for i := range calls {
		h := &heavy{}
		h.low.Store(true)
		h.readable = func(s *Socket, buffer []byte) {
			calls[i]++
			*all++
			if _, err := s.Read(buffer[:1]); err != nil {
				t.Errorf("socket %d: %v", i, err)
			}
			work()
		}
		_, peer := connPair(t, l, h)
		send(t, peer, string(make([]byte, 4096)))
	}
	return calls, all
}

// A light connection that has something to say is heard before more than one turn's share of heavy callbacks, however
// many heavy ones are ready.
func TestHeavyCallbacksCannotStarveALightOne(t *testing.T) {
	const sockets, budget = 200, 5
	l := newLoop(t, Options{LowPriorityBudget: budget})
	calls, all := heavies(t, l, sockets, func() {})
	light, heard := 0, 0
	_, peer := connPair(t, l, &hooks{readable: func(s *Socket, buffer []byte) {
		light++
		heard = *all
		if _, err := s.Read(buffer); err != nil {
			t.Error(err)
		}
	}})
	for range 3 { // all heavy ones wait now
		turn(t, l)
	}
	for i := range 100 {
		sent := *all
		send(t, peer, "x")
		pollUntil(t, l, "the light connection", func() bool { return light > i })
		if between := heard - sent; between > budget {
			t.Fatalf("message %d was heard after %d heavy callbacks, want at most %d", i, between, budget)
		}
	}
	// They share alike: first come, first served.
	if least, most := slices.Min(calls), slices.Max(calls); *all < 2*sockets || most-least > 1 {
		t.Errorf("%d heavy callbacks, between %d and %d of a socket", *all, least, most)
	}
}

// The budget is what is served per turn, and nobody sleeps while someone waits: each of these polls waits without limit
// if the loop lets it.
func TestLoopDoesNotSleepWhileSomeWait(t *testing.T) {
	const sockets = 200
	for _, budget := range []int{0, 1, 64, 1000} {
		l := newLoop(t, Options{LowPriorityBudget: budget})
		served := 0
		for range sockets {
			h := &heavy{}
			h.low.Store(true)
			h.readable = func(s *Socket, buffer []byte) { served++; echo(s, buffer) }
			_, peer := connPair(t, l, h)
			send(t, peer, "x") // once: after its turn nothing is left that could wake the loop
		}
		if budget == 0 {
			budget = defaultLowPriorityBudget
		}
		for served < sockets {
			before := served
			if err := l.PollOnce(-1); err != nil {
				t.Fatal(err)
			}
			if n := served - before; n > budget {
				t.Fatalf("%d served in a turn with a budget of %d", n, budget)
			}
		}
		if turns := l.Stats().Turns; int(turns) > sockets/budget+3 {
			t.Errorf("budget %d: %d turns for %d sockets", budget, turns, sockets)
		}
	}
}

// Nor does Run sleep.
func TestRunDoesNotSleepWhileSomeWait(t *testing.T) {
	const sockets = 50
	l := newLoop(t, Options{LowPriorityBudget: 1})
	served := 0
	for range sockets {
		h := &heavy{}
		h.low.Store(true)
		h.readable = func(s *Socket, buffer []byte) {
			echo(s, buffer)
			if served++; served == sockets {
				l.Stop()
			}
		}
		_, peer := connPair(t, l, h)
		send(t, peer, "x")
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()
	if err := await(t, "all to be served", ended); err != nil {
		t.Error(err)
	}
}

// Those that are gone when their turn comes take nobody's.
func TestThoseThatAreGoneTakeNoTurn(t *testing.T) {
	l := newLoop(t, Options{})
	l.low.budget = 0 // nobody is served yet
	var tokens []Token
	served := 0
	for range 10 {
		h := &heavy{hooks: hooks{readable: func(*Socket, []byte) { served++ }}}
		h.low.Store(true)
		token, peer := connPair(t, l, h)
		tokens = append(tokens, token)
		send(t, peer, "x")
	}
	last := l.sockets.named(tokens[9])
	pollUntil(t, l, "all to wait", func() bool { return last.late != 0 })
	for _, token := range tokens {
		if l.low.last.token != token {
			if err := l.Remove(token); err != nil {
				t.Fatal(err)
			}
		}
	}
	turn(t, l)
	l.low.budget = 1
	turn(t, l)
	if served != 1 {
		t.Errorf("%d served in a turn with a budget of one, and nine that are gone before it", served)
	}
}

// Those that wait are not reported to the loop turn after turn.
func TestWaitingSocketsCostNoEvents(t *testing.T) {
	const sockets = 200
	l := newLoop(t, Options{LowPriorityBudget: 1})
	_, all := heavies(t, l, sockets, func() {})
	for range 3 {
		turn(t, l)
	}
	events, served := l.loop.Stats().Events, *all
	for range 50 {
		turn(t, l)
	}
	served = *all - served
	if n := int(l.loop.Stats().Events - events); n > 2*served {
		t.Errorf("%d events for %d callbacks", n, served)
	}
}

// A handler is asked before each event, and served at once when it says no.
func TestPriorityIsAskedBeforeEachEvent(t *testing.T) {
	l := newLoop(t, Options{LowPriorityBudget: 1})
	heavies(t, l, 50, func() {})
	calls := 0
	h := &heavy{}
	h.low.Store(true)
	h.readable = func(s *Socket, buffer []byte) { calls++; s.Read(buffer[:1]) }
	for range 3 {
		turn(t, l)
	}
	_, peer := connPair(t, l, h)
	send(t, peer, "1234567890")
	pollUntil(t, l, "the handshake", func() bool { return calls == 1 })
	if h.asked != 1 {
		t.Errorf("asked %d times for one event", h.asked)
	}
	h.low.Store(false) // the handshake is over
	for want := 2; want <= 5; want++ {
		turn(t, l)
		if calls != want || h.asked != want {
			t.Fatalf("%d calls, asked %d times; want one of each in each turn", calls, h.asked)
		}
	}
}

// What happens to a socket while it waits: its interest changes, its timeout passes or is cancelled, it is closed.
func TestWhileItWaits(t *testing.T) {
	l := newLoop(t, Options{})
	hold := func() { l.low.budget = 0 }
	goOn := func() { l.low.budget = 1 }
	var order []string
	note := func(what string) func(*Socket) { return func(*Socket) { order = append(order, what) } }
	h := &heavy{hooks: hooks{timeout: note("timeout"), closed: note("closed"), writable: note("writable")}}
	h.low.Store(true)
	h.readable = func(s *Socket, buffer []byte) {
		order = append(order, "readable")
		s.Read(buffer)
	}
	token, peer := connPair(t, l, h)
	s := l.sockets.named(token)
	waits := func(events uint8) {
		t.Helper()
		pollUntil(t, l, "the socket to wait, or not to", func() bool { return s.late == events })
	}
	called := func(want ...string) {
		t.Helper()
		if !slices.Equal(order, want) {
			t.Errorf("called %v, want %v", order, want)
		}
		order = nil
	}

	hold()
	send(t, peer, "x")
	waits(evRead)
	if err := l.SetTimeout(token, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waits(evRead | evTimeout)
	goOn()
	waits(0)
	called("readable", "timeout")

	hold()
	if err := l.SetTimeout(token, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waits(evTimeout)
	if err := l.CancelTimeout(token); err != nil {
		t.Fatal(err)
	}
	send(t, peer, "x")
	goOn()
	waits(0)
	hold()
	waits(evRead)
	called()

	s.Interest(false, true)
	goOn()
	waits(0)
	called()
	hold()
	waits(evWrite)
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, l, "OnClose", func() bool { return len(order) > 0 })
	goOn()
	waits(0)
	turn(t, l)
	called("closed")
}

// BenchmarkLightLatency is the time between a light connection's message and its callback while 200 heavy connections
// always have something to do, of 50 us each: at low priority, and without telling.
func BenchmarkLightLatency(b *testing.B) {
	for _, low := range []bool{true, false} {
		name := "heavy=low"
		if !low {
			name = "heavy=equal"
		}
		b.Run(name, func(b *testing.B) { lightLatency(b, low) })
	}
}

func lightLatency(b *testing.B, low bool) {
	l := running(b, Options{})
	for range 200 {
		h := &heavy{}
		h.low.Store(low)
		h.readable = func(*Socket, []byte) { // and leaves its input where it is
			for start := time.Now(); time.Since(start) < 50*time.Microsecond; {
			}
		}
		_, peer := connPair(b, l, h)
		send(b, peer, "x")
	}
	heard := make(chan time.Time)
	_, peer := connPair(b, l, &hooks{readable: func(s *Socket, buffer []byte) {
		if _, err := s.Read(buffer); err == nil {
			heard <- time.Now()
		}
	}})
	var once sync.Once
	times := make([]time.Duration, 0, b.N)
	for range b.N {
		once.Do(b.ResetTimer)
		start := time.Now()
		if _, err := syscall.Write(int(peer), []byte("x")); err != nil {
			b.Fatal(err)
		}
		times = append(times, (<-heard).Sub(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
}
