//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	idleConnections = 15_000
	idleFirst       = 2000 // of them, against which the others are measured
	idleLimit       = 400  // bytes resident for each, in the server
	idleTogether    = 50   // connections that a client opens at a time
	idleSpare       = 500  // descriptors that a process needs besides

	// What the server prints when it has collected its garbage, and a client when its connections are open.
	collected = "collected"
	opened    = "opened"

	idleAddr  = "HIOLOAD_E2E_IDLE_ADDR"
	idleCount = "HIOLOAD_E2E_IDLE_COUNT"
)

// An idle connection that has spoken before holds few bytes of the server's memory: the growth of what is resident
// (Anonymous in smaps_rollup, proc(5)), C and Go together, while the number of connections grows from 2,000 to 15,000.
// The kernel's own memory for sockets is not the server's and not counted. Nor are three things that connections do
// not hold:
//   - What opening them needed in passing: before either reading the server collects its garbage and gives free memory
//     back.
//   - What the first ones made the server get for all, such as buffers, and tables of the collector. What a server
//     takes that never had a connection is logged beside it.
//   - The program's text, of which a page is resident once it was needed.
func TestIdleMemory(t *testing.T) {
	count := idleConnections
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if most := int(min(limit.Max, 1<<20)) - idleSpare; most < count {
		count = most
		t.Logf("a process may have %d descriptors here: %d connections instead of %d", limit.Max, count, idleConnections)
	}
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			needsBackend(t, backend)
			each := 0.0
			// From one server to the next it differs by a tenth: what is too much has to be so three times.
			for range 3 {
				if each = idleMemory(t, backend, count); each <= idleLimit {
					return
				}
			}
			t.Errorf("each holds %.0f bytes, want at most %d", each, idleLimit)
		})
	}
}

// idleMemory is how many bytes an idle connection of a new server holds.
func idleMemory(t *testing.T, backend string, count int) float64 {
	t.Helper()
	p := startCommand(t, act(t, "serve", "HIOLOAD_BACKEND="+backend))
	fresh := p.resident()
	endFirst := p.keepIdle(idleFirst)
	before := p.resident()
	endOthers := p.keepIdle(count - idleFirst)
	after := p.resident()
	each := float64(after-before) / float64(count-idleFirst)
	t.Logf("%d idle connections on %s: %.0f bytes resident each (%d KiB; %d KiB with %d, %d KiB when fresh)",
		count, backend, each, after>>10, before>>10, idleFirst, fresh>>10)
	endOthers()
	endFirst()
	p.interrupt()
	p.wait()
	return each
}

// keepIdle has another process open connections and returns when each has had an echo. end closes them, and returns when
// the server has done so, too.
func (p *process) keepIdle(count int) (end func()) {
	p.t.Helper()
	sockets := len(descriptors(p.cmd.Process.Pid))
	client := act(p.t, "idle", idleAddr+"="+p.addr, idleCount+"="+strconv.Itoa(count))
	input, err := client.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	startUntil(p.t, client, opened)
	return func() {
		p.t.Helper()
		input.Close()
		eventually(p.t, "the server to close its connections", func() bool {
			return len(descriptors(p.cmd.Process.Pid)) <= sockets
		})
	}
}

// act is a command that runs this very program as one of the acts.
func act(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), actVariable+"="+name), env...)
	return cmd
}

// startUntil starts a program that the end of the test ends, and returns when it has printed a line.
func startUntil(t *testing.T, cmd *exec.Cmd, line string) {
	t.Helper()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // an error means that it has ended
		cmd.Wait()
	})
	if said, err := bufio.NewReader(output).ReadString('\n'); said != line+"\n" {
		t.Fatalf("%s said %q, %v", filepath.Base(cmd.Path), said, err)
	}
}

// resident is how many bytes of the server's are in memory when it has collected its garbage.
func (p *process) resident() int64 {
	p.t.Helper()
	times := strings.Count(p.output(), collected)
	p.signal(syscall.SIGUSR1)
	eventually(p.t, "the server to collect its garbage", func() bool {
		return strings.Count(p.output(), collected) > times
	})
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(rollup), "\nAnonymous:")
	value, _, _ := strings.Cut(rest, " kB")
	kib, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		p.t.Fatalf("no Anonymous in\n%s", rollup)
	}
	return kib << 10
}

// idle opens connections, a few at a time, has each echo one message, and then keeps quiet until its input ends.
func idle() error {
	count, err := strconv.Atoi(os.Getenv(idleCount))
	if err != nil {
		return err
	}
	conns := make([]net.Conn, count)
	for from := 0; from < count; from += idleTogether {
		if err := openIdle(conns[from:min(from+idleTogether, count)]); err != nil {
			return err
		}
	}
	fmt.Println(opened)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// openIdle opens all of conns and returns when each has had an echo.
func openIdle(conns []net.Conn) (err error) {
	const message = "hello"
	request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", os.Getenv(idleAddr))
	for i := range conns {
		if conns[i], err = net.Dial("tcp", os.Getenv(idleAddr)); err != nil {
			return err
		}
		if _, err := conns[i].Write(append([]byte(request), frame(opText, []byte(message))...)); err != nil {
			return err
		}
	}
	for _, conn := range conns {
		answer := make([]byte, 0, 512)
		for !strings.HasSuffix(string(answer), "\r\n\r\n"+"\x81\x05"+message) {
			if len(answer) == cap(answer) {
				return fmt.Errorf("the server answered %q", answer)
			}
			n, err := conn.Read(answer[len(answer):cap(answer)])
			if err != nil {
				return err
			}
			answer = answer[:len(answer)+n]
		}
	}
	return nil
}
