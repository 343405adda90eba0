package report

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	var l Limiter
	start := time.Unix(1000, 0)
	steps := []struct {
		key        string
		after      time.Duration
		ok         bool
		suppressed int
	}{
		{"a", 0, true, 0},
		{"a", 1, false, 0},
		{"b", 1, true, 0},
		{"a", Interval - 1, false, 0},
		{"a", Interval, true, 2},
		{"a", 2*Interval - 1, false, 0},
		{"b", 3 * Interval, true, 0},
	}
	for i, s := range steps {
		ok, suppressed := l.Allow(s.key, start.Add(s.after))
		if ok != s.ok || suppressed != s.suppressed {
			t.Errorf("step %d: got %v, %d; want %v, %d", i, ok, suppressed, s.ok, s.suppressed)
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	var l Limiter
	for i := 0; i < 10*limiterKeys; i++ {
		if ok, _ := l.Allow(strconv.Itoa(i), time.Unix(0, 0)); !ok {
			t.Fatal("a report never seen before was held back")
		}
	}
	if len(l.seen) > limiterKeys {
		t.Errorf("%d keys remembered, want at most %d", len(l.seen), limiterKeys)
	}
}

func TestCountPanic(t *testing.T) {
	CountPanic(context.Background()) // belongs to no server
	var counter atomic.Int64
	CountPanic(context.WithValue(context.Background(), PanicsKey, &counter))
	if counter.Load() != 1 {
		t.Errorf("counted %d, want 1", counter.Load())
	}
}
