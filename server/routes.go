package server

import (
	"net/http"
	"sync/atomic"

	"github.com/momentics/hioload-ws/protocol"
)

// routes says what serves a request.
type routes struct {
	mux      http.ServeMux // of *entry
	any      atomic.Bool   // there is something besides WebSockets
	fallback http.Handler  // Config.HTTP
}

// entry is what the mux holds for a pattern.
type entry struct {
	handler http.Handler
}

// probe is a ResponseWriter that only wants to know what would serve a request.
type probe struct {
	http.ResponseWriter
	header http.Header
	entry  *entry
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
func (p *probe) WriteHeader(int)             {}

// Handle has h serve the requests that match pattern, as http.ServeMux does: over package net/http, on the server's port.
// All such requests go to h, those that ask for a WebSocket too: those may be upgraded with Upgrade. An upgrade that no
// pattern matches is for the handler given to Run, any other request for Config.HTTP. Handlers run on goroutines of their
// own, so they may block. It may be called at any time, from any goroutine; it panics where http.ServeMux does, on a
// pattern that is not well formed or conflicts with another.
func (s *Server) Handle(pattern string, h http.Handler) {
	if h == nil {
		panic("server: Handle: nil handler")
	}
	s.routes.mux.Handle(pattern, &entry{handler: h})
	s.routes.any.Store(true)
}

// match is protocol.EndpointConfig.Match: what becomes of a connection with this first request.
func (s *Server) match(r *http.Request) *protocol.Route {
	if !s.routes.any.Load() {
		return s.endpoint.Route()
	}
	if protocol.IsUpgrade(r) && s.routes.find(r) == nil {
		return s.endpoint.Route()
	}
	return nil
}

// find returns the entry that matches a request, which gets its path values by that; nil: there is none.
func (rs *routes) find(r *http.Request) *entry {
	p := probe{header: make(http.Header)}
	rs.mux.ServeHTTP(&p, r)
	return p.entry
}

// ServeHTTP serves a request over net/http.
func (rs *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rs.fallback != nil {
		if _, pattern := rs.mux.Handler(r); pattern == "" {
			rs.fallback.ServeHTTP(w, r)
			return
		}
	}
	rs.mux.ServeHTTP(w, r)
}
