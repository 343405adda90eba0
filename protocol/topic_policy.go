package protocol

import (
	"fmt"

	"github.com/momentics/hioload-ws/api"
)

// SlowAction is what becomes of a message for a subscriber that takes too little: one for which as many bytes as the
// high-water mark wait, or so many that the message would pass the send limit.
type SlowAction uint8

const (
	SlowClose      SlowAction = iota // the connection is closed with ClosePolicyViolation; below the mark it may wait
	SlowDropOldest                   // it waits; when there is no room the oldest that waits is given up
	SlowKeepLatest                   // it waits in place of the one that waits of the same topic
)

// TopicPolicy says what happens to slow subscribers of a topic. The zero value closes them.
type TopicPolicy struct {
	Slow  SlowAction
	Queue int // messages that may wait per subscription, of SlowKeepLatest topics, up to 65536; 0: 64
}

const (
	defaultTopicQueue = 64
	maxTopicQueue     = 65536
)

// Validate names a field that is out of its bounds. Errors match api.ErrInvalidArgument.
func (p TopicPolicy) Validate() error {
	switch {
	case p.Slow > SlowKeepLatest:
		return fmt.Errorf("protocol: TopicPolicy.Slow is %d: %w", p.Slow, api.ErrInvalidArgument)
	case p.Queue < 0 || p.Queue > maxTopicQueue:
		return fmt.Errorf("protocol: TopicPolicy.Queue is %d, not 0 to %d: %w", p.Queue, maxTopicQueue,
			api.ErrInvalidArgument)
	}
	return nil
}

// SetTopicPolicy makes p the policy of the subscriptions made from now on to patterns that this one covers: that match
// nothing which this one does not. Of several that cover a pattern the most specific counts; where none does, the zero
// TopicPolicy does. Any goroutine. Errors match api.ErrInvalidArgument.
func (e *Endpoint) SetTopicPolicy(pattern string, p TopicPolicy) error {
	if err := e.config.Topics.CheckPattern(pattern); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	e.topics.mu.Lock()
	defer e.topics.mu.Unlock()
	e.topics.policies.put(pattern, p)
	return nil
}

// SubscribeOption changes a subscription while [WSConnection.Subscribe] makes it.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct{ policy *TopicPolicy }

// WithTopicPolicy gives the subscription a policy of its own, whatever SetTopicPolicy said.
func WithTopicPolicy(p TopicPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.policy = &p }
}
