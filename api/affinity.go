package api

import "fmt"

// AffinityScope tells what pinning applies to.
type AffinityScope int

const (
	// ScopeProcess: every thread that the process has when it is pinned; threads inherit it from those that start them.
	ScopeProcess AffinityScope = iota
	// ScopeThread: the calling goroutine's thread, to which the goroutine is locked while it is pinned.
	ScopeThread
	// ScopeGoroutine: the calling goroutine. Go schedules goroutines on threads, so this is done as ScopeThread is.
	ScopeGoroutine
)

// String returns "process", "thread" or "goroutine".
func (s AffinityScope) String() string {
	switch s {
	case ScopeProcess:
		return "process"
	case ScopeThread:
		return "thread"
	case ScopeGoroutine:
		return "goroutine"
	}
	return fmt.Sprintf("AffinityScope(%d)", int(s))
}

// Affinity binds execution to processors.
type Affinity interface {
	// Pin binds to processor cpuID, or with -1 to all processors of memory node numaID; with both -1 it changes nothing
	// but counts as pinned. A processor or node that does not exist or is not allowed to this process is an error.
	Pin(cpuID, numaID int) error
	// Unpin restores what was before Pin; without a Pin before, it does nothing.
	Unpin() error
	// Get returns the processor that Pin chose, or -1, and the memory node, or -1 when it is not known.
	Get() (cpuID, numaID int, err error)
	// Scope tells what pinning applies to.
	Scope() AffinityScope
	// ImmutableDescriptor returns a copy of the present state.
	ImmutableDescriptor() AffinityDescriptor
}

// AffinityDescriptor describes a binding at one moment.
type AffinityDescriptor struct {
	CPUID  int // processor, or -1
	NUMAID int // memory node, or -1
	Scope  AffinityScope
	Pinned bool
}
