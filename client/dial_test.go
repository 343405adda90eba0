package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

func TestEcho(t *testing.T) {
	address := serve(t, nil)
	o := direct(t)
	o.Value = 17
	c := dial(t, "ws://"+address+"/chat?x=1", o)
	if c.Value() != 17 || c.RemoteAddr().String() != address {
		t.Errorf("value %v, address %v", c.Value(), c.RemoteAddr())
	}
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 5 << 20} {
		sent := bytes.Repeat([]byte{byte(size), 'x'}, size/2+1)[:size]
		frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeBinary, Payload: sent}
		if err := c.SendFrame(frame); err != nil {
			t.Fatal(err)
		}
		messages, err := c.RecvZeroCopy()
		if err != nil || len(messages) != 1 || !bytes.Equal(messages[0].Bytes(), sent) ||
			protocol.MessageOpcode(messages[0]) != protocol.OpcodeBinary {
			t.Fatalf("%d bytes: %d messages, %v", size, len(messages), err)
		}
		messages[0].Release()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", c.Done())
	if code, _ := c.CloseStatus(); code != protocol.CloseNormalClosure {
		t.Errorf("closed with %d", code)
	}
}

// The process's own loops serve those who have none.
func TestLoopsOfTheProcess(t *testing.T) {
	address := serve(t, nil)
	first, err := processLoops()
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, "ws://"+address, &Options{Proxy: NoProxy})
	exchangeText(t, c, "hello")
	if again, err := processLoops(); err != nil || again != first || again.Len() != 1 {
		t.Errorf("%p, then %p with %d connections, %v", first, again, again.Len(), err)
	}
	c.Close()
	await(t, "the end", c.Done())
}

func TestHandler(t *testing.T) {
	address := serve(t, nil)
	heard := make(chan string, 3)
	o := direct(t)
	o.Handler = api.HandlerFunc(func(data any) error {
		switch data := data.(type) {
		case api.OpenEvent:
			c := data.Conn.(*Conn)
			heard <- "open " + c.Request().URL.Path
			return c.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte("hello")})
		case api.Buffer:
			heard <- "message " + string(data.Bytes())
			data.Release()
		case api.CloseEvent:
			heard <- "close"
		}
		return nil
	})
	other := direct(t)
	other.Loops = o.Loops // another connection of the same loops has nothing to do with it
	quiet := dial(t, "ws://"+address, other)
	c := dial(t, "ws://"+address+"/here", o)
	for _, want := range []string{"open /here", "message hello"} {
		if got := <-heard; got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	exchangeText(t, quiet, "unheard")
	c.Close()
	if got := <-heard; got != "close" {
		t.Errorf("%q, not close", got)
	}
}

