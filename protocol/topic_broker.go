package protocol

import "fmt"

// Broker carries messages between endpoints, in other processes for instance. Its methods are safe from any goroutine.
type Broker interface {
	// Publish passes a message on to all who have subscribed, the endpoint that publishes it included. The payload is
	// the caller's again when it returns. It is called by whoever calls Endpoint.Publish, on a loop too: it must not
	// wait long. Its error is what that returns.
	Publish(topic string, opcode byte, payload []byte) error

	// Subscribe has deliver called with every message that is published from now on, once, and for one publisher and
	// one topic in the order in which it published; until cancel has returned. deliver never waits, may be called on
	// any goroutine, and does not keep the payload. Its error says that this endpoint can't take the message now, or
	// ever, as with Endpoint.Publish: what to do about that is up to the broker.
	Subscribe(deliver func(topic string, opcode byte, payload []byte) error) (cancel func(), err error)
}

// Join has e publish to b, and its subscribers get what b delivers, until leave is called. Without a broker an endpoint
// publishes to its own subscribers. It is called once, before the first connection comes; leave when the last has gone.
func (e *Endpoint) Join(b Broker) (leave func(), err error) {
	leave, err = b.Subscribe(func(topic string, opcode byte, payload []byte) error {
		if err := e.config.Topics.CheckTopic(topic); err != nil {
			return err
		}
		if err := checkMessage(opcode, payload); err != nil {
			return err
		}
		_, err := e.publishLocally(topic, opcode, payload)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("protocol: subscribing to the broker: %w", err)
	}
	e.topics.broker = b
	return leave, nil
}
