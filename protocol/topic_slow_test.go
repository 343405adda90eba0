package protocol

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// marks are low enough for a test to reach them.
var marks = loop.Config{HighWater: 64 << 10, LowWater: 16 << 10}

// limited has a send limit that is met before its high mark is.
var limited = loop.Config{HighWater: 64 << 10, LowWater: 16 << 10, QueueLimit: 64 << 10}

// numbered is a message of some size with a number.
func numbered(i int) string { return fmt.Sprintf("%06d", i) + strings.Repeat(".", 8000) }

// flood publishes numbered messages until stop says so, which has to happen soon, and returns their number.
func (h *hub) flood(topic func(i int) string, stop func(TopicStats) bool) (count int) {
	h.t.Helper()
	for ; !stop(h.Stats().Topics); count++ {
		if count == 1000 {
			h.t.Fatalf("still not: %+v", h.Stats().Topics)
		}
		h.publish(topic(count), numbered(count), 1)
		settle(h.t, h.shards[0])
	}
	return count
}

func toX(int) string { return "x" }

func TestSlowConsumerIsClosed(t *testing.T) {
	h := newHub(t, 2, EndpointConfig{}, marks)
	slow, fast := h.open(0), h.open(1)
	slow.subscribe("x")
	fast.subscribe("x")
	sent := 0
	for ; h.Stats().Topics.SlowClosed == 0; sent++ {
		h.publish("x", numbered(sent), 2)
		slow.settle()
		fast.expect(numbered(sent))
	}
	for i := range sent - 1 {
		slow.expect(numbered(i))
	}
	slow.expectTooSlow()
	h.publish("x", "after", 2)
	fast.expect("after")
	slow.expectGone()
	h.publish("x", "one is left", 1)
	fast.expect("one is left")
	if got, want := h.Stats().Topics, (TopicStats{Subscriptions: 1, Published: int64(sent) + 2,
		Delivered: int64(2*sent) + 1, SlowClosed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.expectNoMemory()
}

// expectTooSlow reads the close frame of a subscriber that takes too little.
func (s *subscriber) expectTooSlow() {
	s.t.Helper()
	opcode, payload, err := s.next()
	if opcode != OpcodeClose || len(payload) < 2 || binary.BigEndian.Uint16(payload) != ClosePolicyViolation ||
		err != nil {
		s.t.Errorf("opcode %#x, %q, %v", opcode, payload, err)
	}
}

func TestSlowConsumerMissesTheOldest(t *testing.T) {
	const queue = 4
	h := newHub(t, 1, EndpointConfig{}, marks)
	if err := h.SetTopicPolicy("#", TopicPolicy{Slow: SlowDropOldest, Queue: queue}); err != nil {
		t.Fatal(err)
	}
	s := h.open(0)
	s.subscribe("x")
	sent := h.flood(toX, func(stats TopicStats) bool { return stats.Dropped == 10 })
	for i := range sent - queue - 10 {
		s.expect(numbered(i))
	}
	for i := range queue {
		s.expect(numbered(sent - queue + i))
	}
	h.publish("x", "after", 1)
	s.expect("after")
	if got, want := h.Stats().Topics, (TopicStats{Subscriptions: 1, Published: int64(sent) + 1,
		Delivered: int64(sent) - 10 + 1, Dropped: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.expectNoMemory()
}

func TestSlowConsumerGetsTheLatest(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, marks)
	s := h.open(0)
	s.subscribe("price/+", WithTopicPolicy(TopicPolicy{Slow: SlowKeepLatest, Queue: 2}))
	topic := func(i int) string { return "price/" + string("ab"[i%2]) }
	sent := h.flood(topic, func(stats TopicStats) bool { return stats.Replaced == 10 })
	for i := range sent - 12 { // two wait
		s.expect(numbered(i))
	}
	s.expect(numbered(sent-2), numbered(sent-1))
	h.publish("price/a", "after", 1)
	s.expect("after")

	sent = h.flood(topic, func(stats TopicStats) bool { return stats.Replaced == 11 })
	h.publish("price/c", "more topics than may wait", 1)
	s.settle()
	if got := h.Stats().Topics.Dropped; got != 1 {
		t.Errorf("%d dropped", got)
	}
	for i := range sent - 3 { // of which two wait, and the older of these is dropped
		s.expect(numbered(i))
	}
	s.expect(numbered(sent-2), "more topics than may wait")
	s.expectNothing()
	h.expectNoMemory()
}

// What waits is given up when its subscription ends, or its connection.
func TestSlowConsumerLeaves(t *testing.T) {
	for name, leave := range map[string]func(s *subscriber){
		"unsubscribes": func(s *subscriber) {
			if err := s.Unsubscribe("x"); err != nil {
				s.t.Error(err)
			}
			s.settle()
		},
		"ends":   func(s *subscriber) { s.expectGone() },
		"aborts": func(s *subscriber) { _ = s.conn.Abort(true); <-s.Done(); s.settle() },
	} {
		h := newHub(t, 1, EndpointConfig{}, marks)
		s := h.open(0)
		s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: SlowDropOldest, Queue: 4}))
		h.flood(toX, func(stats TopicStats) bool { return stats.Dropped == 1 })
		leave(s)
		if got := h.Stats().Topics; got.Dropped != 5 || got.Subscriptions != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if set := s.topicsOf(); len(set.held) > 0 || len(set.list) > 0 {
			t.Errorf("%s: %d subscriptions hold something, %d are left", name, len(set.held), len(set.list))
		}
		h.expectNoMemory()
	}
}