// The request is one that the server can be asked about.
func TestRequest(t *testing.T) {
	requests := make(chan *http.Request, 1)
	address := serve(t, api.HandlerFunc(func(data any) error {
		if open, ok := data.(api.OpenEvent); ok {
			requests <- open.Conn.(*protocol.WSConnection).Request()
		}
		return nil
	}))
	here, err := url.Parse("http://" + address + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(here, []*http.Cookie{{Name: "session", Value: "17"}})
	o := direct(t)
	o.Jar = jar
	o.Header = http.Header{"X-One": {"1", "2"}, "Origin": {"http://example.com:81"}}
	asWritten := "host" // some write it like that
	o.Header[asWritten] = []string{"example.com:81"}
	o.Subprotocols = nil
	dial(t, "ws://us%65r:p%40ss@"+address+"/a/b%20c?q=%31&r", o)
	r := <-requests
	want := map[string]string{
		"X-One": "1,2", "Origin": "http://example.com:81", "User-Agent": userAgent, "Cookie": "session=17",
		"Authorization": "Basic dXNlcjpwQHNz", "Upgrade": "websocket", "Connection": "Upgrade",
		"Sec-Websocket-Version": "13",
	}
	for name, value := range want {
		if got := strings.Join(r.Header[name], ","); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if len(r.Header) != len(want)+1 { // and the key
		t.Errorf("%d headers: %v", len(r.Header), r.Header)
	}
	if r.Host != "example.com:81" || r.RequestURI != "/a/b%20c?q=%31&r" {
		t.Errorf("host %q, URI %q", r.Host, r.RequestURI)
	}
	if len(o.Header) != 3 || o.Header[asWritten] == nil {
		t.Errorf("the options have changed: %v", o.Header)
	}
	o.Header = http.Header{"Authorization": {"Bearer x"}, "User-Agent": {"me"}}
	dial(t, "ws://user:pass@"+address, o)
	r = <-requests
	if r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("User-Agent") != "me" || r.RequestURI != "/" {
		t.Errorf("%s with %v", r.RequestURI, r.Header)
	}
}

func TestURLErrors(t *testing.T) {
	for address, want := range map[string]string{
		"":                         "no scheme",
		"example.com":              "no scheme",
		"//example.com/x":          "no scheme",
		"example.com:80":           `the scheme is "example.com", not`,
		"http://example.com":       `the scheme is "http", not ws or wss`,
		"localhost:80":             `the scheme is "localhost"`,
		"ws:example.com":           "// is missing",
		"ws://":                    "no host",
		"ws://:80/":                "no host",
		"ws:///path":               "no host",
		"ws://example.com/#top":    `a fragment, "#top"`,
		"ws://example.com/#":       "a fragment",
		"ws://exämple.com/":        "not ASCII",
		"ws://example.com:port/":   `invalid port ":port"`,
		"ws://example.com/%zz":     `invalid URL escape "%zz"`,
		"ws://exa mple.com/":       "invalid character",
		"ws://u:secret@host:port/": "invalid port",
		"ws://example.com/\x00":    "invalid control character",
		"wss://[::1/":              "missing ']'",
	} {
		c, r, err := Dial(within(t), address, nil)
		if c != nil || r != nil || !errors.Is(err, api.ErrInvalidArgument) || !says(err, want) || says(err, "secret") {
			t.Errorf("%q: %v; want %q", address, err, want)
		}
	}
}

func TestTargets(t *testing.T) {
	for address, want := range map[string]string{
		"ws://example.com":              "example.com:80",
		"wss://example.com/x":           "example.com:443",
		"WS://example.com:8080":         "example.com:8080",
		"ws://example.com:/":            "example.com:80",
		"ws://[::1]/":                   "[::1]:80",
		"wss://[fe80::1%25lo]:9/":       "[fe80::1%lo]:9",
		"ws://127.0.0.1:1/?a=b":         "127.0.0.1:1",
		"wss://u:p@example.com:444/a/b": "example.com:444",
	} {
		target, err := parseTarget(address)
		if err != nil || target.address != want || target.secure != strings.HasPrefix(address, "wss") ||
			target.url.User != nil {
			t.Errorf("%s: %+v, %v; want %s", address, target, err, want)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for want, o := range map[string]*Options{
		"MaxMessageSize is -1":                     {MaxMessageSize: -1},
		"PingInterval is -1ns":                     {PingInterval: -1},
		"Compression.Level is 10":                  {Compression: &protocol.Compression{Level: 10}},
		"Header: Upgrade belongs to the handshake": {Header: http.Header{"upgrade": {"x"}}},
		"Header: Connection belongs":               {Header: http.Header{"Connection": {"x"}}},
		"Header: Sec-Websocket-Key belongs":        {Header: http.Header{"Sec-WebSocket-Key": {"x"}}},
		"Header: Sec-Websocket-Extensions belongs": {Header: http.Header{"Sec-Websocket-Extensions": {"x"}}},
		"Header: Content-Length: a handshake":      {Header: http.Header{"Content-Length": {"1"}}},
		"Header: Host is there 2 times":            {Header: http.Header{"Host": {"a", "b"}}},
		`Header: "a b" is not a name`:              {Header: http.Header{"a b": {"x"}}},
		`Header: "" is not a name`:                 {Header: http.Header{"": {"x"}}},
		`Header: X holds '\r'`:                     {Header: http.Header{"X": {"x", "a\r\nB: c"}}},
		`Subprotocols: "a, b" is not a token`:      {Subprotocols: []string{"a, b"}},
		`Subprotocols: "" is not a token`:          {Subprotocols: []string{""}},
		`Subprotocols: "a" is there twice`:         {Subprotocols: []string{"a", "b", "a"}},
	} {
		c, r, err := Dial(within(t), "ws://127.0.0.1:1", o)
		if c != nil || r != nil || !errors.Is(err, api.ErrInvalidArgument) || !says(err, want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

func TestMaxMessageSize(t *testing.T) {
	address := serve(t, nil)
	o := direct(t)
	o.MaxMessageSize = 100
	c := dial(t, "ws://"+address, o)
	exchangeText(t, c, strings.Repeat("x", 100))
	frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: make([]byte, 101)}
	if err := c.SendFrame(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RecvZeroCopy(); err != io.EOF {
		t.Errorf("a message that is too large: %v", err)
	}
}

// Anything that NetDial returns will do: a socket of another kind, and what is no socket at all.
func TestNetDial(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"a socket":          func(c net.Conn) net.Conn { return c },
		"one with a wrap":   func(c net.Conn) net.Conn { return struct{ net.Conn }{c} },
		"one that embeds":   func(c net.Conn) net.Conn { return &counting{TCPConn: c.(*net.TCPConn)} },
		"a pipe to a relay": func(c net.Conn) net.Conn { return relay(c) },
	} {
		t.Run(name, func(t *testing.T) {
			o := direct(t)
			var got net.Conn
			o.NetDial = func(ctx context.Context, network, to string) (net.Conn, error) {
				if network != "tcp" || to != "example.com:80" {
					t.Errorf("to dial: %s, %s", network, to)
				}
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				if err == nil {
					got = wrap(conn)
				}
				return got, err
			}
			c := dial(t, "ws://example.com", o)
			exchangeText(t, c, "hello")
			exchangeText(t, c, strings.Repeat("x", 3<<20))
			if counted, ok := got.(*counting); ok && counted.bytes() < 3<<20 {
				t.Errorf("%d bytes went through what embeds the socket", counted.bytes())
			}
			c.Close()
			await(t, "the end", c.Done())
		})
	}
}

// counting is a socket with something on top.
type counting struct {
	*net.TCPConn
	mu sync.Mutex
	n  int
}

func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(p)
	return c.TCPConn.Write(p)
}

func (c *counting) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// relay is a pipe whose other end is copied from and to c.
func relay(c net.Conn) net.Conn {
	near, far := net.Pipe()
	go func() { _, _ = io.Copy(far, c); far.Close() }()
	go func() { _, _ = io.Copy(c, far); c.Close() }()
	return near
}

func TestNetDialFails(t *testing.T) {
	leaks(t)
	o := direct(t)
	torn := errors.New("torn")
	o.NetDial = func(context.Context, string, string) (net.Conn, error) { return nil, torn }
	if c, _, err := Dial(within(t), "ws://example.com", o); c != nil || !errors.Is(err, torn) {
		t.Errorf("%v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // nobody is there
	o.NetDial = nil
	var refused *net.OpError
	if c, _, err := Dial(within(t), "ws://"+ln.Addr().String(), o); c != nil || !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

// TLS goes through a bridge; nobody notices.
func TestTLS(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	front, pool := tlsFront(t, address, nil)
	o := direct(t)
	o.TLSConfig = &tls.Config{RootCAs: pool}
	c := dial(t, "wss://"+front, o)
	exchangeText(t, c, "hello")
	exchangeText(t, c, strings.Repeat("x", 3<<20))
	c.Close()
	await(t, "the end", c.Done())
	if code, _ := c.CloseStatus(); code != protocol.CloseNormalClosure {
		t.Errorf("closed with %d", code)
	}
	if o.TLSConfig.ServerName != "" || o.TLSConfig.NextProtos != nil {
		t.Error("the options have changed")
	}
}

func TestTLSRefuses(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	front, pool := tlsFront(t, address, []string{"h2"})
	o := direct(t)
	o.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	var unknown x509.UnknownAuthorityError
	if c, _, err := Dial(within(t), "wss://"+front, o); c != nil || !errors.As(err, &unknown) {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	o.TLSConfig = &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}}
	if c, _, err := Dial(within(t), "wss://"+front, o); c != nil || !says(err, `the protocol is "h2"`) {
		t.Errorf("HTTP/2: %v", err)
	}
	o.TLSConfig = nil
	var record tls.RecordHeaderError
	plain := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	if c, _, err := Dial(within(t), "wss://"+plain, o); c != nil || !errors.As(err, &record) {
		t.Errorf("a server without TLS: %v", err)
	}
}
