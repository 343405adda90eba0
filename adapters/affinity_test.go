//go:build linux

package adapters_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
	"github.com/momentics/hioload-ws/internal/numa/numatest"
)

// allowedList is what the kernel shows as a thread's processors (proc_pid_status(5)): "0-3,8".
func allowedList(t testing.TB, tid int) string {
	t.Helper()
	list, exists := numatest.Allowed(tid)
	if !exists {
		t.Fatalf("no list of processors for thread %d", tid)
	}
	return list
}

// locked locks the test to its thread, and returns the thread's id and processors, of which there is at least one.
func locked(t testing.TB) (tid int, cpus []int) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	mask, err := numa.Affinity(0)
	if err != nil {
		t.Fatal(err)
	}
	return numa.ThreadID(), mask.CPUs()
}

func TestAffinityOfAThread(t *testing.T) {
	for _, scope := range []api.AffinityScope{api.ScopeThread, api.ScopeGoroutine} {
		t.Run(scope.String(), func(t *testing.T) {
			tid, cpus := locked(t)
			before, cpu := allowedList(t, tid), cpus[len(cpus)-1]
			a := adapters.NewScopedAffinity(scope)
			if a.Scope() != scope {
				t.Errorf("scope %v", a.Scope())
			}
			if err := a.Pin(cpu, -1); err != nil {
				t.Fatal(err)
			}
			if got := allowedList(t, tid); got != strconv.Itoa(cpu) {
				t.Errorf("bound to %s, want %d", got, cpu)
			}
			pinned := a.ImmutableDescriptor()
			want := api.AffinityDescriptor{CPUID: cpu, NUMAID: numa.NodeOf(cpu), Scope: scope, Pinned: true}
			if pinned != want {
				t.Errorf("got %+v, want %+v", pinned, want)
			}
			if c, n, err := a.Get(); c != cpu || n != numa.NodeOf(cpu) || err != nil {
				t.Errorf("Get: %d, %d, %v", c, n, err)
			}
			if err := a.Pin(-1, 0); err != nil { // moves; Unpin still knows what was before the first
				t.Fatal(err)
			}
			node, _ := numa.Select(-1, 0)
			if got := allowedList(t, tid); got != node.String() {
				t.Errorf("bound to %s, want node 0's %s", got, &node)
			}
			if pinned != want {
				t.Errorf("a later Pin has changed a descriptor: %+v", pinned)
			}
			if d := a.ImmutableDescriptor(); d.CPUID != -1 || d.NUMAID != 0 || !d.Pinned {
				t.Errorf("on node 0: %+v", d)
			}
			elsewhere := make(chan [2]error)
			go func() { elsewhere <- [2]error{a.Unpin(), a.Pin(cpu, -1)} }()
			for _, err := range <-elsewhere {
				if !errors.Is(err, api.ErrInvalidArgument) {
					t.Errorf("by another goroutine: got %v", err)
				}
			}
			if err := a.Unpin(); err != nil {
				t.Fatal(err)
			}
			if got := allowedList(t, tid); got != before {
				t.Errorf("after Unpin bound to %s, want %s", got, before)
			}
			if d := a.ImmutableDescriptor(); d.Pinned || d.CPUID != -1 || d.NUMAID != -1 || !pinned.Pinned {
				t.Errorf("after Unpin: %+v, and earlier: %+v", d, pinned)
			}
			if err := a.Unpin(); err != nil {
				t.Errorf("Unpin without Pin: %v", err)
			}
		})
	}
}

// What Unpin restores is what was there, not all that there is.
func TestUnpinRestoresANarrowBinding(t *testing.T) {
	tid, cpus := locked(t)
	if len(cpus) < 2 {
		t.Skip("needs two processors")
	}
	all, _ := numa.MaskOf(cpus)
	narrow, _ := numa.MaskOf(cpus[:1])
	if err := numa.SetAffinity(0, &narrow); err != nil {
		t.Fatal(err)
	}
	defer numa.SetAffinity(0, &all)
	a := adapters.NewAffinityAdapter()
	if err := a.Pin(cpus[1], -1); err != nil { // what a thread may use does not bound what the process may
		t.Fatal(err)
	}
	if got := allowedList(t, tid); got != strconv.Itoa(cpus[1]) {
		t.Errorf("bound to %s, want %d", got, cpus[1])
	}
	if err := a.Unpin(); err != nil {
		t.Fatal(err)
	}
	if got := allowedList(t, tid); got != strconv.Itoa(cpus[0]) {
		t.Errorf("after Unpin bound to %s, want %d", got, cpus[0])
	}
}

