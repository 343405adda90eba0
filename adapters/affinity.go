package adapters

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
)

// AffinityAdapter implements api.Affinity with the affinity calls of the operating system (Linux: sched_setaffinity(2);
// elsewhere binding fails with api.ErrNotSupported). Its methods are safe for use by many goroutines, but with thread
// scope the goroutine that pinned must be the one that unpins.
type AffinityAdapter struct {
	scope api.AffinityScope

	mu     sync.Mutex
	pinned bool
	cpu    int
	node   int
	bound  int               // thread bound in thread scope; 0: none
	before map[int]numa.Mask // what each thread was bound to before Pin
}

var _ api.Affinity = (*AffinityAdapter)(nil)

// NewAffinityAdapter returns an *AffinityAdapter of thread scope.
func NewAffinityAdapter() api.Affinity { return NewScopedAffinity(api.ScopeThread) }

// NewScopedAffinity returns an *AffinityAdapter whose Pin applies to the given scope.
func NewScopedAffinity(scope api.AffinityScope) *AffinityAdapter {
	return &AffinityAdapter{scope: scope, cpu: -1, node: -1}
}

// Pin binds to processor cpuID, or with -1 to the processors of memory node numaID. If both are given the processor must
// belong to the node (api.ErrInvalidArgument); a node that does not exist is api.ErrNotFound. With thread scope the
// calling goroutine is locked to its thread until Unpin. Pinning again moves; Unpin still restores what was before the
// first Pin. When it fails, the binding is as before.
func (a *AffinityAdapter) Pin(cpuID, numaID int) error {
	if cpuID < -1 || numaID < -1 {
		return fmt.Errorf("adapters: pin to processor %d, node %d: %w", cpuID, numaID, api.ErrInvalidArgument)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if cpuID >= 0 || numaID >= 0 {
		mask, err := chosen(cpuID, numaID)
		if err != nil {
			return fmt.Errorf("adapters: pin: %w", err)
		}
		if err := a.bind(&mask); err != nil {
			return fmt.Errorf("adapters: pin: %w", err)
		}
	}
	if cpuID >= 0 && numaID < 0 {
		numaID = numa.NodeOf(cpuID)
	}
	a.pinned, a.cpu, a.node = true, cpuID, numaID
	return nil
}

// chosen returns the processors that Pin(cpu, node) means.
func chosen(cpu, node int) (numa.Mask, error) {
	if node < 0 {
		return numa.MaskOf([]int{cpu})
	}
	mask, err := nodeMask(node)
	if err != nil || cpu < 0 {
		return mask, err
	}
	for _, c := range mask.CPUs() {
		if c == cpu {
			return numa.MaskOf([]int{cpu})
		}
	}
	return mask, fmt.Errorf("processor %d is not on node %d: %w", cpu, node, api.ErrInvalidArgument)
}

// bind binds what the scope says, and remembers what was before if it does not yet know.
func (a *AffinityAdapter) bind(mask *numa.Mask) error {
	if a.scope == api.ScopeProcess {
		return a.bindProcess(mask)
	}
	if a.bound != 0 && a.bound != numa.ThreadID() {
		return fmt.Errorf("pinned by another goroutine: %w", api.ErrInvalidArgument)
	}
	if a.bound != 0 {
		return numa.SetAffinity(0, mask)
	}
	runtime.LockOSThread()
	before, err := numa.Affinity(0)
	if err == nil {
		err = numa.SetAffinity(0, mask)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	a.bound = numa.ThreadID()
	a.before = map[int]numa.Mask{a.bound: before}
	return nil
}

// bindProcess binds all threads there are. Those that come later inherit it from the thread that starts them, so it
// looks again until it finds none that is new. A thread that ends meanwhile is not an error; not having bound any is.
func (a *AffinityAdapter) bindProcess(mask *numa.Mask) error {
	before := make(map[int]numa.Mask)
	for found := true; found; {
		found = false
		tids, err := numa.Threads()
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if _, done := before[tid]; done {
				continue
			}
			was, getErr := numa.Affinity(tid)
			if getErr == nil {
				getErr = numa.SetAffinity(tid, mask)
			}
			if getErr != nil {
				err = getErr
				continue
			}
			before[tid] = was
			found = true
		}
		if len(before) == 0 {
			return err
		}
	}
	if a.before == nil {
		a.before = before
	}
	return nil
}

// Unpin restores what was before Pin. With thread scope it must be called by the goroutine that pinned
// (api.ErrInvalidArgument), whose thread it unlocks.
func (a *AffinityAdapter) Unpin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bound != 0 && a.bound != numa.ThreadID() {
		return fmt.Errorf("adapters: unpin: pinned by another goroutine: %w", api.ErrInvalidArgument)
	}
	if a.scope == api.ScopeProcess && a.before != nil {
		if err := a.restoreProcess(); err != nil {
			return fmt.Errorf("adapters: unpin: %w", err)
		}
	}
	if a.bound != 0 {
		before := a.before[a.bound]
		if err := numa.SetAffinity(0, &before); err != nil {
			return fmt.Errorf("adapters: unpin: %w", err)
		}
		runtime.UnlockOSThread()
	}
	a.pinned, a.cpu, a.node, a.bound, a.before = false, -1, -1, 0, nil
	return nil
}

// restoreProcess gives every thread back what it had. Threads younger than Pin get what the calling process's other
// threads had: the union of all.
func (a *AffinityAdapter) restoreProcess() error {
	tids, err := numa.Threads()
	if err != nil {
		return err
	}
	var union numa.Mask
	for _, mask := range a.before {
		union.Add(&mask)
	}
	for _, tid := range tids {
		mask, known := a.before[tid]
		if !known {
			mask = union
		}
		// A thread that has ended since it was listed is nothing to restore; any other cannot fail where it once ran.
		_ = numa.SetAffinity(tid, &mask)
	}
	return nil
}

// Get returns the processor and the memory node that Pin chose, each -1 when there is none.
func (a *AffinityAdapter) Get() (cpuID, numaID int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cpu, a.node, nil
}

// Scope tells what Pin applies to.
func (a *AffinityAdapter) Scope() api.AffinityScope { return a.scope }

// ImmutableDescriptor returns a copy of the present state.
func (a *AffinityAdapter) ImmutableDescriptor() api.AffinityDescriptor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return api.AffinityDescriptor{CPUID: a.cpu, NUMAID: a.node, Scope: a.scope, Pinned: a.pinned}
}
