package adapters

import (
	"sync"

	"github.com/momentics/hioload-ws/api"
)

// HandlerFunc lets an ordinary function be an api.Handler.
type HandlerFunc func(data any) error

// Handle calls f(data).
func (f HandlerFunc) Handle(data any) error { return f(data) }

// MiddlewareHandler is a handler with middleware around it that can be added one by one, also while it is in use.
type MiddlewareHandler struct {
	mu   sync.RWMutex
	base api.Handler
	mw   []func(api.Handler) api.Handler
	head api.Handler // base inside all of mw
}

// NewMiddlewareHandler returns a handler that calls h, which must not be nil.
func NewMiddlewareHandler(h api.Handler) *MiddlewareHandler {
	return &MiddlewareHandler{base: h, head: h}
}

// Use adds middleware inside all that was added before: the first one added is the outermost. It returns m. Calls of
// Handle that begin afterwards go through it. Safe for use by many goroutines.
func (m *MiddlewareHandler) Use(mw func(api.Handler) api.Handler) *MiddlewareHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mw = append(m.mw, mw)
	head := m.base
	for i := len(m.mw) - 1; i >= 0; i-- {
		head = m.mw[i](head)
	}
	m.head = head
	return m
}

// Handle passes data through the middleware to the handler.
func (m *MiddlewareHandler) Handle(data any) error {
	m.mu.RLock()
	head := m.head
	m.mu.RUnlock()
	return head.Handle(data)
}

// HandlesDrain tells whether the handler inside wants an api.DrainEvent.
func (m *MiddlewareHandler) HandlesDrain() bool { return api.HandlesDrain(m.base) }

// ContextualHandler makes sure that base can reach the connection of open, drain and close events by way of their context:
// an event without a context, or whose context carries no connection, gets one that does. Everything else passes
// unchanged; messages of a server carry their connection anyway.
func ContextualHandler(base api.Handler) api.Handler {
	return api.Around(base, func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			if api.FromContext(event.Ctx) == nil {
				event.Ctx = api.ContextWithConnection(event.Ctx, event.Conn)
				return base.Handle(event)
			}
		case api.CloseEvent:
			if api.FromContext(event.Ctx) == nil {
				event.Ctx = api.ContextWithConnection(event.Ctx, event.Conn)
				return base.Handle(event)
			}
		case api.DrainEvent:
			if api.FromContext(event.Ctx) == nil {
				event.Ctx = api.ContextWithConnection(event.Ctx, event.Conn)
				return base.Handle(event)
			}
		}
		return base.Handle(data)
	})
}
