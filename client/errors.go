package client

import (
	"fmt"
	"net/http"

	"github.com/momentics/hioload-ws/api"
)

// maxRefusal is how many bytes of the body of an answer that refuses are kept.
const maxRefusal = 4 << 10

// HandshakeError says that there was an answer, and not the one that opens a WebSocket: a refusal, or something that
// breaks the rules. errors.As finds it in the error of Dial.
type HandshakeError struct {
	// Response is the answer. Its body is there to be read, up to its first 4 KiB, and need not be closed.
	Response *http.Response
	// Proxy is the address of the proxy that gave the answer; empty: the server did.
	Proxy string
	// Reason is what is wrong with it.
	Reason error
}

// Error names who answered, how, and what is wrong with that.
func (e *HandshakeError) Error() string {
	who := "the server"
	if e.Proxy != "" {
		who = "the proxy " + e.Proxy
	}
	return fmt.Sprintf("client: %s answers %.60q: %v", who, e.Response.Status, e.Reason)
}

// Unwrap returns the reason.
func (e *HandshakeError) Unwrap() error { return e.Reason }

// ErrLoopsClosed is returned by a Dial whose Loops have been closed. api.ErrTransportClosed and net.ErrClosed match it.
var ErrLoopsClosed = fmt.Errorf("client: the loops are closed: %w", api.ErrTransportClosed)
