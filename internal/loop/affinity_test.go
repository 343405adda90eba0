package loop

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/numa"
	"github.com/momentics/hioload-ws/internal/numa/numatest"
)

// boundTo is what the kernel shows as the processors of the loop's thread (proc_pid_status(5)).
func boundTo(t *testing.T, l *Loop) (list string) {
	t.Helper()
	on(t, l, func() { list = numatest.Mine(t) })
	return list
}

func TestPinned(t *testing.T) {
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	for _, cpu := range allowed.CPUs() {
		for _, runOnly := range []bool{false, true} {
			l := start(t, Config{CPUs: []int{cpu}, RunOnly: runOnly})
			if got := boundTo(t, l); got != strconv.Itoa(cpu) || !l.Stats().Pinned {
				t.Errorf("bound to %s, want %d; Pinned %v", got, cpu, l.Stats().Pinned)
			}
		}
	}
	free := start(t, Config{})
	if got := boundTo(t, free); got != allowed.String() || free.Stats().Pinned {
		t.Errorf("a loop that nobody pins is bound to %s, want %s; Pinned %v", got, &allowed, free.Stats().Pinned)
	}
}

// One that cannot be pinned serves nevertheless, and says so.
func TestPinnedToWhatIsNotThere(t *testing.T) {
	for _, cpu := range []int{8191, 1 << 20, -1} {
		impossible := start(t, Config{CPUs: []int{cpu}, Logger: quiet})
		_, peer := attach(t, impossible, false, echoRaw)
		echoes(t, peer)
		if impossible.Stats().Pinned {
			t.Errorf("pinned to CPU %d, which does not exist", cpu)
		}
	}
}

// A thread that was pinned is given back as it was, whichever it is and however the loop ends.
func TestPinnedThreadIsGivenBack(t *testing.T) {
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(allowed.CPUs()) == 1 {
		t.Skip("there is one processor only: a pinned thread looks like any other")
	}
	for round := range 4 {
		l := start(t, Config{CPUs: allowed.CPUs()[:1], Logger: quiet})
		if round%2 == 1 {
			if err := l.Do(runtime.Goexit); err != nil {
				t.Fatal(err)
			}
		}
		var tid int
		on(t, l, func() { tid = numa.ThreadID() })
		l.Close()
		wait(t, "the loop to end", l.Done())
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			mask, err := numa.Affinity(tid)
			if err == nil && mask == allowed || numa.Gone(err) {
				break
			}
			if time.Since(began) > patience {
				t.Fatalf("thread %d has %v, %v; want %v", tid, &mask, err, &allowed)
			}
		}
	}
}

// Callbacks that end their goroutine cost a loop no more the more of them there have been.
func TestGoexitOverAndOver(t *testing.T) {
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, Config{CPUs: allowed.CPUs()[:1], RunOnly: true, Logger: quiet})
	for range 4000 {
		if err := l.Do(runtime.Goexit); err != nil {
			t.Fatal(err)
		}
	}
	on(t, l, func() {})
	if n := l.Stats().Panics; n != 4000 {
		t.Errorf("%d of 4000 are counted", n)
	}
}

// With a budget a loop stays awake between messages that come fast; without one never.
func TestSpin(t *testing.T) {
	l := start(t, Config{Spin: time.Millisecond})
	_, peer := attach(t, l, false, echoRaw)
	echoes(t, peer)
	if stats := l.Stats(); stats.Spins == 0 || stats.SpinHits > stats.Spins {
		t.Errorf("%d spins, %d hits", stats.Spins, stats.SpinHits)
	}
	sober := start(t, Config{})
	_, peer = attach(t, sober, false, echoRaw)
	echoes(t, peer)
	if stats := sober.Stats(); stats.Spins != 0 {
		t.Errorf("%d spins that nobody asked for", stats.Spins)
	}
	if _, err := New(Config{Spin: time.Millisecond + 1}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a spin of more than a millisecond: got %v", err)
	}
	if _, err := New(Config{BusyPoll: 10*time.Millisecond + 1}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("busy polling for more than ten: got %v", err)
	}
}
