//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// The program is the one in the manual of the original, but for the import path and gofmt.
func TestSource(t *testing.T) {
	original, err := os.ReadFile("../../tcpio/testdata/seed_main.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := format.Source(original)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("main.go is:\n%s\nwant:\n%s", got, want)
	}
}

// moved builds the program with another address in place of :8080, which a test cannot be sure to get.
func moved(t *testing.T, addr string) string {
	t.Helper()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(source, []byte(`":8080"`), []byte(`"`+addr+`"`), 1)
	if bytes.Equal(other, source) {
		t.Fatal("the program does not listen on :8080")
	}
	dir := t.TempDir()
	here, err := filepath.Abs("main.go")
	if err != nil {
		t.Fatal(err)
	}
	there, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	program := filepath.Join(dir, "echo")
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{here: there}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, other, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, files, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := exampletest.Build(program, "-overlay", overlay); err != nil {
		t.Fatal(err)
	}
	return program
}

// freeAddr is an address that nobody is likely to take before the program does: a port of the kernel's choice on an
// address of this machine that hardly anybody uses.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The program says nothing when it is ready, so this tries until somebody listens.
func await(t *testing.T, addr string) {
	t.Helper()
	exampletest.Until(t, "the program listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func TestProgram(t *testing.T) {
	addr := freeAddr(t)
	program := moved(t, addr)
	p := exampletest.StartProgram(t, program)
	await(t, addr)
	p.Out.Want("^Error: EOF$") // of the connection that has tried

	t.Run("netcat", func(t *testing.T) {
		host, port, _ := net.SplitHostPort(addr)
		nc := exampletest.Client(t, "nc", host, port)
		for _, text := range []string{"hello", "again"} {
			nc.Write(text + "\n")
			nc.Out.Want("^OK$")
			p.Out.Want("^Received: " + text + "$")
			p.Out.Want("^$") // the line break that nc has sent, and that of Println
		}
		nc.Signal(syscall.SIGINT)
		p.Out.Want("^Error: EOF$")
	})

	t.Run("in turns", func(t *testing.T) {
		got := exampletest.Python(t, addr, `
a, b = connect(), connect()
for s, text in (a, b"one"), (b, b"two"), (b, b"three"), (a, b"four"):
    s.sendall(text)
    print(s.recv(3))
a.close()
b.close()
`)
		if want := slices.Repeat([]string{`b'OK\n'`}, 4); !slices.Equal(got, want) {
			t.Errorf("the clients got %q, want %q", got, want)
		}
		for _, text := range []string{"one", "two", "three", "four"} {
			p.Out.Want("^Received: " + text + "$")
		}
		p.Out.Await(2, "^Error: EOF$")
	})

	// As much as three of the program's buffers, and then the end: it gets all of it, and the client all answers.
	t.Run("more than a buffer", func(t *testing.T) {
		got := exampletest.Python(t, addr, `
s = connect()
s.sendall(b"x" * 2500)
s.shutdown(socket.SHUT_WR)
print(end(s))
`)
		received := 0
		for line := p.Out.Next(); line != "Error: EOF"; line = p.Out.Next() {
			received += strings.Count(line, "x")
		}
		if received != 2500 {
			t.Errorf("received %d of 2500 bytes", received)
		}
		if len(got) != 1 || strings.Count(got[0], `OK\n`) < 3 {
			t.Errorf("the client got %q, want OK three times", got)
		}
	})

	t.Run("address in use", func(t *testing.T) {
		second := exampletest.Client(t, program)
		if status := second.Exit(); status != 2 {
			t.Errorf("exit status %d, want 2, that of a panic", status)
		}
		if said := strings.Join(second.Err.Rest(), "\n"); !strings.Contains(said, "address already in use") {
			t.Errorf("it said %q", said)
		}
	})
}
