//go:build linux

package main

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T, args ...string) (p *exampletest.Process, echoAddr, statusAddr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-echo", "127.0.0.1:0", "-status", "127.0.0.1:0"}, args...)...)
	echoAddr = p.Out.Want(`^Listening on (\S+): echo$`)[1]
	statusAddr = p.Out.Want(`^Listening on (\S+): status$`)[1]
	return p, echoAddr, statusAddr
}

// status is what curl gets from the status page.
func status(t *testing.T, addr string) []string {
	t.Helper()
	curl := exampletest.Client(t, "curl", "-s", "-S", "--noproxy", "*", "--max-time", "60", "http://"+addr+"/")
	if status := curl.Exit(); status != 0 {
		t.Fatalf("curl: exit status %d: %q", status, curl.Err.Rest())
	}
	return curl.Out.Rest()
}

// echoed sends text by a connection to the echo service, and gets it back.
func echoed(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn := exampletest.Dial(t, "tcp", addr)
	exampletest.Send(t, conn, "hello\n")
	exampletest.Expect(t, conn, "hello\n")
	return conn
}

// The session in README.md.
func TestSession(t *testing.T) {
	p, echoAddr, statusAddr := start(t)
	host, port, _ := net.SplitHostPort(echoAddr)
	nc := exampletest.Client(t, "nc", host, port)
	nc.Write("hello\n")
	nc.Out.Want("^hello$")
	want := []string{"echo: 1 connections now, 1 so far, 2 loops", "status: 1 connections now, 1 so far, 1 loops"}
	if got := status(t, statusAddr); !slices.Equal(got, want) {
		t.Errorf("status %q, want %q", got, want)
	}
	nc.Write("still here\n")
	nc.Out.Want("^still here$")
	p.Interrupt()
}

// Each context has connections and counters of its own, and what one is full of does not concern the other.
func TestIsolation(t *testing.T) {
	p, echoAddr, statusAddr := start(t, "-max", "2")
	first := echoed(t, echoAddr)
	echoed(t, echoAddr)
	exampletest.ExpectEnd(t, exampletest.Dial(t, "tcp", echoAddr))
	p.Err.Want(`a connection was accepted and closed.*the context has 2 connections`)
	if got, want := status(t, statusAddr)[0], "echo: 2 connections now, 2 so far, 2 loops"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	// What is no request for the one is a message for the other.
	exampletest.Send(t, first, "GET / HTTP/1.0\r\n\r\n")
	exampletest.Expect(t, first, "GET / HTTP/1.0\r\n\r\n")
	first.Close()
	exampletest.Until(t, "the echo service has noticed", func() bool {
		return strings.HasPrefix(status(t, statusAddr)[0], "echo: 1 connections now, 2 so far, ")
	})
	echoed(t, echoAddr)
}

func TestNoRequest(t *testing.T) {
	_, _, statusAddr := start(t)
	for _, c := range []struct{ name, request string }{
		{"too long", strings.Repeat("x", maxRequest+1)},
		{"cut off", "GET / HTTP/1.0\r\n"},
	} {
		conn := exampletest.Dial(t, "tcp", statusAddr).(*net.TCPConn)
		exampletest.Send(t, conn, c.request)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		exampletest.ExpectEnd(t, conn)
	}
	if got := status(t, statusAddr); len(got) != 2 {
		t.Errorf("status %q", got)
	}
}

func TestTerminateWithConnections(t *testing.T) {
	p, echoAddr, statusAddr := start(t)
	conn, other := echoed(t, echoAddr), exampletest.Dial(t, "tcp", statusAddr)
	status(t, statusAddr) // so that other has been accepted, too
	p.Terminate()
	exampletest.ExpectEnd(t, conn)
	exampletest.ExpectEnd(t, other)
}

func TestBadArguments(t *testing.T) {
	taken, free := exampletest.Taken(t), "127.0.0.1:0"
	exampletest.Fails(t, 1, taken+": bind: address already in use", "-echo", taken, "-status", free)
	exampletest.Fails(t, 1, taken+": bind: address already in use", "-echo", free, "-status", taken)
	exampletest.Fails(t, 1, "MaxConnections is -1", "-max", "-1")
}
