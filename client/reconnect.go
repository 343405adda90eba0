package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// Reconnector keeps a connection to a server: it dials, and dials again when the connection has ended or could not be
// made. Its fields are set before Run and not changed afterwards.
type Reconnector struct {
	// URL and Options are those of Dial.
	URL     string
	Options *Options

	Backoff

	// OnConnect is called with each new connection and the server's answer, on the goroutine of Run, which awaits the
	// end of the connection behind it. So it may return at once, when Options.Handler does the work, or use the
	// connection until it ends. Messages that were not sent before a connection ended are not sent over the next one;
	// what has to be said anew is said here. nil: nothing is called.
	OnConnect func(c *Conn, r *http.Response)

	// OnRetry is called before each wait with what has gone wrong, the error of Dial or a *protocol.CloseError, and how
	// long the wait will be. nil: nothing is called.
	OnRetry func(err error, wait time.Duration)

	// Retry tells whether there is a point in trying again after such an error. nil: [Temporary].
	Retry func(err error) bool

	current atomic.Pointer[Conn]
	clock   clock
}

// clock is what a Reconnector knows of time and chance.
type clock struct {
	now    func() time.Time
	sleep  func(ctx context.Context, d time.Duration)
	random func(bound time.Duration) time.Duration // from 0 to bound, both included
	dial   func(context.Context, string, *Options) (*Conn, *http.Response, error)
}

var realClock = clock{
	now: time.Now,
	sleep: func(ctx context.Context, d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	},
	random: func(bound time.Duration) time.Duration { return rand.N(bound + 1) },
	dial:   Dial,
}

// Temporary tells whether another attempt may go better: not if the URL or an option cannot be, the Loops are closed,
// or the server or the proxy has refused with a status from 400 to 499 other than 408 (request timeout), 425 (too
// early) and 429 (too many requests).
func Temporary(err error) bool {
	var refused *HandshakeError
	if errors.As(err, &refused) {
		switch status := refused.Response.StatusCode; status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		default:
			return status < 400 || status >= 500
		}
	}
	return !errors.Is(err, api.ErrInvalidArgument) && !errors.Is(err, ErrLoopsClosed)
}

// Conn returns the connection that is open at the moment, nil when there is none. It may have ended already; then
// sending fails with api.ErrTransportClosed. Any goroutine.
func (r *Reconnector) Conn() *Conn { return r.current.Load() }

// Run dials until ctx ends, when it closes the connection and returns ctx.Err(), or until there is no point in going
// on, when it returns the last error. It runs on the caller's goroutine, one call at a time.
func (r *Reconnector) Run(ctx context.Context) error {
	backoff, err := r.Backoff.complete()
	if err != nil {
		return err
	}
	clock := r.clock
	if clock.now == nil {
		clock = realClock
	}
	retry := r.Retry
	if retry == nil {
		retry = Temporary
	}
	for failures := 0; ; {
		c, response, err := clock.dial(ctx, r.URL, r.Options)
		if err == nil {
			opened := clock.now()
			err = r.use(ctx, c, response)
			if clock.now().Sub(opened) >= backoff.ResetAfter {
				failures = 0
			}
		}
		failures++
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !retry(err):
			return err
		case backoff.Attempts > 0 && failures >= backoff.Attempts:
			return fmt.Errorf("client: given up after %d attempts: %w", failures, err)
		}
		wait := clock.random(backoff.bound(failures))
		if r.OnRetry != nil {
			r.OnRetry(err, wait)
		}
		clock.sleep(ctx, wait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// use has a connection used and returns when it has ended.
func (r *Reconnector) use(ctx context.Context, c *Conn, response *http.Response) error {
	defer c.Close() // if OnConnect panics
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	r.current.Store(c)
	defer r.current.Store(nil)
	if r.OnConnect != nil {
		r.OnConnect(c, response)
	}
	<-c.Done()
	code, reason := c.CloseStatus()
	return &protocol.CloseError{Code: code, Reason: reason}
}
