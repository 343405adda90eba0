package protocol

import "cmp"

// backlog is what waits for a slow subscriber, oldest first. It holds a reference to each message. The loop's.
type backlog struct {
	action SlowAction
	items  []waiting // a ring that grows up to limit
	head   int
	count  int
	limit  int
	first  uint64            // number of the oldest item; the next one's is one more
	latest map[string]uint64 // SlowKeepLatest: number of the item of a topic
}

type waiting struct {
	topic   string
	message *PreparedMessage
}

// held tells what add did.
type held uint8

const (
	heldMore     held = iota // one more waits
	heldInstead              // of an older one of the same topic
	heldDropping             // the oldest was given up for it
	heldNot                  // SlowClose: there is no room
)

func newBacklog(p TopicPolicy) *backlog {
	q := &backlog{action: p.Slow, limit: cmp.Or(p.Queue, defaultTopicQueue)}
	if p.Slow == SlowKeepLatest {
		q.latest = make(map[string]uint64)
	}
	return q
}

// add has a message wait and takes a reference to it.
func (q *backlog) add(topic string, m *PreparedMessage) held {
	if number, ok := q.latest[topic]; ok {
		item := q.at(int(number - q.first))
		item.message.release()
		item.message = m.retain()
		return heldInstead
	}
	done := heldMore
	if q.count == q.limit {
		if q.action == SlowClose {
			return heldNot
		}
		q.pop()
		done = heldDropping
	}
	if q.count == len(q.items) {
		q.grow()
	}
	if q.latest != nil {
		q.latest[topic] = q.first + uint64(q.count)
	}
	q.count++
	*q.at(q.count - 1) = waiting{topic, m.retain()}
	return done
}

// at returns the i-th oldest item.
func (q *backlog) at(i int) *waiting { return &q.items[(q.head+i)%len(q.items)] }

// pop gives up the oldest.
func (q *backlog) pop() {
	item := q.at(0)
	delete(q.latest, item.topic)
	item.message.release()
	*item = waiting{}
	q.head = (q.head + 1) % len(q.items)
	q.count--
	q.first++
}

func (q *backlog) grow() {
	items := make([]waiting, min(max(2*len(q.items), 8), q.limit))
	for i := range q.count {
		items[i] = *q.at(i)
	}
	q.items, q.head = items, 0
}
