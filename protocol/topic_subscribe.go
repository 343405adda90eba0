package protocol

import (
	"fmt"
	"slices"
	"sync"

	"github.com/momentics/hioload-ws/api"
)

// subscription is a connection's to a pattern. All but the fields above the line belong to the loop.
type subscription struct {
	owner   *topicSet
	members *topicMembers

	at      int  // where in members.list, once it has entered
	entered bool // it is in members.list
	left    bool // it has ended
	policy  TopicPolicy
	backlog *backlog // what waits for a slow peer; nil: nothing
}

// topicSet is what a connection subscribes to.
type topicSet struct {
	conn *WSConnection

	mu    sync.Mutex
	list  []*subscription
	ended bool

	// The loop's.
	seen     uint64          // the last delivery that it was part of: no message comes twice
	held     []*subscription // those that have a backlog
	flushing bool            // flush will run in the next turn
}

// Subscribe has the connection receive what is published to topics that pattern matches, by [Endpoint.Publish]:
// messages published after it has returned. A pattern is a topic, in which levels, between slashes, may be "+" for
// any one level, and the last one "#" for all that follow, none included. A connection gets a message once, whatever
// number of its patterns match: by the most specific. Subscribing again to the same pattern changes its policy,
// nothing else. The end of the connection ends its subscriptions.
//
// Errors match api.ErrInvalidArgument when the pattern is not one, or too long (TopicLimits),
// api.ErrResourceExhausted when the connection has too many, api.ErrTransportClosed when it is closing or closed.
func (c *WSConnection) Subscribe(pattern string, options ...SubscribeOption) error {
	e := c.shard.endpoint
	if err := e.config.Topics.CheckPattern(pattern); err != nil {
		return err
	}
	var chosen subscribeOptions
	for _, option := range options {
		option(&chosen)
	}
	policy := e.topics.policy(pattern)
	if chosen.policy != nil {
		policy = *chosen.policy
		if err := policy.Validate(); err != nil {
			return err
		}
	}
	t := c.topicSet()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || c.state.Load()&(stateClosing|stateEnded) != 0 {
		return api.ErrTransportClosed
	}
	if at := t.find(pattern); at >= 0 {
		sub := t.list[at]
		_ = c.shard.loop.Do(func() { sub.policy = policy }) // fails when the connection is about to end
		return nil
	}
	if limit := e.config.Topics.PerConnection; len(t.list) >= limit {
		return fmt.Errorf("protocol: a connection subscribes to %d patterns at most: %w", limit,
			api.ErrResourceExhausted)
	}
	sub := &subscription{owner: t, members: e.topics.join(pattern, c.shard), policy: policy}
	if err := c.shard.loop.Do(sub.enter); err != nil {
		e.topics.quit(sub.members)
		return api.ErrTransportClosed
	}
	t.list = append(t.list, sub)
	return nil
}

// Unsubscribe ends the subscription to exactly this pattern. What was published before may still come. The error
// matches api.ErrNotFound when there is no such subscription.
func (c *WSConnection) Unsubscribe(pattern string) error {
	sub := c.topicsOf().take(pattern)
	if sub == nil {
		return fmt.Errorf("protocol: not subscribed to %q: %w", pattern, api.ErrNotFound)
	}
	c.shard.endpoint.topics.quit(sub.members)
	_ = c.shard.loop.Do(sub.leave) // fails when the loop has ended, and with it the connection
	return nil
}

// Subscriptions returns the patterns that the connection subscribes to, in the order in which it did.
func (c *WSConnection) Subscriptions() []string {
	t := c.topicsOf()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	patterns := make([]string, len(t.list))
	for i, sub := range t.list {
		patterns[i] = sub.members.pattern
	}
	return patterns
}

// topicSet returns what c subscribes to, and makes it if need be.
func (c *WSConnection) topicSet() *topicSet {
	x := c.extension()
	if t := x.topics.Load(); t != nil {
		return t
	}
	x.topics.CompareAndSwap(nil, &topicSet{conn: c})
	return x.topics.Load()
}

// topicsOf returns what c subscribes to, nil if it never did.
func (c *WSConnection) topicsOf() *topicSet {
	if x := c.extra.Load(); x != nil {
		return x.topics.Load()
	}
	return nil
}

// leaveTopics ends all subscriptions because the connection has ended, which its state says already: whoever
// subscribes from now on finds that. On the loop.
func (c *WSConnection) leaveTopics() {
	t := c.topicsOf()
	if t == nil {
		return
	}
	t.mu.Lock()
	list := t.list
	t.list, t.ended = nil, true
	t.mu.Unlock()
	for _, sub := range list {
		c.shard.endpoint.topics.quit(sub.members)
		sub.leave()
	}
}

// find returns where the subscription to a pattern is, -1 if there is none. Under mu.
func (t *topicSet) find(pattern string) int {
	return slices.IndexFunc(t.list, func(s *subscription) bool { return s.members.pattern == pattern })
}

// take removes the subscription to a pattern from the list, and returns it; nil if there is none.
func (t *topicSet) take(pattern string) *subscription {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.find(pattern)
	if at < 0 {
		return nil
	}
	sub := t.list[at]
	t.list = slices.Delete(t.list, at, at+1)
	return sub
}

// enter makes the subscription known to its loop, on the loop, unless it has ended by now.
func (s *subscription) enter() {
	if s.left {
		return
	}
	m := s.members
	s.entered, s.at = true, len(m.list)
	m.list = append(m.list, s)
}

// membersKeep is the capacity up to which a list that has become short keeps its memory.
const membersKeep = 64

// leave ends it, on the loop. What waits is given up.
func (s *subscription) leave() {
	if s.left {
		return
	}
	s.left = true
	s.abandon()
	if !s.entered {
		return
	}
	m := s.members
	last := len(m.list) - 1
	m.list[s.at] = m.list[last]
	m.list[s.at].at = s.at
	m.list[last] = nil
	m.list = m.list[:last]
	if cap(m.list) > membersKeep && len(m.list) < cap(m.list)/4 {
		m.list = slices.Clone(m.list)
	}
}
