package tcpio

import (
	"math"
	"sync/atomic"
	"time"
)

var epoch = time.Now()

// now is a clock that never goes back.
func now() time.Duration { return time.Since(epoch) }

// later is t + d, or the latest time there is.
func later(t, d time.Duration) time.Duration { return t + min(d, math.MaxInt64-max(t, 0)) }

type atomicDuration struct{ ns atomic.Int64 }

func (d *atomicDuration) Load() time.Duration { return time.Duration(d.ns.Load()) }

func (d *atomicDuration) Store(v time.Duration) { d.ns.Store(int64(v)) }

// activity is when a connection was last seen to do something, by now(), for the time-outs that depend on it.
type activity struct {
	opened         time.Duration
	begun          atomic.Bool // the first byte has come, or Wrap has returned
	received, sent atomicDuration
}

func (a *activity) start() {
	a.opened = now()
	a.received.Store(a.opened)
	a.sent.Store(a.opened)
}

// limits are time-outs, by the options of these names; 0: none.
type limits struct{ handshake, read, idle time.Duration }

// limits are those that a loop does not know of: it can tell how long ago it has received something itself.
func (o *ListenerOptions) limits() limits {
	l := limits{o.HandshakeTimeout, o.ReadTimeout, o.IdleTimeout}
	if o.streams() {
		l.read = 0
	}
	return l
}

// overdue tells which time-out has passed at time t, or when to look again; 0: there is none to come.
func (a *activity) overdue(l limits, t time.Duration) (next time.Duration, err error) {
	received, sent := a.received.Load(), a.sent.Load()
	for _, timeout := range [...]struct {
		after, since time.Duration
		over         bool
		err          error
	}{
		{l.handshake, a.opened, a.begun.Load(), ErrHandshakeTimeout},
		{l.read, received, false, ErrReadTimeout},
		{l.idle, max(received, sent), false, ErrIdleTimeout},
	} {
		if timeout.after == 0 || timeout.over {
			continue
		}
		due := later(timeout.since, timeout.after)
		if due <= t {
			return 0, timeout.err
		}
		if next == 0 || due < next {
			next = due
		}
	}
	return next, nil
}
