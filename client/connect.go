package client

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/momentics/hioload-ws/api"
)

// proxy returns the proxy to go through, nil for none.
func (d *dialing) proxy() (*url.URL, error) {
	choose := d.options.Proxy
	if choose == nil {
		choose = http.ProxyFromEnvironment
	}
	proxy, err := choose(d.request)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: Options.Proxy: %w", err)
	case proxy == nil:
		return nil, nil
	case proxy.Scheme != "http" && proxy.Scheme != "https":
		return nil, fmt.Errorf("client: the proxy's scheme is %.20q, not http or https: %w", proxy.Scheme,
			api.ErrNotSupported)
	case proxy.Hostname() == "":
		return nil, fmt.Errorf("client: the proxy's URL has no host: %w", api.ErrInvalidArgument)
	}
	return proxy, nil
}

// dial connects to the server, or to the proxy.
func (d *dialing) dial(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	address := d.target.address
	if proxy != nil {
		address = proxyAddress(proxy)
	}
	d.doing = "connecting to " + address
	dial := d.options.NetDial
	if dial == nil {
		var dialer net.Dialer
		dialer.SetMultipathTCP(false) // loops expect plain sockets
		dial = dialer.DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return conn, nil
}

func proxyAddress(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// layers puts what is between a connection and the handshake on top of it: TLS with the proxy, the tunnel, TLS with the
// server.
func (d *dialing) layers(ctx context.Context, conn net.Conn, proxy *url.URL) (net.Conn, error) {
	var err error
	if proxy != nil && proxy.Scheme == "https" {
		d.doing = "TLS with the proxy " + proxy.Host
		if conn, err = secure(ctx, conn, nil, proxy.Hostname()); err != nil {
			return nil, fmt.Errorf("client: %s: %w", d.doing, err)
		}
	}
	if proxy != nil {
		d.doing = "waiting for the proxy " + proxy.Host
		if err := d.tunnel(conn, proxy); err != nil {
			return nil, err
		}
	}
	if d.target.secure {
		d.doing = "TLS with the server"
		if conn, err = secure(ctx, conn, d.options.TLSConfig, d.target.url.Hostname()); err != nil {
			return nil, fmt.Errorf("client: %s: %w", d.doing, err)
		}
	}
	return conn, nil
}

var (
	errNoTunnel = errors.New("it does not connect to the server")
	errEarly    = errors.New("bytes follow that nobody has asked for")
)

// tunnel has the proxy connect to the server (RFC 9110 section 9.3.6).
func (d *dialing) tunnel(conn net.Conn, proxy *url.URL) error {
	request := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: d.target.address},
		Host:   d.target.address,
		Header: http.Header{"User-Agent": {userAgent}},
	}
	if proxy.User != nil {
		request.Header.Set("Proxy-Authorization", basic(proxy.User))
	}
	a, err := exchange(conn, request)
	if err != nil {
		return fmt.Errorf("client: the proxy %s: %w", proxy.Host, err)
	}
	switch {
	case a.response.StatusCode != http.StatusOK:
		a.keepBody()
		return &HandshakeError{Response: a.response, Proxy: proxy.Host, Reason: errNoTunnel}
	case len(a.rest()) > 0: // a WebSocket's server does not speak first
		a.response.Body = http.NoBody
		return &HandshakeError{Response: a.response, Proxy: proxy.Host, Reason: errEarly}
	}
	return nil
}

// secure does a TLS handshake on conn. HTTP/2 is not spoken here.
func secure(ctx context.Context, conn net.Conn, config *tls.Config, host string) (net.Conn, error) {
	config = config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{"http/1.1"}
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if chosen := secured.ConnectionState().NegotiatedProtocol; chosen != "" && chosen != "http/1.1" {
		return nil, fmt.Errorf("the protocol is %q, and a WebSocket begins with http/1.1", chosen)
	}
	return secured, nil
}

// basic returns credentials for a header (RFC 7617 section 2).
func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
