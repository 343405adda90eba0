package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
	"github.com/momentics/hioload-ws/protocol"
)

// keepAlive is how long an HTTP connection may wait for its next request.
const keepAlive = 2 * time.Minute

// web is package net/http at work on the connections whose first request is not for a WebSocket. They come to the same
// port, and from a loop: web is the listener of its http.Server, too.
type web struct {
	server   http.Server
	start    sync.Once
	arrived  chan net.Conn
	closed   chan struct{} // nobody takes what arrives any more
	close    sync.Once
	requests atomic.Int64

	writeTimeout time.Duration
}

// newWeb returns a web that serves with h. It starts when the first connection comes.
func newWeb(cfg *Config, h http.Handler) *web {
	w := &web{arrived: make(chan net.Conn), closed: make(chan struct{}), writeTimeout: cfg.WriteTimeout}
	w.server = http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.requests.Add(1)
			h.ServeHTTP(rw, r)
			bound(rw, r, cfg.HandshakeTimeout)
		}),
		ReadHeaderTimeout: cfg.HandshakeTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    protocol.MaxHandshakeSize,
		ConnState:         w.changed,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, webConnKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	return w
}

// bound limits the time for what its handler has left of a request's body: net/http reads some of it before it answers,
// and without a limit would wait for it for ever.
func bound(rw http.ResponseWriter, r *http.Request, limit time.Duration) {
	c, ok := r.Context().Value(webConnKey{}).(*webConn)
	if ok && r.ContentLength != 0 && !c.ended.Load() { // else somebody else may have it
		_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(limit)) // fails when it has closed
	}
}

// takeOver begins to serve a connection. It does not block.
func (w *web) takeOver(h *protocol.HandOver) { go w.admit(h) }

func (w *web) admit(h *protocol.HandOver) {
	conn, err := newWebConn(w, h)
	if err != nil {
		slog.Warn("handing a connection over to net/http", "remote", h.Remote.String(), "error", err)
		return
	}
	w.start.Do(func() { go w.serve() })
	select {
	case w.arrived <- conn:
	case <-w.closed:
		conn.refuse()
	}
}

func (w *web) serve() {
	if err := w.server.Serve(w); !errors.Is(err, http.ErrServerClosed) {
		slog.Error("net/http has stopped serving", "error", err)
	}
}

// changed is told of each change in a connection's life.
func (w *web) changed(c net.Conn, state http.ConnState) {
	if state == http.StateHijacked {
		c.(*webConn).boundWriting(0)
	}
	if state == http.StateClosed || state == http.StateHijacked {
		c.(*webConn).over()
	}
}

// Accept is for http.Server, as Close and Addr are.
func (w *web) Accept() (net.Conn, error) {
	select {
	case conn := <-w.arrived:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close has those that come from now on refused.
func (w *web) Close() error {
	w.close.Do(func() { close(w.closed) })
	return nil
}

// Addr is of no use to http.Server.
func (w *web) Addr() net.Addr { return &net.TCPAddr{} }

// shutdown has requests under way finished and closes each connection when it is idle, until ctx is done. The channel is
// closed when it has given up or none is left.
func (w *web) shutdown(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.server.Shutdown(ctx) // only ctx can fail it, and the endpoint counts what is left
	}()
	return done
}

// abort closes all connections.
func (w *web) abort() { _ = w.server.Close() }

// webConnKey is the context key of the *webConn that a request has come over.
type webConnKey struct{}

// webConn is a connection that a loop has received the beginning of.
type webConn struct {
	*net.TCPConn
	web      *web
	handOver *protocol.HandOver
	remote   net.Addr
	received []byte // not read yet; what follows is in the socket
	ended    atomic.Bool
}

// newWebConn takes the connection over. When it fails, that is the end of it.
func newWebConn(w *web, h *protocol.HandOver) (*webConn, error) {
	conn, err := netfd.NewConn(h.FD)
	if err != nil {
		h.Done()
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		h.Done()
		return nil, errors.Join(fmt.Errorf("server: a connection of type %T", conn), conn.Close())
	}
	c := &webConn{
		TCPConn:  tcp,
		web:      w,
		handOver: h,
		remote:   net.TCPAddrFromAddrPort(h.Remote),
		received: h.Received,
	}
	c.boundWriting(w.writeTimeout)
	return c, nil
}

// boundWriting has the kernel abort the connection when its peer takes nothing for that long; 0: no more. net/http's own
// WriteTimeout would bound a whole response, however steadily it is read.
func (c *webConn) boundWriting(limit time.Duration) {
	if c.web.writeTimeout == 0 {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { err = netfd.SetUserTimeout(int(fd), limit) }) // fails when it is closed
	if err != nil {
		slog.Warn("bounding the time that a client takes nothing", "remote", c.remote.String(), "error", err)
	}
}

// RemoteAddr is there even if the client has gone, when the kernel knows it no more.
func (c *webConn) RemoteAddr() net.Addr { return c.remote }

// Read reads what the loop has received, then the socket. Like net/http, it expects one reader at a time.
func (c *webConn) Read(p []byte) (int, error) {
	if len(c.received) == 0 {
		return c.TCPConn.Read(p)
	}
	n := copy(p, c.received)
	if c.received = c.received[n:]; len(c.received) == 0 {
		c.received = nil
	}
	return n, nil
}

// WriteTo writes all of it to to, the faster way where there is one.
func (c *webConn) WriteTo(to io.Writer) (int64, error) {
	n, err := to.Write(c.received)
	c.received = c.received[n:]
	if err != nil {
		return int64(n), err
	}
	rest, err := c.TCPConn.WriteTo(to)
	return int64(n) + rest, err
}

// over tells the endpoint that net/http is done with the connection.
func (c *webConn) over() {
	if !c.ended.Swap(true) {
		c.handOver.Done()
	}
}

// refuse ends a connection that has come too late.
func (c *webConn) refuse() {
	defer c.over()
	defer c.Close()
	refusal := protocol.HandshakeError{Status: http.StatusServiceUnavailable, Reason: "the server is shutting down"}
	_ = c.SetDeadline(time.Now().Add(abortTimeout)) // a client that does not read it has left
	_, _ = c.Write(refusal.Response())
}
