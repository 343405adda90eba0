package server

import (
	"strconv"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/numa"
)

// addStats is the server's part of Control.Stats; the keys are listed in the package's documentation.
func (s *Server) addStats(stats map[string]any) {
	stats["server.addr"] = s.address()
	s.addMemory(stats)
	endpoint := s.serving()
	if endpoint == nil {
		return
	}
	stats["server.loops"] = int64(len(s.loops))
	stats["server.workers"] = int64(s.workers)
	stats["server.backend"] = s.backend.name
	stats["server.backend_reason"] = s.backend.reason
	stats["server.backend_features"] = s.backend.features
	stats["server.cpus"] = numa.FormatList(s.cpus)
	e := endpoint.Stats()
	for key, value := range map[string]int64{
		"connections.active":         e.Active,
		"connections.opened":         e.Opened,
		"connections.per_ip":         e.Crowded,
		"handshakes.active":          e.Handshakes,
		"handshakes.excess":          e.Excess,
		"handshakes.rate":            e.Hurried,
		"http.active":                e.Plain,
		"http.connections":           e.HandedOver,
		"http.requests":              s.web.requests.Load(),
		"connections.refused":        e.Refused,
		"connections.rejected":       e.Rejected,
		"connections.read_timeouts":  e.ReadTimeouts,
		"connections.write_timeouts": e.WriteTimeouts,
		"connections.unsent":         e.UnsentOnClosing,
		"connections.queue_full":     e.QueueFull,
		"connections.slow_closed":    e.SlowClosed,
		"messages.received":          e.Messages,
		"bytes.received":             e.BytesReceived,
		"bytes.sent":                 e.BytesSent,
		"handler.errors":             e.HandlerErrors,
		"handler.panics":             e.HandlerPanics,
	} {
		stats[key] = value
	}
	addTopics(stats, e.Topics)
	s.addLoops(stats)
}

// addLoops adds sums over the loops.
func (s *Server) addLoops(stats map[string]any) {
	var pinned int64
	sums := make(map[string]int64)
	for _, l := range s.loops {
		counters := l.Stats()
		if counters.Pinned {
			pinned++
		}
		for key, value := range map[string]uint64{
			"loop.turns":         counters.Turns,
			"loop.flushes":       counters.Flushes,
			"loop.crossings":     counters.Crossings,
			"loop.ops":           counters.Ops,
			"loop.events":        counters.Events,
			"loop.waits":         counters.Waits,
			"loop.wakeups":       counters.Wakeups,
			"loop.spins":         counters.Spins,
			"loop.spin_hits":     counters.SpinHits,
			"loop.letters":       counters.Letters,
			"loop.stale_ops":     counters.StaleOps,
			"loop.stale_events":  counters.StaleEvents,
			"loop.accepted":      counters.Accepted,
			"loop.accept_pauses": counters.AcceptPauses,
			"loop.read_pauses":   counters.ReadPauses,
			"loop.nomem":         counters.NoMem,
			"loop.panics":        counters.Panics,
		} {
			sums[key] += int64(value)
		}
	}
	for key, value := range sums {
		stats[key] = value
	}
	stats["handler.panics"] = stats["handler.panics"].(int64) + sums["loop.panics"]
	stats["loop.pinned"] = pinned
}

// addMemory adds the counters of the slab.
func (s *Server) addMemory(stats map[string]any) {
	pool := s.pool.Stats()
	stats["memory.reserved"] = int64(pool.Reserved)
	stats["memory.returned"] = int64(pool.Returned)
	stats["memory.failures"] = int64(pool.Failures)
	stats["memory.forgotten"] = pool.Forgotten
	addClasses(stats, "memory.in_use.", pool.Classes[:])
	for _, node := range pool.Nodes {
		key := "memory.node." + strconv.FormatInt(node.Node, 10) + "."
		stats[key+"plain"] = int64(node.BytesPlain)
		stats[key+"transparent"] = int64(node.BytesTransparent)
		stats[key+"huge"] = int64(node.BytesHuge)
		stats[key+"fallbacks"] = int64(node.Fallbacks)
		addClasses(stats, key+"in_use.", node.Classes[:])
	}
}

// addClasses adds the blocks in use by size.
func addClasses(stats map[string]any, prefix string, classes []csrc.SlabClassStats) {
	for _, class := range classes {
		size := "large"
		if class.Size > 0 {
			size = strconv.FormatUint(class.Size, 10)
		}
		stats[prefix+size] = int64(class.InUse)
	}
}
