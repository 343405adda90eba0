//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tracer is an strace(1) that is attached to all threads of a process.
type tracer struct {
	t    *testing.T
	cmd  *exec.Cmd
	file string // what it writes
}

// trace attaches strace with these options. The system calls in which threads waited are interrupted by that, and done
// again; so wait for quiet before counting.
func trace(t *testing.T, pid int, options ...string) *tracer {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED: there is no strace here: run scripts/install-deps.sh test")
	}
	tr := &tracer{t: t, file: filepath.Join(t.TempDir(), "strace")}
	tr.cmd = exec.Command(path, append(options, "-f", "-o", tr.file, "-p", strconv.Itoa(pid))...)
	var said safeBuffer
	tr.cmd.Stdout, tr.cmd.Stderr = &said, &said
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.cmd.Process.Kill() })
	eventually(t, "strace to be attached", func() bool {
		if said := said.String(); strings.Contains(said, "Operation not permitted") {
			t.Skipf("SKIPPED: strace may not attach here: %s", said)
		}
		for _, tid := range threads(pid) {
			if statusValue(pid, tid, "TracerPid") != int64(tr.cmd.Process.Pid) {
				return false
			}
		}
		return true
	})
	return tr
}

// written is what strace has written so far.
func (tr *tracer) written() string {
	tr.t.Helper()
	b, err := os.ReadFile(tr.file)
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(b)
}

// detach ends strace, which then writes its summary.
func (tr *tracer) detach() {
	tr.t.Helper()
	if err := tr.cmd.Process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	tr.cmd.Wait() // it ends by the signal that it was sent
}

// threads lists the threads of a process.
func threads(pid int) (tids []int) {
	folders, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, folder := range folders {
		if tid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// statusValue is a number in the status of a thread (proc(5)), -1 when it has none.
func statusValue(pid, tid int, name string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// wakeups is how often threads of a process have waited for something and been woken.
func wakeups(pid int) (sum int64) {
	for _, tid := range threads(pid) {
		sum += statusValue(pid, tid, "voluntary_ctxt_switches")
	}
	return sum
}

// quiet returns when a process has slept for a second without being woken, as long as that takes.
func quiet(t *testing.T, pid int) {
	t.Helper()
	last, since := wakeups(pid), time.Now()
	eventually(t, "the process to be quiet", func() bool {
		// Who is stopped, or waits for a processor, may have something to do yet.
		if now := wakeups(pid); now != last || !asleep(pid) {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// Pipelined messages share system calls: those of all threads are counted, while 100 connections have 16 messages each
// under way. (Under strace each call costs more, so that more comes together between two of them. What the server does
// by itself is checked by counting turns, in internal/loop.)
func TestSystemCallsPerMessage(t *testing.T) {
	const connections, inFlight, rounds = 100, 16, 50
	p := startOn(t, "io_uring", echoProgram(t))
	var conns [connections]*client
	for i := range conns {
		conns[i] = dial(t, p.addr)
	}
	pipeline(t, conns[:], inFlight, 2) // everything is warm
	tr := trace(t, p.cmd.Process.Pid, "-c")
	pipeline(t, conns[:], inFlight, rounds)
	tr.detach()

	total := regexp.MustCompile(`(?m)^100\.00 +\S+ +(?:\d+ +)?(\d+) .*total$`).FindStringSubmatch(tr.written())
	if total == nil {
		t.Fatalf("strace wrote\n%s", tr.written())
	}
	calls, _ := strconv.Atoi(total[1])
	const messages = connections * inFlight * rounds
	t.Logf("%d system calls for %d messages, one for %.1f\n%s", calls, messages, messages/float64(calls), tr.written())
	if calls*8 > messages {
		t.Errorf("%d system calls for %d messages", calls, messages)
	}
}

// pipeline has each client keep a number of messages under way until it has sent rounds times as many, and checks what
// comes back.
func pipeline(t *testing.T, conns []*client, inFlight, rounds int) {
	t.Helper()
	message := pattern(64)
	sent := frame(opBinary, message)
	echo := append([]byte{0x80 | opBinary, byte(len(message))}, message...)
	failed := make(chan error, len(conns))
	for _, c := range conns {
		go func() { failed <- c.keepInFlight(sent, echo, inFlight, inFlight*rounds) }()
	}
	for range conns {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

// keepInFlight sends a frame n times, a number of them ahead of their echoes.
func (c *client) keepInFlight(sent, echo []byte, ahead, n int) error {
	if _, err := c.Write(bytes.Repeat(sent, ahead)); err != nil {
		return err
	}
	got, answered, left := make([]byte, len(echo)), 0, n-ahead
	for range n {
		if _, err := io.ReadFull(c.r, got); err != nil {
			return err
		}
		if !bytes.Equal(got, echo) {
			return fmt.Errorf("%q came back", got)
		}
		if answered++; c.r.Buffered() >= len(echo) {
			continue // what came together is followed together
		}
		if _, err := c.Write(bytes.Repeat(sent, min(answered, left))); err != nil {
			return err
		}
		left -= min(answered, left)
		answered = 0
	}
	return nil
}

// A server whose 1,000 connections are idle makes no system call, and none of its threads wakes up, in 10 s: nothing is
// excluded, neither Go's monitor nor its collector. The 10 s begin when the process has been quiet for one: opening the
// connections keeps the collector busy for a while, and attaching strace interrupts each thread's wait once.
func TestIdleMakesNoSystemCalls(t *testing.T) {
	const connections, window = 1000, 10 * time.Second
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			needsBackend(t, backend)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			// An echo server without the example's line of statistics every five seconds.
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), actVariable+"=serve", "HIOLOAD_BACKEND="+backend)
			p := startCommand(t, cmd)
			var conns [connections]*client
			for i := range conns {
				conns[i] = dial(t, p.addr)
				conns[i].SetDeadline(time.Time{})
			}
			pipeline(t, conns[:], 1, 1)
			tr := trace(t, cmd.Process.Pid)
			quiet(t, cmd.Process.Pid)

			wokenBefore, writtenBefore := wakeups(cmd.Process.Pid), tr.written()
			time.Sleep(window) // what is measured
			woken, written := wakeups(cmd.Process.Pid), tr.written()
			if woken != wokenBefore {
				t.Errorf("threads woke up %d times", woken-wokenBefore)
			}
			if written != writtenBefore {
				t.Errorf("it made system calls:\n%s", written[len(writtenBefore):])
			}
			pipeline(t, conns[:], 1, 1) // they were alive
			if tr.written() == written {
				t.Error("strace does not show what the server does")
			}
			tr.detach()
		})
	}
}
