package server

import (
	"net/http"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// routes says what serves a request.
type routes struct {
	mux      http.ServeMux // of *entry
	any      atomic.Bool   // there is something besides own
	fallback http.Handler  // Config.HTTP
	own      *webSocket    // the handler given to Run
	handles  atomic.Bool   // ... which is there
}

// entry is what the mux holds for a pattern.
type entry struct {
	handler http.Handler
	route   *protocol.Route // of a WebSocket that nothing stands before; else nil
}

// probe is a ResponseWriter that only wants to know what would serve a request.
type probe struct {
	header http.Header
	entry  *entry
	status int
}

// ServeHTTP serves the request, or says that it would.
func (e *entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p, ok := w.(*probe); ok {
		p.entry = e
		return
	}
	e.handler.ServeHTTP(w, r)
}

// The mux writes to a probe when it finds nothing, or redirects.
func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

// Handle has h serve the requests that match pattern, as http.ServeMux does: over package net/http, on the server's port.
// All such requests go to h, those that ask for a WebSocket too, which h may open (WebSocket, Upgrade). A WebSocket that no
// pattern matches is for the handler given to Run, any other request for Config.HTTP. Handlers run on goroutines of their
// own, so they may block. It may be called at any time, from any goroutine; it panics where http.ServeMux does: on a
// pattern that is not well-formed or conflicts with another.
func (s *Server) Handle(pattern string, h http.Handler) {
	if h == nil {
		panic("server: Handle: nil handler")
	}
	e := &entry{handler: h}
	if ws, ok := h.(*webSocket); ok && ws.server == s {
		e.route = ws.route
	}
	s.routes.mux.Handle(pattern, e)
	s.routes.any.Store(true)
}

// HandleWebSocket opens a WebSocket for each request that matches pattern: Handle(pattern, WebSocket(h, opts...)). With
// nothing before it that might block, a connection whose first request this is never leaves its loop. What the pattern's
// wildcards stand for is in the request that the handler of the api.OpenEvent gets, as PathValue.
func (s *Server) HandleWebSocket(pattern string, h api.Handler, opts ...RouteOption) {
	s.Handle(pattern, s.WebSocket(h, opts...))
}

// match is protocol.EndpointConfig.Match: what becomes of a connection with this first request.
func (s *Server) match(r *http.Request) *protocol.Route {
	if !s.routes.any.Load() {
		return s.endpoint.Route()
	}
	if !protocol.IsUpgrade(r) {
		return nil
	}
	e, redirected := s.routes.find(r)
	switch {
	case e != nil:
		return e.route
	case s.routes.handles.Load() && !redirected:
		return s.endpoint.Route()
	}
	return nil
}

// find returns the entry that matches a request, which gets its path values by that; nil: there is none, or the mux
// redirects to where there may be one.
func (rs *routes) find(r *http.Request) (e *entry, redirected bool) {
	p := probe{header: make(http.Header)}
	rs.mux.ServeHTTP(&p, r)
	return p.entry, p.status/100 == 3
}

// ServeHTTP serves a request over net/http.
func (rs *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, pattern := rs.mux.Handler(r)
	switch {
	case pattern != "":
		rs.mux.ServeHTTP(w, r)
	case protocol.IsUpgrade(r) && rs.handles.Load():
		rs.own.ServeHTTP(w, r)
	case rs.fallback != nil:
		rs.fallback.ServeHTTP(w, r)
	default:
		rs.mux.ServeHTTP(w, r) // 404 or 405
	}
}
