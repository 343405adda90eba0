package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// asking is a good opening handshake for a path, with more header lines.
func asking(path string, lines ...string) []byte {
	text := strings.Replace(request, "/chat?x=1", path, 1)
	for _, line := range lines {
		text = strings.TrimSuffix(text, "\r\n") + line + "\r\n\r\n"
	}
	return []byte(text)
}

// over makes a client of a connection that is there already.
func over(t testing.TB, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// speak sends a message and expects it back.
func (c *client) speak(text string) {
	c.t.Helper()
	c.send(protocol.OpcodeText, []byte(text))
	c.expect(protocol.OpcodeText, []byte(text))
}

// named answers each message with a name, and tells who has opened and closed.
func named(name string, events chan<- string) api.Handler {
	return api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			r := event.Conn.(*protocol.WSConnection).Request()
			events <- fmt.Sprintf("%s opened %s %s", name, r.URL.Path, r.PathValue("room"))
		case api.CloseEvent:
			events <- name + " closed"
		case api.Buffer:
			event.Release()
			return connOf(data).SendFrame(&protocol.WSFrame{
				IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte(name),
			})
		}
		return nil
	})
}

func expectEvent(t *testing.T, events <-chan string, want string) {
	t.Helper()
	select {
	case got := <-events:
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("%q has not come", want)
	}
}

// Each route has its handler, inside the server's middleware, whether the request is a connection's first or comes over
// net/http, behind others or middleware.
func TestRoutes(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			events := make(chan string, 100)
			passed := make(chan bool, 100)
			s := start(t, local(), named("default", events), append(mode.options, WithMiddleware(
				func(next api.Handler) api.Handler {
					return api.HandlerFunc(func(data any) error {
						passed <- true
						return next.Handle(data)
					})
				}))...)
			s.HandleWebSocket("GET /rooms/{room}", named("rooms", events))
			s.Handle("/guarded/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					http.Error(w, "who are you?", http.StatusUnauthorized)
					return
				}
				w.Header().Set("X-Seen", "yes")
				s.WebSocket(named("guarded", events)).ServeHTTP(w, r)
			}))
			s.Handle("/page", say("page"))
			for _, test := range []struct{ path, event, name string }{
				{"/anything", "default opened /anything ", "default"},
				{"/rooms/blue", "rooms opened /rooms/blue blue", "rooms"},
				{"/guarded/red", "guarded opened /guarded/red red", "guarded"},
			} {
				for _, warm := range []bool{false, true} {
					c := connect(t, s.Addr())
					if warm {
						c.write([]byte("GET /page HTTP/1.1\r\nHost: x\r\n\r\n"))
						if _, body := c.response(); body != "page" {
							t.Fatalf("got %q", body)
						}
					}
					// A message behind the request must not be lost on any of these ways.
					c.write(append(asking(test.path, "Authorization: x"), encode(true, protocol.OpcodeText, []byte("x"))...))
					c.expectUpgrade()
					expectEvent(t, events, test.event)
					c.expect(protocol.OpcodeText, []byte(test.name))
					c.send(protocol.OpcodeText, []byte("y"))
					c.expect(protocol.OpcodeText, []byte(test.name))
					c.goodbye()
					expectEvent(t, events, test.name+" closed")
					for range 4 {
						<-passed
					}
				}
			}
			c := connect(t, s.Addr())
			c.write(asking("/guarded/red"))
			if response, body := c.response(); response.StatusCode != http.StatusUnauthorized || body != "who are you?\n" {
				t.Errorf("without leave: %s, %q", response.Status, body)
			}
			c.write([]byte("GET /rooms/blue HTTP/1.1\r\nHost: x\r\n\r\n"))
			if response, _ := c.response(); response.StatusCode != http.StatusUpgradeRequired ||
				response.Header.Get("Sec-Websocket-Version") != "13" {
				t.Errorf("an ordinary request for a WebSocket: %s, %v", response.Status, response.Header)
			}
		})
	}
}

// With routes and no handler of its own, a server has nothing for other paths.
func TestRoutesWithoutDefault(t *testing.T) {
	events := make(chan string, 4)
	s := start(t, local(), nil)
	s.HandleWebSocket("/ws", named("ws", events))
	c := connect(t, s.Addr())
	c.write(asking("/other"))
	if response, _ := c.response(); response.StatusCode != http.StatusNotFound {
		t.Errorf("got %s", response.Status)
	}
	c.write(asking("/ws")) // on the same connection
	c.expectUpgrade()
	expectEvent(t, events, "ws opened /ws ")
}

