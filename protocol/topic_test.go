package protocol

import (
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

// A name that can't be is refused with an error that says what is wrong with it.
func TestTopicNames(t *testing.T) {
	limits := TopicLimits{Length: 20, Levels: 4}
	for _, test := range []struct {
		name           string
		topic, pattern string // part of the error; "": good
	}{
		{"a", "", ""},
		{"a/b/c/d", "", ""},
		{"/", "", ""},
		{"//a/", "", ""},
		{"grüße", "", ""},
		{"+", "wildcard '+'", ""},
		{"#", "wildcard '#'", ""},
		{"a/+/c", "wildcard '+'", ""},
		{"a/#", "wildcard '#'", ""},
		{"+/+/#", "wildcard '+'", ""},
		{"", "empty topic", "empty pattern"},
		{"a+", "wildcard '+'", `within the level "a+"`},
		{"a/b#/c", "wildcard '#'", `within the level "b#"`},
		{"++", "wildcard '+'", `within the level "++"`},
		{"#/a", "wildcard '#'", `behind "#"`},
		{"a/#/", "wildcard '#'", `behind "#"`},
		{"a/b/c/d/e", "5 levels, the limit is 4", "5 levels, the limit is 4"},
		{strings.Repeat("x", 20), "", ""},
		{strings.Repeat("x", 21), "topic of 21 bytes, the limit is 20", "pattern of 21 bytes, the limit is 20"},
		{"a\x00b", "contains NUL", "contains NUL"},
		{"a\xff", "not UTF-8", "not UTF-8"},
	} {
		for kind, check := range map[string]struct {
			err  error
			want string
		}{
			"topic":   {limits.CheckTopic(test.name), test.topic},
			"pattern": {limits.CheckPattern(test.name), test.pattern},
		} {
			switch {
			case check.want == "" && check.err != nil:
				t.Errorf("%s %q: %v", kind, test.name, check.err)
			case check.want != "" && !errors.Is(check.err, api.ErrInvalidArgument):
				t.Errorf("%s %q: got %v", kind, test.name, check.err)
			case check.want != "" && !strings.Contains(check.err.Error(), check.want):
				t.Errorf("%s %q: %q does not say %q", kind, test.name, check.err, check.want)
			}
		}
	}
}

// matches returns the patterns of m that match, in the order in which they are found.
func matches(m *patternMap[string], topic string) []string {
	var found []string
	m.match(topic, func(pattern string) bool {
		found = append(found, pattern)
		return true
	})
	return found
}

// Which patterns match, the most specific first.
func TestPatternsMatch(t *testing.T) {
	var m patternMap[string]
	for _, pattern := range []string{
		"#", "+", "+/+", "+/#", "a", "a/#", "a/+", "a/b", "a/+/c", "a/b/#", "a/b/+", "+/b/c", "a/b/c", "/+", "+/b",
		"a/+/#",
	} {
		m.put(pattern, pattern)
	}
	for topic, want := range map[string][]string{
		"a":       {"a", "a/#", "+", "+/#", "#"},
		"x":       {"+", "+/#", "#"},
		"a/b":     {"a/b", "a/b/#", "a/+", "a/+/#", "a/#", "+/b", "+/+", "+/#", "#"},
		"a/b/c":   {"a/b/c", "a/b/+", "a/b/#", "a/+/c", "a/+/#", "a/#", "+/b/c", "+/#", "#"},
		"a/x/c":   {"a/+/c", "a/+/#", "a/#", "+/#", "#"},
		"/x":      {"/+", "+/+", "+/#", "#"},
		"/":       {"/+", "+/+", "+/#", "#"},
		"a/":      {"a/+", "a/+/#", "a/#", "+/+", "+/#", "#"},
		"x/y/z/w": {"+/#", "#"},
	} {
		if got := matches(&m, topic); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", topic, got, want)
		}
	}
}

// naive tells whether a pattern matches a topic, in another way than the tree.
func naive(pattern, topic []string) bool {
	switch {
	case len(pattern) == 1 && pattern[0] == "#":
		return true
	case len(pattern) == 0 || len(topic) == 0:
		return len(pattern) == len(topic)
	}
	return (pattern[0] == "+" || pattern[0] == topic[0]) && naive(pattern[1:], topic[1:])
}

