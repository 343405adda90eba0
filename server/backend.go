package server

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/momentics/hioload-ws/internal/loop"
)

// backend tells how a server's loops talk to the kernel, as Stats and the log show it.
type backend struct {
	name     string // "epoll", "io_uring"; both, should loops differ
	reason   string // why one of them does not use io_uring; empty when all do
	features string // of the first loop, joined by commas
	err      error  // why a backend that was asked for is not in use; nil: it is
}

func backendOf(loops []*loop.Loop) backend {
	var b backend
	var names []string
	for _, l := range loops {
		if name := l.Backend(); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if b.reason == "" {
			b.reason = l.BackendReason()
		}
		if err := l.BackendError(); err != nil && b.err == nil {
			b.err, b.reason = err, err.Error()
		}
	}
	b.name = strings.Join(names, ",")
	b.features = strings.Join(loops[0].Features(), ",")
	return b
}

// report logs what was asked for and is not to be had.
func (b *backend) report(addr string, cfg *Config) {
	if b.err != nil {
		slog.Warn("io_uring is not to be had", "addr", addr, "backend", b.name, "error", b.err)
	} else if cfg.BusyPoll > 0 && !strings.Contains(b.features, "busy_poll") {
		slog.Warn("busy polling is not to be had", "addr", addr, "backend", b.name)
	}
}
