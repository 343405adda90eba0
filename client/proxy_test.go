package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

// asked is what a proxy has been asked for.
type asked struct{ method, target, credentials string }

// proxy starts a real proxy, which connects where it is told to and tells so.
func proxy(t testing.TB, config *tls.Config) (address string, requests chan asked) {
	t.Helper()
	requests = make(chan asked, 10)
	address = listen(t, func(conn net.Conn) {
		if config != nil {
			conn = tls.Server(conn, config)
		}
		r, err := http.ReadRequest(newReader(conn)) // the client sends nothing more before the answer
		if err != nil {
			return
		}
		requests <- asked{r.Method, r.RequestURI, r.Header.Get("Proxy-Authorization")}
		if r.Host != r.RequestURI {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(conn, r.RequestURI)
	})
	return address, requests
}

// through returns a function for Options.Proxy, and what it has been asked about.
func through(t testing.TB, text string) (func(*http.Request) (*url.URL, error), chan string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	about := make(chan string, 10)
	return func(r *http.Request) (*url.URL, error) {
		about <- r.URL.String()
		return u, nil
	}, about
}

// ws and wss go through a proxy, with TLS to the proxy or without.
func TestProxy(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	front, pool := tlsFront(t, address, nil)
	plain, plainRequests := proxy(t, nil)
	for scheme, to := range map[string]string{"ws": address, "wss": front} {
		t.Run(scheme, func(t *testing.T) {
			o := direct(t)
			o.TLSConfig = &tls.Config{RootCAs: pool}
			var about chan string
			o.Proxy, about = through(t, "http://user:p%40ss@"+plain)
			c := dial(t, scheme+"://"+to+"/x", o)
			exchangeText(t, c, "hello")
			if got, want := <-plainRequests, (asked{"CONNECT", to, "Basic dXNlcjpwQHNz"}); got != want {
				t.Errorf("the proxy was asked for %+v, want %+v", got, want)
			}
			want := map[string]string{"ws": "http", "wss": "https"}[scheme] + "://" + to + "/x"
			if got := <-about; got != want {
				t.Errorf("the proxy for %s was wanted, not for %s", got, want)
			}
			c.Close()
			await(t, "the end", c.Done())
		})
	}
}

// TLS to the proxy, checked against the certificates that the machine trusts, and TLS to the server within.
func TestProxyWithTLS(t *testing.T) {
	leaks(t)
	own, pool := certificate(t)
	secured, _ := proxy(t, &tls.Config{Certificates: []tls.Certificate{own}})
	address := serve(t, nil)
	front, _ := tlsFront(t, address, nil)
	o := direct(t)
	o.TLSConfig = &tls.Config{RootCAs: pool}
	o.Proxy, _ = through(t, "https://"+secured)
	for _, url := range []string{"ws://" + address, "wss://" + front} {
		c := dial(t, url, o)
		exchangeText(t, c, "hello")
		c.Close()
		await(t, "the end", c.Done())
	}
	_, port, err := net.SplitHostPort(secured)
	if err != nil {
		t.Fatal(err)
	}
	o.Proxy, _ = through(t, "https://localhost:"+port) // which is not what the certificate says
	o.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, secured)
	}
	var invalid *tls.CertificateVerificationError
	if c, _, err := Dial(within(t), "ws://"+address, o); c != nil || !errors.As(err, &invalid) ||
		!says(err, "TLS with the proxy") {
		t.Errorf("%v", err)
	}
}

func TestProxyRefuses(t *testing.T) {
	leaks(t)
	for _, c := range []struct {
		answer string
		status int
		body   string
		want   string
	}{
		{"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho", 407, "who", "does not connect"},
		{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 502, "", "does not connect"},
		{"HTTP/1.1 200 OK\r\n\r\nsurprise", 200, "", "bytes follow that nobody has asked for"},
	} {
		at := answering(t, func(*http.Request) string { return c.answer })
		o := direct(t)
		o.Proxy, _ = through(t, "http://"+at)
		conn, response, err := Dial(within(t), "ws://example.com", o)
		var refused *HandshakeError
		if conn != nil || response != nil || !errors.As(err, &refused) || !says(err, c.want) || !says(err, at) {
			t.Errorf("got %v, %v; want %q", response, err, c.want)
			continue
		}
		body, err := io.ReadAll(refused.Response.Body)
		if refused.Proxy != at || refused.Response.StatusCode != c.status || string(body) != c.body || err != nil {
			t.Errorf("%+v with %q, %v", refused, body, err)
		}
	}
	o := direct(t)
	o.Proxy, _ = through(t, "http://"+listen(t, func(net.Conn) {}))
	if _, _, err := Dial(within(t), "ws://example.com", o); err == nil {
		t.Error("a proxy that hangs up")
	}
}

func TestProxyErrors(t *testing.T) {
	o := direct(t)
	o.Proxy, _ = through(t, "socks5://127.0.0.1:1")
	_, _, err := Dial(within(t), "ws://example.com", o)
	if !errors.Is(err, api.ErrNotSupported) || !says(err, "socks5") {
		t.Errorf("SOCKS: %v", err)
	}
	o.Proxy, _ = through(t, "http://")
	if _, _, err := Dial(within(t), "ws://example.com", o); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("no host: %v", err)
	}
	torn := errors.New("torn")
	o.Proxy = func(*http.Request) (*url.URL, error) { return nil, torn }
	if _, _, err := Dial(within(t), "ws://example.com", o); !errors.Is(err, torn) {
		t.Errorf("an error: %v", err)
	}
	for text, want := range map[string]string{"http://p": "p:80", "https://p": "p:443", "http://[::1]:8": "[::1]:8"} {
		u, err := url.Parse(text)
		if err != nil || proxyAddress(u) != want {
			t.Errorf("%s: %s, %v; want %s", text, proxyAddress(u), err, want)
		}
	}
}
