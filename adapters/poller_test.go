package adapters_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

func newPoller(batch, capacity int) *adapters.PollerAdapter {
	return adapters.NewPollerAdapter(batch, capacity).(*adapters.PollerAdapter)
}

func TestPollerBatches(t *testing.T) {
	p := newPoller(4, 16)
	var first, second []any
	p.Register(api.HandlerFunc(func(data any) error { first = append(first, data); return nil }))
	p.Register(api.HandlerFunc(func(data any) error { second = append(second, data); return nil }))
	for i := 0; i < 16; i++ {
		if err := p.Push(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Push(16); !errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("an event too many: got %v", err)
	}
	for _, step := range []struct{ max, want int }{{100, 4}, {3, 3}, {0, 0}, {-1, 0}, {4, 4}, {4, 4}, {4, 1}, {4, 0}} {
		if n, err := p.Poll(step.max); n != step.want || err != nil {
			t.Errorf("Poll(%d): got %d, %v; want %d", step.max, n, err, step.want)
		}
	}
	if want := "[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]"; fmt.Sprint(first) != want || fmt.Sprint(second) != want {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestPollerHandlers(t *testing.T) {
	p := newPoller(0, 0)
	counts := [2]int{}
	counting := func(i int) api.Handler {
		return api.HandlerFunc(func(any) error { counts[i]++; return nil })
	}
	a, b := counting(0), counting(1) // two closures of one function literal
	for _, h := range []api.Handler{a, b} {
		if err := p.Register(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Register(a); !errors.Is(err, api.ErrAlreadyExists) {
		t.Errorf("registering twice: got %v", err)
	}
	if err := p.Register(nil); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("registering nil: got %v", err)
	}
	if err := p.Unregister(a); err != nil {
		t.Fatal(err)
	}
	if err := p.Unregister(a); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("unregistering twice: got %v", err)
	}
	p.Push("x")
	p.Poll(1)
	if counts != [2]int{0, 1} {
		t.Errorf("calls %v, want only the second handler's", counts)
	}
}

func TestPollerErrorDoesNotStopTheBatch(t *testing.T) {
	p := newPoller(8, 8)
	seen := 0
	p.Register(api.HandlerFunc(func(data any) error { seen++; return fmt.Errorf("event %v", data) }))
	p.Push(1)
	p.Push(2)
	if n, err := p.Poll(8); n != 2 || seen != 2 || err == nil || err.Error() != "event 1" {
		t.Errorf("got %d, %v, handled %d", n, err, seen)
	}
}

func TestPollerHandlerMayRegisterAndPush(t *testing.T) {
	p := newPoller(8, 8)
	late := 0
	var self api.Handler
	self = api.HandlerFunc(func(data any) error {
		p.Push("again")
		p.Register(api.HandlerFunc(func(any) error { late++; return nil }))
		return p.Unregister(self)
	})
	p.Register(self)
	p.Push("once")
	if n, err := p.Poll(8); n != 1 || err != nil || late != 0 {
		t.Errorf("got %d, %v; a handler registered meanwhile saw %d", n, err, late)
	}
	if n, _ := p.Poll(8); n != 1 || late != 1 {
		t.Errorf("the next batch has %d events, %d handled; want 1 and 1", n, late)
	}
}

func TestPollerStop(t *testing.T) {
	p := newPoller(8, 8)
	p.Push(1)
	p.Stop()
	p.Stop()
	if n, err := p.Poll(8); n != 0 || !errors.Is(err, adapters.ErrClosed) {
		t.Errorf("Poll: got %d, %v", n, err)
	}
	if err := p.Push(1); !errors.Is(err, adapters.ErrClosed) {
		t.Errorf("Push: got %v", err)
	}
	if err := p.Register(failing(nil)); !errors.Is(err, adapters.ErrClosed) {
		t.Errorf("Register: got %v", err)
	}
}

func TestPollerFromManyGoroutines(t *testing.T) {
	p := newPoller(16, 64)
	handled := 0
	p.Register(api.HandlerFunc(func(any) error { handled++; return nil })) // calls of Poll are serialised
	const goroutines, events = 4, 1000
	var wg sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for pushed := 0; pushed < events; {
				if p.Push(pushed) == nil {
					pushed++
				} else {
					p.Poll(16)
				}
			}
		}()
	}
	wg.Wait()
	for n := 1; n > 0; n, _ = p.Poll(16) {
	}
	if handled != goroutines*events {
		t.Errorf("handled %d, want %d", handled, goroutines*events)
	}
}

// Events wait for a handler; what Stop drops is counted.
func TestPollerWithoutHandlers(t *testing.T) {
	p := newPoller(8, 8)
	p.Push(1)
	if n, err := p.Poll(8); n != 0 || err != nil {
		t.Errorf("without a handler: %d, %v", n, err)
	}
	seen := 0
	h := api.HandlerFunc(func(any) error { seen++; return nil })
	p.Register(h)
	if n, err := p.Poll(8); n != 1 || err != nil || seen != 1 {
		t.Errorf("with one: %d, %v, %d seen", n, err, seen)
	}
	p.Unregister(h)
	p.Push(2)
	p.Push(3)
	p.Stop()
	if stats := p.Stats(); stats.Events != 1 || stats.Batches != 1 || stats.Dropped != 2 || stats.Queued != 0 {
		t.Errorf("got %+v", stats)
	}
}

// A handler that panics fails and takes nothing else with it.
func TestPollerSurvivesItsHandlers(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	p := newPoller(8, 8)
	var seen []any
	p.Register(api.HandlerFunc(func(data any) error {
		if data == 2 {
			panic("spilled")
		}
		return nil
	}))
	p.Register(api.HandlerFunc(func(data any) error { seen = append(seen, data); return nil }))
	for i := 1; i <= 3; i++ {
		p.Push(i)
	}
	if n, err := p.Poll(8); n != 3 || err == nil || !strings.Contains(err.Error(), "spilled") {
		t.Errorf("got %d, %v", n, err)
	}
	if fmt.Sprint(seen) != "[1 2 3]" || strings.Count(out.String(), "spilled") == 0 {
		t.Errorf("the other handler saw %v; logged %q", seen, out)
	}
}
