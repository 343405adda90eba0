//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit bounds every wait in these tests. It is not a measure of anything: a healthy server needs a fraction of it.
const limit = 60 * time.Second

// program is the example, built once for all tests.
var program string

func TestMain(m *testing.M) {
	os.Getenv("HIOLOAD_BACKEND") // read by the program: looked at here, so that go test keeps its results apart
	dir, err := os.MkdirTemp("", "reactor_echo")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "reactor_echo")
	code := 1
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running example.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	addr  string
	lines chan string // what it prints; closed at the end
}

// start runs a command that ends up as the server, on a port that the kernel chooses, and waits until it is ready.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, append(args, "-addr", "127.0.0.1:0")...), lines: make(chan string, 1<<16)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // "go run" is two processes
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL) // no harm to one that has ended
		for range p.lines {
		}
		p.cmd.Wait()
		if stderr.Len() > 0 {
			t.Errorf("standard error: %s", stderr.String())
		}
	})
	p.addr = p.want(`^\[reactor-echo\] Listening on (127\.0\.0\.1:\d+) \.\.\.$`)[1]
	p.want(`^\[reactor-echo\] Reactor initialized$`)
	return p
}

func (p *process) signal(s syscall.Signal) { syscall.Kill(-p.cmd.Process.Pid, s) }

// next returns the next line.
func (p *process) next() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatal("the server has ended")
		}
		return line
	case <-time.After(limit):
		p.t.Fatal("the server prints nothing more")
	}
	return ""
}

// want matches the next line with a pattern.
func (p *process) want(pattern string) []string {
	p.t.Helper()
	line := p.next()
	match := regexp.MustCompile(pattern).FindStringSubmatch(line)
	if match == nil {
		p.t.Fatalf("printed %q, want a match of %s", line, pattern)
	}
	return match
}

// await reads lines until n of them begin with the prefix.
func (p *process) await(n int, prefix string) {
	p.t.Helper()
	for n > 0 {
		if strings.HasPrefix(p.next(), "[reactor-echo] "+prefix) {
			n--
		}
	}
}

// descriptors counts those that the server has open.
func (p *process) descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// interrupt ends the server with Ctrl-C and checks that it took that well.
func (p *process) interrupt() {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("after SIGINT: %v", err)
	}
}

func (p *process) dial() *net.TCPConn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c.(*net.TCPConn)
}

// echo sends text and expects it back.
func (p *process) echo(c net.Conn, text string) {
	p.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		p.t.Fatal(err)
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil || string(back) != text {
		p.t.Fatalf("echo of %q: %q, %v", text, back, err)
	}
}

const hello = "Hello World!\n"

// session expects the lines of one connection that says hello and leaves.
func (p *process) session(addr string) {
	p.t.Helper()
	p.want(`^\[reactor-echo\] Accepted connection from ` + addr + `$`)
	p.want(`^\[reactor-echo\] Received \(13 bytes\): Hello World!$`)
	p.want(`^\[reactor-echo\] Sent \(13 bytes\) back to client$`)
	p.want(`^\[reactor-echo\] Connection closed by peer \(fd=\d+\)$`)
}

func TestLinesForNetcat(t *testing.T) {
	nc, err := exec.LookPath("nc")
	if err != nil {
		t.Skip("no nc on this machine; TestLines says the same with a client of its own")
	}
	p := start(t, program)
	host, port, _ := net.SplitHostPort(p.addr)
	client := exec.Command(nc, host, port)
	stdin, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, hello)
	back := make([]byte, len(hello))
	if _, err := io.ReadFull(stdout, back); err != nil || string(back) != hello {
		t.Errorf("nc printed %q, %v", back, err)
	}
	client.Process.Signal(os.Interrupt) // as one leaves nc
	p.session(`127\.0\.0\.1:\d+`)
	client.Wait()
	p.interrupt()
}

func TestLines(t *testing.T) {
	p := start(t, program)
	for range 3 {
		c := p.dial()
		p.echo(c, hello)
		c.Close()
		p.session(regexp.QuoteMeta(c.LocalAddr().String()))
	}
	p.interrupt()
}

func TestGoRun(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "go", "-C", root, "run", "./examples/reactor_echo/")
	c := p.dial()
	p.echo(c, hello)
	c.Close()
	p.session(regexp.QuoteMeta(c.LocalAddr().String()))
	p.signal(syscall.SIGINT)
	for line := range p.lines { // ends when the server itself has ended
		t.Errorf("printed %q after SIGINT", line)
	}
}

// A peer that has finished sending but reads slowly gets everything, five megabytes of it.
func TestFiveMegabytes(t *testing.T) {
	sent := make([]byte, 5_000_000)
	rand.New(rand.NewSource(1)).Read(sent)
	p := start(t, program)
	go func() { // the server logs all it gets, and must not wait for a reader of its log
		for range p.lines {
		}
	}()
	t.Run("written first and read after", func(t *testing.T) {
		c := p.dial()
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(c); err != nil || !bytes.Equal(back, sent) {
			t.Errorf("%d bytes came back (%v), equal: %v", len(back), err, bytes.Equal(back, sent))
		}
	})
	t.Run("three at once", func(t *testing.T) {
		var clients sync.WaitGroup
		for range 3 {
			c := p.dial()
			clients.Add(2)
			go func() {
				defer clients.Done()
				c.Write(sent)
				c.CloseWrite()
			}()
			go func() {
				defer clients.Done()
				if back, err := io.ReadAll(c); err != nil || !bytes.Equal(back, sent) {
					t.Errorf("%d bytes came back (%v), equal: %v", len(back), err, bytes.Equal(back, sent))
				}
			}()
		}
		clients.Wait()
	})
}

