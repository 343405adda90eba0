package tcpio

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// program builds the users' program as a module of its own, as they would, and returns the executable.
func program(t *testing.T, source []byte) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), source, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/seed"},
		{"mod", "edit", "-replace", "github.com/momentics/hioload-ws=" + root},
		{"mod", "tidy"},
		{"build", "-o", "seed"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	return filepath.Join(dir, "seed")
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

// The users' program, whose text is that of the original's manual but for the import path and, to be run here, for the
// address.
func TestSeedProgram(t *testing.T) {
	source, err := os.ReadFile("testdata/seed_main.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	moved := bytes.Replace(source, []byte(`":8080"`), []byte(`"`+addr+`"`), 1)
	if bytes.Equal(moved, source) {
		t.Fatal("the program does not listen on :8080")
	}
	cmd := exec.Command(program(t, moved))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // it has no other end
		cmd.Wait()
	})
	lines := make(chan string, 100)
	go func() {
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	want := func(line string) {
		t.Helper()
		if got := wait(t, "a line", lines); got != line {
			t.Errorf("printed %q, want %q", got, line)
		}
	}
	dial := func() (conn net.Conn) {
		until(t, "it listens", func() bool {
			conn, err = net.Dial("tcp", addr)
			return err == nil
		})
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
	first, second := dial(), dial()
	for i := range 3 {
		for _, conn := range []net.Conn{second, first} {
			message := fmt.Sprintf("message %d", i)
			send(t, conn, message)
			want("Received: " + message)
			expect(t, conn, "OK\n")
		}
	}
	// As nc does: everything, then the end, then the answers.
	third := dial()
	send(t, third, text(3000))
	third.(*net.TCPConn).CloseWrite()
	for _, bounds := range [][2]int{{0, 1024}, {1024, 2048}, {2048, 3000}} {
		want("Received: " + text(3000)[bounds[0]:bounds[1]])
	}
	want("Error: EOF")
	expect(t, third, "OK\nOK\nOK\n")
	expectEnd(t, third)
	first.Close()
	want("Error: EOF")
	send(t, second, "still here")
	want("Received: still here")
	expect(t, second, "OK\n")
}
