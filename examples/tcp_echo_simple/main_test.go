//go:build linux

package main

import (
	"net"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T, args ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return p, p.Addr()
}

// ends expects that the program has ended well, with these last lines.
func ends(t *testing.T, p *exampletest.Process, lines ...string) {
	t.Helper()
	for _, line := range lines {
		p.Out.Want("^" + line + "$")
	}
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if rest := p.Out.Rest(); len(rest) > 0 {
		t.Errorf("and more: %q", rest)
	}
}

// What README.md shows.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	nc := exampletest.Client(t, "nc", "-N", host, port)
	p.Out.Want(`^Connected: 127\.0\.0\.1:\d+$`)
	for _, line := range []string{"hello", "again"} {
		nc.Write(line + "\n")
		nc.Out.Want("^" + line + "$")
	}
	nc.CloseInput()
	if status := nc.Exit(); status != 0 {
		t.Errorf("nc: exit status %d", status)
	}
	ends(t, p, "Connection closed")
}

// After the first connection nobody listens any more.
func TestOneConnection(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	exampletest.Until(t, "nobody listens", func() bool {
		second, err := net.Dial("tcp", addr)
		if err == nil {
			second.Close()
		}
		return err != nil
	})
	exampletest.Send(t, conn, "hello")
	exampletest.Expect(t, conn, "hello")
	conn.Close()
	ends(t, p, "Connected: .*", "Connection closed")
}

func TestPython(t *testing.T) {
	p, addr := start(t)
	got := exampletest.Python(t, addr, `
c = connect()
c.sendall(b"good morning")
c.shutdown(socket.SHUT_WR)
print(end(c))
`)
	if len(got) != 1 || got[0] != "b'good morning'" {
		t.Errorf("python3 received %q", got)
	}
	ends(t, p, "Connected: .*", "Connection closed")
}

func TestIdle(t *testing.T) {
	p, addr := start(t, "-idle", "100ms")
	exampletest.ExpectEnd(t, exampletest.Dial(t, "tcp", addr))
	ends(t, p, "Connected: .*", "Idle for 100ms", "Connection closed")
}

// A peer that sends without reading is held up, and gets everything in the end.
func TestFlood(t *testing.T) {
	p, addr := start(t)
	exampletest.Flood(t, exampletest.Dial(t, "tcp", addr), "")
	ends(t, p, "Connected: .*", "Connection closed")
}

func TestReset(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr).(*net.TCPConn)
	p.Out.Want("^Connected: ")
	conn.SetLinger(0)
	conn.Close()
	p.Err.Want("^tcp_echo_simple: .*connection reset by peer$")
	if status := p.Exit(); status != 1 {
		t.Errorf("exit status %d", status)
	}
}

func TestSignals(t *testing.T) {
	waiting, _ := start(t)
	waiting.Interrupt()
	serving, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	serving.Out.Want("^Connected: ")
	serving.Terminate()
	exampletest.ExpectEnd(t, conn)
}

func TestBadArguments(t *testing.T) {
	taken := exampletest.Taken(t)
	exampletest.Fails(t, 1, "tcp_echo_simple: listen tcp "+taken, "-addr", taken)
	exampletest.Fails(t, 1, "address already in use", "-addr", taken)
	exampletest.Fails(t, 2, "-idle is -1s", "-idle", "-1s")
}
