package server

import "github.com/momentics/hioload-ws/api"

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
