package protocol

import (
	"sync/atomic"
	"time"
)

// rate lets events through at a steady pace, with bursts: the generic cell rate algorithm (ITU-T I.371), whose state is
// one word. The zero value has no limit.
type rate struct {
	interval  time.Duration // between events; 0: no limit
	tolerance time.Duration // how far a burst may run ahead of the pace
	began     time.Time
	due       atomic.Int64 // when the next event is due, in nanoseconds since began
}

// setRate allows that many events per second, and burst of them at once. Before use.
func (r *rate) setRate(perSecond, burst int) {
	if perSecond > 0 {
		r.interval = max(time.Second/time.Duration(perSecond), 1)
		r.tolerance = time.Duration(max(burst, 1)-1) * r.interval
		r.began = time.Now()
	}
}

// allow tells whether an event may happen now, and counts it then.
func (r *rate) allow() bool {
	return r.interval == 0 || r.allowAt(time.Since(r.began))
}

func (r *rate) allowAt(now time.Duration) bool {
	for {
		old := r.due.Load()
		due := max(time.Duration(old), now)
		if due-now > r.tolerance {
			return false
		}
		if r.due.CompareAndSwap(old, int64(due+r.interval)) {
			return true
		}
	}
}
