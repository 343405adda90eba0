package server

import (
	"slices"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/numa"
)

// places returns for each of up to n loops the processors that it is to be bound to, nil for none, as NUMANode,
// AffinityScope and PinLoops say. With process scope it binds the process to the node.
func (s *Server) places(n int) ([][]int, error) {
	places := make([][]int, n)
	node := s.config.NUMANode
	if node < 0 && !s.config.PinLoops {
		return places, nil
	}
	allowed, err := numa.Select(-1, node)
	if err != nil {
		return nil, err
	}
	wholeProcess := node >= 0 && s.config.AffinityScope == api.ScopeProcess
	if wholeProcess {
		s.affinity = adapters.NewScopedAffinity(api.ScopeProcess)
		if err := s.affinity.Pin(-1, node); err != nil {
			return nil, err
		}
		s.cpus = allowed.CPUs()
	}
	if s.config.PinLoops {
		order := numa.Spread(&allowed)
		places = places[:min(n, len(order))]
		for i := range places {
			places[i] = order[i : i+1]
		}
	} else if !wholeProcess {
		for i := range places {
			places[i] = allowed.CPUs()
		}
	}
	if bound := slices.Concat(places...); len(bound) > 0 {
		slices.Sort(bound)
		s.cpus = slices.Compact(bound)
	}
	return places, nil
}
