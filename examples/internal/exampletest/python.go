//go:build linux

package exampletest

import "testing"

// prelude is what each script begins with: a connection to the address that is its first argument.
const prelude = `
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
def connect():
    return socket.create_connection((host.strip("[]"), int(port)), timeout=60)
def end(s):
    """What comes up to the end of the stream."""
    data = b""
    while chunk := s.recv(1 << 16):
        data += chunk
    return data
`

// Python runs a script with Python's socket module and connect, which connects to addr, and end, which reads up to the
// end. It expects that the script ends well, and returns what it has printed.
func Python(t *testing.T, addr, script string, args ...string) []string {
	t.Helper()
	p := Client(t, "python3", append([]string{"-c", prelude + script, addr}, args...)...)
	if status := p.Exit(); status != 0 {
		t.Fatalf("python3: exit status %d: %q", status, p.Err.Rest())
	}
	return p.Out.Rest()
}
