//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T) (p *exampletest.Process, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	p = exampletest.Start(t, "-path", path)
	if got := p.Addr(); got != path {
		t.Fatalf("listens on %s, want %s", got, path)
	}
	return p, path
}

// What README.md shows.
func TestNetcat(t *testing.T) {
	p, path := start(t)
	first := exampletest.Client(t, "nc", "-U", path)
	first.Write("hello\n")
	first.Out.Want("^hello$")
	second := exampletest.Client(t, "nc", "-N", "-U", path)
	second.Write("good morning\n")
	second.Out.Want("^good morning$")
	second.CloseInput()
	second.Exit()
	p.Out.Want("^Connection 1$")
	p.Out.Want("^Connection 2$")
	p.Out.Want("^Connection 2 closed$")
	p.Interrupt()
	p.Out.Want("^Connection 1 closed$")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

func TestPython(t *testing.T) {
	p, path := start(t)
	before := p.Descriptors()
	script := `
import socket, sys
conns = []
for i in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(sys.argv[1])
    conns.append(s)
for i, s in enumerate(conns):
    s.sendall(b"%d" % i)
    s.shutdown(socket.SHUT_WR)
print(sum(s.makefile("rb").read() == b"%d" % i for i, s in enumerate(conns)))
`
	python := exampletest.Client(t, "python3", "-c", script, path)
	python.Out.Want("^100$")
	python.Exit()
	exampletest.Until(t, "descriptors are closed", func() bool { return p.Descriptors() == before })
}

// A peer that sends without reading is held up, and gets everything in the end.
func TestFlood(t *testing.T) {
	_, path := start(t)
	exampletest.Flood(t, exampletest.Dial(t, "unix", path), "")
}

// A name without a file.
func TestAbstract(t *testing.T) {
	name := fmt.Sprintf("@unix_echo-%d", os.Getpid())
	p := exampletest.Start(t, "-path", name)
	if got := p.Addr(); got != name {
		t.Errorf("listens on %s, want %s", got, name)
	}
	conn := exampletest.Dial(t, "unix", name)
	exampletest.Send(t, conn, "hello")
	exampletest.Expect(t, conn, "hello")
	p.Terminate()
	exampletest.ExpectEnd(t, conn)
}

// A server that was killed leaves its file; the next one says so and does not remove what might be somebody else's.
func TestFileIsTaken(t *testing.T) {
	p, path := start(t)
	exampletest.Fails(t, 1, "unix_echo: listen unix "+path, "-path", path)
	p.Signal(syscall.SIGKILL)
	p.Exit()
	exampletest.Fails(t, 1, "address already in use", "-path", path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	exampletest.Start(t, "-path", path).Addr()
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "no such file or directory", "-path", filepath.Join(t.TempDir(), "none", "s"))
}
