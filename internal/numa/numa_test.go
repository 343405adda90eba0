package numa

import (
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

func TestLists(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "0": {0}, "0-2": {0, 1, 2}, "0-1,4,6-7": {0, 1, 4, 6, 7}, "3,5,7": {3, 5, 7},
	} {
		got, err := ParseList(text + "\n")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
		if back := FormatList(want); back != text {
			t.Errorf("%v: got %q, want %q", want, back, text)
		}
	}
	for _, text := range []string{"x", "1-", "-1", "1,,2", "70000"} {
		if got, err := ParseList(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestNodeZeroExists(t *testing.T) {
	cpus, err := CPUs(0)
	if err != nil || len(cpus) == 0 {
		t.Fatalf("got %v, %v", cpus, err)
	}
	if got := NodeOf(cpus[0]); got != 0 {
		t.Errorf("processor %d lies on node %d, want 0", cpus[0], got)
	}
	if got := NodeOf(1 << 20); got != -1 {
		t.Errorf("a processor that does not exist lies on node %d", got)
	}
	if _, err := CPUs(4095); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("node 4095: got %v, want ErrNotFound", err)
	}
}

// mask is the set that a list describes.
func mask(t *testing.T, list string) Mask {
	t.Helper()
	cpus, err := ParseList(list)
	if err != nil {
		t.Fatal(err)
	}
	m, err := MaskOf(cpus)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMask(t *testing.T) {
	m := mask(t, "0,63-64,8191")
	if m.String() != "0,63-64,8191" || !m.Has(64) || m.Has(65) || m.Has(-1) || m.Has(8192) || m.IsEmpty() {
		t.Errorf("got %s", &m)
	}
	other := mask(t, "1,64")
	m.Add(&other)
	if m != mask(t, "0-1,63-64,8191") {
		t.Errorf("with 1 and 64: %s", &m)
	}
	m.Keep(&other)
	if m != other {
		t.Errorf("kept of it: %s", &m)
	}
	none := Mask{}
	m.Keep(&none)
	if !m.IsEmpty() {
		t.Errorf("kept of nothing: %s", &m)
	}
	for _, cpu := range []int{-1, 8192} {
		if _, err := MaskOf([]int{cpu}); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("processor %d: got %v", cpu, err)
		}
	}
}

// A machine of three nodes, the last of which has memory only; the process may use half of the first and all but one
// of the second.
func TestChoose(t *testing.T) {
	allowed := mask(t, "0-1,4-6")
	on := func(node int) ([]int, error) {
		lists := []string{"0-3", "4-7", ""}
		if node >= len(lists) {
			return nil, api.ErrNotFound
		}
		return ParseList(lists[node])
	}
	for _, c := range []struct {
		cpu, node int
		want      string // processors
		err       error
		says      string
	}{
		{cpu: -1, node: -1, want: "0-1,4-6"},
		{cpu: 5, node: -1, want: "5"},
		{cpu: 5, node: 1, want: "5"},
		{cpu: -1, node: 0, want: "0-1"},
		{cpu: -1, node: 1, want: "4-6"},
		{cpu: 2, node: -1, err: api.ErrInvalidArgument, says: "processor 2 is not among those that this process may use, 0-1,4-6"},
		{cpu: 7, node: 1, err: api.ErrInvalidArgument, says: "processor 7 is not among those that this process may use, 0-1,4-6"},
		{cpu: 5, node: 0, err: api.ErrInvalidArgument, says: "processor 5 is not on node 0, which has 0-3"},
		{cpu: -1, node: 2, err: api.ErrInvalidArgument, says: "node 2's processors (none)"},
		{cpu: 1 << 20, node: -1, err: api.ErrInvalidArgument, says: "processor 1048576"},
		{cpu: -1, node: 3, err: api.ErrNotFound},
	} {
		got, err := choose(c.cpu, c.node, &allowed, on)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) || got.String() != c.want {
			t.Errorf("processor %d, node %d: got %q, %v; want %q, %q", c.cpu, c.node, &got, err, c.want, c.says)
		}
	}
	onlyFirst := mask(t, "0-1")
	if _, err := choose(-1, 1, &onlyFirst, on); !errors.Is(err, api.ErrInvalidArgument) ||
		!strings.Contains(err.Error(), "node 1's processors (4-7) none is among those that this process may use, 0-1") {
		t.Errorf("a node that is not allowed: got %v", err)
	}
}

func TestSpread(t *testing.T) {
	pairs := func(cpu int) []int { return []int{cpu % 4, cpu%4 + 4} } // four cores of two hardware threads
	alone := func(int) []int { return nil }                           // not known
	for _, c := range []struct {
		cpus     string
		siblings func(int) []int
		want     []int
	}{
		{"0-7", pairs, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"0-1,4-6", pairs, []int{0, 1, 6, 4, 5}}, // 2 is not allowed: 6 has its core for itself
		{"0,4", pairs, []int{0, 4}},
		{"0-2", alone, []int{0, 1, 2}},
		{"", pairs, nil},
	} {
		m := mask(t, c.cpus)
		if got := spread(m.CPUs(), c.siblings); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.cpus, got, c.want)
		}
	}
}

func TestSelectOnThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are bound on Linux only")
	}
	allowed, err := Allowed()
	if err != nil || allowed.IsEmpty() {
		t.Fatalf("allowed are %s, %v", &allowed, err)
	}
	if got, err := Select(-1, -1); err != nil || got != allowed {
		t.Errorf("all: got %s, %v", &got, err)
	}
	cpu := allowed.CPUs()[0]
	if got, err := Select(cpu, NodeOf(cpu)); err != nil || !slices.Equal(got.CPUs(), []int{cpu}) {
		t.Errorf("processor %d: got %s, %v", cpu, &got, err)
	}
	if order := Spread(&allowed); len(order) != len(allowed.CPUs()) || order[0] != cpu {
		t.Errorf("%s in the order %v", &allowed, order)
	}
	for _, bad := range [][2]int{{-2, -1}, {-1, -2}} {
		if _, err := Select(bad[0], bad[1]); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

func TestBindThread(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are bound on Linux only")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := Affinity(0)
	if err != nil {
		t.Fatal(err)
	}
	defer SetAffinity(0, &before)
	one, err := MaskOf(before.CPUs()[:1])
	if err != nil {
		t.Fatal(err)
	}
	if err := SetAffinity(ThreadID(), &one); err != nil {
		t.Fatal(err)
	}
	if got, err := Affinity(0); err != nil || got != one {
		t.Errorf("bound to %s, %v; want %s", &got, err, &one)
	}
	if allowed, err := Allowed(); err != nil || allowed == (Mask{}) || len(before.CPUs()) > 1 && allowed == one {
		t.Errorf("binding a thread changes what is allowed: %s, %v", &allowed, err)
	}
	if err := SetAffinity(0, &Mask{}); err == nil || Gone(err) {
		t.Errorf("binding to no processor: %v", err)
	}
}

func TestThreads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are told apart on Linux only")
	}
	tids := make(chan int)
	release := make(chan struct{})
	for range 2 {
		go func() {
			runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
			tids <- ThreadID()
			<-release
		}()
	}
	tid, other := <-tids, <-tids
	if tid == syscall.Getpid() {
		tid = other // the main thread outlives its goroutine
	}
	if all, err := Threads(); err != nil || !slices.Contains(all, tid) || !ThreadExists(tid) {
		t.Errorf("thread %d is not among %v, %v", tid, all, err)
	}
	close(release)
	for ThreadExists(tid) { // if it never ends, neither does the test
		runtime.Gosched()
	}
	var m Mask
	if err := SetAffinity(tid, &m); !Gone(err) {
		t.Errorf("binding a thread that has ended: %v", err)
	}
}
