package client

import (
	"fmt"
	"time"

	"github.com/momentics/hioload-ws/api"
)

// Backoff says how long to wait between attempts, and how many to make. The wait is a random time between nothing and
// a bound that begins with Initial and doubles with each failure up to Max: many clients that have lost the same
// server do not come back at the same moment. The zero value is useful.
type Backoff struct {
	Initial time.Duration // 0: 500 ms
	Max     time.Duration // 0: 30 s

	// Attempts is how many may fail in a row; 0: no limit.
	Attempts int

	// ResetAfter is how long a connection has to hold for its attempt to count as no failure; 0: 10 s. One that ends
	// before counts as one, or a server that accepts and hangs up would be asked again and again at once.
	ResetAfter time.Duration
}

const (
	defaultInitial    = 500 * time.Millisecond
	defaultMax        = 30 * time.Second
	defaultResetAfter = 10 * time.Second
)

// complete fills in defaults.
func (b Backoff) complete() (Backoff, error) {
	if b.Initial < 0 || b.Max < 0 || b.Attempts < 0 || b.ResetAfter < 0 {
		return b, fmt.Errorf("client: a number below 0 in %+v: %w", b, api.ErrInvalidArgument)
	}
	if b.Initial == 0 {
		b.Initial = defaultInitial
	}
	if b.Max == 0 {
		b.Max = max(defaultMax, b.Initial)
	}
	if b.ResetAfter == 0 {
		b.ResetAfter = defaultResetAfter
	}
	if b.Max < b.Initial {
		return b, fmt.Errorf("client: Backoff.Max is %v, less than Initial, %v: %w", b.Max, b.Initial,
			api.ErrInvalidArgument)
	}
	return b, nil
}

// bound is the longest wait after that many failures in a row.
func (b *Backoff) bound(failures int) time.Duration {
	bound := b.Initial
	for ; failures > 1 && bound < b.Max; failures-- {
		if bound > b.Max/2 { // doubled, it might overflow
			return b.Max
		}
		bound *= 2
	}
	return bound
}