// Several subscriptions of one slow connection: each keeps what its own policy says.
func TestSlowConsumerWithSeveralPolicies(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, marks)
	s := h.open(0)
	s.subscribe("event", WithTopicPolicy(TopicPolicy{Slow: SlowDropOldest, Queue: 100}))
	s.subscribe("price", WithTopicPolicy(TopicPolicy{Slow: SlowKeepLatest}))
	topic := func(i int) string { return []string{"event", "price"}[i%2] }
	sent := h.flood(topic, func(stats TopicStats) bool { return stats.Replaced == 3 })
	delivered := int(h.Stats().Topics.Delivered)
	for i := range delivered {
		s.expect(numbered(i))
	}
	latest := sent - 1    // flood has just replaced a price
	if delivered%2 == 1 { // what had to wait first, comes first
		s.expect(numbered(latest))
	}
	for i := delivered; i < sent; i++ {
		if i%2 == 0 {
			s.expect(numbered(i))
		}
	}
	if delivered%2 == 0 {
		s.expect(numbered(latest))
	}
	s.expectNothing()
	h.expectNoMemory()
}

// A burst that is more than the high-water mark, told to the loop at once, to a peer that takes it: nothing is given
// up but for the policy's reasons, and nothing stays behind.
func TestBurstToAFastConsumer(t *testing.T) {
	const messages = 300
	h := newHub(t, 1, EndpointConfig{}, marks)
	s := h.open(0)
	s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: SlowDropOldest, Queue: messages}))
	blocked, free := make(chan struct{}), make(chan struct{})
	if err := s.shard.loop.Do(func() { close(blocked); <-free }); err != nil {
		t.Fatal(err)
	}
	<-blocked
	for i := range messages {
		h.publish("x", numbered(i), 1)
	}
	close(free)
	for i := range messages {
		s.expect(numbered(i))
	}
	s.expectNothing()
	if got := h.Stats().Topics; got.Delivered != messages || got.Dropped != 0 {
		t.Errorf("%+v", got)
	}
	h.expectNoMemory()
}

// A message larger than all that the connection may have unsent waits behind others, until there is room for any.
func TestMessageTooLargeForItsQueue(t *testing.T) {
	small := marks
	small.QueueLimit = 256 << 10
	h := newHub(t, 1, EndpointConfig{}, small)
	s := h.open(0)
	s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: SlowDropOldest, Queue: 4}))
	sent := h.flood(toX, func(TopicStats) bool {
		s.settle() // the core has been there since
		return s.conn.Queued() > uint64(small.LowWater)
	})
	large := strings.Repeat("x", 300<<10)
	h.publish("x", large, 1)
	h.publish("x", "behind it", 1)
	for i := range sent {
		s.expect(numbered(i))
	}
	s.expect(large, "behind it")
	if n := h.Stats().Topics.Dropped; n != 0 {
		t.Errorf("%d messages were dropped", n)
	}
	s.expectNothing()
	h.expectNoMemory()
}

// Where the send limit is met before the high mark, the topic's policy is in force, not the endpoint's.
func TestPoliciesAtTheSendLimit(t *testing.T) {
	const queue = 4
	for _, slow := range []SlowAction{SlowClose, SlowDropOldest} {
		h := newHub(t, 1, EndpointConfig{SlowConsumer: SlowConsumerClose}, limited)
		s := h.open(0)
		s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: slow, Queue: queue}))
		sent := h.flood(toX, func(stats TopicStats) bool { return stats.SlowClosed+stats.Dropped > 0 })
		for i := range sent - queue - 1 {
			s.expect(numbered(i))
		}
		want := TopicStats{Published: int64(sent), Delivered: int64(sent) - queue - 1}
		if slow == SlowClose {
			s.expectTooSlow()
			s.expectGone()
			want.SlowClosed, want.Dropped = 1, queue
		} else {
			for i := range queue {
				s.expect(numbered(sent - queue + i))
			}
			s.expectNothing()
			want.Subscriptions, want.Dropped = 1, 1
			want.Delivered += queue
		}
		got := h.Stats()
		if got.Topics != want {
			t.Errorf("policy %d: %+v, want %+v", slow, got.Topics, want)
		}
		if got.QueueFull != 0 || got.SlowClosed != 0 {
			t.Errorf("policy %d: the endpoint counts %d and %d", slow, got.QueueFull, got.SlowClosed)
		}
		h.expectNoMemory()
	}
}

// A message that waits is not given up because others have just gone out: there is room for it when those are sent. Nor
// is the connection, whatever its endpoint does with slow consumers of what is sent without a topic.
func TestLatestWaitsForTheSendLimit(t *testing.T) {
	for _, policy := range []SlowConsumerPolicy{SlowConsumerRefuse, SlowConsumerClose} {
		latestWaits(t, policy)
	}
}

func latestWaits(t *testing.T, policy SlowConsumerPolicy) {
	h := newHub(t, 1, EndpointConfig{SlowConsumer: policy}, limited)
	s := h.open(0)
	if err := s.peer.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s.subscribe("price/+", WithTopicPolicy(TopicPolicy{Slow: SlowKeepLatest}))
	text := func(i int) string { return string(rune('a'+i%26)) + strings.Repeat(".", 40_000) }
	topic := func(i int) string { return "price/" + string("ab"[i%2]) }
	i := 0
	for ; h.Stats().Topics.Replaced+h.Stats().Topics.Dropped < 10 && i < 1000; i++ {
		h.publish(topic(i), text(i), 1)
		settle(t, h.shards[0])
	}
	for missing := map[string]bool{text(i - 1): true, text(i - 2): true}; len(missing) > 0; {
		_, p, err := s.next()
		if err != nil {
			t.Fatalf("the latest do not come: %v, %+v", err, h.Stats().Topics)
		}
		delete(missing, string(p))
	}
	if dropped := h.Stats().Topics.Dropped; dropped != 0 {
		t.Errorf("%d are lost", dropped)
	}
}
