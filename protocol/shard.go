package protocol

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// Shard is the part of an [Endpoint]'s connections that lives on one loop.
type Shard struct {
	endpoint *Endpoint
	loop     *loop.Loop
	count    atomic.Int64
	topics   shardTopics

	fragments sync.RWMutex // see WSConnection.sendWhole

	mu       sync.Mutex
	draining bool
	ended    Traffic // of the connections that have ended
}

// Traffic is how much has gone over connections, with all framing and handshakes.
type Traffic struct {
	BytesReceived, BytesSent int64
}

// AddShard gives e another loop to put connections on. All are added before the first connection comes. With an executor
// the loop's pool has to stay open until the channel that Drain returns is closed.
func (e *Endpoint) AddShard(l *loop.Loop) *Shard {
	s := &Shard{endpoint: e, loop: l}
	e.shards = append(e.shards, s)
	return s
}

// Shards returns those that AddShard has made, in that order. Not to be changed.
func (e *Endpoint) Shards() []*Shard { return e.shards }

// Quietest returns the shard with the fewest connections.
func (e *Endpoint) Quietest() *Shard {
	best, fewest := e.shards[0], int64(math.MaxInt64)
	for _, s := range e.shards {
		if n := s.Len(); n < fewest {
			best, fewest = s, n
		}
	}
	return best
}

// Len returns the number of connections, with those in their handshake.
func (s *Shard) Len() int64 { return s.count.Load() }

// Serve takes over a connected socket: it awaits the opening handshake of the client at remote and goes on from there.
// From this call on the descriptor belongs to the shard, also when it fails. Any goroutine.
func (s *Shard) Serve(fd int, remote netip.AddrPort) error {
	c := &WSConnection{shard: s}
	o := &opening{fd: int32(fd), remote: remote}
	s.endpoint.enter(o)
	c.opening.Store(o)
	s.link()
	if err := s.loop.Attach(&c.conn, (*target)(c), fd, true); err != nil {
		_ = syscall.Close(fd)
		s.endpoint.decided(o)
		s.endpoint.addresses.leave(o.client)
		s.unlink(c, csrc.StreamStats{})
		s.gone()
		return err
	}
	// From here on the connection may be closed at any time; then these do nothing, which is right.
	_ = s.loop.Do(c.awaitRequest)
	if s.isDraining() { // drain may have gone by before it was attached
		_ = s.loop.Do(c.drain)
	}
	return nil
}

// link counts a connection that is about to be attached.
func (s *Shard) link() {
	s.endpoint.live.Add(1)
	s.count.Add(1)
}

// unlink notes that c has ended, or was not attached after all.
func (s *Shard) unlink(c *WSConnection, final csrc.StreamStats) {
	s.count.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended.add(final)
	c.setState(stateCounted, true)
}

func (t *Traffic) add(stats csrc.StreamStats) {
	t.BytesReceived += int64(stats.Received)
	t.BytesSent += int64(stats.Sent)
}

// traffic returns the sum over all connections, those that have ended included.
func (s *Shard) traffic() Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.ended
	for _, c := range s.all() {
		if now, err := c.conn.Stats(); err == nil && c.state.Load()&stateCounted == 0 {
			sum.add(now)
		}
	}
	return sum
}

// gone is called when a connection has ended and its api.CloseEvent, if it had one, has been handled.
func (s *Shard) gone() {
	s.endpoint.live.Add(-1)
	s.endpoint.checkDrained()
}

func (s *Shard) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// all returns the connections of this moment, from the loop's own list: each has a place there already.
func (s *Shard) all() []*WSConnection {
	list := make([]*WSConnection, 0, s.count.Load())
	for _, t := range s.loop.Targets() {
		if t, ok := t.(*target); ok && t.shard == s {
			list = append(list, (*WSConnection)(t))
		}
	}
	return list
}

// drain has all connections end in good order.
func (s *Shard) drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	// Fails when the loop has closed, which has ended all connections.
	_ = s.loop.Do(func() {
		for _, c := range s.all() {
			c.drain()
		}
	})
}

// abort ends all connections at once.
func (s *Shard) abort() {
	_ = s.loop.Do(func() {
		for _, c := range s.all() {
			_ = c.conn.Abort(true) // fails for one that has closed
		}
	})
}
