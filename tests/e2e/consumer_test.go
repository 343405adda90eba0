//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// offline is how consumers are built here: the module requires no other, so no proxy is asked.
var offline = []string{"GOPROXY=off", "GOFLAGS=-mod=mod -buildvcs=false"}

// consumer makes a module with this main.go and nothing but a replace of ours, as a user would, and returns its folder.
func consumer(t *testing.T, main []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), main, 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, dir, offline, "go", "mod", "init", "example.com/consumer")
	mustRun(t, dir, offline, "go", "mod", "edit", "-replace", "github.com/momentics/hioload-ws="+root)
	mustRun(t, dir, offline, "go", "mod", "tidy")
	return dir
}

// seedMain is the program as its users have it.
func seedMain(t *testing.T) []byte {
	t.Helper()
	main, err := os.ReadFile("testdata/seed_main.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	return main
}

// The example is the users' program, gofmt'ed, under a comment of its own.
func TestExampleIsTheSeed(t *testing.T) {
	want, err := format.Source(seedMain(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "examples/echo/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(got, []byte("package main\n")); i < 0 || !bytes.Equal(got[i:], want) {
		t.Error("examples/echo/main.go is not gofmt of testdata/seed_main.go.txt")
	}
}

// Users' code builds unchanged, from the module cache and vendored, and behaves.
func TestConsumer(t *testing.T) {
	dir := consumer(t, seedMain(t))
	mustRun(t, dir, offline, "go", "build", "-o", "direct")
	t.Run("direct", func(t *testing.T) { testEcho(t, filepath.Join(dir, "direct")) })

	mustRun(t, dir, offline, "go", "mod", "vendor")
	// Only the vendored copy is left to build from.
	mustRun(t, dir, []string{"GOPROXY=off", "GOFLAGS=-mod=vendor -buildvcs=false"}, "go", "build", "-o", "vendored")
	t.Run("vendored", func(t *testing.T) { testEcho(t, filepath.Join(dir, "vendored")) })
}

// sizes are those at which the frame header, a segment or a buffer changes.
var sizes = []int{0, 1, 125, 126, 127, 65535, 65536, 10_000_000}

// pattern is n bytes of valid UTF-8 that repeat with no power of two.
func pattern(n int) []byte {
	const line = "The quick brown fox jumps over the lazy dog, 13 times. "
	return []byte(strings.Repeat(line, n/len(line)+1)[:n])
}

// testEcho drives the seed's echo server, which answers with binary messages whatever it got.
func testEcho(t *testing.T, program string) {
	p := start(t, program)
	messages := 0

	a := dial(t, p.addr)
	for _, opcode := range []byte{opText, opBinary} {
		for _, n := range sizes {
			message := pattern(n)
			if opcode == opBinary && n > 0 {
				message[0], message[n-1] = 0xff, 0x00 // not UTF-8
			}
			written := make(chan error, 1)
			go func() { written <- a.send(opcode, message) }() // the echo may begin before the message has ended
			a.expect(t, opBinary, message)
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			messages++
		}
	}

	var pipelined []byte
	const n = 50
	for i := range n {
		pipelined = append(pipelined, frame(opText, fmt.Appendf(nil, "message %d of %d", i, n))...)
	}
	if _, err := a.Write(pipelined); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		a.expect(t, opBinary, fmt.Appendf(nil, "message %d of %d", i, n))
	}
	messages += n

	b, c := dial(t, p.addr), dial(t, p.addr)
	for _, conn := range []*client{b, c} {
		if err := conn.send(opText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		conn.expect(t, opBinary, []byte("hello"))
		messages++
	}
	c.goodbye(t)

	// The line comes every five seconds; the first after all this must have it right.
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^\[.+\] Active: 2, Msgs: %d$`, messages))
	eventually(t, fmt.Sprintf("a stats line with 2 connections and %d messages", messages), func() bool {
		return line.MatchString(p.output())
	})
}
