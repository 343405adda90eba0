package protocol

import (
	"slices"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
)

// shardTopics is the part of a Shard that topics need.
type shardTopics struct {
	waiting      atomic.Int64 // publications that the loop has been told and has not dealt with
	waitingBytes atomic.Int64
	delivered    atomic.Int64 // messages given to connections
	deliveries   uint64       // the loop's
}

// publication is a message on its way to the loops.
type publication struct {
	topic   string
	message *PreparedMessage
	size    int64
}

// delivery is a publication's part for one loop, which is told once and finds its own connections.
type delivery struct {
	*publication
	shard   *Shard
	members []*topicMembers // the most specific pattern first
}

// reserve makes room for the delivery, unless too many wait, and sees to it that the frame is there.
func (d *delivery) reserve() error {
	if _, err := d.message.encode(variant{pool: d.shard.loop.Pool()}); err != nil {
		return err
	}
	limits, t := &d.shard.endpoint.config.Topics, &d.shard.topics
	n, bytes := t.waiting.Add(1), t.waitingBytes.Add(d.size)
	if n > int64(limits.Waiting) || n > 1 && bytes > limits.WaitingBytes {
		d.cancel()
		return errPublications
	}
	return nil
}

// cancel ends what reserve began.
func (d *delivery) cancel() {
	d.shard.topics.waiting.Add(-1)
	d.shard.topics.waitingBytes.Add(-d.size)
}

// run gives the message to the loop's subscribers, on the loop.
func (d *delivery) run() {
	defer d.message.release()
	defer d.cancel()
	d.shard.fragments.RLock() // nobody begins a message in fragments meanwhile
	defer d.shard.fragments.RUnlock()
	t := &d.shard.topics
	t.deliveries++
	delivered := int64(0)
	for _, m := range d.members {
		for _, sub := range m.list {
			if len(d.members) > 1 {
				if sub.owner.seen == t.deliveries {
					continue
				}
				sub.owner.seen = t.deliveries
			}
			if sub.deliver(d.publication) {
				delivered++
			}
		}
	}
	t.delivered.Add(delivered)
}

// deliver sends a message to one subscriber, or does what its policy says; true: it was sent.
func (s *subscription) deliver(p *publication) bool {
	c := s.owner.conn
	if c.state.Load()&stateClosing != 0 {
		return false
	}
	if s.backlog == nil && !c.congested() {
		switch err := c.sendPublished(p.message); err {
		case nil:
			return true
		case ErrBackpressure, errPartial:
		default:
			s.lose(err)
			return false
		}
	}
	s.hold(p)
	return false
}

// hold does what the policy says about a message that can't be sent now.
func (s *subscription) hold(p *publication) {
	c, index := s.owner.conn, &s.owner.conn.shard.endpoint.topics
	if s.backlog == nil {
		if s.policy.Slow == SlowClose && c.conn.Stalled() {
			s.tooSlow()
			return
		}
		s.backlog = newBacklog(s.policy)
		s.owner.held = append(s.owner.held, s)
	}
	switch s.backlog.add(p.topic, p.message) {
	case heldInstead:
		index.replaced.Add(1)
	case heldDropping:
		index.dropped.Add(1)
	case heldNot:
		s.tooSlow()
		return
	}
	if !c.congested() { // nothing else will say when there is room
		s.owner.flushSoon()
	}
}

// tooSlow closes the connection.
func (s *subscription) tooSlow() {
	c := s.owner.conn
	if c.close(ClosePolicyViolation, "too slow for what it subscribes to") == nil {
		c.shard.endpoint.topics.slowClosed.Add(1)
	}
}

// lose counts a message that could not be sent, unless the connection is over.
func (s *subscription) lose(err error) {
	if err != api.ErrTransportClosed {
		s.owner.conn.shard.endpoint.topics.dropped.Add(1)
	}
}

// abandon gives up what waits.
func (s *subscription) abandon() {
	if s.backlog == nil {
		return
	}
	s.owner.conn.shard.endpoint.topics.dropped.Add(int64(s.backlog.count))
	for s.backlog.count > 0 {
		s.backlog.pop()
	}
	s.backlog = nil
	held := &s.owner.held
	*held = slices.DeleteFunc(*held, func(other *subscription) bool { return other == s })
}

// congested tells whether a message would have to wait, for an event that is going to come: csrc.EvDrain, or the end
// of the fragmented message that is being sent. On the loop.
func (c *WSConnection) congested() bool {
	return c.state.Load()&statePartial != 0 || c.conn.Stalled()
}

// drainTopics goes on with what waits because there is room. On the loop.
func (c *WSConnection) drainTopics() {
	if t := c.topicsOf(); t != nil {
		t.flush()
	}
}

// resumeTopics has the loop do so. Any goroutine.
func (c *WSConnection) resumeTopics() {
	if t := c.topicsOf(); t != nil {
		_ = c.shard.loop.Do(t.flush) // fails when the loop has ended, and with it the connection
	}
}

// flushSoon calls flush in the next turn.
func (t *topicSet) flushSoon() {
	if !t.flushing {
		t.flushing = t.conn.shard.loop.Do(t.flush) == nil
	}
}

// flush sends what waits, as far as there is room. On the loop.
func (t *topicSet) flush() {
	t.flushing = false
	t.conn.shard.fragments.RLock()
	defer t.conn.shard.fragments.RUnlock()
	for len(t.held) > 0 && t.conn.state.Load()&stateClosing == 0 && !t.conn.congested() {
		if t.conn.conn.Queued() >= t.conn.shard.loop.HighWater() { // by what the core has not seen yet
			t.flushSoon()
			return
		}
		if !t.held[0].sendHeld() {
			return
		}
	}
}

// sendHeld sends the oldest message that waits; false: it goes on waiting, for room that an event will tell of. Once no
// more than the low mark is unsent, there is room for any message.
func (s *subscription) sendHeld() bool {
	switch err := s.owner.conn.sendPublished(s.backlog.at(0).message); err {
	case nil:
		s.owner.conn.shard.topics.delivered.Add(1)
	case ErrBackpressure, errPartial:
		return false
	default:
		s.lose(err)
	}
	if s.backlog.pop(); s.backlog.count == 0 {
		s.abandon()
	}
	return true
}
