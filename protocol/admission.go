package protocol

import (
	"net/http"
	"net/netip"
	"sync/atomic"
)

// admission is who may come in.
type admission struct {
	addresses  addresses
	rate       rate
	handshakes atomic.Int64 // under way on the loops

	excess, crowded, hurried atomic.Int64 // refused for MaxHandshakes, MaxPerClient, HandshakeRate
}

func refuse(status int, reason string) error { return &HandshakeError{Status: status, Reason: reason} }

// busy refuses what there is no room for.
func busy(reason string) error { return refuse(http.StatusServiceUnavailable, reason) }

var (
	errDraining = busy("the server is shutting down")
	errFull     = busy("too many connections")
	errExcess   = busy("too many handshakes at a time")
	errHurried  = busy("too many handshakes a second")
	errCrowded  = refuse(http.StatusTooManyRequests, "too many connections from this address")
)

// enter counts a connection that has just come, as one in its handshake and as one of its client's; if it is one too many,
// o.excess says so, and it is not let in. Any goroutine.
func (e *Endpoint) enter(o *opening) {
	o.underway = true
	if n, limit := e.handshakes.Add(1), e.config.MaxHandshakes; limit > 0 && n > int64(limit) {
		e.excess.Add(1)
		o.excess = errExcess
	} else if !e.addresses.enter(o.remote.Addr()) {
		e.crowded.Add(1)
		o.excess = errCrowded
	} else {
		o.client = o.remote.Addr()
	}
	if o.excess != nil {
		e.decided(o)
	}
}

// decided notes that a handshake is over: it was accepted, refused or given up, or the connection handed over.
func (e *Endpoint) decided(o *opening) {
	if o.underway {
		o.underway = false
		e.handshakes.Add(-1)
	}
}

// admit counts a connection whose handshake is good, unless there is no room for it. from is what it has been until now; it
// still counts as that.
func (e *Endpoint) admit(from *HandOver) error {
	if e.draining.Load() {
		return errDraining
	}
	others := e.plain.Load()
	if from != nil {
		others--
	}
	n := e.active.Add(1)
	if limit := e.config.MaxConnections; limit > 0 && n+others > limit {
		e.active.Add(-1)
		return errFull
	}
	if !e.rate.allow() {
		e.active.Add(-1)
		e.hurried.Add(1)
		return errHurried
	}
	e.opened.Add(1)
	return nil
}

// admitPlain counts a connection that is about to be handed over, unless there are too many.
func (e *Endpoint) admitPlain() bool {
	n := e.plain.Add(1)
	if limit := e.config.MaxConnections; limit > 0 && n+e.active.Load() > limit {
		e.plain.Add(-1)
		return false
	}
	e.live.Add(1)
	return true
}

// clientAddr reads http.Request.RemoteAddr; the zero value if it is no address.
func clientAddr(remote string) netip.Addr {
	addr, _ := netip.ParseAddrPort(remote)
	return addr.Addr()
}

// countRefusal counts a handshake that was not accepted.
func (e *Endpoint) countRefusal(refusal *HandshakeError) {
	switch refusal.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		e.rejected.Add(1)
	default:
		e.refused.Add(1)
	}
}
