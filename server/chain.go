package server

import (
	"slices"

	"github.com/momentics/hioload-ws/api"
)

// Middleware wraps a handler in another.
type Middleware func(api.Handler) api.Handler

// NewHandlerChain returns base wrapped in mw, the first of which is the outermost. nil middleware is left out. If base wants
// an api.DrainEvent the chain does, whatever it is made of: each mw then gets to see them.
func NewHandlerChain(base api.Handler, mw ...Middleware) api.Handler {
	inner := base
	for i := len(mw) - 1; i >= 0; i-- {
		if mw[i] != nil {
			base = mw[i](base)
		}
	}
	if api.HandlesDrain(inner) && !api.HandlesDrain(base) {
		return api.Around(inner, base.Handle)
	}
	return base
}

// UseMiddleware adds middleware inside all that the server has: what was added first is the outermost. It may be called at
// any time, also while the server runs: what is handled from then on goes through it. All middleware is asked for a new
// wrapping handler then, so one that counts should keep its counters outside of it. Any goroutine.
func (s *Server) UseMiddleware(mw ...Middleware) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.middleware = append(s.middleware, mw...)
	if s.phase == phaseRunning {
		s.setHandler()
	}
}

// setHandler gives the endpoint the handler, and all middleware to wrap it and those of routes in. Under mu.
func (s *Server) setHandler() {
	middleware := slices.Clone(s.middleware)
	s.endpoint.SetHandler(s.handler, s.handler != nil)
	s.endpoint.SetMiddleware(func(h api.Handler) api.Handler { return NewHandlerChain(h, middleware...) })
}
