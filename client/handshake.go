package client

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/momentics/hioload-ws/protocol"
)

// makeRequest makes the request of the opening handshake (RFC 6455 section 4.1).
func (d *dialing) makeRequest() (err error) {
	if d.key, err = protocol.NewKey(); err != nil {
		return err
	}
	header := d.options.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	d.request = &http.Request{
		Method: http.MethodGet, URL: d.target.url, Host: d.target.url.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	for name, values := range header { // as somebody may have written it in another case
		if canonical := http.CanonicalHeaderKey(name); canonical != name {
			delete(header, name)
			header[canonical] = append(header[canonical], values...)
		}
	}
	if host := header.Get("Host"); host != "" {
		d.request.Host = host
		header.Del("Host")
	}
	if d.target.user != nil && header.Get("Authorization") == "" {
		header.Set("Authorization", basic(d.target.user))
	}
	if header["User-Agent"] == nil {
		header.Set("User-Agent", userAgent)
	}
	header.Set("Upgrade", "websocket")
	header.Set("Connection", "Upgrade")
	header["Sec-WebSocket-Key"] = []string{d.key} // in the RFC's own case, which some servers insist on
	header["Sec-WebSocket-Version"] = []string{"13"}
	if len(d.options.Subprotocols) > 0 {
		header["Sec-WebSocket-Protocol"] = []string{strings.Join(d.options.Subprotocols, ", ")}
	}
	if offer := protocol.OfferDeflate(d.options.Compression); offer != "" {
		header["Sec-WebSocket-Extensions"] = []string{offer}
	}
	if d.options.Jar != nil {
		for _, cookie := range d.options.Jar.Cookies(d.target.url) {
			d.request.AddCookie(cookie)
		}
	}
	return nil
}

// handshake exchanges request and answer and checks it. d.response is the answer from then on.
func (d *dialing) handshake(conn net.Conn) (*protocol.Adoption, error) {
	d.doing = "waiting for the server's answer"
	a, err := exchange(conn, d.request)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	d.response = a.response
	if d.options.Jar != nil {
		d.options.Jar.SetCookies(d.target.url, a.response.Cookies())
	}
	subprotocol, deflate, err := d.check(a.response)
	if err != nil {
		a.keepBody()
		return nil, &HandshakeError{Response: a.response, Reason: err}
	}
	a.response.Body = http.NoBody
	adoption := &protocol.Adoption{
		Client:       true,
		Request:      d.request,
		Rest:         bytes.Clone(a.rest()),
		MaxMessage:   d.options.MaxMessageSize,
		Subprotocol:  subprotocol,
		Remote:       conn.RemoteAddr(),
		Value:        d.options.Value,
		Streamed:     d.options.Streaming,
		Deflate:      deflate,
		PingInterval: d.options.PingInterval,
	}
	if d.options.Handler != nil {
		adoption.Route = protocol.NewRoute(d.options.Handler, protocol.RouteConfig{})
	}
	return adoption, nil
}

// check tells what is wrong with an answer, or which subprotocol and what compression was agreed on.
func (d *dialing) check(r *http.Response) (subprotocol string, deflate *protocol.Deflate, err error) {
	if location := r.Header.Get("Location"); location != "" && r.StatusCode/100 == 3 {
		return "", nil, fmt.Errorf("redirects are not followed; it is to %.200q", location)
	}
	if subprotocol, err = protocol.CheckResponse(r, d.key, d.options.Subprotocols); err != nil {
		return "", nil, err
	}
	deflate, err = protocol.AcceptDeflate(r.Header["Sec-Websocket-Extensions"], d.options.Compression)
	return subprotocol, deflate, err
}
