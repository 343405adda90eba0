package protocol

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// Adoption describes one end of a WebSocket whose opening handshake has been done elsewhere.
type Adoption struct {
	Client     bool          // it is the client's end
	Request    *http.Request // of the handshake; for the handler of the api.OpenEvent
	Rest       []byte        // what the peer has sent behind its part of the handshake; not to be changed any more
	MaxMessage int64         // bytes of a received message; 0: the loop's limit, or none when Streamed
	Streamed   bool          // messages come in pieces, for NextReader, and no handler gets them
	Deflate    *Deflate      // what the handshake has agreed on for permessage-deflate; nil: nothing is compressed

	Route       *Route   // nil: the endpoint's own
	Subprotocol string   // what the handshake has agreed on
	Remote      net.Addr // WSConnection.RemoteAddr; nil: not known
	Value       any      // WSConnection.Value, from the beginning

	// PingInterval is how long the peer may be silent before it is sent a ping; 0: the endpoint's, if it has one.
	PingInterval time.Duration

	admitted bool       // by Endpoint.Accept
	client   netip.Addr // counted; not valid: it is not
}

var errTooMany = fmt.Errorf("protocol: too many connections: %w", api.ErrResourceExhausted)

// Adopt makes a connected socket an open connection: its handler gets the api.OpenEvent, and then what the peer sends. From
// this call on the descriptor belongs to the shard, also when it fails: api.ErrResourceExhausted when there are too many
// connections, api.ErrTransportClosed when the endpoint is draining, unless Accept admitted the connection before: then it
// is closed with CloseGoingAway behind its api.OpenEvent. It waits for the loop, so in builds that do not know their
// goroutines (other processors than amd64 and arm64) it must not be called on it.
func (s *Shard) Adopt(fd int, a Adoption) (*WSConnection, error) {
	if !a.admitted {
		if err := s.endpoint.admit(nil); err != nil {
			_ = syscall.Close(fd)
			if err == errDraining {
				return nil, api.ErrTransportClosed
			}
			return nil, errTooMany
		}
	}
	c := &WSConnection{shard: s}
	o := &opening{request: a.Request, route: a.Route}
	if a.admitted {
		o.remote, _ = netip.ParseAddrPort(a.Request.RemoteAddr) // a Unix socket has none
	}
	c.opening.Store(o)
	c.keep(&a)
	c.setState(stateOpen, true)
	s.link()
	if a.admitted {
		s.endpoint.live.Add(-1) // now that c is
	}
	result := make(chan error, 1)
	adopt := func() {
		err := s.attach(c, fd, a)
		result <- err
		if err == nil {
			c.begin()
			if s.isDraining() { // the client has been answered: it is told that this is the end, as others are
				c.drain()
			}
		}
	}
	if s.loop.OnLoop() {
		adopt()
	} else if err := s.loop.Do(adopt); err != nil {
		result <- err
	}
	if err := <-result; err != nil {
		_ = syscall.Close(fd)
		s.endpoint.addresses.leave(a.client)
		s.endpoint.active.Add(-1)
		s.unlink(c, csrc.StreamStats{})
		s.gone()
		return nil, c.sendError(err)
	}
	return c, nil
}

// attach is Adopt's part on the loop's goroutine. When it fails the descriptor is still the caller's.
func (s *Shard) attach(c *WSConnection, fd int, a Adoption) error {
	if s.isDraining() && !a.admitted {
		return loop.ErrClosed
	}
	if err := s.loop.Attach(&c.conn, (*target)(c), fd, true); err != nil {
		return err
	}
	if err := c.conn.Upgrade(a.Rest, a.upgrade()); err != nil { // no memory
		_ = c.conn.Abort(false)
	}
	c.setDeadlines()
	if a.PingInterval > 0 {
		_ = c.conn.SetDeadline(csrc.DeadlinePing, a.PingInterval)
	}
	return nil
}

// upgrade is what the loop has to know.
func (a *Adoption) upgrade() loop.UpgradeConfig {
	u := loop.UpgradeConfig{Client: a.Client, Streamed: a.Streamed, MaxMessage: uint64(max(a.MaxMessage, 0))}
	if a.Deflate != nil {
		u.Deflate = a.Deflate.config()
	}
	return u
}

// keep notes what outlives the handshake, for the few connections that have such things.
func (c *WSConnection) keep(a *Adoption) {
	if a.Streamed {
		c.setState(stateStreamed, true)
	}
	if a.Subprotocol != "" {
		c.extension().subprotocol = a.Subprotocol
	}
	if a.Remote != nil {
		c.extension().setRemote(a.Remote)
	}
	if a.Value != nil {
		c.SetValue(a.Value)
	}
	if a.client.IsValid() && c.shard.endpoint.addresses.limit > 0 {
		c.extension().client = a.client
	}
}

// begin has the api.OpenEvent handled. On the loop, outside of any event: a panic must not pass for one of the loop's.
func (c *WSConnection) begin() {
	if c.shard.endpoint.config.Executor == nil {
		c.runGuarded(item{kind: itemOpen})
		return
	}
	c.deal(item{kind: itemOpen})
}

// setDeadlines begins to watch over an open connection. Nothing of it fails but for a connection, or a loop, that is
// closing: then its last event is on the way.
func (c *WSConnection) setDeadlines() {
	config := &c.shard.endpoint.config
	if config.ReadTimeout > 0 {
		_ = c.conn.SetDeadline(csrc.DeadlineRead, config.ReadTimeout)
	}
	if config.WriteTimeout > 0 {
		_ = c.conn.SetDeadline(csrc.DeadlineWrite, config.WriteTimeout)
	}
	if config.PingInterval > 0 {
		_ = c.conn.SetDeadline(csrc.DeadlinePing, config.PingInterval)
	}
}