// A goroutine that ends while it is pinned takes its thread with it, and leaves the adapter free.
func TestAffinityOfAGoroutineThatEnded(t *testing.T) {
	_, cpus := locked(t)
	a := adapters.NewAffinityAdapter()
	holding, ended := make(chan struct{}), make(chan int)
	main := make(chan struct{}) // holds the main thread, which would outlive its goroutine
	var once sync.Once
	for range 2 {
		go func() {
			runtime.LockOSThread()
			holding <- struct{}{}
			<-main
			if numa.ThreadID() == os.Getpid() {
				return
			}
			once.Do(func() {
				if err := a.Pin(cpus[0], -1); err != nil {
					t.Errorf("Pin: %v", err)
				}
				ended <- numa.ThreadID()
			})
		}()
	}
	<-holding
	<-holding
	close(main)
	tid := <-ended
	for numa.ThreadExists(tid) { // if it never ends, neither does the test
		runtime.Gosched()
	}
	if err := a.Unpin(); err != nil {
		t.Errorf("Unpin: %v", err)
	}
	if err := a.Pin(cpus[0], -1); err != nil {
		t.Errorf("Pin: %v", err)
	}
	if err := a.Unpin(); err != nil {
		t.Errorf("Unpin: %v", err)
	}
}

// thread is a goroutine locked to a thread, which does what it is told.
type thread struct {
	id int
	do chan func()
}

func newThread(t testing.TB) thread {
	th := thread{do: make(chan func())}
	id := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		id <- numa.ThreadID()
		for f := range th.do {
			f()
		}
	}()
	th.id = <-id
	t.Cleanup(func() { close(th.do) })
	return th
}

// call runs f on the thread.
func (th thread) call(f func()) {
	done := make(chan struct{})
	th.do <- func() { defer close(done); f() }
	<-done
}

func TestAffinityOfTheProcess(t *testing.T) {
	_, cpus := locked(t)
	all, _ := numa.MaskOf(cpus)
	plain, narrow := newThread(t), newThread(t)
	first, last := cpus[0], cpus[len(cpus)-1]
	one, _ := numa.MaskOf([]int{last})
	narrow.call(func() { numa.SetAffinity(0, &one) })
	defer narrow.call(func() { numa.SetAffinity(0, &all) })

	a := adapters.NewScopedAffinity(api.ScopeProcess)
	for _, cpu := range []int{last, first} { // moves
		if err := a.Pin(cpu, -1); err != nil {
			t.Fatal(err)
		}
		tids, err := numa.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, tid := range tids {
			if got, exists := numatest.Allowed(tid); exists && got != strconv.Itoa(cpu) {
				t.Errorf("thread %d bound to %s, want %d", tid, got, cpu)
			}
		}
	}
	young, moved := newThread(t), newThread(t)
	other, _ := numa.MaskOf([]int{last})
	moved.call(func() { numa.SetAffinity(0, &other) })
	defer moved.call(func() { numa.SetAffinity(0, &all) })
	elsewhere := make(chan error)
	go func() { elsewhere <- a.Unpin() }() // any goroutine may
	if err := <-elsewhere; err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		thread
		want string
	}{
		{"one that was there", plain, all.String()},
		{"one that was bound to less", narrow, one.String()},
		{"one that is younger", young, all.String()},
	} {
		if got := allowedList(t, c.id); got != c.want {
			t.Errorf("%s is bound to %s, want %s", c.what, got, c.want)
		}
	}
	if got := allowedList(t, moved.id); first != last && got != other.String() {
		t.Errorf("one that others have bound is bound to %s, want %s", got, &other)
	}
}

