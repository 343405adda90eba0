package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

// Those of the administrator's reserve are taken if there is one, as tests/vm has it.
func TestMemoryHugePages(t *testing.T) {
	reserve, err := os.ReadFile("/proc/sys/vm/nr_hugepages")
	if err != nil || strings.TrimSpace(string(reserve)) == "0" {
		t.Skipf("no huge pages are reserved (vm.nr_hugepages): %s, %v", reserve, err)
	}
	s := start(t, local(), api.HandlerFunc(echo), WithHugePages())
	dial(t, s.Addr()) // it runs
	var huge int64
	for key, value := range s.GetControl().Stats() {
		if strings.HasPrefix(key, "memory.node.") && strings.HasSuffix(key, ".huge") {
			huge += value.(int64)
		}
	}
	if huge == 0 {
		t.Errorf("no memory is of huge pages, of which there are %s", reserve)
	}
}

// Buffers lie on the node that was asked for and are counted there. With one node there is little to choose; tests/vm
// runs this with several.
func TestMemoryByNode(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	dial(t, s.Addr()) // it runs
	stats := func(node int, key string) int64 {
		t.Helper()
		value, ok := s.GetControl().Stats()[fmt.Sprintf("memory.node.%d.%s", node, key)].(int64)
		if !ok {
			t.Fatalf("there is no %q for node %d", key, node)
		}
		return value
	}
	pool := s.GetBufferPool()
	for node := range pool.Stats().NUMAStats {
		before := stats(node, "in_use.1024")
		b := pool.Get(1000, node)
		if b == nil || b.NUMANode() != node {
			t.Fatalf("a buffer for node %d is %v", node, b)
		}
		if n := stats(node, "in_use.1024") - before; n != 1 {
			t.Errorf("%d more blocks are in use on node %d", n, node)
		}
		if stats(node, "plain")+stats(node, "transparent")+stats(node, "huge") == 0 {
			t.Errorf("no bytes are mapped on node %d", node)
		}
		if n := stats(node, "fallbacks"); n != 0 {
			t.Errorf("%d fallbacks on node %d", n, node)
		}
		if n := pool.Stats().NUMAStats[node]; n != 1 {
			t.Errorf("NUMAStats says %d for node %d", n, node)
		}
		pool.Put(b)
		if n := pool.Stats().NUMAStats[node]; n != 0 {
			t.Errorf("NUMAStats says %d for node %d", n, node)
		}
	}
	if len(pool.Stats().NUMAStats) == 0 {
		t.Error("there are no nodes")
	}
}
