//go:build linux

package reactor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

// echoProtocol sends back whatever it receives.
type echoProtocol struct{ reactor.Base }

func (p *echoProtocol) ConnectionMade(_ int, info reactor.ClientInfo) {
	fmt.Println("connection from", info.Addr, info.Type)
}

func (p *echoProtocol) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 {
		return reactor.Close
	}
	p.WriteBuffer.Write(data)
	return reactor.WritePending // Base writes it, and then reads on
}

func (p *echoProtocol) ConnectionLost() { fmt.Println("connection closed") }

// A server whose protocol has three methods; the fourth is Base's.
func ExampleProtocol() {
	server, err := reactor.NewContext(reactor.ContextOptions{
		Factory: func() reactor.Protocol { return new(echoProtocol) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := server.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	reply := make([]byte, 5)
	fmt.Fprint(client, "hello")
	io.ReadFull(client, reply)
	client.Close()
	server.Shutdown(context.Background()) // waits for the connection to end
	fmt.Printf("%s\n", reply)
	// Output:
	// connection from 127.0.0.1 tcp
	// connection closed
	// hello
}

// httpProtocol is a minimal HTTP/1.0: one request without a body, one response.
type httpProtocol struct {
	reactor.Base
	request []byte
}

const (
	maxRequest  = 8 << 10
	requestTime = 10 * time.Second
)

// A request that does not come in time closes the connection: Base answers so.
func (p *httpProtocol) ConnectionMade(int, reactor.ClientInfo) { p.SetTimeout(requestTime) }

func (p *httpProtocol) DataReceived(data reactor.Buffer) reactor.Action {
	p.request = append(p.request, data...)
	switch head := reactor.Buffer(p.request); {
	case head.Contains("\r\n\r\n"):
		p.respond(head)
		return reactor.WritePending
	case len(data) == 0 || len(p.request) > maxRequest:
		return reactor.Close
	}
	return reactor.Continue // until the rest comes
}

func (p *httpProtocol) respond(head reactor.Buffer) {
	status, body := "400 Bad Request", "What is that?\n"
	fields := strings.Fields(head.Slice(0, head.Find("\r\n")).String())
	if len(fields) == 3 && strings.HasPrefix(fields[2], "HTTP/1.") {
		status, body = "200 OK", fmt.Sprintf("Hello! You requested %s\n", fields[1])
	}
	fmt.Fprintf(&p.WriteBuffer, "HTTP/1.0 %s\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s",
		status, len(body), body)
}

func (p *httpProtocol) WriteReady() reactor.Action {
	if done, err := p.Flush(); err == nil && !done {
		return reactor.Continue
	}
	return reactor.Close // HTTP/1.0: one response a connection
}

// HTTP/1.0 on a connection that package net has accepted.
func ExampleContext_Adopt() {
	server, err := reactor.NewContext(reactor.ContextOptions{
		Factory: func() reactor.Protocol { return new(httpProtocol) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if err := server.Adopt(conn); err != nil { // then it is still ours
				fmt.Println(err)
				conn.Close()
			}
		}
	}()

	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Fprint(client, "GET /index.html HTTP/1.0\r\n\r\n")
	response, err := io.ReadAll(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.ReplaceAll(string(response), "\r", ""))
	// Output:
	// HTTP/1.0 200 OK
	// Content-Length: 33
	// Content-Type: text/plain
	//
	// Hello! You requested /index.html
}