// A thread that is started while Pin is at work inherits the binding: it must not be taken for one that was bound so
// before.
func TestAffinityRacingNewThreads(t *testing.T) {
	_, cpus := locked(t)
	if len(cpus) < 2 {
		t.Skip("this machine has one processor only: no binding can be told from another")
	}
	all, _ := numa.MaskOf(cpus)
	round := func() {
		tids, end := make(chan int, 4), make(chan struct{})
		defer close(end)
		for range cap(tids) {
			go func() {
				runtime.LockOSThread() // for good: its thread ends with it, and the next round needs new ones
				tids <- numa.ThreadID()
				<-end
			}()
		}
		a := adapters.NewScopedAffinity(api.ScopeProcess)
		for _, cpu := range cpus[:2] {
			if err := a.Pin(cpu, -1); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Unpin(); err != nil {
			t.Fatal(err)
		}
		for range cap(tids) {
			if got := allowedList(t, <-tids); got != all.String() {
				t.Errorf("a thread that began while Pin was at work is bound to %s, want %s", got, &all)
			}
		}
	}
	for i := 0; i < 200 && !t.Failed(); i++ {
		round()
	}
}

// The goroutine that pins may find itself on another thread before it is done, on one that is not bound yet, say.
func TestAffinityRacingTheScheduler(t *testing.T) {
	all, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	cpus := all.CPUs()
	if len(cpus) < 2 {
		t.Skip("this machine has one processor only: no binding can be told from another")
	}
	expect := func(when, want string) {
		t.Helper()
		tids, err := numa.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, tid := range tids {
			if got, exists := numatest.Allowed(tid); exists && got != want {
				t.Errorf("%s thread %d is bound to %s, want %s", when, tid, got, want)
			}
		}
	}
	for i := 0; i < 300 && !t.Failed(); i++ {
		end := make(chan struct{})
		for range 4 {
			go func() {
				runtime.LockOSThread() // for good: its thread ends with it, and the next round needs new ones
				<-end
			}()
		}
		a := adapters.NewScopedAffinity(api.ScopeProcess)
		if err := a.Pin(cpus[i%2], -1); err != nil {
			t.Fatal(err)
		}
		expect("pinned", strconv.Itoa(cpus[i%2]))
		if err := a.Unpin(); err != nil {
			t.Fatal(err)
		}
		expect("unpinned", all.String())
		close(end)
	}
}

func TestAffinityRefuses(t *testing.T) {
	tid, _ := locked(t)
	before := allowedList(t, tid)
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []api.AffinityScope{api.ScopeThread, api.ScopeProcess} {
		a := adapters.NewScopedAffinity(scope)
		for _, c := range []struct {
			cpu, node int
			want      error
			says      string
		}{
			{-2, -1, api.ErrInvalidArgument, "processor -2"},
			{-1, -2, api.ErrInvalidArgument, "node -2"},
			{1 << 20, -1, api.ErrInvalidArgument, "processor 1048576 is not among those that this process may use, " + allowed.String()},
			{8191, -1, api.ErrInvalidArgument, "processor 8191 is not among"},
			{-1, 4095, api.ErrNotFound, "node 4095"},
			{1 << 20, 0, api.ErrInvalidArgument, "processor 1048576 is not on node 0"},
		} {
			err := a.Pin(c.cpu, c.node)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%v: Pin(%d, %d): got %v, want %v, %q", scope, c.cpu, c.node, err, c.want, c.says)
			}
		}
		if a.ImmutableDescriptor().Pinned {
			t.Errorf("%v: pinned after failures only", scope)
		}
	}
	if got := allowedList(t, tid); got != before {
		t.Errorf("bound to %s after failures, want %s", got, before)
	}
}

func TestAffinityWithoutWishes(t *testing.T) {
	tid, cpus := locked(t)
	before := allowedList(t, tid)
	a := adapters.NewAffinityAdapter()
	if err := a.Pin(-1, -1); err != nil {
		t.Fatal(err)
	}
	if got := allowedList(t, tid); got != before || !a.ImmutableDescriptor().Pinned {
		t.Error("Pin(-1, -1) must change nothing and count as pinned")
	}
	if err := a.Pin(cpus[0], -1); err != nil {
		t.Fatal(err)
	}
	if err := a.Pin(-1, -1); err != nil || a.ImmutableDescriptor().CPUID != cpus[0] {
		t.Errorf("Pin(-1, -1) after Pin(%d, -1): %v, %+v", cpus[0], err, a.ImmutableDescriptor())
	}
	if err := a.Unpin(); err != nil {
		t.Fatal(err)
	}
	if got := allowedList(t, tid); got != before {
		t.Errorf("after Unpin bound to %s, want %s", got, before)
	}
}

// Many goroutines pin and unpin by adapters of their own while others watch one of them.
func TestAffinityFromManyGoroutines(t *testing.T) {
	_, cpus := locked(t)
	shared := adapters.NewAffinityAdapter()
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			own := adapters.NewScopedAffinity(api.ScopeGoroutine)
			for n := range 20 {
				cpu := cpus[(i+n)%len(cpus)]
				if err := own.Pin(cpu, -1); err != nil {
					t.Error(err)
					return
				}
				if got := allowedList(t, numa.ThreadID()); got != strconv.Itoa(cpu) {
					t.Errorf("bound to %s, want %d", got, cpu)
				}
				if err := own.Unpin(); err != nil {
					t.Error(err)
				}
				if err := shared.Pin(cpu, -1); err == nil {
					if d := shared.ImmutableDescriptor(); d.CPUID != cpu || !d.Pinned {
						t.Errorf("while it is mine: %+v, want processor %d", d, cpu)
					}
					err = shared.Unpin()
					if err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, api.ErrInvalidArgument) {
					t.Error(err)
				}
				if d := shared.ImmutableDescriptor(); d.Pinned != (d.CPUID >= 0) {
					t.Errorf("half pinned: %+v", d)
				}
			}
		}()
	}
	all.Wait()
}
