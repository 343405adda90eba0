//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T, args ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return p, p.Addr()
}

// curl returns the lines that curl prints.
func curl(t *testing.T, args ...string) []string {
	t.Helper()
	c := exampletest.Client(t, "curl", append([]string{"-s", "-S", "--noproxy", "*", "--max-time", "60"}, args...)...)
	if status := c.Exit(); status != 0 {
		t.Fatalf("curl %q: exit status %d: %q", args, status, c.Err.Rest())
	}
	return c.Out.Rest()
}

func TestCurl(t *testing.T) {
	p, addr := start(t)
	for _, c := range []struct {
		name string
		args []string
		want []string
		log  string
	}{
		{"get", []string{"-i", "/path?q=1"}, []string{"HTTP/1.0 200 OK", "Content-Length: 30",
			"Content-Type: text/plain; charset=utf-8", "", "Hello! You requested /path?q=1"}, "GET /path?q=1 HTTP/1.1"},
		{"head", []string{"-I", "/"}, []string{"HTTP/1.0 200 OK", "Content-Length: 22",
			"Content-Type: text/plain; charset=utf-8", ""}, "HEAD / HTTP/1.1"},
		{"version 1.0", []string{"-0", "/"}, []string{"Hello! You requested /"}, "GET / HTTP/1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := len(c.args) - 1
			c.args[last] = "http://" + addr + c.args[last]
			if got := curl(t, c.args...); !slices.Equal(got, c.want) {
				t.Errorf("curl %q: %q, want %q", c.args, got, c.want)
			}
			if line := p.Out.Next(); !strings.Contains(line, c.log) {
				t.Errorf("the log says %q", line)
			}
		})
	}
	p.Interrupt()
}

// A response to a request whose body nobody reads arrives all the same.
func TestBodyThatIsNotRead(t *testing.T) {
	_, addr := start(t)
	got := exampletest.Python(t, addr, `
for _ in range(20):
    s = connect()
    s.sendall(b"POST / HTTP/1.0\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
    print(end(s).split(b"\r\n")[0].decode())
`)
	if want := slices.Repeat([]string{"HTTP/1.0 501 Not Implemented"}, 20); !slices.Equal(got, want) {
		t.Errorf("python got %q", got)
	}
}

// exchangeWith sends a request in pieces and returns the response.
func exchangeWith(t *testing.T, addr string, pieces ...string) string {
	t.Helper()
	conn := exampletest.Dial(t, "tcp", addr)
	for _, piece := range pieces {
		exampletest.Send(t, conn, piece)
	}
	response, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return string(response)
}

func TestRequests(t *testing.T) {
	_, addr := start(t)
	for _, c := range []struct {
		name   string
		pieces []string
		status string
	}{
		{"in one piece", []string{"GET / HTTP/1.0\r\n\r\n"}, "200 OK"},
		{"byte by byte", strings.Split("GET / HTTP/1.0\r\nHost: here\r\n\r\n", ""), "200 OK"},
		{"two in one", []string{"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n"}, "200 OK"},
		{"no request", []string{"hello\r\n\r\n"}, "400 Bad Request"},
		{"nothing", []string{"\r\n\r\n"}, "400 Bad Request"},
		{"no path", []string{"GET * HTTP/1.0\r\n\r\n"}, "400 Bad Request"},
		{"two blanks", []string{"GET  / HTTP/1.0\r\n\r\n"}, "400 Bad Request"},
		{"another protocol", []string{"GET / HTTP/2.0\r\n\r\n"}, "400 Bad Request"},
		{"other method", []string{"DELETE / HTTP/1.0\r\n\r\n"}, "501 Not Implemented"},
		{"as long as may be", []string{request(maxRequest)}, "200 OK"},
		{"too long", []string{request(maxRequest + 1)}, "431 Request Header Fields Too Large"},
		{"without an end", []string{strings.Repeat("x", 10*maxRequest)}, "431 Request Header Fields Too Large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, rest, _ := strings.Cut(exchangeWith(t, addr, c.pieces...), "\r\n")
			if status != "HTTP/1.0 "+c.status {
				t.Errorf("status is %q, want %q", status, c.status)
			}
			header, body, ok := strings.Cut(rest, "\r\n\r\n")
			if !ok || !strings.Contains(header, fmt.Sprintf("Content-Length: %d\r\n", len(body))) {
				t.Errorf("header %q, body %q", header, body)
			}
		})
	}
}

// request is one of so many bytes.
func request(size int) string {
	const begin, end = "GET / HTTP/1.0\r\nX: ", "\r\n\r\n"
	return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
}

func TestNoRequest(t *testing.T) {
	p, addr := start(t)
	before := p.Descriptors()
	conn := exampletest.Dial(t, "tcp", addr).(*net.TCPConn)
	exampletest.Send(t, conn, "GET / HTT")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	exampletest.ExpectEnd(t, conn) // in the middle of a request there is nothing to answer
	exampletest.Until(t, "there are as many descriptors as before", func() bool { return p.Descriptors() == before })
}

func TestSlowClient(t *testing.T) {
	_, addr := start(t, "-patience", "50ms")
	exampletest.Until(t, "a client that stops in a request is told so", func() bool {
		response := exchangeWith(t, addr, "GET / HTT") // of which nothing may have come when its time is over
		return strings.HasPrefix(response, "HTTP/1.0 408 Request Timeout\r\n")
	})
	if response := exchangeWith(t, addr); response != "" {
		t.Errorf("a client that says nothing gets %q", response)
	}
}

// A request that is under way at the end is answered; nobody new comes in.
func TestTerminate(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	exampletest.Send(t, conn, "GET / HTTP/1.0\r\n")
	if got := exchangeWith(t, addr, "GET /first HTTP/1.0\r\n\r\n"); got == "" { // so the server has both
		t.Fatal("no response")
	}
	p.Out.Want(`^"GET /first HTTP/1\.0" from 127\.0\.0\.1$`)
	p.Signal(syscall.SIGTERM)
	exampletest.Until(t, "the server does not listen any more", func() bool {
		other, err := net.Dial("tcp", addr)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	exampletest.Send(t, conn, "\r\n")
	response, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(response), "HTTP/1.0 200 OK\r\n") {
		t.Errorf("response %q, %v", response, err)
	}
	conn.Close()
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	p.Out.Want(`^"GET / HTTP/1\.0" from`)
	if rest := p.Out.Rest(); len(rest) > 0 {
		t.Errorf("at the end it says %q", rest)
	}
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "address already in use", "-addr", exampletest.Taken(t))
	exampletest.Fails(t, 1, "nowhere", "-addr", "nowhere")
}
