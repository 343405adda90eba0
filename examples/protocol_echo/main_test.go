//go:build linux

package main

import (
	"net"
	"slices"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T, args ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return p, p.Addr()
}

// The session in README.md.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	nc := exampletest.Client(t, "nc", "-N", host, port)
	p.Out.Want(`^Connection from 127\.0\.0\.1:\d+$`)
	for _, text := range []string{"Hello World!", "again"} {
		nc.Write(text + "\n")
		nc.Out.Want("^" + text + "$")
	}
	nc.CloseInput()
	p.Out.Want(`^Connection closed: fd=\d+$`)
	if status := nc.Exit(); status != 0 {
		t.Errorf("nc ends with status %d", status)
	}
	p.Interrupt()
}

// A client that writes five megabytes, finishes sending, and only then reads, gets all of it; so do several at once.
func TestPython(t *testing.T) {
	_, addr := start(t, "-loops", "2")
	got := exampletest.Python(t, addr, `
import os, threading
def client(data, results):
    s = connect()
    sending = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
    sending.start()
    results.append(end(s) == data)
    sending.join()
results = []
clients = [threading.Thread(target=client, args=(os.urandom(5_000_000), results)) for _ in range(4)]
for c in clients: c.start()
for c in clients: c.join()
print(results)
`)
	if want := []string{"[True, True, True, True]"}; !slices.Equal(got, want) {
		t.Errorf("python says %q, want %q", got, want)
	}
}

// A peer that does not read is not read from, so what it costs is bounded. When it reads at last, it gets everything.
func TestPeerThatDoesNotRead(t *testing.T) {
	_, addr := start(t)
	exampletest.Flood(t, exampletest.Dial(t, "tcp", addr), "")
}

// However connections end, nothing of them stays.
func TestDescriptors(t *testing.T) {
	const count = 200
	p, addr := start(t)
	before := p.Descriptors()
	var conns []*net.TCPConn
	for range count {
		conn := exampletest.Dial(t, "tcp", addr).(*net.TCPConn)
		exampletest.Send(t, conn, "hello")
		exampletest.Expect(t, conn, "hello")
		conns = append(conns, conn)
	}
	if now := p.Descriptors(); now != before+count {
		t.Errorf("%d descriptors with %d connections, %d before", now, count, before)
	}
	for i, conn := range conns {
		if i%2 == 0 {
			conn.SetLinger(0) // closing sends a reset
		}
		conn.Close()
	}
	p.Out.Await(count, `^Connection (closed|lost): fd=\d+`)
	exampletest.Until(t, "there are as many descriptors as before", func() bool { return p.Descriptors() == before })
}

func TestTerminateWithConnections(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	exampletest.Send(t, conn, "hello")
	exampletest.Expect(t, conn, "hello")
	p.Out.Want(`^Connection from `)
	p.Terminate()
	p.Out.Want(`^Connection lost: fd=\d+: .*closed$`)
	exampletest.ExpectEnd(t, conn)
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "address already in use", "-addr", exampletest.Taken(t))
	exampletest.Fails(t, 1, "nowhere", "-addr", "nowhere")
	exampletest.Fails(t, 1, "Loops is -1", "-loops", "-1")
}
