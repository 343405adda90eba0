package client

import (
	"bufio"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// serverVariable makes this test's program a server in a process of its own: one process may not have descriptors for
// both ends of ten thousand connections.
const serverVariable = "HIOLOAD_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) == "" {
		os.Exit(run(m))
	}
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	s, err := server.NewServer(config)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(s.Addr().String() + "\n")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends, however it does
		s.Shutdown()
	}()
	if err := s.Run(api.HandlerFunc(echo)); err != nil {
		panic(err)
	}
}

// run runs the tests on a machine that trusts their certificate, as far as this process knows.
func run(m *testing.M) int {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	file, err := os.CreateTemp("", "hioload-test-*.pem")
	if err == nil {
		defer os.Remove(file.Name())
		err = pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	}
	if err == nil {
		err = errors.Join(file.Close(), os.Setenv("SSL_CERT_FILE", file.Name()))
	}
	if err != nil {
		panic(err)
	}
	return m.Run()
}

// serveElsewhere starts an echo server in a process of its own.
func serveElsewhere(t testing.TB) (address string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), serverVariable+"=1")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line[:len(line)-1]
}

// Ten thousand connections in one process, over two loops: no goroutine is theirs.
func TestTenThousandConnections(t *testing.T) {
	const n, dialers, spare = 10_000, 8, 500
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n+spare {
		t.Skipf("the process may have %d descriptors, and %d are needed", limit.Cur, n+spare)
	}
	leaks(t)
	address := serveElsewhere(t)
	o := &Options{Proxy: NoProxy, Loops: loops(t, 2)}
	var answered sync.WaitGroup
	answered.Add(n)
	o.Handler = api.HandlerFunc(func(data any) error {
		if message, ok := data.(api.Buffer); ok {
			message.Release()
			answered.Done()
		}
		return nil
	})
	_, before := count(t)
	conns := make([]*Conn, n)
	var all sync.WaitGroup
	for d := range dialers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := d; i < n && !t.Failed(); i += dialers {
				c, _, err := Dial(within(t), "ws://"+address, o)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				conns[i] = c
			}
		}()
	}
	all.Wait()
	if t.Failed() {
		return
	}
	if _, after := count(t); after > before+10 {
		t.Errorf("%d goroutines before, %d with %d connections", before, after, n)
	}
	for i, c := range conns {
		number := strconv.AppendInt(nil, int64(i), 10)
		frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: number}
		if err := c.SendFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		answered.Wait()
		close(done)
	}()
	await(t, "the answers", done)
	if err := o.Loops.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	if got := o.Loops.Len(); got != 0 {
		t.Errorf("%d connections are left", got)
	}
}
