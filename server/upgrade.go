package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/bridge"
	"github.com/momentics/hioload-ws/internal/netfd"
	"github.com/momentics/hioload-ws/protocol"
)

// webSocket is a route as an http.Handler.
type webSocket struct {
	server *Server
	route  *protocol.Route
}

// ServeHTTP upgrades the request's connection. What goes wrong has been answered or cannot be any more.
func (ws *webSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := ws.server.upgrade(w, r, ws.route); err != nil {
		slog.Debug("a handshake has failed", "path", r.URL.Path, "remote", r.RemoteAddr, "error", err)
	}
}

// WebSocket returns an http.Handler that opens a WebSocket for each request, or refuses it, for a router or middleware of
// net/http. h handles what happens to its connections, inside the server's middleware; with a nil h messages wait for
// RecvZeroCopy. It panics when an option is wrong.
//
// It may stand in any server of HTTP/1.1, this one's (Handle, Config.HTTP) or another; see Upgrade for what that means.
func (s *Server) WebSocket(h api.Handler, opts ...RouteOption) http.Handler {
	route, err := s.newRoute(h, opts)
	if err != nil {
		panic(err.Error())
	}
	return &webSocket{s, route}
}

// Upgrade makes the connection of a request that net/http serves, here or in a server of its own, a WebSocket on one of
// the loops; h handles what happens to it, as it does with WebSocket, which is cheaper where many connections have the
// same handler. Headers set on w become part of the answer. The request is there for the handler of the api.OpenEvent as
// middleware has left it; its context is not cancelled when the HTTP handler returns.
//
// The loop works on the descriptor of a *net.TCPConn or *net.UnixConn; any other connection, one of TLS above all, is
// joined to it by a pair of sockets and two goroutines. Time limits that the HTTP server has set end.
//
// When it returns an error, the request has been answered or its connection closed: a *protocol.HandshakeError tells what
// was wrong with the request; ErrServerClosed: the server does not run; http.ErrNotSupported: the connection cannot be had
// from w. It does not wait for the handler of the api.OpenEvent. Any goroutine but a loop's.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, h api.Handler, opts ...RouteOption) (
	*protocol.WSConnection, error) {
	route, err := s.newRoute(h, opts)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil, err
	}
	return s.upgrade(w, r, route)
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, route *protocol.Route) (*protocol.WSConnection, error) {
	if !s.running() {
		refusal := protocol.HandshakeError{Status: http.StatusServiceUnavailable, Reason: "the server does not run"}
		refusal.ServeHTTP(w, r)
		return nil, ErrServerClosed
	}
	r = r.WithContext(context.WithoutCancel(r.Context()))
	ask := protocol.UpgradeRequest{Request: r, Route: route, Header: w.Header()}
	if own, ok := r.Context().Value(webConnKey{}).(*webConn); ok && own.web == s.web {
		ask.From = own.handOver
	}
	accepted, response, err := s.endpoint.Accept(ask)
	if err != nil {
		err.(http.Handler).ServeHTTP(w, r)
		return nil, err
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.endpoint.Cancel(accepted)
		http.Error(w, "this connection cannot become a WebSocket", http.StatusInternalServerError)
		return nil, fmt.Errorf("server: taking the connection over: %w", err)
	}
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	accepted.Rest = append(accepted.Rest, rest...)
	fd, err := s.answer(conn, response, &accepted)
	if err != nil {
		s.endpoint.Cancel(accepted)
		_ = conn.Close()
		return nil, fmt.Errorf("server: answering the handshake: %w", err)
	}
	return s.endpoint.Quietest().Adopt(fd, accepted)
}

// answer sends the response and returns a descriptor to go on with.
func (s *Server) answer(conn net.Conn, response []byte, a *protocol.Adoption) (fd int, err error) {
	if err := conn.SetDeadline(time.Now().Add(s.config.HandshakeTimeout)); err != nil {
		return -1, err
	}
	if _, err := conn.Write(response); err != nil {
		return -1, err
	}
	if early, ok := conn.(*webConn); ok {
		a.Rest = append(a.Rest, early.received...)
		conn = early.TCPConn
	}
	switch conn := conn.(type) {
	case *net.TCPConn:
		return take(conn)
	case *net.UnixConn:
		return take(conn)
	}
	return bridge.FD(conn)
}

// take returns a descriptor for a connection and closes the one that Go's poller has.
func take(conn interface {
	net.Conn
	syscall.Conn
}) (fd int, err error) {
	if fd, err = netfd.DupConn(conn); err != nil {
		return -1, err
	}
	_ = conn.Close() // the duplicate keeps the connection
	return fd, nil
}
