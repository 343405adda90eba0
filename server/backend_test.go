//go:build linux

package server

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// journal is what is logged while a test runs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// count tells how many lines contain text.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, line := range strings.Split(j.text.String(), "\n") {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// keepJournal redirects the log until the test ends.
func keepJournal(t *testing.T) *journal {
	j, before := new(journal), slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(j, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return j
}

const notToBeHad = "io_uring is not to be had"

// served starts a server, has it echo a message, and returns its statistics.
func served(t *testing.T, cfg *Config, opts ...ServerOption) map[string]any {
	t.Helper()
	s := start(t, cfg, api.HandlerFunc(echo), opts...)
	c := dial(t, s.Addr())
	c.send(protocol.OpcodeText, []byte("x"))
	c.expect(protocol.OpcodeText, []byte("x"))
	return s.GetControl().Stats()
}

func TestBackendOfChoice(t *testing.T) {
	t.Setenv("HIOLOAD_BACKEND", "io_uring") // an option goes before it
	log := keepJournal(t)
	stats := served(t, local(), WithBackend("epoll"))
	if stats["server.backend"] != "epoll" || stats["server.backend_reason"] != "epoll was asked for" {
		t.Errorf("epoll: backend %q, because %q", stats["server.backend"], stats["server.backend_reason"])
	}
	if n := log.count(notToBeHad); n != 0 {
		t.Errorf("%d warnings", n)
	}
	t.Setenv("HIOLOAD_BACKEND", "epoll")
	stats = served(t, local(), WithBackend("io_uring"))
	switch stats["server.backend"] {
	case "io_uring":
		if stats["server.backend_reason"] != "" || log.count(notToBeHad) != 0 {
			t.Errorf("io_uring, but because %q it is not", stats["server.backend_reason"])
		}
	case "epoll":
		if stats["server.backend_reason"] == "" || log.count(notToBeHad) != 1 {
			t.Errorf("epoll because %q, %d warnings", stats["server.backend_reason"], log.count(notToBeHad))
		}
	default:
		t.Errorf("backend %q", stats["server.backend"])
	}
}

// epoll knows no busy polling: whoever asks for it is told, once, and nobody else.
func TestBusyPollIsNotToBeHad(t *testing.T) {
	for busyPoll, want := range map[time.Duration]int{0: 0, 50 * time.Microsecond: 1} {
		log := keepJournal(t)
		served(t, local(), WithBackend("epoll"), WithBusyPoll(busyPoll))
		if n := log.count("busy polling is not to be had"); n != want {
			t.Errorf("%v: %d warnings, want %d", busyPoll, n, want)
		}
	}
}

func TestBackendUnknown(t *testing.T) {
	_, err := NewServer(local(), WithBackend("kqueue"))
	if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), `Config.Backend is "kqueue", not epoll or io_uring`) {
		t.Errorf("by option: got %v", err)
	}
	t.Setenv("HIOLOAD_BACKEND", "uring")
	_, err = NewServer(local())
	if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), `HIOLOAD_BACKEND is "uring", not epoll or io_uring`) {
		t.Errorf("by environment: got %v", err)
	}
}

// forbiddenVariable tells a child process how far it is: "no" before io_uring is forbidden, "yes" after.
const forbiddenVariable = "HIOLOAD_TEST_FORBIDDEN"

// Where io_uring is forbidden, as containers do it, a server that asks for it runs on epoll, tells why, and logs it once.
func TestForbiddenIOUring(t *testing.T) {
	switch os.Getenv(forbiddenVariable) {
	case "":
		cmd := exec.Command(os.Args[0], "-test.run=^TestForbiddenIOUring$", "-test.v")
		cmd.Env = append(os.Environ(), forbiddenVariable+"=no", "HIOLOAD_BACKEND=")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestForbiddenIOUring") {
			t.Errorf("%v\n%s", err, out)
		}
	case "no":
		forbid(t)
		os.Setenv(forbiddenVariable, "yes")
		t.Fatal(syscall.Exec(os.Args[0], os.Args, os.Environ())) // all of the new program is under the filter
	case "yes":
		runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
		cfg := local()
		cfg.ExecutorWorkers = 2
		t.Run("by option", func(t *testing.T) { fallsBack(t, cfg, WithBackend("io_uring")) })
		t.Setenv("HIOLOAD_BACKEND", "io_uring")
		t.Run("by environment", func(t *testing.T) { fallsBack(t, cfg) })
	}
}

// forbid has io_uring_setup(2) fail with EPERM in this thread and what it executes (seccomp(2)).
func forbid(t *testing.T) {
	const (
		ioUringSetup     = 425 // on every architecture
		setNoNewPrivs    = 38
		setSeccomp       = 22
		filterMode       = 2
		failWith, permit = 0x00050000, 0x7fff0000
	)
	code := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 0}, // the number of the call
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: ioUringSetup, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: failWith | uint32(syscall.EPERM)},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: permit},
	}
	program := syscall.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	runtime.LockOSThread() // the one that executes the new program
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setSeccomp, filterMode, uintptr(unsafe.Pointer(&program)))
	if errno == syscall.EINVAL || errno == syscall.ENOSYS {
		t.Skip("a kernel without seccomp")
	}
	if errno != 0 {
		t.Fatal(errno)
	}
}

func fallsBack(t *testing.T, cfg *Config, opts ...ServerOption) {
	log := keepJournal(t)
	stats := served(t, cfg, opts...)
	if stats["server.backend"] != "epoll" || stats["server.loops"] != int64(2) {
		t.Errorf("%v loops on %q", stats["server.loops"], stats["server.backend"])
	}
	reason := stats["server.backend_reason"].(string)
	if !strings.Contains(reason, "operation not permitted") && !strings.Contains(reason, "function not implemented") {
		t.Errorf("because %q", reason)
	}
	if n := log.count(notToBeHad); n != 1 || log.count(reason) != 1 {
		t.Errorf("%d lines, want one with %q:\n%s", n, reason, &log.text)
	}
}
