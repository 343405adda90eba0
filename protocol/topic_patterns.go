package protocol

import "strings"

// patternMap finds the values of all patterns that match a topic: in a map those without wildcards, in a tree, level by
// level, the others. The zero value is empty. It has no lock.
type patternMap[V any] struct {
	plain map[string]V
	wild  patternNode[V]
}

// patternNode is where a pattern ends, or goes on with another level.
type patternNode[V any] struct {
	levels map[string]*patternNode[V] // nil: none; wildcards are levels like any other
	value  V
	ends   bool // a pattern ends here; value is its
}

// get returns the value of this very pattern.
func (m *patternMap[V]) get(pattern string) (value V, ok bool) {
	if !hasWildcard(pattern) {
		value, ok = m.plain[pattern]
		return value, ok
	}
	n := &m.wild
	for rest, more := pattern, true; more && n != nil; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.levels[level]
	}
	if n == nil {
		return value, false
	}
	return n.value, n.ends
}

// put gives a pattern a value, instead of the one it may have.
func (m *patternMap[V]) put(pattern string, value V) {
	if !hasWildcard(pattern) {
		if m.plain == nil {
			m.plain = make(map[string]V)
		}
		m.plain[pattern] = value
		return
	}
	n := &m.wild
	for rest, more := pattern, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		next := n.levels[level]
		if next == nil {
			if n.levels == nil {
				n.levels = make(map[string]*patternNode[V])
			}
			next = new(patternNode[V])
			n.levels[level] = next
		}
		n = next
	}
	n.value, n.ends = value, true
}

// remove forgets a pattern.
func (m *patternMap[V]) remove(pattern string) {
	if !hasWildcard(pattern) {
		delete(m.plain, pattern)
		return
	}
	m.wild.remove(pattern, true)
}

// remove forgets what is left of a pattern, if anything, and the nodes that served it alone.
func (n *patternNode[V]) remove(rest string, more bool) {
	if !more {
		var none V
		n.value, n.ends = none, false
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	next := n.levels[level]
	if next == nil {
		return
	}
	next.remove(rest, more)
	if !next.ends && len(next.levels) == 0 {
		delete(n.levels, level)
	}
}

// match calls yield with the values of the patterns that match topic, the most specific first, until it returns false.
// The topic may be a pattern itself: then it is about the patterns that match all that this one does.
func (m *patternMap[V]) match(topic string, yield func(V) bool) {
	if value, ok := m.plain[topic]; ok && !yield(value) {
		return
	}
	if len(m.wild.levels) > 0 {
		m.wild.match(topic, true, yield)
	}
}

// match goes on with what is left of the topic, if anything.
func (n *patternNode[V]) match(rest string, more bool, yield func(V) bool) bool {
	if !more {
		if n.ends && !yield(n.value) {
			return false
		}
	} else {
		level, rest, more := strings.Cut(rest, "/")
		wild := level == anyLevel || level == anyRest
		if next := n.levels[level]; next != nil && !wild && !next.match(rest, more, yield) {
			return false
		}
		if next := n.levels[anyLevel]; next != nil && level != anyRest && !next.match(rest, more, yield) {
			return false
		}
	}
	if next := n.levels[anyRest]; next != nil && !yield(next.value) {
		return false
	}
	return true
}
