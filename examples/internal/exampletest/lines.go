//go:build linux

package exampletest

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Lines are those of a stream, read as they come, so that who writes them never waits.
type Lines struct {
	t     *testing.T
	name  string
	ended chan struct{} // closed at the end of the stream

	mu    sync.Mutex
	lines []string
	more  chan struct{} // has something after a line has come
}

func readLines(t *testing.T, name string, r io.Reader) *Lines {
	l := &Lines{t: t, name: name, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go func() {
		defer close(l.ended)
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			if line != "" {
				l.add(strings.TrimRight(line, "\r\n"))
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *Lines) add(line string) {
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// take returns the first line, if one has come.
func (l *Lines) take() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return "", false
	}
	line := l.lines[0]
	l.lines = l.lines[1:]
	return line, true
}

// Next returns the next line, and waits for it.
func (l *Lines) Next() string {
	l.t.Helper()
	timeout := time.After(Patience)
	for over := false; ; {
		if line, ok := l.take(); ok {
			return line
		}
		if over {
			l.t.Fatalf("%s: says nothing more, and has ended", l.name)
		}
		select {
		case <-l.more:
		case <-l.ended:
			over = true
		case <-timeout:
			l.t.Fatalf("%s: says nothing more", l.name)
		}
	}
}

// Want matches the next line with a pattern, and returns what its groups have matched.
func (l *Lines) Want(pattern string) []string {
	l.t.Helper()
	line := l.Next()
	match := regexp.MustCompile(pattern).FindStringSubmatch(line)
	if match == nil {
		l.t.Fatalf("%s: %q, want a match of %s", l.name, line, pattern)
	}
	return match
}

// Await reads on until n lines have matched a pattern.
func (l *Lines) Await(n int, pattern string) {
	l.t.Helper()
	for wanted := regexp.MustCompile(pattern); n > 0; {
		if wanted.MatchString(l.Next()) {
			n--
		}
	}
}

// Rest returns what was not read yet, up to the end of the stream.
func (l *Lines) Rest() []string {
	l.t.Helper()
	l.awaitEnd()
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.lines
	l.lines = nil
	return rest
}

func (l *Lines) awaitEnd() {
	l.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(Patience):
		l.t.Fatalf("%s: does not end", l.name)
	}
}
