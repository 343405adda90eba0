// Package numatest tells tests what the kernel itself shows of the binding of threads.
package numatest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/internal/numa"
)

// Allowed is what the kernel shows as the processors of a thread of this process (proc_pid_status(5)), "0-3,8" say;
// exists is false when there is no such thread.
func Allowed(tid int) (list string, exists bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		return "", false
	}
	_, rest, exists := strings.Cut(string(text), "Cpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line), exists
}

// Mine is that of the calling thread. Any goroutine of the test.
func Mine(t testing.TB) string {
	t.Helper()
	list, exists := Allowed(numa.ThreadID())
	if !exists {
		t.Error("the kernel shows no list of processors for this thread")
	}
	return list
}
