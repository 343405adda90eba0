package loop

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/momentics/hioload-ws/internal/numa"
)

// Most of these tests run on any machine; tests/vm runs them on machines with several memory nodes.

// nodes lists the memory nodes that a pool uses.
func nodes(p *Pool) []int {
	var list []int
	for _, node := range p.Stats().Nodes {
		list = append(list, int(node.Node))
	}
	return list
}

// onNode runs f on a thread that is bound to the processors of a node.
func onNode(t *testing.T, node int, f func()) {
	t.Helper()
	cpus, err := numa.CPUs(node)
	if err != nil || len(cpus) == 0 {
		t.Skipf("node %d has no processors: %v", node, err)
	}
	mask, err := numa.MaskOf(cpus)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := numa.SetAffinity(0, &mask)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestBuffersLieOnTheNodeAskedFor(t *testing.T) {
	p := newPool(t, PoolConfig{})
	list := nodes(p)
	t.Logf("nodes %v", list)
	for _, node := range list {
		for _, size := range []int{1, 5000, 300_000, 5_000_000} {
			var b *Buffer
			var err error
			if b, err = p.Get(size, node); err != nil {
				t.Fatal(err)
			}
			if b.NUMANode() != node {
				t.Errorf("%d bytes for node %d lie on %d", size, node, b.NUMANode())
			}
			if n := p.Stats().InUse[node]; n != 1 {
				t.Errorf("%d buffers in use on node %d", n, node)
			}
			onNode(t, node, func() {
				c, err := p.Get(size, -1)
				if err != nil || c.NUMANode() != node {
					t.Errorf("%d bytes got on node %d lie on %d, error %v", size, node, c.NUMANode(), err)
				}
				c.Release()
			})
			b.Release()
			if n := p.Stats().InUse[node]; n != 0 {
				t.Errorf("%d buffers in use on node %d", n, node)
			}
		}
	}
	for _, node := range p.Stats().Nodes {
		if node.Fallbacks != 0 {
			t.Errorf("%d fallbacks on node %d", node.Fallbacks, node.Node)
		}
	}
}

func TestBuffersReleasedElsewhereGoHome(t *testing.T) {
	p := newPool(t, PoolConfig{})
	list := nodes(p)
	if len(list) < 2 {
		t.Skip("this machine has one memory node")
	}
	for i, home := range list {
		first, err := p.Get(1000, home)
		if err != nil {
			t.Fatal(err)
		}
		data := &first.Bytes()[0]
		onNode(t, list[(i+1)%len(list)], first.Release)
		again, err := p.Get(1000, home)
		if err != nil || &again.Bytes()[0] != data {
			t.Errorf("the buffer did not return to node %d (%v)", home, err)
		}
		again.Release()
	}
}

// What a loop receives lies on the node that its thread runs on.
func TestLoopsReceiveOnTheirNode(t *testing.T) {
	for _, node := range nodes(newPool(t, PoolConfig{})) {
		cpus, err := numa.CPUs(node)
		if err != nil || len(cpus) == 0 {
			t.Skipf("the processors of node %d are not known: %v", node, err)
		}
		l := start(t, Config{CPUs: cpus})
		var got int
		lendOne(t, l, 1000, func(b *Buffer) {
			got = b.NUMANode()
			b.Release()
		})
		if got != node {
			t.Errorf("a loop on node %d received on node %d", node, got)
		}
	}
}

// A node that does not exist is as good as any.
func TestNodesThatDoNotExist(t *testing.T) {
	p := newPool(t, PoolConfig{})
	for _, node := range []int{-2, 63, 64, 1 << 30} {
		b, err := p.Get(100, node)
		if err != nil || !slices.Contains(nodes(p), b.NUMANode()) {
			t.Errorf("node %d: %v", node, err)
			continue
		}
		b.Release()
	}
}

func TestHugePages(t *testing.T) {
	p := newPool(t, PoolConfig{HugePages: true})
	b, err := p.Get(5000, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	var huge, other uint64
	for _, node := range p.Stats().Nodes {
		huge += node.BytesHuge
		other += node.BytesPlain + node.BytesTransparent
	}
	if huge+other != 2<<20 {
		t.Errorf("%d bytes huge, %d other", huge, other)
	}
	if huge == 0 {
		t.Skip("no huge pages are reserved (vm.nr_hugepages)")
	}
}

// Much memory that was in use and is not any more goes back to the kernel, unasked, and only then.
func TestIdleMemoryIsGivenBack(t *testing.T) {
	p := newPool(t, PoolConfig{})
	const size = 1 << 20
	var held []*Buffer
	for range 64 {
		b, err := p.Get(size, -1)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, b)
	}
	held[0].Release()
	if p.easing.Load() {
		t.Error("memory is given back for the sake of one buffer")
	}
	for _, b := range held {
		b.Release()
	}
	if !p.easing.Load() {
		t.Fatal("nothing is done about 64 MiB that lie idle")
	}
	p.trim() // as the timer will
	if n := p.Stats().Returned; n < 64*size {
		t.Errorf("%d bytes were given back", n)
	}
	if p.ease(); p.easing.Load() {
		t.Error("it does not end")
	}
}

// A timer may fire when the pool is gone.
func TestGivingBackAfterTheEnd(t *testing.T) {
	p, err := NewPool(PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.ease()
	p.trim()
	if _, err := p.Get(1, -1); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("error %v", err)
	}
}

func newPool(t *testing.T, cfg PoolConfig) *Pool {
	t.Helper()
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
