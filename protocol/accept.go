package protocol

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/momentics/hioload-ws/api"
)

// RouteConfig says how opening handshakes are answered on a [Route], and what its connections are like. The zero value is
// useful.
type RouteConfig struct {
	// Subprotocols are those that the server speaks, the one it likes best first. The first that the client offers, too,
	// is agreed on (RFC 6455 section 4.2.2, point 5.5); if there is none, the connection has no subprotocol.
	Subprotocols []string

	// CheckOrigin tells whether a request may come from where it comes from; those that may not are refused with 403. It
	// may run on a loop and must not block. nil: all may.
	CheckOrigin func(*http.Request) bool

	// Header is added to the answer that completes a handshake.
	Header http.Header

	// Compression is what the server agrees to where a client offers permessage-deflate (RFC 7692); nil: nothing is
	// compressed. It must not be changed any more.
	Compression *Compression

	// MaxMessage is how many bytes a received message may have, compressed ones once they are expanded; 0: the loop's
	// limit, or none when Streamed.
	MaxMessage int64

	// Streamed has messages received in pieces, with WSConnection.NextReader; no handler gets them.
	Streamed bool
}

// Validate tells what is wrong with it; errors match api.ErrInvalidArgument.
func (c *RouteConfig) Validate() error {
	for _, name := range c.Subprotocols {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r > 127 || !isTokenByte(byte(r)) }) {
			return fmt.Errorf("protocol: %q is no name of a subprotocol: %w", name, api.ErrInvalidArgument)
		}
	}
	for name := range c.Header {
		if ours(http.CanonicalHeaderKey(name)) {
			return fmt.Errorf("protocol: header %s is the handshake's own: %w", name, api.ErrInvalidArgument)
		}
	}
	if c.MaxMessage < 0 {
		return fmt.Errorf("protocol: MaxMessage is %d: %w", c.MaxMessage, api.ErrInvalidArgument)
	}
	return c.Compression.Validate()
}

// ours tells whether a header of the answer says what only the handshake can know.
func ours(name string) bool {
	switch name {
	case "Upgrade", "Connection", "Content-Length", "Transfer-Encoding":
		return true
	}
	return strings.HasPrefix(name, "Sec-Websocket-")
}

// SameOrigin tells whether a request comes from a page of the host that it goes to: whether the host in its header Origin,
// which browsers send and pages cannot change, is that in Host (RFC 6455 section 10.2). A request without Origin is not a
// browser's, and fine.
func SameOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || u.Host == "" {
		return false // "null", too: a page without an origin of its own (RFC 6454 section 7.1)
	}
	return strings.EqualFold(explicit(u.Scheme, u.Host), explicit(u.Scheme, r.Host))
}

// explicit returns host without the port that the scheme implies.
func explicit(scheme, host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != map[string]string{"http": "80", "https": "443"}[scheme] {
		return host
	}
	if strings.Contains(name, ":") {
		return "[" + name + "]"
	}
	return name
}

// UpgradeRequest is the request of an opening handshake that has come over net/http.
type UpgradeRequest struct {
	Request *http.Request
	Route   *Route      // nil: the endpoint's own
	Header  http.Header // added to the response, where the route has no line of that name
	From    *HandOver   // what the connection has been so far; nil: none of the endpoint's
}

// Accept checks the request of an opening handshake. On success the connection counts as open: the client is to be sent the
// response, and a given to Adopt, or to Cancel; the endpoint is not drained before. An error is a *HandshakeError. Any
// goroutine.
func (e *Endpoint) Accept(u UpgradeRequest) (a Adoption, response []byte, err error) {
	if err = checkHandshake(u.Request); err == nil {
		a, response, err = e.acceptPlain(&u)
	}
	if err != nil {
		e.countRefusal(err.(*HandshakeError))
	}
	return a, response, err
}

// acceptPlain is Accept for a request that is well-formed.
func (e *Endpoint) acceptPlain(u *UpgradeRequest) (Adoption, []byte, error) {
	var client netip.Addr
	if u.From == nil { // else it is counted already
		if client = clientAddr(u.Request.RemoteAddr); !e.addresses.enter(client) {
			e.crowded.Add(1)
			return Adoption{}, nil, errCrowded
		}
	}
	route := u.Route
	if route == nil {
		route = &e.own
	}
	accepted := false
	defer func() {
		if !accepted { // for CheckOrigin may have panicked, too
			e.addresses.leave(client)
		}
	}()
	a, response, err := e.accept(u.Request, route, u.From, u.Header)
	if err != nil {
		return Adoption{}, nil, err
	}
	accepted = true
	if u.From != nil {
		client, u.From.client = u.From.client, netip.Addr{}
	}
	a.admitted, a.client = true, client
	e.live.Add(1)
	return a, response, nil
}

// Cancel takes back what Accept has counted.
func (e *Endpoint) Cancel(a Adoption) {
	e.opened.Add(-1)
	e.addresses.leave(a.client)
	e.active.Add(-1)
	e.live.Add(-1)
	e.checkDrained()
}

// accept decides on a request that is well-formed, and counts the connection. from and header are as in UpgradeRequest.
func (e *Endpoint) accept(r *http.Request, route *Route, from *HandOver, header http.Header) (Adoption, []byte, error) {
	config := &route.config
	if config.CheckOrigin != nil && !config.CheckOrigin(r) {
		return Adoption{}, nil, refuse(http.StatusForbidden, "the request comes from a place that is not allowed")
	}
	extensions, deflate, err := NegotiateDeflate(r.Header["Sec-Websocket-Extensions"], config.Compression)
	if err != nil {
		return Adoption{}, nil, refuse(http.StatusBadRequest, "header Sec-WebSocket-Extensions is malformed")
	}
	if err := e.admit(from); err != nil {
		return Adoption{}, nil, err
	}
	a := Adoption{
		Request:     r,
		Route:       route,
		Subprotocol: chooseSubprotocol(config.Subprotocols, r.Header["Sec-Websocket-Protocol"]),
		MaxMessage:  config.MaxMessage,
		Streamed:    config.Streamed,
		Deflate:     deflate,
	}
	return a, a.response(extensions, config.Header, header), nil
}

// chooseSubprotocol returns the first of ours that the client's header lines name, "" if there is none.
func chooseSubprotocol(ours []string, lines []string) string {
	for _, name := range ours {
		for _, line := range lines {
			if slices.ContainsFunc(strings.Split(line, ","), func(item string) bool {
				return strings.Trim(item, " \t") == name
			}) {
				return name
			}
		}
	}
	return ""
}

// response returns the answer that completes the handshake (RFC 6455 section 4.2.2, point 5). Of the headers in which
// others have their say, the first that has a line of some name decides on it.
func (a *Adoption) response(extensions string, headers ...http.Header) []byte {
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(AcceptResponse(a.Request), []byte("\r\n")))
	if a.Subprotocol != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + a.Subprotocol + "\r\n")
	}
	if extensions != "" {
		b.WriteString("Sec-WebSocket-Extensions: " + extensions + "\r\n")
	}
	extra := make(http.Header)
	for _, header := range headers {
		for name, values := range header {
			if name = http.CanonicalHeaderKey(name); extra[name] == nil && !ours(name) {
				extra[name] = values
			}
		}
	}
	_ = extra.Write(&b) // a buffer takes everything; a line break in a value becomes a blank
	b.WriteString("\r\n")
	return b.Bytes()
}

// Subprotocol is what the handshake has agreed on; "" if it has not.
func (c *WSConnection) Subprotocol() string {
	if x := c.extra.Load(); x != nil {
		return x.subprotocol
	}
	return ""
}
