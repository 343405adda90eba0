package protocol

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// This is the client's side of the opening handshake; the server's is in handshake.go.

// NewKey returns a value for Sec-WebSocket-Key: 16 random bytes in base64 (RFC 6455 section 4.1, request's point 7).
func NewKey() (string, error) {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return "", fmt.Errorf("protocol: random key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(nonce[:]), nil
}

// CheckResponse applies the rules of RFC 6455 section 4.1 to the answer to a handshake with that key, in which the
// subprotocols were offered. It returns the one that the server has chosen, "" when none. An error says what is
// wrong; the connection is to be failed then. Extensions are for AcceptDeflate to check.
func CheckResponse(r *http.Response, key string, offered []string) (subprotocol string, err error) {
	switch {
	case r.StatusCode != http.StatusSwitchingProtocols: // response's point 1
		return "", fmt.Errorf("the status is %d, not %d", r.StatusCode, http.StatusSwitchingProtocols)
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return "", fmt.Errorf("the answer is %.20q, not HTTP/1.1", r.Proto)
	case len(r.Header["Upgrade"]) != 1 || !strings.EqualFold(r.Header["Upgrade"][0], "websocket"): // 2
		return "", fmt.Errorf("header Upgrade is %.60q, not websocket", r.Header["Upgrade"])
	case !hasToken(r.Header["Connection"], "upgrade"): // 3
		return "", fmt.Errorf("header Connection is %.60q and does not name Upgrade", r.Header["Connection"])
	}
	accepts := r.Header["Sec-Websocket-Accept"] // 4
	if want := AcceptKey(key); len(accepts) != 1 || accepts[0] != want {
		return "", fmt.Errorf("header Sec-WebSocket-Accept is %.60q, not %q", accepts, want)
	}
	switch chosen := r.Header["Sec-Websocket-Protocol"]; { // 6
	case len(chosen) == 0:
		return "", nil
	case len(chosen) > 1:
		return "", fmt.Errorf("header Sec-WebSocket-Protocol is there %d times", len(chosen))
	case !slices.Contains(offered, chosen[0]):
		return "", fmt.Errorf("the server chooses subprotocol %.60q, which was not offered", chosen[0])
	default:
		return chosen[0], nil
	}
}
