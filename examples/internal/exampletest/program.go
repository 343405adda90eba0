//go:build linux

// Package exampletest builds an example, runs it as a user would, and talks to it: by connections of its own and by
// clients that somebody else has written.
package exampletest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"
)

// Patience bounds every wait. It is not a measure of anything: what is healthy needs a fraction of it.
const Patience = 60 * time.Second

// program is the example in the test's folder.
var program string

// Main is for TestMain: it builds the example in the test's folder, once for all tests, runs them, and exits.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Getenv("HIOLOAD_BACKEND") // read by the program: looked at here, so that go test keeps its results apart
	program = filepath.Join(dir, "example")
	if err := Build(program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Build builds the example in the test's folder in the way that the test was: with the race detector and with the tags
// that it has.
func Build(program string, flags ...string) error {
	args := []string{"build", "-o", program}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" || s.Key == "-tags" {
				args = append(args, s.Key+"="+s.Value)
			}
		}
	}
	args = append(args, flags...)
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}

// Program is the path of the example that Main has built.
func Program() string { return program }
