package main

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

const maxRequest = 8 << 10 // bytes of a request line and its header

// exchange is a connection: a request and its response.
type exchange struct {
	reactor.Base
	log      *log.Logger
	patience time.Duration
	request  []byte // as far as it has come; nil once it is answered
}

func (e *exchange) ConnectionMade(int, reactor.ClientInfo) { e.SetTimeout(e.patience) }

func (e *exchange) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 { // the end, in the middle of a request
		return reactor.Close
	}
	e.request = append(e.request, data.Slice(0, maxRequest-len(e.request))...)
	end := bytes.Index(e.request, []byte("\r\n\r\n"))
	switch {
	case end >= 0:
		return e.respond(e.request[:end])
	case len(e.request) == maxRequest:
		return e.answer("", http.StatusRequestHeaderFieldsTooLarge,
			fmt.Sprintf("No more than %d bytes, please.\n", maxRequest))
	}
	return reactor.Continue
}

// respond answers a request: its first line, and a header that nobody needs here.
func (e *exchange) respond(header []byte) reactor.Action {
	line, _, _ := strings.Cut(strings.ToValidUTF8(string(header), "\uFFFD"), "\r\n")
	fields := strings.Split(line, " ")
	if len(fields) != 3 || !strings.HasPrefix(fields[1], "/") || !strings.HasPrefix(fields[2], "HTTP/1.") {
		return e.answer("", http.StatusBadRequest, "A request begins like this: GET /path HTTP/1.0\n")
	}
	method, path := fields[0], fields[1]
	e.log.Printf("%q from %s", line, e.Info().Addr)
	if method != http.MethodGet && method != http.MethodHead {
		return e.answer(method, http.StatusNotImplemented, "Only GET and HEAD are served here.\n")
	}
	return e.answer(method, http.StatusOK, "Hello! You requested "+path)
}

// answer puts a response into the write buffer.
func (e *exchange) answer(method string, status int, body string) reactor.Action {
	e.request = nil
	e.SetTimeout(e.patience)
	fmt.Fprintf(&e.WriteBuffer, "HTTP/1.0 %d %s\r\n", status, http.StatusText(status))
	fmt.Fprintf(&e.WriteBuffer, "Content-Length: %d\r\n", len(body))
	fmt.Fprintf(&e.WriteBuffer, "Content-Type: text/plain; charset=utf-8\r\n\r\n")
	if method != http.MethodHead {
		e.WriteBuffer.WriteString(body)
	}
	return reactor.WritePending
}

// WriteReady sends the response, behind which HTTP/1.0 closes. A body, or whatever else the client still sends, is
// dropped without harm to a response that is on its way.
func (e *exchange) WriteReady() reactor.Action {
	done, err := e.Flush()
	if err == nil && !done {
		return reactor.Continue
	}
	return reactor.Close
}

// TimedOut tells a client that was too slow to ask, and closes one that is too slow to listen.
func (e *exchange) TimedOut() reactor.Action {
	if e.request == nil {
		return reactor.Close
	}
	return e.answer("", http.StatusRequestTimeout, fmt.Sprintf("The request took more than %v.\n", e.patience))
}
