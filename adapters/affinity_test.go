//go:build linux

package adapters_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
)

func binding(t *testing.T, tid int) numa.Mask {
	t.Helper()
	m, err := numa.Affinity(tid)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAffinityOfAThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := binding(t, 0)
	cpu := before.CPUs()[0]
	a := adapters.NewAffinityAdapter()
	if a.Scope() != api.ScopeThread {
		t.Errorf("scope %v, want thread", a.Scope())
	}
	if err := a.Pin(cpu, -1); err != nil {
		t.Fatal(err)
	}
	if got := binding(t, 0); len(got.CPUs()) != 1 || got.CPUs()[0] != cpu {
		t.Errorf("bound to %v, want %d", got.CPUs(), cpu)
	}
	pinned := a.ImmutableDescriptor()
	if want := (api.AffinityDescriptor{CPUID: cpu, NUMAID: numa.NodeOf(cpu), Scope: api.ScopeThread, Pinned: true}); pinned != want {
		t.Errorf("got %+v, want %+v", pinned, want)
	}
	if c, n, err := a.Get(); c != cpu || n != numa.NodeOf(cpu) || err != nil {
		t.Errorf("Get: %d, %d, %v", c, n, err)
	}
	if err := a.Pin(-1, 0); err != nil { // moves; Unpin still knows what was before the first
		t.Fatal(err)
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
	if got := binding(t, 0); got != before {
		t.Errorf("after Unpin bound to %v, want %v", got.CPUs(), before.CPUs())
	}
	if d := a.ImmutableDescriptor(); d.Pinned || d.CPUID != -1 || d.NUMAID != -1 || !pinned.Pinned {
		t.Errorf("after Unpin: %+v, and earlier: %+v", d, pinned)
	}
	if err := a.Unpin(); err != nil {
		t.Errorf("Unpin without Pin: %v", err)
	}
}

func TestAffinityOfTheProcess(t *testing.T) {
	others := make(chan int)
	release := make(chan struct{})
	for i := 0; i < 2; i++ {
		go func() {
			runtime.LockOSThread()
			others <- numa.ThreadID()
			<-release
		}()
	}
	tids := []int{<-others, <-others}
	defer close(release)
	before := binding(t, tids[0])
	cpu := before.CPUs()[0]
	a := adapters.NewScopedAffinity(api.ScopeProcess)
	if err := a.Pin(cpu, -1); err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		if got := binding(t, tid); len(got.CPUs()) != 1 || got.CPUs()[0] != cpu {
			t.Errorf("thread %d bound to %v, want %d", tid, got.CPUs(), cpu)
		}
	}
	if err := a.Unpin(); err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		if got := binding(t, tid); got != before {
			t.Errorf("thread %d bound to %v after Unpin", tid, got.CPUs())
		}
	}
}

func TestAffinityRefuses(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := binding(t, 0)
	for _, scope := range []api.AffinityScope{api.ScopeThread, api.ScopeProcess} {
		a := adapters.NewScopedAffinity(scope)
		for _, c := range []struct {
			cpu, node int
			want      error
		}{{-2, -1, api.ErrInvalidArgument}, {-1, -2, api.ErrInvalidArgument}, {1 << 20, -1, api.ErrInvalidArgument},
			{-1, 4095, api.ErrNotFound}, {1 << 20, 0, api.ErrInvalidArgument}, {1023, -1, nil}} {
			err := a.Pin(c.cpu, c.node)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v: Pin(%d, %d): got %v, want %v", scope, c.cpu, c.node, err, c.want)
			}
		}
		if a.ImmutableDescriptor().Pinned {
			t.Errorf("%v: pinned after failures only", scope)
		}
	}
	if got := binding(t, 0); got != before {
		t.Errorf("bound to %v after failures", got.CPUs())
	}
}

func TestAffinityWithoutWishes(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := binding(t, 0)
	a := adapters.NewAffinityAdapter()
	if err := a.Pin(-1, -1); err != nil {
		t.Fatal(err)
	}
	if got := binding(t, 0); got != before || !a.ImmutableDescriptor().Pinned {
		t.Error("Pin(-1, -1) must change nothing and count as pinned")
	}
	if err := a.Unpin(); err != nil {
		t.Fatal(err)
	}
}
