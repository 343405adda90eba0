//go:build linux

package main

import (
	"fmt"
	"net"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, "-addr", "127.0.0.1:0")
	return p, p.Addr()
}

func says(t *testing.T, nc *exampletest.Process, line string) {
	t.Helper()
	nc.Write(line + "\n")
	nc.Out.Want("^" + line + "$")
}

// What README.md shows.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	first := exampletest.Client(t, "nc", "-N", host, port)
	own := first.Out.Want(`^\[Conn 1\] connected, port (\d+) is yours$`)[1]
	says(t, first, "hello")
	second := exampletest.Client(t, "nc", "-N", host, own)
	second.Out.Want(`^\[Conn 2\] connected to the port of connection 1$`)
	says(t, second, "me, too")

	// The port goes with its client, and whom it has brought stays.
	first.CloseInput()
	first.Exit()
	p.Out.Want(`^\[Conn 1\] connected, port ` + own + ` is yours$`)
	p.Out.Want(`^\[Conn 2\] connected to the port of connection 1$`)
	p.Out.Want(`^\[Conn 1\] closed$`)
	exampletest.Until(t, "nobody listens", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, own))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	says(t, second, "still here")
	p.Interrupt()
	p.Out.Await(1, `^\[Conn 2\] closed$`)
}

// Forty clients with three more connections each: all ports are different, all connections echo, and nothing is left.
func TestMany(t *testing.T) {
	p, addr := start(t)
	before := p.Descriptors()
	got := exampletest.Python(t, addr, `
import re
def line(c):
    data = b""
    while not data.endswith(b"\n"):
        data += c.recv(1)
    return data.decode()
conns, ports = [], set()
for _ in range(40):
    c = connect()
    conns.append(c)
    own = int(re.search(r"port (\d+) is yours", line(c))[1])
    ports.add(own)
    for _ in range(3):
        c = socket.create_connection((host, own), timeout=60)
        assert "connected to the port of connection" in line(c)
        conns.append(c)
for i, c in enumerate(conns):
    c.sendall(b"%d" % i)
    c.shutdown(socket.SHUT_WR)
print(sum(end(c) == b"%d" % i for i, c in enumerate(conns)), len(ports))
`)
	if want := "160 40"; len(got) != 1 || got[0] != want {
		t.Errorf("python3 has printed %q, want %q", got, want)
	}
	exampletest.Until(t, "descriptors are closed", func() bool { return p.Descriptors() == before })
}

// A peer that sends without reading is held up, and gets everything in the end.
func TestFlood(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	own := p.Out.Want(`port (\d+) is yours$`)[1]
	exampletest.Flood(t, conn, fmt.Sprintf("[Conn 1] connected, port %s is yours\n", own))
}

func TestTerminate(t *testing.T) {
	p, addr := start(t)
	exampletest.Dial(t, "tcp", addr)
	p.Out.Want(`^\[Conn 1\] connected`)
	p.Terminate()
}

func TestBadArguments(t *testing.T) {
	taken := exampletest.Taken(t)
	exampletest.Fails(t, 1, "tcp_echo_multi: listen tcp "+taken, "-addr", taken)
	exampletest.Fails(t, 1, "address already in use", "-addr", taken)
	exampletest.Fails(t, 1, "nonsense", "-addr", "nonsense")
}