// Middleware that comes while the server runs is around the routes' handlers, too.
func TestMiddlewareAroundRoutes(t *testing.T) {
	s := start(t, local(), nil)
	s.HandleWebSocket("/ws", api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write(asking("/ws"))
	c.expectUpgrade()
	c.speak("before")
	var seen atomic.Int32
	s.UseMiddleware(func(next api.Handler) api.Handler {
		return api.HandlerFunc(func(data any) error {
			seen.Add(1)
			return next.Handle(data)
		})
	})
	c.speak("behind")
	if seen.Load() != 1 {
		t.Errorf("the middleware has seen %d messages", seen.Load())
	}
}

func TestSubprotocols(t *testing.T) {
	cfg := local()
	cfg.Subprotocols = []string{"v2", "v1"}
	agreed := make(chan string, 5)
	s := start(t, cfg, api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			agreed <- event.Conn.(*protocol.WSConnection).Subprotocol()
		}
		return nil
	}))
	for offer, want := range map[string]string{"v1, v2": "v2", "v1": "v1", "V1": "", "": "", "v3,v1\r\nSec-WebSocket-Protocol: v2": "v2"} {
		c := connect(t, s.Addr())
		c.write(asking("/", "Sec-WebSocket-Protocol: "+offer))
		response, _ := c.response()
		if got := response.Header.Get("Sec-Websocket-Protocol"); got != want {
			t.Errorf("%q: the answer is %q, want %q", offer, got, want)
		}
		if got := <-agreed; got != want {
			t.Errorf("%q: agreed on %q, want %q", offer, got, want)
		}
	}
	cfg.Subprotocols = []string{"two words"}
	if _, err := NewServer(cfg); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func TestOrigins(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	s.HandleWebSocket("/open", api.HandlerFunc(echo), WithCheckOrigin(AnyOrigin))
	for _, test := range []struct {
		path, origin string
		status       int
	}{
		{"/", "http://example.com", 101}, {"/", "https://EXAMPLE.com:443", 101}, {"/", "http://example.com:80", 101},
		{"/", "http://example.com:8080", 403}, {"/", "http://evil.example", 403}, {"/", "null", 403}, {"/", "%zz", 403},
		{"/open", "http://evil.example", 101},
	} {
		c := connect(t, s.Addr())
		c.write(asking(test.path, "Origin: "+test.origin))
		if response, _ := c.response(); response.StatusCode != test.status {
			t.Errorf("%s from %s: %s", test.path, test.origin, response.Status)
		}
	}
}

func TestResponseHeader(t *testing.T) {
	s := start(t, local(), nil)
	s.HandleWebSocket("/ws", api.HandlerFunc(echo), WithResponseHeader(http.Header{"X-Server": {"a\r\nX-Evil: b"}}))
	c := connect(t, s.Addr())
	c.write(asking("/ws"))
	response, _ := c.response()
	if got := response.Header.Get("X-Server"); got != "a  X-Evil: b" || response.Header.Get("X-Evil") != "" {
		t.Errorf("got %v", response.Header)
	}
	defer func() {
		if recover() == nil {
			t.Error("a header of the handshake's own was taken")
		}
	}()
	s.HandleWebSocket("/bad", api.HandlerFunc(echo), WithResponseHeader(http.Header{"Sec-WebSocket-Accept": {"x"}}))
}

func TestRouteMessageSize(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	s.HandleWebSocket("/small", api.HandlerFunc(echo), WithMaxMessageSize(10))
	for path, limit := range map[string]bool{"/small": true, "/": false} {
		c := connect(t, s.Addr())
		c.write(asking(path))
		c.expectUpgrade()
		c.speak("0123456789")
		c.send(protocol.OpcodeText, []byte("0123456789a"))
		if limit {
			c.expectClose(protocol.CloseMessageTooBig)
		} else {
			c.expect(protocol.OpcodeText, []byte("0123456789a"))
		}
	}
}

