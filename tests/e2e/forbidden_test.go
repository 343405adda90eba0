//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// actVariable names an act for this very program to perform in a process of its own, instead of its tests.
const actVariable = "HIOLOAD_E2E_ACT"

var acts = map[string]func() error{
	"forbid": forbid,
	"idle":   idle,
	"serve":  serve,
}

// A server that the kernel refuses io_uring, as in many containers, serves on epoll, and says so in its statistics and in
// one line of its log.
func TestForbidden(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), actVariable+"=forbid", "HIOLOAD_BACKEND=io_uring")
	p := startCommand(t, cmd)
	c := dial(t, p.addr)
	if err := c.send(opText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.expect(t, opText, []byte("hello"))
	c.goodbye(t)
	if slices.Contains(descriptors(cmd.Process.Pid), aRing) {
		t.Error("it has a ring")
	}
	p.interrupt()
	p.wait()

	const backend, reason = "server.backend=epoll\n", "server.backend_reason="
	_, why, found := strings.Cut(p.output(), reason)
	why, _, _ = strings.Cut(why, "\n")
	if !strings.Contains(p.output(), backend) || !found || !strings.Contains(why, syscall.EPERM.Error()) {
		t.Errorf("its statistics lack %q or a reason", backend)
	}
	if n := strings.Count(p.output(), "WARN"); n != 1 {
		t.Errorf("its log has %d warnings, want 1", n)
	}
	if t.Failed() {
		t.Log(p.output())
	}
}

// forbid has the kernel refuse io_uring_setup with EPERM to this process from now on (seccomp(2)), then becomes one that
// serves.
func forbid() error {
	const (
		noNewPrivileges = 38  // PR_SET_NO_NEW_PRIVS
		byFilter        = 2   // SECCOMP_MODE_FILTER
		setup           = 425 // io_uring_setup, on every architecture
		refuse          = 0x00050000 | uint32(syscall.EPERM)
		allow           = 0x7fff0000
	)
	filter := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS}, // struct seccomp_data begins with the call's number
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: setup, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: refuse},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: allow},
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // the filter is the thread's, and of what becomes of it
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, noNewPrivileges, 1, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_SECCOMP, byFilter,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	os.Setenv(actVariable, "serve")
	return syscall.Exec(self, os.Args[:1], os.Environ())
}

// serve is an echo server that prints what its statistics say of its backend, and ends with SIGINT. With SIGUSR1 it collects
// garbage, gives what is free back to the kernel, and says so.
func serve() error {
	interrupts, collections := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT) // before it listens, from when on it may get any
	signal.Notify(collections, syscall.SIGUSR1)
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(cfg)
	if err != nil {
		return err
	}
	go func() {
		<-interrupts
		srv.Shutdown()
	}()
	go func() {
		for range collections {
			runtime.GC() // what lies in a sync.Pool survives one
			debug.FreeOSMemory()
			fmt.Println(collected)
		}
	}()
	err = srv.Run(api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			return nil
		}
		defer message.Release()
		bytes := message.Bytes()
		return api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection).SendFrame(&protocol.WSFrame{
			IsFinal: true, Opcode: protocol.MessageOpcode(data), PayloadLen: int64(len(bytes)), Payload: bytes})
	}))
	for key, value := range srv.GetControl().Stats() {
		if strings.HasPrefix(key, "server.backend") {
			fmt.Printf("%s=%v\n", key, value)
		}
	}
	return err
}
