// Package report keeps repeated reports from flooding a log, and lets code that is only handed a context count what it
// reports for the server that the context belongs to.
package report

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how often a Limiter lets the same report through.
const Interval = time.Second

// limiterKeys bounds how many different reports a Limiter remembers; texts may contain addresses and numbers.
const limiterKeys = 256

// Limiter lets each report through once per Interval. The zero value is ready; it is safe for use by many goroutines.
type Limiter struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

type repeat struct {
	last       time.Time
	suppressed int
}

// Allow tells whether the report named key may be made at time now, and how many of its kind were held back since the
// last one that was.
func (l *Limiter) Allow(key string, now time.Time) (ok bool, suppressed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.seen[key]; r != nil {
		if now.Sub(r.last) < Interval {
			r.suppressed++
			return false, 0
		}
		suppressed = r.suppressed
		*r = repeat{last: now}
		return true, suppressed
	}
	if l.seen == nil || len(l.seen) >= limiterKeys {
		l.seen = make(map[string]*repeat)
	}
	l.seen[key] = &repeat{last: now}
	return true, 0
}

// panicsKey is the context key of the counter of recovered panics.
type panicsKey struct{}

// PanicsKey is what a connection's context answers with a *atomic.Int64: the counter of panics that handlers of its
// server raised.
var PanicsKey any = panicsKey{}

// CountPanic counts a recovered panic for the server that ctx belongs to, if it belongs to one.
func CountPanic(ctx context.Context) {
	if counter, ok := ctx.Value(PanicsKey).(*atomic.Int64); ok {
		counter.Add(1)
	}
}
