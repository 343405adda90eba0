package protocol

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/momentics/hioload-ws/api"
)

// TopicLimits bound what topics may cost. A zero field stands for the value in brackets.
type TopicLimits struct {
	PerConnection int   // patterns that one connection may subscribe to [1024]
	Length        int   // bytes of a topic or pattern [1024]
	Levels        int   // of a topic or pattern [32]
	Waiting       int   // publications that may wait for one loop [65536]
	WaitingBytes  int64 // of their payloads, unless there is only one [64 MiB]
}

// complete returns l with defaults in place of zeros.
func (l TopicLimits) complete() TopicLimits {
	return TopicLimits{
		PerConnection: cmp.Or(l.PerConnection, 1024),
		Length:        cmp.Or(l.Length, 1024),
		Levels:        cmp.Or(l.Levels, 32),
		Waiting:       cmp.Or(l.Waiting, 65536),
		WaitingBytes:  cmp.Or(l.WaitingBytes, 64<<20),
	}
}

// Validate names a field that is negative. Errors match api.ErrInvalidArgument.
func (l TopicLimits) Validate() error {
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"PerConnection", int64(l.PerConnection)},
		{"Length", int64(l.Length)},
		{"Levels", int64(l.Levels)},
		{"Waiting", int64(l.Waiting)},
		{"WaitingBytes", l.WaitingBytes},
	} {
		if field.value < 0 {
			return fmt.Errorf("protocol: TopicLimits.%s is %d: %w", field.name, field.value, api.ErrInvalidArgument)
		}
	}
	return nil
}

// Wildcards, each of which is a whole level of a pattern.
const (
	anyLevel = "+" // one level
	anyRest  = "#" // all levels from here on, none included; the last of a pattern
)

// CheckTopic tells what makes a name impossible to publish to. Errors match api.ErrInvalidArgument.
func (l TopicLimits) CheckTopic(topic string) error {
	if i := strings.IndexAny(topic, anyLevel+anyRest); i >= 0 {
		return badTopic("topic", topic, fmt.Sprintf("has the wildcard %q, which only patterns may have", topic[i]))
	}
	return l.checkName("topic", topic)
}

// CheckPattern tells what makes a pattern impossible to subscribe to. Errors match api.ErrInvalidArgument.
func (l TopicLimits) CheckPattern(pattern string) error {
	if err := l.checkName("pattern", pattern); err != nil {
		return err
	}
	for rest, more := pattern, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == anyRest && more:
			return badTopic("pattern", pattern, `has levels behind "#"`)
		case len(level) > 1 && strings.ContainsAny(level, anyLevel+anyRest):
			return badTopic("pattern", pattern, fmt.Sprintf("has a wildcard within the level %q", level))
		}
	}
	return nil
}

// checkName checks what topics and patterns have in common.
func (l TopicLimits) checkName(kind, name string) error {
	l = l.complete()
	switch {
	case name == "":
		return fmt.Errorf("protocol: empty %s: %w", kind, api.ErrInvalidArgument)
	case len(name) > l.Length:
		return fmt.Errorf("protocol: a %s of %d bytes, the limit is %d: %w", kind, len(name), l.Length,
			api.ErrInvalidArgument)
	case !utf8.ValidString(name):
		return badTopic(kind, name, "is not UTF-8")
	case strings.IndexByte(name, 0) >= 0:
		return badTopic(kind, name, "contains NUL")
	}
	if n := 1 + strings.Count(name, "/"); n > l.Levels {
		return badTopic(kind, name, fmt.Sprintf("has %d levels, the limit is %d", n, l.Levels))
	}
	return nil
}

func badTopic(kind, name, what string) error {
	return fmt.Errorf("protocol: %s %q %s: %w", kind, name, what, api.ErrInvalidArgument)
}

// hasWildcard tells whether a pattern that is good matches more than one topic.
func hasWildcard(pattern string) bool { return strings.ContainsAny(pattern, anyLevel+anyRest) }
