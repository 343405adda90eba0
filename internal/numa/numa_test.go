package numa

import (
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "\n": nil, "0": {0}, "0-2\n": {0, 1, 2}, "0-1,4,6-7": {0, 1, 4, 6, 7},
	} {
		got, err := ParseList(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
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
		t.Errorf("bound to %v, %v; want %v", got.CPUs(), err, one.CPUs())
	}
	if _, err := MaskOf([]int{1 << 20}); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("a processor out of range: got %v", err)
	}
	if err := SetAffinity(0, &Mask{}); err == nil {
		t.Error("binding to no processor must fail")
	}
}
