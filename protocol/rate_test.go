package protocol

import (
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	var r rate
	if !r.allow() {
		t.Error("the zero value has a limit")
	}
	r.setRate(10, 3)
	for i, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {0, true}, {0, true}, // the burst
		{0, false}, {99 * time.Millisecond, false},
		{100 * time.Millisecond, true}, {100 * time.Millisecond, false}, // one for each tenth of a second
		{time.Hour, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour, false}, // no more than a burst is saved up
	} {
		if got := r.allowAt(step.at); got != step.want {
			t.Errorf("step %d, at %v: got %v", i, step.at, got)
		}
	}
	r = rate{}
	r.setRate(1_000_000_000, 0)
	if !r.allowAt(0) || r.allowAt(0) || !r.allowAt(1) {
		t.Error("a billion a second are not one each nanosecond")
	}
}