// upgrader is a server without a listener, for the length of a test.
func upgrader(t *testing.T) *Server {
	t.Helper()
	s, err := NewUpgrader(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// Upgrade works in any server of net/http, over TCP and over TLS, and nothing sent behind the request is lost.
func TestUpgradeElsewhere(t *testing.T) {
	type key struct{}
	s := upgrader(t)
	seen := make(chan *http.Request, 2)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		r = r.WithContext(context.WithValue(r.Context(), key{}, "user"))
		conn, err := s.Upgrade(w, r, api.HandlerFunc(func(data any) error {
			if event, ok := data.(api.OpenEvent); ok {
				conn := event.Conn.(*protocol.WSConnection)
				if got := conn.RemoteAddr().String(); got != conn.Request().RemoteAddr {
					t.Errorf("the remote address is %s, not %s", got, conn.Request().RemoteAddr)
				}
				seen <- conn.Request()
			}
			return echo(data)
		}), WithSubprotocols("v1"))
		if err == nil && conn.Subprotocol() != "v1" {
			t.Errorf("the subprotocol is %q", conn.Subprotocol())
		}
	})
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewUnstartedServer(handler)
			var c *client
			if secure {
				web.StartTLS()
				config := web.Client().Transport.(*http.Transport).TLSClientConfig
				conn, err := tls.Dial("tcp", web.Listener.Addr().String(), config)
				if err != nil {
					t.Fatal(err)
				}
				c = over(t, conn)
			} else {
				web.Start()
				c = connect(t, web.Listener.Addr())
			}
			defer web.Close()
			c.write(append(asking("/", "Sec-WebSocket-Protocol: v1"), encode(true, protocol.OpcodeText, []byte("eager"))...))
			response, _ := c.response()
			if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Set-Cookie") != "session=1" {
				t.Fatalf("got %s, %v", response.Status, response.Header)
			}
			c.expect(protocol.OpcodeText, []byte("eager"))
			c.speak("hello")
			c.speak(strings.Repeat("0123456789", 50_000))
			r := <-seen
			if r.Context().Value(key{}) != "user" || r.Context().Err() != nil {
				t.Errorf("the request's context: %v, %v", r.Context().Value(key{}), r.Context().Err())
			}
			c.goodbye()
		})
	}
}

// What cannot be upgraded is answered, and Upgrade says why.
func TestUpgradeRefuses(t *testing.T) {
	s := upgrader(t)
	var refusal *protocol.HandshakeError
	w := httptest.NewRecorder()
	if _, err := s.Upgrade(w, httptest.NewRequest("GET", "/", nil), nil); !errors.As(err, &refusal) ||
		w.Code != http.StatusUpgradeRequired || refusal.Status != w.Code {
		t.Errorf("an ordinary request: %v, %d", err, w.Code)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if _, err := s.Upgrade(w, r, nil); !errors.Is(err, http.ErrNotSupported) || w.Code != http.StatusInternalServerError {
		t.Errorf("a writer that cannot be hijacked: %v, %d", err, w.Code)
	}
	if _, err := s.Upgrade(httptest.NewRecorder(), r, nil, WithMaxMessageSize(-1)); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("a bad option: %v", err)
	}
	if got := s.GetActiveConnections(); got != 0 {
		t.Errorf("%d connections are counted", got)
	}
	s.Shutdown()
	w = httptest.NewRecorder()
	if _, err := s.Upgrade(w, r, nil); !errors.Is(err, ErrServerClosed) || w.Code != http.StatusServiceUnavailable {
		t.Errorf("after Shutdown: %v, %d", err, w.Code)
	}
}

// Connections that came by way of net/http leave nothing behind either.
func TestUpgradesLeaveNothing(t *testing.T) {
	s := upgrader(t)
	web := httptest.NewServer(s.WebSocket(api.HandlerFunc(echo)))
	defer web.Close()
	hurried := func(i int) {
		c := connect(t, web.Listener.Addr())
		defer c.conn.Close()
		c.write(asking("/"))
		if i%3 > 0 {
			c.expectUpgrade()
		}
		if i%3 > 1 {
			c.goodbye()
		}
	}
	hurried(2)
	open, goroutines := descriptors(t), runtime.NumGoroutine()
	for i := range 1500 {
		hurried(i)
	}
	eventually(t, func() bool {
		return s.GetActiveConnections() == 0 && descriptors(t) <= open && runtime.NumGoroutine() <= goroutines
	})
	if n := s.GetControl().Stats()["connections.opened"].(int64); n < 1001 {
		t.Errorf("%d connections have been opened", n)
	}
}

// serveHTTP serves h with a plain http.Server until the test ends.
func serveHTTP(t *testing.T, h http.Handler) net.Addr {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.Listener.Addr()
}

// What net/http would redirect is not for the server's own handler, asked over a loop or over net/http.
func TestUncleanPathIsRedirected(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	s.HandleWebSocket("/rooms/{room}", api.HandlerFunc(echo))
	for _, path := range []string{"//rooms/x", "/a/../rooms/x"} {
		c := connect(t, s.Addr())
		c.write(asking(path))
		onLoop, _ := c.response()
		c = connect(t, s.Addr())
		c.write([]byte("GET /nothing HTTP/1.1\r\nHost: example.com\r\n\r\n"))
		if r, _ := c.response(); r.StatusCode != 404 {
			t.Error(r.Status)
		}
		c.write(asking(path))
		overHTTP, _ := c.response()
		if onLoop.StatusCode != overHTTP.StatusCode {
			t.Errorf("%s: %s on a loop, %s over net/http", path, onLoop.Status, overHTTP.Status)
		}
	}
}
