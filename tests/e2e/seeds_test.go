//go:build linux

package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/csrc"
)

// backends are the ways in which a loop talks to the kernel, by the names that HIOLOAD_BACKEND knows.
var backends = []string{"epoll", "io_uring"}

// needsBackend skips the test, with the reason, where loops do not get this backend.
func needsBackend(t *testing.T, backend string) {
	t.Helper()
	if backend != "io_uring" {
		return
	}
	slab, err := csrc.NewSlab(csrc.SlabConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer slab.Free()
	l, err := csrc.NewLoop(&csrc.LoopConfig{Slab: slab, Backend: csrc.BackendIOUring})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Free()
	if err := l.BackendError(); err != nil {
		t.Skipf("SKIPPED: io_uring is not to be had here: %v", err)
	}
}

// startOn starts a program that listens, with its loops on this backend, and checks that they are.
func startOn(t *testing.T, backend, program string, args ...string) *process {
	t.Helper()
	needsBackend(t, backend)
	cmd := exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "HIOLOAD_BACKEND="+backend)
	p := startCommand(t, cmd)
	// The WebSocket server has its loops before it listens, the reactor's example right after.
	if backend == "io_uring" {
		eventually(t, "the program to have a ring", func() bool {
			return slices.Contains(descriptors(cmd.Process.Pid), aRing)
		})
	}
	return p
}

// The two programs that users have run and behave on each backend.
func TestSeeds(t *testing.T) {
	for _, backend := range backends {
		t.Run("WebSocket echo, "+backend, func(t *testing.T) {
			p := startOn(t, backend, echoProgram(t))
			for range 3 {
				c := dial(t, p.addr)
				for _, n := range sizes {
					message := pattern(n)
					written := make(chan error, 1)
					go func() { written <- c.send(opText, message) }()
					c.expect(t, opBinary, message)
					if err := <-written; err != nil {
						t.Fatal(err)
					}
				}
				c.goodbye(t)
			}
			hasRing := slices.Contains(descriptors(p.cmd.Process.Pid), aRing)
			if hasRing != (backend == "io_uring") {
				t.Errorf("has a ring: %v", hasRing)
			}
			p.interrupt()
			p.wait()
		})
		t.Run("reactor echo, "+backend, func(t *testing.T) {
			p := startOn(t, backend, reactorProgram(t))
			for range 3 {
				conn, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(2 * patience))
				message := pattern(1_000_000)
				go func() {
					conn.Write(message) // an error shows in what comes back
					conn.(*net.TCPConn).CloseWrite()
				}()
				if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, message) {
					t.Fatalf("%d of %d bytes came back, %v", len(got), len(message), err)
				}
			}
			p.interrupt()
			p.wait()
		})
	}
}
