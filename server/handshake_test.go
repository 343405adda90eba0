package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

func TestHandshakeErrors(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	bystander := dial(t, s.Addr())
	for _, test := range []struct {
		name, old, new string // what is replaced in a good request
		status         int
	}{
		{"no HTTP at all", request, "hello\r\n\r\n", http.StatusBadRequest},
		{"no host", "Host: example.com\r\n", "", http.StatusBadRequest},
		{"no key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", http.StatusBadRequest},
		{"no Connection: Upgrade", "Connection: Upgrade", "Connection: close", http.StatusBadRequest},
		{"POST", "GET", "POST", http.StatusMethodNotAllowed},
		{"version 8", "Version: 13", "Version: 8", http.StatusUpgradeRequired},
		{"an ordinary request", "Upgrade: websocket\r\n", "", http.StatusUpgradeRequired},
		{"20 KB of headers", "Host:", "X: " + strings.Repeat("x", 20_000) + "\r\nHost:", http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := connect(t, s.Addr())
			c.write([]byte(strings.Replace(request, test.old, test.new, 1)))
			response, body := c.response()
			if response.StatusCode != test.status || body == "" || !response.Close {
				t.Errorf("got %s, %q, to be closed: %v; want %d", response.Status, body, response.Close, test.status)
			}
			if test.status == http.StatusUpgradeRequired && response.Header.Get("Sec-Websocket-Version") != "13" {
				t.Errorf("the answer does not name version 13: %v", response.Header)
			}
			c.expectEnd()
			bystander.send(protocol.OpcodeText, []byte(test.name))
			bystander.expect(protocol.OpcodeText, []byte(test.name))
		})
	}
	stats := s.GetControl().Stats()
	if stats["connections.refused"] != int64(8) || stats["connections.opened"] != int64(1) {
		t.Errorf("refused %v, opened %v", stats["connections.refused"], stats["connections.opened"])
	}
}

// The answer comes although the client goes on sending, and the rest is thrown away.
func TestForeverHeaders(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	warm(t, s)
	before := reserved(s)
	c := connect(t, s.Addr())
	line := []byte("X-Header: " + strings.Repeat("x", 4084) + "\r\n")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = c.conn.Write([]byte("GET / HTTP/1.1\r\n"))
		for n := 0; n < 40_000_000; n += len(line) {
			if _, err := c.conn.Write(line); err != nil {
				return // the server may hang up
			}
		}
	}()
	response, _ := c.response()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", response.Status)
	}
	other := dial(t, s.Addr())
	other.send(protocol.OpcodeText, []byte("meanwhile"))
	other.expect(protocol.OpcodeText, []byte("meanwhile"))
	<-sent
	if grown := reserved(s) - before; grown > 16<<20 {
		t.Errorf("40 MB of headers took %d bytes of memory", grown)
	}
}

// warm has each loop take the memory that it needs to do anything.
func warm(t *testing.T, s *Server) {
	t.Helper()
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		c := dial(t, s.Addr())
		c.send(protocol.OpcodeBinary, make([]byte, 100_000))
		c.expect(protocol.OpcodeBinary, make([]byte, 100_000))
	}
}

// reserved is how many bytes the server has mapped.
func reserved(s *Server) int64 { return s.GetControl().Stats()["memory.reserved"].(int64) }

func TestHalfOpenHandshakes(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	var half []*client
	for i := 0; i < 300; i++ {
		c := connect(t, s.Addr())
		c.write([]byte(request[:1+i%(len(request)-2)]))
		half = append(half, c)
	}
	c := dial(t, s.Addr())
	c.send(protocol.OpcodeText, []byte("not held up"))
	c.expect(protocol.OpcodeText, []byte("not held up"))
	for i, c := range half { // none of them has been forgotten
		c.write([]byte(request[1+i%(len(request)-2):]))
		c.expectUpgrade()
	}
}

// Frames may follow the request at once, and everything may come byte by byte.
func TestFramesBehindTheRequest(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	all := append([]byte(request), encode(true, protocol.OpcodeText, []byte("eager"))...)
	all = append(all, encode(true, protocol.OpcodeBinary, []byte("client"))...)
	for _, step := range []int{1, 7, len(request) - 1, len(request) + 3, len(all)} {
		c := connect(t, s.Addr())
		for rest := all; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			c.write(rest[:min(step, len(rest))])
		}
		c.expectUpgrade()
		c.expect(protocol.OpcodeText, []byte("eager"))
		c.expect(protocol.OpcodeBinary, []byte("client"))
		c.goodbye()
	}
}

// The handler of the open event is given the request.
func TestRequest(t *testing.T) {
	type seen struct {
		request *http.Request
		stats   map[string]int64
	}
	opened, spoken := make(chan seen, 1), make(chan *http.Request, 1)
	s := start(t, local(), api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			conn := event.Conn.(*protocol.WSConnection)
			opened <- seen{conn.Request(), conn.GetStats()}
		case api.Buffer:
			spoken <- connOf(data).Request()
		}
		return nil
	}))
	c := dial(t, s.Addr())
	first := <-opened
	r := first.request
	if r == nil || r.URL.Path != "/chat" || r.URL.Query().Get("x") != "1" || r.Host != "example.com" ||
		r.RemoteAddr != c.conn.LocalAddr().String() {
		t.Errorf("got %+v", r)
	}
	for key, value := range first.stats {
		if value < 0 {
			t.Errorf("%s is %d", key, value)
		}
	}
	c.send(protocol.OpcodeText, nil)
	if r := <-spoken; r != nil {
		t.Error("the connection holds on to the request")
	}
}

// A client that says nothing is told so in time; see also the test of protocol's HandshakeTimeout. One that ends its
// stream before its request is complete is let go at once.
func TestClientGivesUp(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write([]byte(request[:50]))
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c.in); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
}
