//go:build linux

package exampletest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Process is a program that runs, and ends with the test at the latest.
type Process struct {
	Out *Lines // of its standard output
	Err *Lines // of its standard error

	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	once   sync.Once
	status int
}

// Start runs the example. What it says on standard error and nobody has asked for fails the test.
func Start(t *testing.T, args ...string) *Process {
	t.Helper()
	return StartProgram(t, program, args...)
}

// StartProgram is Start for an example that was built otherwise, or is started by another program.
func StartProgram(t *testing.T, path string, args ...string) *Process {
	t.Helper()
	return start(t, quiet, path, args...)
}

// Client runs a client, nc say, and skips the test where there is none.
func Client(t *testing.T, name string, args ...string) *Process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s on this machine", name)
	}
	return start(t, noisy, path, args...)
}

// manner says what a program may write to standard error.
type manner int

const (
	quiet manner = iota // nothing but what the test has read
	noisy               // anything
)

func start(t *testing.T, how manner, path string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(path, args...)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it may be several, of which none is to be left
	var stdout, stderr io.Reader
	var errs [3]error
	p.stdin, errs[0] = p.cmd.StdinPipe()
	stdout, errs[1] = p.cmd.StdoutPipe()
	stderr, errs[2] = p.cmd.StderrPipe()
	for _, err := range append(errs[:], p.cmd.Start()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.Out = readLines(t, p.cmd.String(), stdout)
	p.Err = readLines(t, p.cmd.String()+" (standard error)", stderr)
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL) // no harm to one that has ended
		p.wait()
		if rest := p.Err.Rest(); how == quiet && len(rest) > 0 {
			t.Errorf("%s: standard error: %s", p.cmd, strings.Join(rest, "\n"))
		}
	})
	return p
}

// Addr is the address in the line "Listening on …", which comes next.
func (p *Process) Addr() string {
	p.t.Helper()
	return p.Out.Want(`^Listening on (\S+)$`)[1]
}

// Write writes to its standard input.
func (p *Process) Write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatalf("%s: %v", p.cmd, err)
	}
}

// CloseInput ends its standard input.
func (p *Process) CloseInput() { p.stdin.Close() }

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) { syscall.Kill(-p.cmd.Process.Pid, s) }

// Exit waits for its end, after which Out and Err still have what was not read, and returns its exit status.
func (p *Process) Exit() int {
	p.t.Helper()
	p.Out.awaitEnd()
	p.Err.awaitEnd()
	return p.wait()
}

// Interrupt ends it as Ctrl-C does, and expects that it takes that well.
func (p *Process) Interrupt() {
	p.t.Helper()
	p.endBy(syscall.SIGINT)
}

// Terminate is Interrupt with SIGTERM.
func (p *Process) Terminate() {
	p.t.Helper()
	p.endBy(syscall.SIGTERM)
}

func (p *Process) endBy(s syscall.Signal) {
	p.t.Helper()
	p.Signal(s)
	if status := p.Exit(); status != 0 {
		p.t.Errorf("%s: exit status %d after %v", p.cmd, status, s)
	}
}

// wait collects the process, whose output has ended or ends with it.
func (p *Process) wait() int {
	p.once.Do(func() {
		<-p.Out.ended
		<-p.Err.ended
		p.cmd.Wait()
		p.status = p.cmd.ProcessState.ExitCode()
	})
	return p.status
}

// Descriptors counts those that it has open.
func (p *Process) Descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// Fails runs the example with arguments that it cannot work with, and expects a message that contains text.
func Fails(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	p := start(t, noisy, program, args...)
	if got := p.Exit(); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	if said := strings.Join(p.Err.Rest(), "\n"); !strings.Contains(said, text) {
		t.Errorf("standard error is %q, want %q in it", said, text)
	}
}
