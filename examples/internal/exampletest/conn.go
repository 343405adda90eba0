//go:build linux

package exampletest

import (
	"io"
	"net"
	"testing"
	"time"
)

// Dial connects to an address, for the length of the test, and bounds all that the connection waits for.
func Dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Taken is an address that somebody listens on, for the length of the test.
func Taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// Send writes text to a connection.
func Send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// Expect reads as much as text has, and expects that it is text.
func Expect(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("read %.200q (%v), want %.200q", got[:n], err, text)
	}
}

// ExpectEnd expects that nothing more comes: the end of the stream.
func ExpectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes (%v), want the end", n, err)
	}
}

// Until waits until done says so: for what nobody announces.
func Until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(start) > Patience {
			t.Fatalf("not in time: %s", what)
		}
	}
}
