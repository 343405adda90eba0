package adapters

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
)

// AffinityAdapter implements api.Affinity with the affinity calls of the operating system (Linux: sched_setaffinity(2);
// elsewhere binding fails with api.ErrNotSupported). It stays within the processors that the process was started with,
// by a cgroup's cpuset or by taskset(1). Its methods are safe for use by many goroutines, but with thread scope the
// goroutine that pinned must be the one that unpins.
type AffinityAdapter struct {
	scope api.AffinityScope

	mu     sync.Mutex
	pinned bool
	cpu    int
	node   int
	thread int               // bound in thread scope; 0: none
	set    numa.Mask         // what Pin has bound to
	before map[int]numa.Mask // by thread: what it was bound to before; nil: nothing is bound
}

var _ api.Affinity = (*AffinityAdapter)(nil)

// NewAffinityAdapter returns an *AffinityAdapter of thread scope.
func NewAffinityAdapter() api.Affinity { return NewScopedAffinity(api.ScopeThread) }

// NewScopedAffinity returns an *AffinityAdapter whose Pin applies to the given scope.
func NewScopedAffinity(scope api.AffinityScope) *AffinityAdapter {
	return &AffinityAdapter{scope: scope, cpu: -1, node: -1}
}

// Pin binds to processor cpuID, or with -1 to those processors of memory node numaID that the process may use. If both
// are given the processor must belong to the node. api.ErrNotFound when there is no such node; api.ErrInvalidArgument,
// with a text that names what the process may use, when the processor, or every one of the node, is not among that.
// With thread scope the calling goroutine is locked to its thread until Unpin, which it has to call before it ends: the
// process's first thread lives on without it, bound, and cannot be told from one that is in use. Pinning again moves;
// Unpin still restores what was before the first Pin. When it fails, the binding is as before. With process scope both
// stop the world for a moment, so that no thread is missed that the runtime is just starting.
func (a *AffinityAdapter) Pin(cpuID, numaID int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cpuID == -1 && numaID == -1 {
		a.pinned = true
		return nil
	}
	mask, err := numa.Select(cpuID, numaID)
	if err == nil {
		if a.scope == api.ScopeProcess {
			err = a.bindProcess(&mask)
		} else {
			err = a.bindThread(&mask)
		}
	}
	if err != nil {
		return fmt.Errorf("adapters: pin: %w", err)
	}
	if cpuID >= 0 && numaID < 0 {
		numaID = numa.NodeOf(cpuID)
	}
	a.pinned, a.cpu, a.node, a.set = true, cpuID, numaID, mask
	return nil
}

// elsewhere fails when the thread that is bound is not the caller's. A goroutine that ended without Unpin took its
// thread with it, and the binding, unless it was the process's first.
func (a *AffinityAdapter) elsewhere() error {
	if a.thread == 0 || a.thread == numa.ThreadID() {
		return nil
	}
	if numa.ThreadExists(a.thread) {
		return fmt.Errorf("pinned by another goroutine: %w", api.ErrInvalidArgument)
	}
	a.clear()
	return nil
}

func (a *AffinityAdapter) clear() {
	a.pinned, a.cpu, a.node, a.thread, a.set, a.before = false, -1, -1, 0, numa.Mask{}, nil
}

func (a *AffinityAdapter) bindThread(mask *numa.Mask) error {
	if err := a.elsewhere(); err != nil {
		return err
	}
	if a.thread != 0 {
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
	a.thread = numa.ThreadID()
	a.before = map[int]numa.Mask{a.thread: before}
	return nil
}

// bindProcess binds all threads there are. Those that come later inherit it from the thread that starts them, so it
// looks again until it finds none that is new; what such a thread had is not known. A thread that ends meanwhile is not
// an error; any other failure undoes what has been done.
func (a *AffinityAdapter) bindProcess(mask *numa.Mask) error {
	bound := make(map[int]bool)
	was := make(map[int]numa.Mask) // of those that have not inherited it
	asked := true                  // mask is what was asked for, not what the kernel has made of it
	for quiet := 0; quiet < looks; quiet++ {
		tids, err := threads()
		if err != nil {
			return errors.Join(err, release(was, mask))
		}
		first := len(bound) == 0
		for _, tid := range tids {
			if bound[tid] {
				continue
			}
			before, err := numa.Affinity(tid)
			if err == nil {
				err = numa.SetAffinity(tid, mask)
			}
			if numa.Gone(err) {
				continue
			}
			if err != nil {
				return errors.Join(err, release(was, mask))
			}
			bound[tid], quiet = true, -1
			if first || before != *mask {
				was[tid] = before
			}
			if asked { // of that thread: the caller's may have changed meanwhile, and be one that is not bound yet
				if now, err := numa.Affinity(tid); err == nil {
					*mask, asked = now, false // less when the cpuset has shrunk since the process started
				}
			}
		}
	}
	if a.before == nil {
		a.before = was
		return nil
	}
	for tid, before := range was {
		if _, known := a.before[tid]; !known && before != a.set { // else it inherited our binding
			a.before[tid] = before
		}
	}
	return nil
}

// looks is how many in a row have to find nothing new: the kernel may leave a thread out of its list when another ends
// while that is read.
const looks = 3

// threads are those of the process, without any that the runtime is just starting: such a thread has inherited a binding
// already, but the kernel does not list it yet. Stopping the world waits for it, since it has a P to take.
func threads() ([]int, error) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats) // stops the world
	return numa.Threads()
}

// restore binds threads to what they were bound to before.
func restore(before map[int]numa.Mask) error {
	for tid, mask := range before {
		if err := numa.SetAffinity(tid, &mask); err != nil && !numa.Gone(err) {
			return err
		}
	}
	return nil
}

// release gives the threads that are bound to set what they had before, and those that are not known, being younger,
// what any had: until it finds none that is new, for one may start another meanwhile.
func release(before map[int]numa.Mask, set *numa.Mask) error {
	var union numa.Mask
	for _, mask := range before {
		union.Add(&mask)
	}
	handled := make(map[int]bool)
	for quiet := 0; quiet < looks; quiet++ {
		tids, err := threads()
		if err != nil {
			return err
		}
		now := make(map[int]numa.Mask)
		for _, tid := range tids {
			bound, err := numa.Affinity(tid)
			if handled[tid] || err != nil || bound != *set {
				continue
			}
			mask, known := before[tid]
			if !known {
				mask = union
			}
			now[tid], handled[tid], quiet = mask, true, -1
		}
		if err := restore(now); err != nil {
			return err
		}
	}
	return nil
}

// Unpin restores what was before Pin. With thread scope it must be called by the goroutine that pinned
// (api.ErrInvalidArgument), whose thread it unlocks. With process scope threads that others have bound elsewhere since
// stay there, and those that are younger than Pin may use whatever any thread could before.
func (a *AffinityAdapter) Unpin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.elsewhere()
	if err == nil && a.before != nil {
		if a.scope == api.ScopeProcess {
			err = release(a.before, &a.set)
		} else if err = restore(a.before); err == nil {
			runtime.UnlockOSThread()
		}
	}
	if err != nil {
		return fmt.Errorf("adapters: unpin: %w", err)
	}
	a.clear()
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

// ImmutableDescriptor returns a copy of the present state, which no later call changes.
func (a *AffinityAdapter) ImmutableDescriptor() api.AffinityDescriptor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return api.AffinityDescriptor{CPUID: a.cpu, NUMAID: a.node, Scope: a.scope, Pinned: a.pinned}
}
