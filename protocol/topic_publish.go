package protocol

import (
	"fmt"

	"github.com/momentics/hioload-ws/api"
)

// errPublications is the error of a publication that some loop has no room for.
var errPublications = fmt.Errorf("protocol: too many publications wait for a loop: %w", api.ErrResourceExhausted)

// Publish sends a message to every connection that has subscribed to a pattern which matches topic. The message is
// OpcodeText, which has to be UTF-8, or OpcodeBinary; p may be reused when the call returns. It is encoded once, each
// loop with subscribers is told once, and Publish does not wait for them. With a broker ([Endpoint.Join]) it goes
// there instead, and from there to the endpoints. Any goroutine.
//
// It returns the number of this endpoint's subscriptions that match. A connection counts once for each of its
// patterns, but gets the message once. What a slow one gets is up to its [TopicPolicy].
//
// Errors match api.ErrInvalidArgument when topic is not one, or too long (TopicLimits), or the message is not to be
// sent; api.ErrResourceExhausted when too much waits for one of the loops (TopicLimits), or memory is short: then
// nobody gets it. Those of a broker are returned as they are.
func (e *Endpoint) Publish(topic string, opcode byte, p []byte) (subscriptions int, err error) {
	if err := e.config.Topics.CheckTopic(topic); err != nil {
		return 0, err
	}
	if err := checkMessage(opcode, p); err != nil {
		return 0, err
	}
	if e.topics.broker != nil {
		_, n := e.topics.find(topic)
		return n, e.topics.broker.Publish(topic, opcode, p)
	}
	return e.publishLocally(topic, opcode, p)
}

// PublishPrepared is Publish for a message that has been prepared, and remains the caller's.
func (e *Endpoint) PublishPrepared(topic string, m *PreparedMessage) (subscriptions int, err error) {
	if err := e.config.Topics.CheckTopic(topic); err != nil {
		return 0, err
	}
	if !m.acquire() {
		return 0, errReleased
	}
	defer m.release()
	reached, n := e.topics.find(topic)
	if e.topics.broker != nil {
		return n, e.topics.broker.Publish(topic, m.opcode, m.payload)
	}
	return e.tell(topic, m, reached, n)
}

// publishLocally reaches the subscribers of this endpoint with a message that is good.
func (e *Endpoint) publishLocally(topic string, opcode byte, p []byte) (subscriptions int, err error) {
	reached, n := e.topics.find(topic)
	if n == 0 {
		e.topics.published.Add(1)
		return 0, nil
	}
	m := newPrepared(opcode, p)
	defer m.release()
	first, err := m.encode(variant{pool: reached[0].shard.loop.Pool()})
	if err != nil {
		e.topics.refused.Add(1)
		return 0, err
	}
	m.payload = first.payload(len(p)) // p is the caller's again
	return e.tell(topic, m, reached, n)
}

// tell tells the loops about a message, or none of them.
func (e *Endpoint) tell(topic string, m *PreparedMessage, reached []delivery, subscriptions int) (int, error) {
	p := &publication{topic: topic, message: m, size: int64(m.Len())}
	for i := range reached {
		reached[i].publication = p
		if err := reached[i].reserve(); err != nil {
			for j := range reached[:i] {
				reached[j].cancel()
			}
			e.topics.refused.Add(1)
			return 0, err
		}
	}
	e.topics.published.Add(1)
	for i := range reached {
		m.retain()
		if reached[i].shard.loop.Do(reached[i].run) != nil { // it has ended, and with it its connections
			reached[i].cancel()
			m.release()
		}
	}
	return subscriptions, nil
}
