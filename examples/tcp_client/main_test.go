//go:build linux

package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// start runs the client up to where it connects.
func start(t *testing.T, args ...string) *exampletest.Process {
	t.Helper()
	p := exampletest.Start(t, args...)
	p.Err.Want("^Connecting to ")
	return p
}

// server runs a Python script that has accepted a connection, conn, and returns it and its address.
func server(t *testing.T, script string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Client(t, "python3", "-u", "-c", `
import socket
s = socket.create_server(("127.0.0.1", 0))
print("127.0.0.1:%d" % s.getsockname()[1])
conn = s.accept()[0]
def end():
    data = b""
    while chunk := conn.recv(1 << 16):
        data += chunk
    return data
`+script)
	return p, p.Out.Next()
}

// ends expects that the client has printed these lines and no others, and its exit status.
func ends(t *testing.T, p *exampletest.Process, status int, lines ...string) {
	t.Helper()
	if got := p.Exit(); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	if got := p.Out.Rest(); strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("printed %.200q, want %.200q", got, lines)
	}
}

// What README.md shows: the client and the server of another example.
func TestEchoServer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-o", program, "../tcp_echo_complete").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	addr := exampletest.StartProgram(t, program, "-addr", "127.0.0.1:0").Addr()
	p := start(t, "-addr", addr)
	p.Err.Want("^Connected to " + addr + "$")
	ends(t, p, 0, "[Conn 1] Hello from hioload-ws!")
	p = start(t, "-addr", addr, "-n", "3", "good", "morning")
	p.Err.Want("^Connected to " + addr + "$")
	const line = "[Conn 2] good morning"
	ends(t, p, 0, line, line, line)
}

func TestServerInPython(t *testing.T) {
	s, addr := server(t, `
print(end())
conn.sendall(b"first\nsecond\n")
`)
	p := start(t, "-addr", addr, "hello")
	p.Err.Want("^Connected to " + addr + "$")
	s.Out.Want(`^b'hello\\n'$`)
	ends(t, p, 0, "first", "second")
}

// A name is looked up.
func TestName(t *testing.T) {
	_, addr := server(t, `conn.sendall(end())`)
	_, port, _ := net.SplitHostPort(addr)
	p := start(t, "-addr", net.JoinHostPort("localhost", port))
	p.Err.Want("^Connected to " + addr + "$")
	ends(t, p, 0, "Hello from hioload-ws!")
}

// The client reads while it sends. So neither is stuck when there is more than buffers hold, and the server takes no
// more until what it has sent is read.
func TestMoreThanBuffersHold(t *testing.T) {
	const times = 20000
	_, addr := server(t, `
conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
while chunk := conn.recv(1000):
    conn.sendall(chunk)
`)
	message := strings.Repeat("x", 500)
	p := start(t, "-addr", addr, "-n", strconv.Itoa(times), message)
	p.Err.Want("^Connected to ")
	lines := make([]string, times)
	for i := range lines {
		lines[i] = message
	}
	ends(t, p, 0, lines...)
}

func TestServerThatLeaves(t *testing.T) {
	_, addr := server(t, `
conn.recv(1)
conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
conn.close()
`)
	p := start(t, "-addr", addr, "-n", "1000000", strings.Repeat("x", 1000))
	p.Err.Want("^Connected to ")
	p.Err.Want("^tcp_client: (read|write) tcp .*(connection reset by peer|broken pipe)$")
	ends(t, p, 1)
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	exampletest.Fails(t, 1, "connection refused", "-addr", l.Addr().String())
}

// full is an address where connections are neither accepted nor refused: the listener's queue has one, and is full.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
	exampletest.Dial(t, "tcp", addr)
	return addr
}

func TestConnectTimeout(t *testing.T) {
	exampletest.Fails(t, 1, "timeout", "-addr", full(t), "-timeout", "200ms")
}

func TestSignals(t *testing.T) {
	connecting := start(t, "-addr", full(t))
	connecting.Terminate()
	_, addr := server(t, `s.accept()`) // nobody answers
	connected := start(t, "-addr", addr)
	connected.Err.Want("^Connected to ")
	connected.Interrupt()
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "tcp_client: dial tcp: ", "-addr", "nonsense")
	exampletest.Fails(t, 2, "-timeout is -1s", "-timeout", "-1s")
	exampletest.Fails(t, 2, `invalid value "-1" for flag -n`, "-n", "-1")
}
