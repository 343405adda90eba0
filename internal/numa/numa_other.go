//go:build !linux

package numa

import (
	"fmt"
	"runtime"

	"github.com/momentics/hioload-ws/api"
)

// Nodes returns node 0: nodes are told apart on Linux only.
func Nodes() ([]int, error) { return []int{0}, nil }

// CPUs returns all processors for node 0 and api.ErrNotFound for any other.
func CPUs(node int) ([]int, error) {
	if node != 0 {
		return nil, fmt.Errorf("numa: node %d: %w", node, api.ErrNotFound)
	}
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	return cpus, nil
}

func siblings(int) []int { return nil }

// Allowed fails with api.ErrNotSupported.
func Allowed() (Mask, error) { return Mask{}, unsupported() }

// Affinity fails with api.ErrNotSupported.
func Affinity(int) (Mask, error) { return Mask{}, unsupported() }

// SetAffinity fails with api.ErrNotSupported.
func SetAffinity(int, *Mask) error { return unsupported() }

// Threads fails with api.ErrNotSupported.
func Threads() ([]int, error) { return nil, unsupported() }

// ThreadID returns 0.
func ThreadID() int { return 0 }

// ThreadExists returns false.
func ThreadExists(int) bool { return false }

// Gone returns false.
func Gone(error) bool { return false }

func unsupported() error {
	return fmt.Errorf("numa: binding threads on %s: %w", runtime.GOOS, api.ErrNotSupported)
}
