//go:build linux

package main

import (
	"net"
	"slices"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

const greeting = "hello from package net"

// forBoth runs a test with connections that are duplicated, and with such that are given away whole.
func forBoth(t *testing.T, test func(t *testing.T, own string)) {
	for _, own := range []string{"dup", "transfer"} {
		t.Run(own, func(t *testing.T) { test(t, own) })
	}
}

func start(t *testing.T, own string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, "-addr", "127.0.0.1:0", "-own", own)
	return p, p.Addr()
}

// The session in README.md.
func TestNetcat(t *testing.T) {
	forBoth(t, func(t *testing.T, own string) {
		p, addr := start(t, own)
		host, port, _ := net.SplitHostPort(addr)
		nc := exampletest.Client(t, "nc", "-N", host, port)
		nc.Out.Want("^" + greeting + "$")
		from := p.Out.Want(`^Handed off: (127\.0\.0\.1 port \d+), tcp$`)[1]
		for _, text := range []string{"one", "two"} {
			nc.Write(text + "\n")
			nc.Out.Want("^Got: " + text + "$")
		}
		nc.CloseInput()
		p.Out.Want("^Closed: " + from + "$")
		if status := nc.Exit(); status != 0 {
			t.Errorf("nc ends with status %d", status)
		}
		p.Interrupt()
	})
}

// Descriptors end with their connections, whoever ends these, and none is closed twice: then it would hit another one.
func TestDescriptors(t *testing.T) {
	forBoth(t, func(t *testing.T, own string) {
		p, addr := start(t, own)
		before := p.Descriptors()
		got := exampletest.Python(t, addr, `
good = 0
for _ in range(20):
    clients = [connect() for _ in range(50)]
    for s in clients:
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
    good += sum(end(s) == b"hello from package net\nGot: x" for s in clients)
    for s in clients:
        s.close()
print(good)
`)
		if !slices.Equal(got, []string{"1000"}) {
			t.Errorf("python counts %q good connections, want 1000", got)
		}
		p.Out.Await(1000, "^Closed: ")
		exampletest.Until(t, "there are as many descriptors as before", func() bool { return p.Descriptors() == before })
		p.Interrupt()
	})
}

// When descriptors run out, clients wait or are dropped, and the program goes on when there are some again.
func TestOutOfDescriptors(t *testing.T) {
	forBoth(t, func(t *testing.T, own string) {
		p := exampletest.StartProgram(t, "sh", "-c", `ulimit -n 40 && exec "$0" "$@"`,
			exampletest.Program(), "-addr", "127.0.0.1:0", "-own", own)
		addr := p.Addr()
		var conns []net.Conn
		for range 60 { // the kernel completes them all
			conns = append(conns, exampletest.Dial(t, "tcp", addr))
		}
		p.Out.Await(1, "^Accepting pauses for ")
		for _, conn := range conns {
			conn.Close()
		}
		exampletest.Until(t, "it serves again", func() bool {
			conn := exampletest.Dial(t, "tcp", addr)
			defer conn.Close()
			conn.Write([]byte("x"))
			n, _ := conn.Read(make([]byte, 1)) // may be too early: then the connection ends
			return n == 1
		})
		p.Interrupt()
	})
}

func TestTerminateWithConnections(t *testing.T) {
	forBoth(t, func(t *testing.T, own string) {
		p, addr := start(t, own)
		conn := exampletest.Dial(t, "tcp", addr)
		exampletest.Expect(t, conn, greeting+"\n")
		exampletest.Send(t, conn, "x")
		exampletest.Expect(t, conn, "Got: x")
		p.Terminate()
		exampletest.ExpectEnd(t, conn)
		p.Out.Want("^Handed off: ")
		p.Out.Want("^Closed: ")
	})
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "address already in use", "-addr", exampletest.Taken(t))
	exampletest.Fails(t, 1, "nowhere", "-addr", "nowhere")
	exampletest.Fails(t, 2, `"both", neither dup nor transfer`, "-own", "both")
}
