package protocol

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// MaxHandshakeSize is how many bytes the request of an opening handshake may have.
const MaxHandshakeSize = 16 << 10

// acceptGUID is appended to the client's key (RFC 6455 section 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// HandshakeError is why an opening handshake was refused, and the answer that says so.
type HandshakeError struct {
	Status int    // HTTP status code of the answer
	Reason string // one line for a person to read; no part of the request appears in it
}

// Error returns the reason with the status.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("protocol: handshake refused with %d: %s", e.Status, e.Reason)
}

// Response returns the complete HTTP/1.1 answer. The connection is to be closed after it. An answer of 426 names what
// the client should upgrade to (RFC 6455 section 4.4, RFC 9110 section 15.5.22).
func (e *HandshakeError) Response() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", e.Status, http.StatusText(e.Status))
	header := e.header()
	header.Set("Connection", strings.TrimPrefix(header.Get("Connection")+", close", ", "))
	_ = header.Write(&b) // a buffer takes everything
	fmt.Fprintf(&b, "\r\n%s\n", e.Reason)
	return b.Bytes()
}

// ServeHTTP gives the same answer over package net/http, where the connection goes on.
func (e *HandshakeError) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	maps.Copy(w.Header(), e.header())
	w.WriteHeader(e.Status)
	fmt.Fprintln(w, e.Reason)
}

func (e *HandshakeError) header() http.Header {
	header := http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
		"Content-Length":         {strconv.Itoa(len(e.Reason) + 1)},
	}
	switch e.Status {
	case http.StatusUpgradeRequired:
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
		header.Set("Sec-WebSocket-Version", "13")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header.Set("Retry-After", "1") // in seconds: no rate is below one a second
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodGet)
	}
	return header
}

// HandshakeComplete tells whether received holds a whole request head: whether an empty line is in it. Bytes before
// from, less the three that an end of head may reach back, are known not to complete one.
func HandshakeComplete(received []byte, from int) bool {
	tail := received[max(0, from-3):]
	return bytes.Contains(tail, []byte("\n\r\n")) || bytes.Contains(tail, []byte("\n\n"))
}

// ReadHandshake reads the request of an opening handshake from received and checks it as RFC 6455 section 4.2.1 asks. It
// returns the request and how many bytes of received belong to it; what follows are the client's first frames. A request
// that is not acceptable gives a *HandshakeError. Nothing returned refers to received.
func ReadHandshake(received []byte) (request *http.Request, size int, err error) {
	request, size, err = readRequest(received)
	if err == nil {
		err = checkHead(request, received[:size])
	}
	if err != nil {
		return nil, 0, err
	}
	return request, size, nil
}

// IsUpgrade tells whether a request asks for WebSocket, in a way that is acceptable or not.
func IsUpgrade(r *http.Request) bool { return hasToken(r.Header["Upgrade"], "websocket") }

// headReaders are *bufio.Readers between requests. Between two connections that are made they would leave holes in the heap.
var headReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 512) }}

// readRequest reads a request's head.
func readRequest(received []byte) (request *http.Request, size int, err error) {
	source := bytes.NewReader(received)
	reader := headReaders.Get().(*bufio.Reader)
	reader.Reset(source)
	request, err = http.ReadRequest(reader)
	if err != nil || request.Body == http.NoBody { // else the body reads on from it
		defer func() {
			reader.Reset(nil)
			headReaders.Put(reader)
		}()
	}
	if err != nil {
		// The parser's own words may quote the request, so they are not repeated to the client.
		return nil, 0, refuse(http.StatusBadRequest, "malformed HTTP request")
	}
	size = len(received) - source.Len() - reader.Buffered()
	if size > MaxHandshakeSize {
		return nil, 0, refuse(http.StatusRequestHeaderFieldsTooLarge, "request head too large")
	}
	return request, size, nil
}

// checkHead applies the rules of RFC 6455 section 4.2.1 to a request and the head that it was read from.
func checkHead(request *http.Request, head []byte) error {
	if err := checkHandshake(request); err != nil {
		return err
	}
	// With an absolute URI, net/http takes the host from that and doesn't tell whether there was a header, too.
	if request.URL.IsAbs() && !bytes.Contains(bytes.ToLower(head), []byte("\nhost:")) { // 2
		return refuse(http.StatusBadRequest, "header Host is missing")
	}
	return nil
}

// checkHandshake applies the numbered rules of RFC 6455 section 4.2.1.
func checkHandshake(r *http.Request) error {
	switch {
	case r.Method != http.MethodGet: // 1
		return refuse(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET request")
	case r.ProtoMajor != 1: // 1
		return refuse(http.StatusHTTPVersionNotSupported, "a WebSocket handshake needs HTTP/1.1")
	case r.ProtoMinor < 1: // 1
		return refuse(http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1 or later")
	case !strings.HasPrefix(r.RequestURI, "/") &&
		(r.URL.Scheme != "http" && r.URL.Scheme != "https" || r.URL.Host == ""): // 1
		return refuse(http.StatusBadRequest, "the request names no path and no HTTP URI")
	case r.Host == "": // 2
		return refuse(http.StatusBadRequest, "header Host is missing")
	case len(r.Header["Upgrade"]) == 0: // 3
		return refuse(http.StatusUpgradeRequired, "this is a WebSocket endpoint")
	case !hasToken(r.Header["Upgrade"], "websocket"): // 3
		return refuse(http.StatusBadRequest, "header Upgrade does not name websocket")
	case !hasToken(r.Header["Connection"], "upgrade"): // 4
		return refuse(http.StatusBadRequest, "header Connection does not name Upgrade")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "a WebSocket handshake has no body")
	}
	if versions := r.Header["Sec-Websocket-Version"]; len(versions) != 1 || versions[0] != "13" { // 6, section 4.4
		return refuse(http.StatusUpgradeRequired, "only version 13 of the WebSocket protocol is spoken here")
	}
	keys := r.Header["Sec-Websocket-Key"] // 5
	if len(keys) != 1 {
		return refuse(http.StatusBadRequest, "header Sec-WebSocket-Key must be there once")
	}
	if nonce, err := base64.StdEncoding.Strict().DecodeString(keys[0]); err != nil || len(nonce) != 16 ||
		strings.ContainsAny(keys[0], "\r\n") {
		return refuse(http.StatusBadRequest, "header Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return nil
}

// hasToken tells whether a list of tokens (RFC 9110 section 5.6.1), which may be spread over several header lines, names
// token, in lower case or not.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for _, item := range strings.Split(line, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// AcceptKey answers a client's Sec-WebSocket-Key (RFC 6455 section 4.2.2, point 5.4).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AcceptResponse returns the answer that completes the handshake of a request that ReadHandshake has accepted
// (RFC 6455 section 4.2.2, point 5). No extension and no subprotocol is chosen.
func AcceptResponse(request *http.Request) []byte {
	return []byte("HTTP/1.1 " + strconv.Itoa(http.StatusSwitchingProtocols) + " Switching Protocols\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + AcceptKey(request.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
}
