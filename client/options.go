package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// Conn is an open connection. Its methods are safe from any goroutine.
type Conn = protocol.WSConnection

// DefaultHandshakeTimeout is how long Dial may take where Options say nothing else.
const DefaultHandshakeTimeout = 30 * time.Second

// Options are how Dial connects. The zero value is useful. Dial does not change it, and it may be used by many Dials
// at a time, as long as what it refers to may.
type Options struct {
	// Header is sent with the request. "Host" replaces the URL's host in the request. The headers of the handshake
	// itself, Upgrade, Connection and those that begin with Sec-WebSocket-, may not be in it.
	Header http.Header

	// Jar provides cookies for the request and takes those of the answer, under the URL's http or https form. nil:
	// none.
	Jar http.CookieJar

	// Subprotocols are offered, the preferred one first.
	Subprotocols []string

	// HandshakeTimeout bounds all that Dial does, as its context does. 0: DefaultHandshakeTimeout; below 0: no limit.
	HandshakeTimeout time.Duration

	// Proxy returns the proxy for a request, nil for none. The request's URL has http in place of ws and https in
	// place of wss. A proxy is an http or https URL, with a user and password if it wants them; connections go
	// through it by CONNECT. nil: http.ProxyFromEnvironment. [NoProxy] asks for none.
	Proxy func(*http.Request) (*url.URL, error)

	// NetDial connects to the server, or the proxy; network is "tcp". It must heed ctx. A connection that is neither a
	// *net.TCPConn nor a *net.UnixConn costs what TLS costs; see the package's documentation. nil: net.Dialer.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)

	// TLSConfig is for wss. ServerName is set to the URL's host where it is empty. nil: the zero tls.Config.
	TLSConfig *tls.Config

	// Loops are the loops that the connection lives on. nil: those of the process.
	Loops *Loops

	// Value is what the connection's Value returns from the beginning.
	Value any

	// Handler gets an api.OpenEvent, the messages as api.Buffer, and an api.CloseEvent, on the loop, where it must
	// not block; protocol.Events is one with a function for each. The first of them may come before Dial has
	// returned. nil: messages wait for RecvZeroCopy.
	Handler api.Handler

	// Streaming has messages come in pieces while they arrive, for NextReader: they may be larger than memory.
	// Handler gets open and close events only. Without it NextReader works, too, and returns whole messages.
	Streaming bool

	// MaxMessageSize is how many bytes a received message may have, once it is expanded if it is compressed; a larger
	// one closes the connection with 1009. 0: 16 MiB, or no limit with Streaming.
	MaxMessageSize int64

	// Compression is what is offered to the server for permessage-deflate (RFC 7692); it decides, and may limit it
	// further. It saves bytes and costs memory and time: protocol.Compression says how much, and bounds it. nil:
	// nothing is compressed.
	Compression *protocol.Compression

	// PingInterval is how long the server may be silent before it is sent a ping, again and again; with
	// WithReadTimeout, which has to be longer, a server that is gone is noticed. In milliseconds, rounded up; it
	// takes a timer and no goroutine. 0: never.
	PingInterval time.Duration
}

// NoProxy, as Options.Proxy, connects directly, whatever the environment says.
func NoProxy(*http.Request) (*url.URL, error) { return nil, nil }

// timeout returns the limit of time for a Dial, 0 or below for none.
func (o *Options) timeout() time.Duration {
	if o.HandshakeTimeout == 0 {
		return DefaultHandshakeTimeout
	}
	return o.HandshakeTimeout
}

// validate tells which option is wrong.
func (o *Options) validate() error {
	if o.MaxMessageSize < 0 {
		return badOption("MaxMessageSize is %d", o.MaxMessageSize)
	}
	if o.PingInterval < 0 {
		return badOption("PingInterval is %v", o.PingInterval)
	}
	if err := o.Compression.Validate(); err != nil {
		return fmt.Errorf("client: Options: %w", err)
	}
	for name, values := range o.Header {
		if err := checkHeader(name, values); err != nil {
			return err
		}
	}
	for i, name := range o.Subprotocols { // RFC 6455 section 4.1, request's point 10: tokens, none twice
		if !isToken(name) {
			return badOption("Subprotocols: %.60q is not a token", name)
		}
		for _, other := range o.Subprotocols[:i] {
			if other == name {
				return badOption("Subprotocols: %q is there twice", name)
			}
		}
	}
	return nil
}

// checkHeader tells what is wrong with a header of the request. Where net/http would leave one out silently, or
// change it, somebody would look for it in vain.
func checkHeader(name string, values []string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !isToken(name):
		return badOption("Header: %.60q is not a name", name)
	case canonical == "Upgrade", canonical == "Connection", strings.HasPrefix(canonical, "Sec-Websocket-"):
		return badOption("Header: %s belongs to the handshake", canonical)
	case canonical == "Content-Length", canonical == "Transfer-Encoding", canonical == "Trailer":
		return badOption("Header: %s: a handshake has no body", canonical)
	case canonical == "Host" && len(values) != 1:
		return badOption("Header: Host is there %d times", len(values))
	}
	for _, value := range values {
		if i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); i >= 0 {
			return badOption("Header: %s holds %q", canonical, value[i])
		}
	}
	return nil
}

// isToken tells whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

func badOption(format string, args ...any) error {
	return fmt.Errorf("client: Options.%s: %w", fmt.Sprintf(format, args...), api.ErrInvalidArgument)
}
