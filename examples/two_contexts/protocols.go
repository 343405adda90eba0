package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

// echo sends back what it receives. reactor.Base does the writing.
type echo struct{ reactor.Base }

func (e *echo) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 {
		return reactor.Close
	}
	e.WriteBuffer.Write(data)
	return reactor.WritePending
}

const (
	maxRequest = 4 << 10          // bytes of a request
	patience   = 10 * time.Second // for the request, and for the client to take the answer
)

// page answers any HTTP request with how a context is.
type page struct {
	reactor.Base
	about   *reactor.Context
	request []byte
}

func (p *page) ConnectionMade(int, reactor.ClientInfo) { p.SetTimeout(patience) } // then Base closes

func (p *page) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 || len(p.request)+len(data) > maxRequest {
		return reactor.Close
	}
	p.request = append(p.request, data...)
	if !bytes.Contains(p.request, []byte("\r\n\r\n")) {
		return reactor.Continue
	}
	body := describe("echo", p.about) + describe("status", p.Context())
	fmt.Fprintf(&p.WriteBuffer, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n")
	fmt.Fprintf(&p.WriteBuffer, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return reactor.WritePending
}

// WriteReady closes when all is sent.
func (p *page) WriteReady() reactor.Action {
	if action := p.Base.WriteReady(); action != reactor.ReadPending {
		return action
	}
	return reactor.Close
}

func describe(name string, c *reactor.Context) string {
	s := c.Stats()
	return fmt.Sprintf("%s: %d connections now, %d so far, %d loops\n", name, s.Connections, s.Handoffs, len(s.Loops))
}
