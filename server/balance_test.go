package server

import (
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// Connections stay on the loop they are put on. Loops remain balanced only if whoever places a new one looks at how many
// each has left: here all connections of one loop go, which neither SO_REUSEPORT nor taking turns would make up for.
func TestLoopsStayBalanced(t *testing.T) {
	const loops, each = 3, 8
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(loops, runtime.NumCPU())))
	cfg := local()
	cfg.ExecutorWorkers = loops
	closed := make(chan struct{}, loops*each)
	s := start(t, cfg, api.HandlerFunc(func(data any) error {
		if _, ok := data.(api.CloseEvent); ok { // its connection does not count any more
			closed <- struct{}{}
		}
		return nil
	}))
	var clients [loops][]*client
	shards := func() []*protocol.Shard { // Run makes them, and has when a client is connected
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.endpoint.Shards()
	}
	open := func() {
		t.Helper()
		c := dial(t, s.Addr())
		for i, shard := range shards() {
			if shard.Len() > int64(len(clients[i])) {
				clients[i] = append(clients[i], c)
				return
			}
		}
		t.Fatal("no loop has got the connection")
	}
	expect := func(want [loops]int) {
		t.Helper()
		for i, of := range clients {
			if len(of) != want[i] {
				t.Errorf("loop %d has %d connections, not %d", i, len(of), want[i])
			}
		}
	}
	for range loops * each {
		open()
	}
	expect([loops]int{each, each, each})
	for _, c := range clients[1] {
		c.goodbye()
		<-closed
	}
	clients[1] = nil
	for range each {
		open()
	}
	expect([loops]int{each, each, each})
}
