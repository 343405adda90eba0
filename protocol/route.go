package protocol

import (
	"sync"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
)

// Route is where the events and messages of some of an [Endpoint]'s connections go: a handler inside the endpoint's
// middleware. A connection is on one route from its opening handshake on.
type Route struct {
	config   RouteConfig
	mu       sync.Mutex // of changes and of whoever makes the chain
	handler  api.Handler
	messages bool                  // they go to handler; else they wait for RecvZeroCopy
	chain    atomic.Pointer[chain] // nil, or made with a wrapping that may be outdated
	settled  opening               // what its connections hold on to when their handshake is done
}

// chain is what handles the events and messages of a route's connections.
type chain struct {
	wrapping *wrapping
	events   api.Handler
	messages api.Handler // nil: they wait for RecvZeroCopy
}

// wrapping is the endpoint's middleware.
type wrapping struct {
	wrap func(api.Handler) api.Handler
}

// NewRoute returns a route on which h, inside the endpoint's middleware, handles open and close events and messages. With
// a nil h only middleware sees the events, and messages wait for RecvZeroCopy. config has to be valid.
func NewRoute(h api.Handler, config RouteConfig) *Route {
	r := &Route{config: config, handler: h, messages: h != nil}
	r.settled.route = r
	return r
}

// set makes h the route's handler. What is handled from then on goes to h.
func (r *Route) set(h api.Handler, messages bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler, r.messages = h, messages
	r.chain.Store(nil)
}

// handlers returns the route's handler inside the middleware.
func (r *Route) handlers(w *wrapping) *chain {
	if made := r.chain.Load(); made != nil && made.wrapping == w {
		return made
	}
	return r.wrap(w)
}

// wrap makes what handlers returns, unless somebody else has meanwhile.
func (r *Route) wrap(w *wrapping) *chain {
	r.mu.Lock()
	defer r.mu.Unlock()
	if made := r.chain.Load(); made != nil && made.wrapping == w {
		return made
	}
	h := r.handler
	if h == nil {
		h = api.HandlerFunc(func(any) error { return nil })
	}
	if w != nil {
		h = w.wrap(h)
	}
	next := &chain{wrapping: w, events: h}
	if r.messages {
		next.messages = h
	}
	r.chain.Store(next)
	return next
}

// Route returns the route of connections that are on no other.
func (e *Endpoint) Route() *Route { return &e.own }

// SetHandler makes h handle the open and close events of the endpoint's own route, and messages too if messages is true;
// else they wait for RecvZeroCopy. It may be called at any time, from any goroutine: what is handled from then on goes to h.
func (e *Endpoint) SetHandler(h api.Handler, messages bool) { e.own.set(h, messages) }

// SetMiddleware has the handlers of all routes wrapped by wrap, which is called once for each route that comes into use
// from then on. It may be called at any time, from any goroutine.
func (e *Endpoint) SetMiddleware(wrap func(api.Handler) api.Handler) {
	e.wrapping.Store(&wrapping{wrap})
}

// route is the route that c is on.
func (c *WSConnection) route() *Route {
	if o := c.opening.Load(); o != nil && o.route != nil {
		return o.route
	}
	return &c.shard.endpoint.own
}

// chain is what handles the events and messages of c.
func (c *WSConnection) chain() *chain {
	return c.route().handlers(c.shard.endpoint.wrapping.Load())
}
