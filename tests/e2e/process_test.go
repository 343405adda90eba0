//go:build linux

// Package e2e starts programs built on the module as a user would and talks to them from outside: with clients nobody
// here wrote (npm ws, Python websockets) and, where timing or bytes matter, with the small client of wsclient_test.go.
package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen at once. It decides nothing but how long a failing test
// takes.
const patience = 30 * time.Second

// root is the folder of the module under test.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// eventually asks again and again until ask says yes. For what happens in another process, which can't tell us.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ask(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// command runs a program to its end in dir and returns what it printed; env goes on top of ours.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func mustRun(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := command(dir, env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// programs builds the examples as they stand in the tree, once for all tests, and returns the folder they are in. Where
// $HIOLOAD_PROGRAMS names one in which they are already, as in a virtual machine without Go, nothing is built.
var programs = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("HIOLOAD_PROGRAMS"); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "hioload-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	_, err = command(root, nil, "go", "build", "-buildvcs=false", "-o", dir+"/", "./examples/...")
	return dir, err
})

// built is the folder that programs has made, or "".
var built string

func TestMain(m *testing.M) {
	if act := acts[os.Getenv(actVariable)]; act != nil {
		if err := act(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(status)
}

// example is the path of an example's program.
func example(t *testing.T, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func echoProgram(t *testing.T) string {
	t.Helper()
	return example(t, "echo")
}

func reactorProgram(t *testing.T) string {
	t.Helper()
	return example(t, "reactor_echo")
}

// process is a server under test, in a process group of its own, with whatever started it.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string        // where it listens
	done chan struct{} // closed when it has ended
	err  error         // how; to be read after done
	out  safeBuffer    // standard output and error
}

// output is what the process has printed so far.
func (p *process) output() string { return p.out.String() }

// safeBuffer is a buffer that one goroutine writes while another reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs program with -addr on a free port of the kernel's choice and returns once it listens and waits.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended already
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), p.output())
		}
	})
	var listener int
	eventually(t, "the server to listen", func() bool {
		select {
		case <-p.done:
			t.Fatalf("the server ended: %v\n%s", p.err, p.output())
		default:
		}
		for _, listener = range group(cmd.Process.Pid) {
			if p.addr = listenAddr(listener); p.addr != "" {
				return true
			}
		}
		return false
	})
	// What it does right behind that, such as asking for signals, is done when all its threads sleep.
	eventually(t, "the server to have nothing to do", func() bool { return asleep(listener) })
	return p
}

// interrupt sends SIGINT, as Ctrl-C does.
func (p *process) interrupt() { p.signal(syscall.SIGINT) }

// signal sends a signal to the process and whatever started it.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end of the process and fails the test unless it is a good one.
func (p *process) wait() {
	p.t.Helper()
	if p.waitAnyhow(); p.err != nil {
		p.t.Fatalf("the server ended with %v", p.err)
	}
}

// waitAnyhow waits for the end of the process, good or bad.
func (p *process) waitAnyhow() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the server still ran %v after it was interrupted", patience)
	}
}

// status is what the kernel tells of a process.
type status struct {
	state byte // 'R', 'S', 'T' for stopped ...
	group int  // leader of its process group
}

// statusOf reads the status of a process, or a thread, which is the zero value when there is none.
func statusOf(pid int) (s status) {
	// proc_pid_stat(5): pid (name) state parent group ...; the name may hold anything.
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(f) > 2 {
		s.state = f[0][0]
		s.group, _ = strconv.Atoi(string(f[2]))
	}
	return s
}

// asleep says whether all threads of a process wait for something.
func asleep(pid int) bool {
	for _, tid := range threads(pid) {
		if statusOf(tid).state != 'S' {
			return false
		}
	}
	return true
}

// group lists the processes of a process group.
func group(leader int) (pids []int) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range processes {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil && statusOf(pid).group == leader {
			pids = append(pids, pid)
		}
	}
	return pids
}

// aRing is the link of a descriptor that io_uring_setup has made.
const aRing = "anon_inode:[io_uring]"

// descriptors lists what a process has open, as the links in its fd folder (proc(5)).
func descriptors(pid int) (links []string) {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil {
			links = append(links, link)
		}
	}
	return links
}

// listenAddr finds out at which IPv4 address a process listens: among the sockets it holds, that which the kernel's table
// shows in state LISTEN. "" when there is none (yet).
func listenAddr(pid int) string {
	held := map[string]bool{}
	for _, link := range descriptors(pid) {
		held[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
	}
	table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	for _, line := range strings.Split(string(table), "\n") {
		const listening = "0A"
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != listening || !held[f[9]] {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			return net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10))
		}
	}
	return ""
}
