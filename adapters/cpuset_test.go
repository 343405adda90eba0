//go:build linux

package adapters_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
)

// These variables tell a child process that it is one: which processor alone it may use, which it may not, and the
// cgroup that it is to enter first.
const (
	insideVariable  = "HIOLOAD_TEST_INSIDE"
	outsideVariable = "HIOLOAD_TEST_OUTSIDE"
	cgroupVariable  = "HIOLOAD_TEST_CGROUP"
)

// child is a run of TestInsideACpuset in another process.
func child(inside, outside int, cgroup string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestInsideACpuset$", "-test.v")
	cmd.Env = append(os.Environ(), insideVariable+"="+strconv.Itoa(inside), outsideVariable+"="+strconv.Itoa(outside),
		cgroupVariable+"="+cgroup)
	return cmd
}

// passes runs a child.
func passes(t *testing.T, run func() ([]byte, error)) {
	t.Helper()
	out, err := run()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInsideACpuset") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A process that was started on one processor, as taskset(1) does it.
func TestTaskset(t *testing.T) {
	_, cpus := locked(t)
	if len(cpus) < 2 {
		t.Skip("needs two processors")
	}
	all, _ := numa.MaskOf(cpus)
	for _, c := range [][2]int{{cpus[0], cpus[1]}, {cpus[1], cpus[0]}} {
		one, _ := numa.MaskOf(c[:1])
		passes(t, func() ([]byte, error) {
			if err := numa.SetAffinity(0, &one); err != nil { // a child inherits it from the thread that starts it
				return nil, err
			}
			defer numa.SetAffinity(0, &all)
			return child(c[0], c[1], "").CombinedOutput()
		})
	}
}

// A process in a cgroup whose cpuset has one processor.
func TestCgroupCpuset(t *testing.T) {
	_, cpus := locked(t)
	if len(cpus) < 2 {
		t.Skip("needs two processors")
	}
	for _, c := range [][2]int{{cpus[0], cpus[1]}, {cpus[1], cpus[0]}} {
		group := newCpuset(t, c[0])
		passes(t, child(c[0], c[1], group).CombinedOutput)
	}
}

// newCpuset makes a cgroup for one processor, for the time of the test; it skips the test where that is not allowed.
func newCpuset(t *testing.T, cpu int) string {
	t.Helper()
	parent := "/sys/fs/cgroup/cpuset" // version 1 (cgroups(7)); version 2 has all controllers in one tree
	if _, err := os.Stat(filepath.Join(parent, "cpuset.cpus")); err != nil {
		parent = "/sys/fs/cgroup"
		enabled, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
		if err != nil || !strings.Contains(string(enabled), "cpuset") {
			t.Skipf("no cpuset controller for cgroups of our own: %q, %v", enabled, err)
		}
	}
	group, err := os.MkdirTemp(parent, "hioload-test-")
	if err != nil {
		t.Skipf("no cgroup to be had: %v", err)
	}
	t.Cleanup(func() { os.Remove(group) })
	mems, err := os.ReadFile(filepath.Join(parent, "cpuset.mems"))
	if err == nil && len(strings.TrimSpace(string(mems))) > 0 {
		err = os.WriteFile(filepath.Join(group, "cpuset.mems"), mems, 0)
	} else {
		err = nil // version 2 inherits it
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(group, "cpuset.cpus"), []byte(strconv.Itoa(cpu)), 0)
	}
	if err != nil {
		t.Skipf("no cpuset to be had: %v", err)
	}
	return group
}

// TestInsideACpuset is what a child runs; in any other process it is skipped.
func TestInsideACpuset(t *testing.T) {
	inside, outside := os.Getenv(insideVariable), os.Getenv(outsideVariable)
	if inside == "" {
		t.Skip("runs in processes that TestTaskset and TestCgroupCpuset start")
	}
	if group := os.Getenv(cgroupVariable); group != "" {
		enter(t, group)
	}
	cpu, _ := strconv.Atoi(inside)
	other, _ := strconv.Atoi(outside)
	node := numa.NodeOf(cpu)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := numa.ThreadID()
	if got := allowedList(t, tid); got != inside {
		t.Fatalf("started on %s, want %s", got, inside)
	}
	for _, scope := range []api.AffinityScope{api.ScopeThread, api.ScopeGoroutine, api.ScopeProcess} {
		a := adapters.NewScopedAffinity(scope)
		err := a.Pin(other, -1)
		if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(),
			"processor "+outside+" is not among those that this process may use, "+inside) {
			t.Errorf("%v: Pin(%d, -1): got %v", scope, other, err)
		}
		for _, pin := range [][2]int{{cpu, -1}, {cpu, node}, {-1, node}} {
			if err := a.Pin(pin[0], pin[1]); err != nil {
				t.Errorf("%v: Pin%v: %v", scope, pin, err)
			}
			if got := allowedList(t, tid); got != inside {
				t.Errorf("%v: Pin%v: bound to %s, want %s", scope, pin, got, inside)
			}
		}
		if err := a.Unpin(); err != nil {
			t.Error(err)
		}
		if got := allowedList(t, tid); got != inside {
			t.Errorf("%v: after Unpin on %s, want %s", scope, got, inside)
		}
	}
	e := adapters.NewBoundedExecutor(2, node, 10)
	for range 2 {
		e.Submit(func() {
			if got := allowedList(t, numa.ThreadID()); got != inside {
				t.Errorf("a worker is bound to %s, want %s", got, inside)
			}
		})
	}
	e.Close()
}

// enter puts this process into a cgroup and starts its program anew, so that it finds itself there from the start.
func enter(t *testing.T, group string) {
	err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Setenv(cgroupVariable, "")
	t.Fatal(syscall.Exec(os.Args[0], os.Args, os.Environ()))
}