// Random patterns come and go: what matches is what another way of looking at it finds, and nothing remains at the end.
func TestPatternsAgainstANaiveMatcher(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	name := func(levels ...string) []string {
		list := make([]string, 1+random.Intn(4))
		for i := range list {
			list[i] = levels[random.Intn(len(levels))]
		}
		return list
	}
	var m patternMap[string]
	present := make(map[string]bool)
	for range 3000 {
		levels := name("a", "b", "", "+", "+", "#")
		for i, level := range levels {
			if level == "#" {
				levels = levels[:i+1]
				break
			}
		}
		pattern := strings.Join(levels, "/")
		if pattern == "" {
			continue
		}
		if present[pattern] = !present[pattern]; present[pattern] {
			m.put(pattern, pattern)
		} else {
			m.remove(pattern)
		}
		if got, ok := m.get(pattern); ok != present[pattern] || ok && got != pattern {
			t.Fatalf("get %q: %q, %v", pattern, got, ok)
		}
		levels = name("a", "b", "", "c")
		var want []string
		for pattern, there := range present {
			if there && naive(strings.Split(pattern, "/"), levels) {
				want = append(want, pattern)
			}
		}
		topic := strings.Join(levels, "/")
		got := matches(&m, topic)
		sort.Strings(got)
		sort.Strings(want)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %q, want %q", topic, got, want)
		}
	}
	for pattern := range present {
		m.remove(pattern)
		m.remove(pattern)
	}
	if len(m.plain) > 0 || len(m.wild.levels) > 0 {
		t.Error("something is left of patterns that were removed")
	}
}

// A pattern has the policy of the most specific one that covers it.
func TestTopicPolicyOfPatterns(t *testing.T) {
	e := NewEndpoint(EndpointConfig{})
	for i, pattern := range []string{"#", "prices/#", "prices/+", "prices/eur", "+/usd"} {
		if err := e.SetTopicPolicy(pattern, TopicPolicy{Queue: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]int{
		"x": 1, "#": 1, "+": 1, "prices": 2, "prices/#": 2, "prices/+/x": 2, "prices/x": 3, "prices/+": 3,
		"prices/eur": 4, "prices/usd": 3, "+/usd": 5, "x/usd": 5, "+/+": 1,
	} {
		if got := e.topics.policy(pattern).Queue; got != want {
			t.Errorf("%q has policy %d, not %d", pattern, got, want)
		}
	}
	for what, err := range map[string]error{
		"pattern": e.SetTopicPolicy("a#", TopicPolicy{}),
		"Slow":    e.SetTopicPolicy("a", TopicPolicy{Slow: 7}),
		"Queue":   e.SetTopicPolicy("a", TopicPolicy{Queue: -1}),
	} {
		if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if got := NewEndpoint(EndpointConfig{}).topics.policy("a"); got != (TopicPolicy{}) {
		t.Errorf("by default: %+v", got)
	}
}

// What waits, and what becomes of what has no room.
func TestBacklog(t *testing.T) {
	for _, test := range []struct {
		action SlowAction
		topics string // a letter each
		did    string // m: one more, i: instead, d: dropping, n: not
		left   string // numbers of the messages that wait in the end
	}{
		{SlowDropOldest, "aaaaa", "mmmdd", "2 3 4"},
		{SlowDropOldest, "ab", "mm", "0 1"},
		{SlowKeepLatest, "aaaaa", "miiii", "4"},
		{SlowKeepLatest, "abacbc", "mmimii", "2 4 5"},
		{SlowKeepLatest, "abcda", "mmmdd", "2 3 4"},
		{SlowKeepLatest, "abcdbc", "mmmdii", "4 5 3"},
		{SlowClose, "aaaaa", "mmmnn", "0 1 2"},
	} {
		q := newBacklog(TopicPolicy{Slow: test.action, Queue: 3})
		var did, left []string
		var messages []*PreparedMessage
		for i, topic := range test.topics {
			m := newPrepared(OpcodeText, []byte(fmt.Sprint(i)))
			messages = append(messages, m)
			did = append(did, map[held]string{
				heldMore: "m", heldInstead: "i", heldDropping: "d", heldNot: "n"}[q.add(string(topic), m)])
		}
		for q.count > 0 {
			left = append(left, string(q.at(0).message.payload))
			q.pop()
		}
		if got := strings.Join(did, ""); got != test.did {
			t.Errorf("%d %s: did %s, want %s", test.action, test.topics, got, test.did)
		}
		if got := strings.Join(left, " "); got != test.left {
			t.Errorf("%d %s: %s are left, want %s", test.action, test.topics, got, test.left)
		}
		for i, m := range messages {
			if got := m.refs.Load(); got != 1 {
				t.Errorf("%d %s: message %d has %d references", test.action, test.topics, i, got)
			}
		}
		if len(q.latest) > 0 {
			t.Errorf("%d %s: topics are left", test.action, test.topics)
		}
	}
}
