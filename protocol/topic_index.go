package protocol

import (
	"slices"
	"sync"
	"sync/atomic"
)

// topicIndex knows who subscribes to what. Which patterns have subscriptions on which loops, everybody may look up
// under its lock; whose these are, in what order, only the loop itself knows: it walks its members without a lock.
type topicIndex struct {
	mu       sync.RWMutex
	entries  patternMap[*topicEntry]
	policies patternMap[TopicPolicy]
	broker   Broker // nil: none

	subscriptions, published, refused, slowClosed, dropped, replaced atomic.Int64
}

// topicEntry is a pattern that has subscriptions.
type topicEntry struct{ shards []*topicMembers }

// topicMembers are the subscriptions to one pattern on one loop.
type topicMembers struct {
	shard   *Shard
	pattern string
	count   int             // guarded by topicIndex.mu: those that Subscribe has made and Unsubscribe has not ended
	list    []*subscription // the loop's
}

// join counts one more subscription on a loop.
func (x *topicIndex) join(pattern string, s *Shard) *topicMembers {
	x.mu.Lock()
	defer x.mu.Unlock()
	entry, ok := x.entries.get(pattern)
	if !ok {
		entry = new(topicEntry)
		x.entries.put(pattern, entry)
	}
	at := slices.IndexFunc(entry.shards, func(m *topicMembers) bool { return m.shard == s })
	if at < 0 {
		at = len(entry.shards)
		entry.shards = append(entry.shards, &topicMembers{shard: s, pattern: pattern})
	}
	entry.shards[at].count++
	x.subscriptions.Add(1)
	return entry.shards[at]
}

// policy returns what SetTopicPolicy said about subscriptions to a pattern.
func (x *topicIndex) policy(pattern string) TopicPolicy {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var policy TopicPolicy
	x.policies.match(pattern, func(p TopicPolicy) bool {
		policy = p
		return false // it is the most specific
	})
	return policy
}

// quit ends what join began.
func (x *topicIndex) quit(m *topicMembers) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.subscriptions.Add(-1)
	if m.count--; m.count > 0 {
		return
	}
	entry, _ := x.entries.get(m.pattern)
	entry.shards = slices.DeleteFunc(entry.shards, func(other *topicMembers) bool { return other == m })
	if len(entry.shards) == 0 {
		x.entries.remove(m.pattern)
	}
}

// find returns what a message to topic has to reach, one for each loop that has subscribers.
func (x *topicIndex) find(topic string) (reached []delivery, subscriptions int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.entries.match(topic, func(entry *topicEntry) bool {
		for _, m := range entry.shards {
			subscriptions += m.count
			at := slices.IndexFunc(reached, func(d delivery) bool { return d.shard == m.shard })
			if at < 0 {
				at = len(reached)
				reached = append(reached, delivery{shard: m.shard})
			}
			reached[at].members = append(reached[at].members, m)
		}
		return true
	})
	return reached, subscriptions
}
