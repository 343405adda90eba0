package protocol

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// HandOver is a connection whose first request is not for WebSocket, on its way to whoever serves such requests. It
// counts as one of the endpoint's connections until Done.
type HandOver struct {
	FD       int            // the connected socket, which belongs to the receiver
	Received []byte         // what the client has sent so far, the request's head and more; the rest is in the socket
	Remote   netip.AddrPort // the client

	endpoint *Endpoint
	client   netip.Addr // counted; not valid: it is not
}

// Done tells the endpoint that the connection has ended, or has become something else. It is called exactly once.
func (h *HandOver) Done() {
	h.endpoint.addresses.leave(h.client)
	h.endpoint.plain.Add(-1)
	h.endpoint.live.Add(-1)
	h.endpoint.checkDrained()
}

// handOver begins to take the connection off its loop; received begins with the head of its first request.
func (c *WSConnection) handOver(o *opening, received []byte) {
	if len(o.received) == 0 {
		o.received = bytes.Clone(received)
	}
	o.leaving = true
	_ = c.conn.SetDeadline(csrc.DeadlineOnce, 0)
	_ = c.conn.Halt() // fails when it has closed, as the others do
	_ = c.conn.SetReading(true)
}

// leave hands the connection over now that its loop has delivered all it had received.
func (c *WSConnection) leave(o *opening) {
	e := c.shard.endpoint
	if !e.admitPlain() {
		c.refuse(errFull)
		return
	}
	next := &HandOver{Received: o.received, Remote: o.remote, endpoint: e}
	var err error
	if next.FD, err = netfd.Dup(int(o.fd)); err != nil {
		next.Done()
		e.report(slog.LevelWarn, "handing a connection over", err.Error(), "error", err)
		c.refuse(errFull)
		return
	}
	e.handedOver.Add(1)
	e.decided(o)
	next.client, o.client = o.client, netip.Addr{}
	o.refused, o.received = true, nil // nothing is left to be said on this loop
	_ = c.conn.Abort(false)
	e.config.TakeOver(next)
}

// match returns the route of a first request; nil: the connection is to be handed over.
func (e *Endpoint) match(r *http.Request) *Route {
	if e.config.Match == nil {
		return &e.own
	}
	return e.config.Match(r)
}
