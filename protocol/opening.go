package protocol

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/momentics/hioload-ws/csrc"
)

// partingTime is how long a client that was refused has to read why and hang up, in a shutdown or where there are too many.
const partingTime = 200 * time.Millisecond

// opening is a connection's state during its opening handshake. At 80 bytes it is not in the allocator's class of
// WSConnection: where these short-lived ones lay between connections, they would leave holes that nothing else fills.
type opening struct {
	fd       int32
	refused  bool // an answer that says no is on its way, or the connection is somebody else's
	leaving  bool // it is to be handed over when its loop has delivered what it has received
	underway bool // it counts as a handshake under way
	remote   netip.AddrPort
	client   netip.Addr    // remote, if it is counted by addresses
	excess   error         // why it is not let in; nil: it is
	received []byte        // the request so far, if it did not come in one piece
	request  *http.Request // since the handshake is done
	route    *Route        // likewise; nil: the endpoint's own
}

// awaitRequest bounds the time that the handshake may take, unless it is over already. It runs on the loop.
func (c *WSConnection) awaitRequest() {
	o := c.opening.Load()
	switch {
	case o == nil || c.state.Load()&stateOpen != 0 || o.refused || o.leaving:
	case o.excess != nil:
		c.sendOff(o)
	default:
		_ = c.conn.SetDeadline(csrc.DeadlineOnce, c.shard.endpoint.config.HandshakeTimeout)
	}
}

// handshakeEvent takes the events of a connection that is not open yet.
func (c *WSConnection) handshakeEvent(ev *csrc.Event) {
	o := c.opening.Load()
	switch {
	case ev.Type == csrc.EvClosed:
		c.opening.Store(nil)
		c.setState(stateClosing|stateEnded, true)
		final, _ := c.conn.Stats() // can still be read while this event is handled
		c.shard.endpoint.decided(o)
		c.shard.endpoint.addresses.leave(o.client)
		c.shard.unlink(c, final)
		c.shard.gone()
	case o.refused:
		if ev.Type == csrc.EvTimeout { // it has had time to read the answer
			_ = c.conn.Abort(false) // fails when it has closed
		}
	case o.leaving:
		switch ev.Type {
		case csrc.EvData:
			o.received = append(o.received, ev.Bytes()...)
			_ = c.conn.SetReading(true) // fails when it has closed
		case csrc.EvQuiet: // an end that has come before is the next reader's to see
			c.leave(o)
		}
	case o.excess != nil:
		c.sendOff(o)
	case ev.Type == csrc.EvData:
		c.receiveHandshake(o, ev.Bytes())
	case ev.Type == csrc.EvTimeout:
		c.refuse(refuse(http.StatusRequestTimeout, "the request took too long"))
	case ev.Type == csrc.EvEnd:
		c.shard.endpoint.decided(o)
		o.refused = true
		_ = c.conn.Close(0, "") // fails when it has closed
	}
}

// sendOff refuses a connection that is one too many before it has said a word, and gives it little time to leave.
func (c *WSConnection) sendOff(o *opening) {
	c.refuse(o.excess)
	_ = c.conn.SetDeadline(csrc.DeadlineOnce, partingTime) // fails when it has closed
}

// receiveHandshake takes in a part of the request, and answers it when it is whole.
func (c *WSConnection) receiveHandshake(o *opening, data []byte) {
	c.pieces++
	before := len(o.received)
	if before > 0 {
		o.received = append(o.received, data...)
		data = o.received
	}
	if !HandshakeComplete(data, before) {
		if len(data) > MaxHandshakeSize {
			c.refuse(refuse(http.StatusRequestHeaderFieldsTooLarge, "request head too large"))
			return
		}
		if before == 0 {
			o.received = append(o.received, data...)
		}
		_ = c.conn.SetReading(true) // fails when it has closed
		return
	}
	request, size, err := readRequest(data)
	if err != nil {
		c.refuse(err)
		return
	}
	request.RemoteAddr = o.remote.String()
	route := c.shard.endpoint.match(request)
	if route == nil {
		c.handOver(o, data)
		return
	}
	if err := checkHead(request, data[:size]); err != nil {
		c.refuse(err)
		return
	}
	a, response, err := c.shard.endpoint.accept(request, route, nil, nil)
	if err != nil {
		c.refuse(err)
		return
	}
	c.accept(o, &a, response, data[size:])
}

// accept completes the handshake. rest is what the client has sent behind it.
func (c *WSConnection) accept(o *opening, a *Adoption, response, rest []byte) {
	c.shard.endpoint.decided(o)
	o.request, o.route = a.Request, a.Route
	o.received = nil
	a.client, o.client = o.client, netip.Addr{}
	c.keep(a)
	c.setState(stateOpen, true)
	err := c.conn.Send(0, response)
	if err == nil {
		err = c.conn.Upgrade(rest, a.upgrade())
	}
	if err != nil { // no memory; or it is closing anyway
		_ = c.conn.Abort(false)
	}
	// Fails only for a connection, or a loop, that is closing: then its last event is on the way.
	_ = c.conn.SetDeadline(csrc.DeadlineOnce, 0)
	c.setDeadlines()
	c.deal(item{kind: itemOpen})
}

// settle lets go of the handshake: only the route is left of it.
func (c *WSConnection) settle() {
	if r := c.route(); r != &c.shard.endpoint.own {
		c.opening.Store(&r.settled)
	} else {
		c.opening.Store(nil)
	}
}

// refuse answers a handshake that is not acceptable, or that there is no room for, and closes the connection. err is a
// *HandshakeError.
func (c *WSConnection) refuse(err error) {
	refusal := err.(*HandshakeError)
	c.shard.endpoint.countRefusal(refusal)
	o := c.opening.Load()
	c.shard.endpoint.decided(o)
	o.refused, o.received = true, nil
	_ = c.conn.Send(0, refusal.Response()) // fails when it has closed
	_ = c.conn.Close(0, "")
}

// drain begins the end of the connection because the endpoint ends. On the loop's goroutine.
func (c *WSConnection) drain() {
	if c.state.Load()&stateOpen != 0 {
		if c.readingPaused() { // what the program does not want to hear yet would be waited for in vain
			c.deal(item{kind: itemQuiet})
		} else {
			_ = c.conn.Quiesce() // fails when it has closed
		}
		return
	}
	o := c.opening.Load()
	if o == nil { // it has ended
		return
	}
	if !o.refused {
		c.refuse(errDraining)
	} else { // perhaps before it was attached, when nobody heard
		_ = c.conn.Close(0, "")
	}
	_ = c.conn.SetDeadline(csrc.DeadlineOnce, partingTime)
}
