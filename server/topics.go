package server

import "github.com/momentics/hioload-ws/protocol"

// Publish sends a message to every connection that has subscribed ([protocol.WSConnection.Subscribe]) to a pattern
// which matches topic; with Config.Broker, to those of all servers behind it. It does not wait. It returns how many
// subscriptions of this server match. [protocol.Endpoint.Publish] tells what is promised and what fails; besides,
// ErrNotRunning before Run. Any goroutine.
func (s *Server) Publish(topic string, opcode byte, p []byte) (subscriptions int, err error) {
	endpoint := s.serving()
	if endpoint == nil {
		return 0, ErrNotRunning
	}
	return endpoint.Publish(topic, opcode, p)
}

// PublishPrepared is Publish for a message that has been prepared, and remains the caller's.
func (s *Server) PublishPrepared(topic string, m *protocol.PreparedMessage) (subscriptions int, err error) {
	endpoint := s.serving()
	if endpoint == nil {
		return 0, ErrNotRunning
	}
	return endpoint.PublishPrepared(topic, m)
}

// SetTopicPolicy says what happens to slow subscribers of the patterns that this one covers, where the subscription
// says nothing: see [protocol.Endpoint.SetTopicPolicy]. It may be called at any time, before Run too, for the
// subscriptions made from then on. Any goroutine. Errors match api.ErrInvalidArgument.
func (s *Server) SetTopicPolicy(pattern string, p protocol.TopicPolicy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoint != nil {
		return s.endpoint.SetTopicPolicy(pattern, p)
	}
	if err := s.config.Topics.CheckPattern(pattern); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	if s.policies == nil {
		s.policies = make(map[string]protocol.TopicPolicy)
	}
	s.policies[pattern] = p
	return nil
}

// buildTopics gives the endpoint what was said about topics before there was one, and its broker.
func (s *Server) buildTopics() error {
	for pattern, p := range s.policies {
		if err := s.endpoint.SetTopicPolicy(pattern, p); err != nil {
			return err
		}
	}
	if s.config.Broker == nil {
		return nil
	}
	leave, err := s.endpoint.Join(s.config.Broker)
	if err != nil {
		return err
	}
	s.leaveBroker = leave
	return nil
}

// addTopics adds the counters of topics.
func addTopics(stats map[string]any, t protocol.TopicStats) {
	stats["topics.subscriptions"] = t.Subscriptions
	stats["topics.published"] = t.Published
	stats["topics.refused"] = t.Refused
	stats["topics.delivered"] = t.Delivered
	stats["topics.slow_closed"] = t.SlowClosed
	stats["topics.dropped"] = t.Dropped
	stats["topics.replaced"] = t.Replaced
}
