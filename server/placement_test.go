//go:build linux

package server

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/numa"
	"github.com/momentics/hioload-ws/internal/numa/numatest"
	"github.com/momentics/hioload-ws/protocol"
)

// boundTo returns what each loop of a running server is bound to.
func boundTo(t *testing.T, s *Server) []string {
	t.Helper()
	c := dial(t, s.Addr()) // it runs
	c.send(protocol.OpcodeText, []byte("x"))
	c.expect(protocol.OpcodeText, []byte("x"))
	c.goodbye()
	s.serving() // what Run has made is published with it
	lists := make([]string, len(s.loops))
	for i, l := range s.loops {
		done := make(chan struct{})
		if err := l.Do(func() { defer close(done); lists[i] = numatest.Mine(t) }); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	return lists
}

func allowedCPUs(t *testing.T) []int {
	t.Helper()
	allowed, err := numa.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	return allowed.CPUs()
}

// With PinLoops each loop has a processor of its own, and there are no more loops than processors.
func TestPinnedLoops(t *testing.T) {
	cpus := allowedCPUs(t)
	more := len(cpus) + 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(more))
	for _, c := range []struct{ node, wanted, loops int }{
		{-1, 1, 1}, {-1, len(cpus), len(cpus)}, {-1, more, len(cpus)}, {0, more, -1},
	} {
		cfg := local()
		cfg.NUMANode, cfg.ExecutorWorkers = c.node, c.wanted
		s := start(t, cfg, api.HandlerFunc(echo), WithPinnedLoops())
		if c.node >= 0 {
			mask, err := numa.Select(-1, c.node)
			if err != nil {
				t.Fatal(err)
			}
			cpus = mask.CPUs()
			c.loops = len(cpus)
		}
		lists := boundTo(t, s)
		if len(lists) != c.loops {
			t.Errorf("%d loops on %d processors, want %d", len(lists), len(cpus), c.loops)
		}
		var bound []int
		for _, list := range lists {
			cpu, err := strconv.Atoi(list)
			if err != nil || !slices.Contains(cpus, cpu) || slices.Contains(bound, cpu) {
				t.Errorf("loops are bound to %v, of %v", lists, cpus)
			}
			bound = append(bound, cpu)
		}
		slices.Sort(bound)
		stats := s.GetControl().Stats()
		if stats["loop.pinned"] != int64(c.loops) || stats["server.cpus"] != numa.FormatList(bound) {
			t.Errorf("loop.pinned is %v, server.cpus %v; want %d, %v", stats["loop.pinned"], stats["server.cpus"],
				c.loops, bound)
		}
	}
}

func TestLoopsAreFreeUnlessAsked(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	all := numa.FormatList(allowedCPUs(t))
	for _, list := range boundTo(t, s) {
		if list != all {
			t.Errorf("a loop is bound to %s, want %s", list, all)
		}
	}
	if stats := s.GetControl().Stats(); stats["loop.pinned"] != int64(0) || stats["server.cpus"] != "" {
		t.Errorf("loop.pinned is %v, server.cpus %q", stats["loop.pinned"], stats["server.cpus"])
	}
}

// A server on a node is bound to those of its processors that the process may use: its loops, or the whole process until
// Shutdown.
func TestServerOnANode(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mask, err := numa.Select(-1, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := numatest.Mine(t)
	for _, c := range []struct {
		scope  api.AffinityScope
		pinned bool
		mine   string
	}{{api.ScopeThread, true, before}, {api.ScopeProcess, false, mask.String()}} {
		cfg := local()
		cfg.NUMANode = 0
		s := start(t, cfg, api.HandlerFunc(echo), WithAffinityScope(c.scope))
		for _, list := range boundTo(t, s) {
			if list != mask.String() {
				t.Errorf("%v: a loop is bound to %s, want %s", c.scope, list, &mask)
			}
		}
		if got := numatest.Mine(t); got != c.mine {
			t.Errorf("%v: another thread is bound to %s, want %s", c.scope, got, c.mine)
		}
		if got := s.GetControl().Stats()["loop.pinned"].(int64) > 0; got != c.pinned {
			t.Errorf("%v: pinned %v, want %v", c.scope, got, c.pinned)
		}
		if got := s.GetControl().Stats()["server.cpus"]; got != mask.String() {
			t.Errorf("%v: server.cpus is %v, want %s", c.scope, got, &mask)
		}
		s.Shutdown()
		if got := numatest.Mine(t); got != before {
			t.Errorf("%v: after Shutdown bound to %s, want %s", c.scope, got, before)
		}
	}
}

// onlyVariable tells a child process which processor it has been started on.
const onlyVariable = "HIOLOAD_TEST_ONLY"

// A server in a process that was started on one processor has one loop when loops are pinned, and it is there.
func TestPinnedLoopsInACpuset(t *testing.T) {
	if only := os.Getenv(onlyVariable); only != "" {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
		cfg := local()
		cfg.ExecutorWorkers = 4
		s := start(t, cfg, api.HandlerFunc(echo), WithPinnedLoops())
		if lists := boundTo(t, s); !slices.Equal(lists, []string{only}) {
			t.Errorf("loops are bound to %v, want %s", lists, only)
		}
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, err := numa.Affinity(0)
	if err != nil {
		t.Fatal(err)
	}
	defer numa.SetAffinity(0, &all)
	for _, cpu := range all.CPUs() {
		one, _ := numa.MaskOf([]int{cpu})
		if err := numa.SetAffinity(0, &one); err != nil { // a child inherits it from the thread that starts it
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestPinnedLoopsInACpuset$", "-test.v")
		cmd.Env = append(os.Environ(), onlyVariable+"="+strconv.Itoa(cpu))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestPinnedLoopsInACpuset") {
			t.Errorf("on processor %d: %v\n%s", cpu, err, out)
		}
	}
}

func TestSpinAndBusyPoll(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo), WithSpin(100_000), WithBusyPoll(50_000))
	c := dial(t, s.Addr())
	for range 10 {
		c.send(protocol.OpcodeText, []byte("x"))
		c.expect(protocol.OpcodeText, []byte("x"))
	}
	stats := s.GetControl().Stats()
	if spins := stats["loop.spins"].(int64); spins == 0 || stats["loop.spin_hits"].(int64) > spins {
		t.Errorf("%d spins, %v hits", spins, stats["loop.spin_hits"])
	}
	// What a loop of the server's kind has to offer here, the server's have.
	same, err := loop.New(loop.Config{Spin: 100_000, BusyPoll: 50_000, RunOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	if want := strings.Join(same.Features(), ","); stats["server.backend_features"] != want {
		t.Errorf("features %q, want %q", stats["server.backend_features"], want)
	}
	for _, option := range []ServerOption{WithSpin(-1), WithSpin(maxSpin + 1), WithBusyPoll(-1), WithBusyPoll(maxBusyPoll + 1)} {
		if _, err := NewServer(local(), option); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("out of bounds: got %v", err)
		}
	}
	// What the server allows, the core must, too.
	l, err := loop.New(loop.Config{Spin: maxSpin, BusyPoll: maxBusyPoll})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
