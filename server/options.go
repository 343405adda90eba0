package server

import (
	"time"

	"github.com/momentics/hioload-ws/api"
)

// ServerOption changes a server while NewServer makes it.
type ServerOption func(*Server)

// WithMiddleware wraps the handler in middleware, as UseMiddleware does.
func WithMiddleware(mw ...Middleware) ServerOption {
	return func(s *Server) { s.UseMiddleware(mw...) }
}

// WithAffinityScope sets Config.AffinityScope.
func WithAffinityScope(scope api.AffinityScope) ServerOption {
	return func(s *Server) { s.config.AffinityScope = scope }
}

// WithBatchSize sets Config.BatchSize.
func WithBatchSize(n int) ServerOption {
	return func(s *Server) { s.config.BatchSize = n }
}

// WithExecutorWorkers runs handlers on an executor of n workers beside the loops, of which there are then as many as there
// are processors: for handlers that block. 0 changes nothing.
func WithExecutorWorkers(n int) ServerOption {
	return func(s *Server) { s.workers = n }
}

// WithBackend sets Config.Backend: "epoll" or "io_uring".
func WithBackend(name string) ServerOption {
	return func(s *Server) { s.config.Backend = name }
}

// WithPinnedLoops sets Config.PinLoops: each loop has a processor of its own.
func WithPinnedLoops() ServerOption {
	return func(s *Server) { s.config.PinLoops = true }
}

// WithSpin sets Config.Spin: how long a busy loop that runs out of work stays awake.
func WithSpin(d time.Duration) ServerOption {
	return func(s *Server) { s.config.Spin = d }
}

// WithBusyPoll sets Config.BusyPoll: how long the kernel polls the network card whenever a loop waits.
func WithBusyPoll(d time.Duration) ServerOption {
	return func(s *Server) { s.config.BusyPoll = d }
}

// WithHugePages sets Config.HugePages: memory comes from the reserve of huge pages.
func WithHugePages() ServerOption {
	return func(s *Server) { s.config.HugePages = true }
}
