//go:build linux

package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T, args ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return p, p.Addr()
}

// What README.md shows.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	first := exampletest.Client(t, "nc", host, port)
	first.Write("hello\n")
	first.Out.Want(`^\[Conn 1\] hello$`)
	second := exampletest.Client(t, "nc", "-N", host, port)
	second.Write("good\nmorning\n")
	second.Out.Want(`^\[Conn 2\] good$`)
	second.Out.Want(`^\[Conn 2\] morning$`)
	first.Write("still here\n")
	first.Out.Want(`^\[Conn 1\] still here$`)
	second.CloseInput()
	if status := second.Exit(); status != 0 {
		t.Errorf("nc: exit status %d", status)
	}
	p.Out.Want(`^\[Conn 1\] connected: 127\.0\.0\.1:\d+$`)
	p.Out.Want(`^\[Conn 2\] connected: 127\.0\.0\.1:\d+$`)
	p.Out.Want(`^\[Conn 2\] closed: the peer has finished$`)
	p.Interrupt()
	p.Out.Want(`^\[Conn 1\] closed: .*reactor is closed$`)
	if rest := p.Out.Rest(); len(rest) > 0 {
		t.Errorf("and more: %q", rest)
	}
}

// A line has one prefix, in however many pieces it comes; what comes after the last line break has one, too.
func TestPieces(t *testing.T) {
	_, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	for _, step := range []struct{ send, want string }{
		{"one", "[Conn 1] one"},
		{"\n", "\n"},
		{"\n", "[Conn 1] \n"},
		{"two\nthree", "[Conn 1] two\n[Conn 1] three"},
		{" and four\n", " and four\n"},
	} {
		exampletest.Send(t, conn, step.send)
		exampletest.Expect(t, conn, step.want)
	}
}

func TestManyConnections(t *testing.T) {
	p, addr := start(t)
	before := p.Descriptors()
	got := exampletest.Python(t, addr, `
conns = [connect() for _ in range(300)]
for c in conns:
    c.sendall(b"hello")
    c.shutdown(socket.SHUT_WR)
for c in conns:
    print(end(c).decode())
`)
	p.Out.Await(300, ` closed: the peer has finished$`)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 300 {
		t.Errorf("%d different answers to 300 connections", n)
	}
	exampletest.Until(t, "descriptors are closed", func() bool { return p.Descriptors() == before })
}

func TestIdle(t *testing.T) {
	const idle = 100 * time.Millisecond
	p, addr := start(t, "-idle", idle.String())
	began := time.Now()
	conn := exampletest.Dial(t, "tcp", addr)
	exampletest.ExpectEnd(t, conn)
	if took := time.Since(began); took < idle {
		t.Errorf("closed after %v, and may be idle for %v", took, idle)
	}
	p.Out.Await(1, `^\[Conn 1\] closed: idle$`)
}

// What comes in starts the idle time anew: the connection ends that long after the last exchange, and not after the
// first.
func TestBusyIsNotIdle(t *testing.T) {
	const idle = time.Second
	_, addr := start(t, "-idle", idle.String())
	last, ok := busyFor(t, addr, idle/2)
	for !ok {
		if time.Since(last) < idle {
			t.Fatalf("closed within %v of something said", idle)
		}
		last, ok = busyFor(t, addr, idle/2) // the machine has stood still for so long
	}
	if took := time.Since(last); took < idle {
		t.Errorf("closed %v after the last exchange, and may be idle for %v", took, idle)
	}
}

// busyFor exchanges bytes for some time, and waits for the end if the connection gets that far. It returns when the
// last exchange began, and whether it got that far.
func busyFor(t *testing.T, addr string, d time.Duration) (last time.Time, ok bool) {
	t.Helper()
	conn := exampletest.Dial(t, "tcp", addr)
	buf := make([]byte, 64)
	for began := time.Now(); time.Since(began) < d; {
		last = time.Now()
		if _, err := conn.Write([]byte("x")); err != nil {
			return last, false
		}
		if _, err := conn.Read(buf); err != nil {
			return last, false
		}
	}
	exampletest.ExpectEnd(t, conn)
	return last, true
}

// A peer that sends without reading is held up, and gets everything in the end.
func TestFlood(t *testing.T) {
	_, addr := start(t)
	exampletest.Flood(t, exampletest.Dial(t, "tcp", addr), "[Conn 1] ")
}

// One that never reads is idle, too, in the end, and costs nobody else anything.
func TestPeerThatNeverReads(t *testing.T) {
	p, addr := start(t, "-idle", "200ms")
	deaf := exampletest.Dial(t, "tcp", addr)
	go func() {
		block := make([]byte, 1<<16)
		for {
			if _, err := deaf.Write(block); err != nil {
				return
			}
		}
	}()
	p.Out.Await(1, `^\[Conn 1\] closed: idle$`)
	exampletest.Until(t, "another is served", func() bool {
		conn := exampletest.Dial(t, "tcp", addr)
		conn.Write([]byte("x"))
		back := make([]byte, 64)
		n, _ := conn.Read(back) // may be too late: then it was idle itself
		return strings.HasPrefix(string(back[:n]), "[Conn ") && strings.HasSuffix(string(back[:n]), "] x")
	})
}

func TestReset(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr).(*net.TCPConn)
	p.Out.Want(`^\[Conn 1\] connected`)
	conn.SetLinger(0)
	conn.Close()
	p.Out.Want(`^\[Conn 1\] closed: .*reset`)
}

func TestTerminate(t *testing.T) {
	p, addr := start(t)
	conn := exampletest.Dial(t, "tcp", addr)
	p.Out.Want(`^\[Conn 1\] connected`)
	p.Terminate()
	exampletest.ExpectEnd(t, conn)
}

func TestBadArguments(t *testing.T) {
	taken := exampletest.Taken(t)
	exampletest.Fails(t, 1, "tcp_echo_complete: listen tcp "+taken, "-addr", taken)
	exampletest.Fails(t, 1, "address already in use", "-addr", taken)
	exampletest.Fails(t, 1, "tcp_echo_complete: ", "-addr", "nonsense")
	exampletest.Fails(t, 2, "-idle is 0s", "-idle", "0s")
}
