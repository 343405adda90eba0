package adapters_test

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

func newEventLoop(t testing.TB, batch, capacity int) *adapters.EventLoop {
	t.Helper()
	l, err := adapters.NewEventLoop(batch, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs the loop on a goroutine; what it returns closes the loop and waits until Run has returned.
func run(t testing.TB, l *adapters.EventLoop) (end func()) {
	t.Helper()
	result := make(chan error)
	go func() { result <- l.Run() }()
	return func() {
		t.Helper()
		l.Close()
		if err := <-result; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// batches is a BatchHandler that keeps what it is given.
type batches struct{ got [][]any }

func (b *batches) Handle(any) error { panic("it takes batches") }

func (b *batches) HandleBatch(events []any) error {
	b.got = append(b.got, append([]any(nil), events...))
	return nil
}

func TestEventLoopBatches(t *testing.T) {
	l := newEventLoop(t, 8, 64)
	var whole batches
	var single []any
	l.Register(&whole)
	l.Register(api.HandlerFunc(func(event any) error { single = append(single, event); return nil }))
	for i := range 20 {
		if err := l.Post(i); err != nil {
			t.Fatal(err)
		}
	}
	run(t, l)() // closed right away: what was posted is handled nevertheless
	if want := "[[0 1 2 3 4 5 6 7] [8 9 10 11 12 13 14 15] [16 17 18 19]]"; fmt.Sprint(whole.got) != want {
		t.Errorf("got %v, want %s", whole.got, want)
	}
	if len(single) != 20 {
		t.Errorf("the other handler got %v", single)
	}
	if got, want := l.Stats(), (adapters.EventLoopStats{Events: 20, Batches: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if n, err := l.Turn(1); n != 0 || err != adapters.ErrClosed {
		t.Errorf("Turn after that: %d, %v", n, err)
	}
}

func TestEventLoopIsBounded(t *testing.T) {
	l := newEventLoop(t, 4, 4)
	for i := range 4 {
		if err := l.Post(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Post(4); !errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("an event too many: got %v", err)
	}
	l.Close()
	l.Close()
	if err := l.Post(4); err != adapters.ErrClosed {
		t.Errorf("Post after Close, to a full loop: got %v", err)
	}
	if err := l.Register(failing(nil)); err != adapters.ErrClosed {
		t.Errorf("Register after Close: got %v", err)
	}
	run(t, l)() // nobody to handle them
	if stats := l.Stats(); stats.Dropped != 4 || stats.Events != 0 {
		t.Errorf("got %+v", stats)
	}
	if _, err := adapters.NewEventLoop(0, 1<<31); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("too large: got %v", err)
	}
}

// An event for which there is no handler waits, and registering one wakes the loop.
func TestEventLoopWaitsForAHandler(t *testing.T) {
	l := newEventLoop(t, 0, 0)
	end := run(t, l)
	defer end()
	for round := range 100 {
		handled := make(chan any)
		h := api.HandlerFunc(func(event any) error { handled <- event; return nil })
		l.Post(round)
		if err := l.Register(h); err != nil {
			t.Fatal(err)
		}
		if got := <-handled; got != round {
			t.Fatalf("got %v, want %d", got, round)
		}
		if err := l.Unregister(h); err != nil {
			t.Fatal(err)
		}
	}
}

// A loop at full speed, of which a handler is taken out over and over: no event posted after that reaches it.
func TestEventLoopUnregisters(t *testing.T) {
	l := newEventLoop(t, 4, 16)
	var last, late atomic.Int64
	l.Register(api.HandlerFunc(func(event any) error { last.Store(event.(int64)); return nil }))
	end := run(t, l)
	defer end()
	event := int64(0)
	for range 20000 {
		var out atomic.Bool
		leaving := api.HandlerFunc(func(event any) error {
			if event.(int64) < 0 && out.Load() {
				late.Add(1)
			}
			return nil
		})
		if err := l.Register(leaving); err != nil {
			t.Fatal(err)
		}
		l.Post(int64(1)) // sets the loop going
		if err := l.Unregister(leaving); err != nil {
			t.Fatal(err)
		}
		out.Store(true)
		event--
		for l.Post(event) != nil {
			runtime.Gosched()
		}
		for last.Load() != event {
			runtime.Gosched()
		}
	}
	if n := late.Load(); n > 0 {
		t.Errorf("%d events posted after Unregister reached the handler", n)
	}
}

// One event at a time, each of which finds the loop awake, about to sleep, or asleep: none is overlooked.
func TestEventLoopIsWoken(t *testing.T) {
	l := newEventLoop(t, 4, 16)
	l.Register(api.HandlerFunc(func(event any) error { event.(chan bool) <- true; return nil }))
	end := run(t, l)
	defer end()
	const goroutines, each = 3, 3000
	var all sync.WaitGroup
	for range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			handled := make(chan bool, 1)
			for i := range each {
				if err := l.Post(handled); err != nil {
					t.Error(err)
					return
				}
				<-handled
				for range i % 7 {
					runtime.Gosched()
				}
			}
		}()
	}
	all.Wait()
}

// Many post while the loop is closed: an event whose Post succeeded is handled, one whose Post failed is not, and each
// goroutine's come in order.
func TestEventLoopClosesExactly(t *testing.T) {
	const goroutines, rounds = 4, 30
	for range rounds {
		l := newEventLoop(t, 8, 16)
		var handled [goroutines]int
		var posted [goroutines]int
		var total atomic.Int64
		l.Register(api.HandlerFunc(func(event any) error {
			e := event.([2]int)
			if e[1] != handled[e[0]] {
				t.Errorf("goroutine %d: event %d came as %d", e[0], e[1], handled[e[0]])
			}
			handled[e[0]]++
			if total.Add(1) == 2000 {
				l.Close()
			}
			return nil
		}))
		var all sync.WaitGroup
		for g := range goroutines {
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					err := l.Post([2]int{g, posted[g]})
					if err == adapters.ErrClosed {
						return
					}
					if err == nil {
						posted[g]++
					} else {
						runtime.Gosched()
					}
				}
			}()
		}
		if err := l.Run(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if handled != posted {
			t.Fatalf("handled %v of %v", handled, posted)
		}
	}
}

func TestEventLoopSurvivesItsHandlers(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	l := newEventLoop(t, 8, 8)
	var seen []any
	l.Register(api.HandlerFunc(func(event any) error {
		switch event {
		case 1:
			panic("spilled")
		case 2:
			return errors.New("refused")
		}
		return nil
	}))
	l.Register(api.HandlerFunc(func(event any) error { seen = append(seen, event); return nil }))
	for i := range 4 {
		l.Post(i)
	}
	run(t, l)()
	if fmt.Sprint(seen) != "[0 1 2 3]" {
		t.Errorf("the other handler saw %v", seen)
	}
	if stats := l.Stats(); stats.Panics != 1 || stats.Failures != 1 || stats.Events != 4 {
		t.Errorf("got %+v", stats)
	}
	if strings.Count(out.String(), "event handler panicked") != 1 {
		t.Errorf("logged %q", out)
	}
	if err := new(adapters.EventLoop).Register(nil); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("nil handler: got %v", err)
	}
}

// Errors of handlers are logged, but not each of a thousand.
func TestEventLoopLogsErrors(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	l := newEventLoop(t, 1, 1024)
	l.Register(failing(errors.New("refused")))
	for range 1000 {
		l.Post(0)
	}
	run(t, l)()
	if n := strings.Count(out.String(), "refused"); n < 1 || n > 100 || l.Stats().Failures != 1000 {
		t.Errorf("logged %d times, %+v", n, l.Stats())
	}
}

// A handler that ends its goroutine ends Run with it, behind the batch; the next Run goes on.
func TestEventLoopAfterGoexit(t *testing.T) {
	l := newEventLoop(t, 8, 8)
	var seen []any
	l.Register(api.HandlerFunc(func(event any) error {
		seen = append(seen, event)
		if event == 1 {
			runtime.Goexit()
		}
		return nil
	}))
	for i := range 4 {
		l.Post(i)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run()
		t.Error("Run returned")
	}()
	<-ended
	if stats := l.Stats(); fmt.Sprint(seen) != "[0 1 2 3]" || stats.Events != 4 || stats.Queued != 0 {
		t.Errorf("seen %v, %+v", seen, stats)
	}
	l.Post(4)
	run(t, l)()
	if fmt.Sprint(seen) != "[0 1 2 3 4]" {
		t.Errorf("seen %v", seen)
	}
}

// What a handler, an event and Close come to while the loop turns: the event is handled.
func TestEventLoopCloseRacingAnEvent(t *testing.T) {
	for round := range 20_000 {
		l := newEventLoop(t, 1, 2)
		handled, closed := 0, make(chan struct{})
		go func() {
			defer close(closed)
			for {
				if _, err := l.Turn(1); err != nil {
					return
				}
			}
		}()
		for range round % 64 { // let the turns be anywhere
			runtime.Gosched()
		}
		if err := l.Register(api.HandlerFunc(func(any) error { handled++; return nil })); err != nil {
			t.Fatal(err)
		}
		if err := l.Post(0); err != nil {
			t.Fatal(err)
		}
		l.Close()
		<-closed
		if handled != 1 {
			t.Fatalf("round %d: handled %d times, %+v", round, handled, l.Stats())
		}
	}
}

// byValue is a handler that no two interface values share the memory of.
type byValue struct {
	a, b  int
	calls *int
}

func (h byValue) Handle(any) error { *h.calls++; return nil }

func TestEventLoopHandlerByValue(t *testing.T) {
	l := newEventLoop(t, 8, 8)
	calls := 0
	h := byValue{1, 2, &calls}
	if err := l.Register(h); err != nil {
		t.Fatal(err)
	}
	if err := l.Register(h); !errors.Is(err, api.ErrAlreadyExists) {
		t.Errorf("a second time: %v", err)
	}
	if err := l.Unregister(h); err != nil {
		t.Error(err)
	}
	if err := l.Unregister(h); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("once more: %v", err)
	}
}

func TestEventLoopRunsOnce(t *testing.T) {
	l := newEventLoop(t, 8, 8)
	running := make(chan struct{})
	l.Register(api.HandlerFunc(func(any) error { close(running); return nil }))
	end := run(t, l)
	l.Post(0)
	<-running
	if err := l.Run(); !errors.Is(err, api.ErrAlreadyExists) {
		t.Errorf("a second Run: got %v", err)
	}
	end()
}

// Nothing is left running or reachable.
func TestEventLoopLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	var collected atomic.Int64
	const events = 10
	func() {
		l := newEventLoop(t, 4, 16)
		l.Register(failing(nil))
		end := run(t, l)
		for range events {
			e := new([64]byte)
			runtime.SetFinalizer(e, func(*[64]byte) { collected.Add(1) })
			l.Post(e)
		}
		end()
		for i := 0; collected.Load() < events; i++ {
			runtime.GC()
			runtime.Gosched()
			if i == 1000 {
				t.Fatalf("%d of %d events are kept alive", events-collected.Load(), events)
			}
		}
		runtime.KeepAlive(l)
	}()
	for runtime.NumGoroutine() > before { // if one stays, the test does not end
		runtime.Gosched()
	}
}

func TestEventLoopAllocatesNothing(t *testing.T) {
	l := newEventLoop(t, 8, 64)
	l.Register(failing(nil))
	var event any = new(int)
	if n := testing.AllocsPerRun(1000, func() {
		for range 8 {
			l.Post(event)
		}
		l.Turn(8)
	}); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}
