//go:build linux

package main

import (
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

// What README.md shows.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	first := exampletest.Client(t, "nc", "-u", host, port)
	second := exampletest.Client(t, "nc", "-u", host, port)
	first.Write("hello\n")
	first.Out.Want("^hello$")
	second.Write("good morning\n")
	second.Out.Want("^good morning$")
	first.Write("again\n")
	first.Out.Want("^again$")
	me := p.Out.Want(`^Echoed 6 bytes to (127\.0\.0\.1:\d+)$`)[1]
	p.Out.Want(`^Echoed 13 bytes to 127\.0\.0\.1:\d+$`)
	p.Out.Want(`^Echoed 6 bytes to ` + me + `$`)
	p.Interrupt()
}

// Datagrams of every size, the empty one and the largest, come back as they were. One at a time: the kernel may drop
// what it has no room for.
func TestSizes(t *testing.T) {
	_, addr := start(t)
	got := exampletest.Python(t, addr, `
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
s.connect((host, int(port)))
for size in (0, 1, 2, 1472, 1473, 9000, 65507):
    sent = bytes(i % 251 for i in range(size))
    s.send(sent)
    print(size, s.recv(1 << 17) == sent)
`)
	want := []string{"0 True", "1 True", "2 True", "1472 True", "1473 True", "9000 True", "65507 True"}
	for i, line := range want {
		if i >= len(got) || got[i] != line {
			t.Fatalf("python3 has printed %q, want %q", got, want)
		}
	}
}

// A client that is gone when its echo comes costs the others nothing.
func TestClientThatLeaves(t *testing.T) {
	p, addr := start(t)
	for range 20 {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		exampletest.Send(t, conn, "hello")
		conn.Close()
	}
	p.Out.Await(20, "^(Echoed|Dropped) 5 bytes")
	conn := exampletest.Dial(t, "udp", addr)
	exampletest.Send(t, conn, "hello")
	exampletest.Expect(t, conn, "hello")
	p.Terminate()
}

func TestIPv6(t *testing.T) {
	if l, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		l.Close()
	}
	p := exampletest.Start(t, "-addr", "[::1]:0")
	conn := exampletest.Dial(t, "udp", p.Addr())
	exampletest.Send(t, conn, "hello")
	exampletest.Expect(t, conn, "hello")
	p.Out.Want(`^Echoed 5 bytes to \[::1\]:\d+$`)
}

func TestBadArguments(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.LocalAddr().String()
	exampletest.Fails(t, 1, "udp_echo: listen udp "+taken, "-addr", taken)
	exampletest.Fails(t, 1, "address already in use", "-addr", taken)
	exampletest.Fails(t, 1, "udp_echo: listen udp", "-addr", "nonsense")
}