// A peer that does not read is no longer read from either, so the memory it costs is bounded, and others do not notice.
// When it reads at last, it gets everything.
func TestPeerThatDoesNotRead(t *testing.T) {
	p := start(t, program)
	go func() {
		for range p.lines {
		}
	}()
	greedy := p.dial()
	greedy.SetWriteDeadline(time.Now().Add(time.Second)) // enough for all that is ever taken, and then some
	chunk := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(chunk)
	const much = 200 << 20
	sent := 0
	for sent < much {
		n, err := greedy.Write(chunk[sent%len(chunk):])
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent >= much {
		t.Errorf("%d bytes were taken from a peer that reads nothing", sent)
	}
	p.echo(p.dial(), hello)

	if err := greedy.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(greedy)
	if err != nil || len(back) != sent {
		t.Errorf("%d of %d bytes came back, %v", len(back), sent, err)
	}
	for at := 0; at < len(back); at += len(chunk) {
		piece := back[at:min(at+len(chunk), len(back))]
		if !bytes.Equal(piece, chunk[:len(piece)]) {
			t.Fatalf("the echo differs somewhere from byte %d on", at)
		}
	}
}

func TestResetByPeer(t *testing.T) {
	p := start(t, program)
	c := p.dial()
	p.echo(c, hello)
	before := p.descriptors()
	c.SetLinger(0) // close sends a reset
	c.Close()
	p.await(1, "Connection closed by peer (fd=")
	if now := p.descriptors(); now != before-1 {
		t.Errorf("%d descriptors with the connection, %d after it", before, now)
	}
	p.echo(p.dial(), hello)
	p.interrupt()
}

func TestFiveThousandConnections(t *testing.T) {
	const count = 5000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Max < count+100 {
		t.Skipf("the limit of open files is %d; run with ulimit -n 20000", files.Max)
	}
	p := start(t, program)
	// The first connection makes the server open what it keeps.
	first := p.dial()
	p.echo(first, hello)
	first.Close()
	p.session(`127\.0\.0\.1:\d+`)
	before := p.descriptors()

	conns := make([]*net.TCPConn, count)
	for i := range conns {
		conns[i] = p.dial()
	}
	for i, c := range conns {
		p.echo(c, fmt.Sprintf("connection %d\n", i))
	}
	if now := p.descriptors(); now != before+count {
		t.Errorf("%d descriptors with %d connections, %d before", now, count, before)
	}
	for i, c := range conns {
		if i%2 == 0 {
			c.SetLinger(0)
		}
		c.Close()
	}
	p.await(count, "Connection closed by peer (fd=")
	if now := p.descriptors(); now != before {
		t.Errorf("%d descriptors after all have gone, %d before they came", now, before)
	}
	p.interrupt()
}

// When descriptors run out the server waits instead of spinning or ending, and goes on when there are some again.
func TestOutOfDescriptors(t *testing.T) {
	p := start(t, "sh", "-c", `ulimit -n 40 && exec "$0" "$@"`, program)
	var conns []*net.TCPConn
	for range 60 { // the kernel completes them all; the server can accept some
		conns = append(conns, p.dial())
	}
	p.await(1, "Accepting pauses for ")
	for _, c := range conns {
		c.Close()
	}
	// The server may accept a connection before it has closed enough of the others, and have to drop it.
	for back := make([]byte, len(hello)); string(back) != hello; {
		c := p.dial()
		if _, err := io.WriteString(c, hello); err == nil {
			_, _ = io.ReadFull(c, back) // a reset is as good as no answer
		}
	}
	p.interrupt()
}

func TestInterruptWithConnections(t *testing.T) {
	p := start(t, program)
	c := p.dial()
	p.echo(c, hello)
	p.interrupt()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v from a server that has ended", n, err)
	}
}

func TestAddressInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := exec.Command(program, "-addr", ln.Addr().String()).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "address already in use") {
		t.Errorf("ended with %v, printing %q", err, out)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Hello World!\n", "Hello World!"},
		{"Hello World!\r\n", "Hello World!"},
		{"no line break", "no line break"},
		{"two\nlines\n", "two.lines"},
		{"", ""},
		{"\n", ""},
		{"Привет, 世界\n", "Привет, 世界"},
		{"\x1b[31m\x00\xff", ".[31m.."},
		{strings.Repeat("x", textShown), strings.Repeat("x", textShown)},
		{strings.Repeat("x", textShown+1), strings.Repeat("x", textShown) + "…"},
	} {
		if got := line([]byte(c.in)); got != c.want {
			t.Errorf("line(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
