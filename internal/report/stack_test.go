package report

import (
	"strings"
	"testing"
)

func TestStack(t *testing.T) {
	stack := Stack()
	if first, _, _ := strings.Cut(stack, "\n"); !strings.HasSuffix(first, "report.TestStack") ||
		!strings.Contains(stack, "stack_test.go:") {
		t.Errorf("got %s", stack)
	}
}

// deep calls f with n calls of itself above.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}

func TestStackIsBounded(t *testing.T) {
	deep(100_000, func() {
		if n := strings.Count(Stack(), "\n"); n != 2*stackDepth {
			t.Errorf("%d lines of a stack of 100,000 calls, want %d", n, 2*stackDepth)
		}
	})
}
