//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// goingAway is the payload of a close frame with status 1001 and no reason.
var goingAway = []byte{1001 >> 8, 1001 & 0xff}

// noTimeout is what an idle server may take to end: it has nothing to wait for, and is not to wait for a timeout, of which
// the shortest is one of 5 s. The rest is room for a busy machine.
const noTimeout = 4 * time.Second

func TestInterruptIdle(t *testing.T) {
	for _, clients := range []int{0, 1, 100} {
		t.Run(fmt.Sprint(clients, " clients"), func(t *testing.T) {
			p := start(t, echoProgram(t))
			dial(t, p.addr).goodbye(t) // it serves
			var answered sync.WaitGroup
			for range clients {
				c := dial(t, p.addr)
				// A message first: its echo tells that the connection is fully open.
				if err := c.send(opText, []byte("hi")); err != nil {
					t.Fatal(err)
				}
				c.expect(t, opBinary, []byte("hi"))
				answered.Add(1)
				go func() {
					defer answered.Done()
					opcode, payload, err := c.receive()
					if err != nil || opcode != opClose || !bytes.HasPrefix(payload, goingAway) {
						t.Errorf("got opcode %d, %q, %v; want a close frame with 1001", opcode, payload, err)
					}
					if err := c.send(opClose, goingAway); err != nil {
						t.Error(err)
					}
				}()
			}
			began := time.Now()
			p.interrupt()
			p.wait()
			took := time.Since(began)
			answered.Wait()
			t.Logf("ended in %v", took)
			if took > noTimeout {
				t.Errorf("ended after %v, want less than %v", took, noTimeout)
			}
			for _, line := range []string{"Shutting down echo server...\n", "Server stopped.\n"} {
				if !strings.Contains(p.output(), line) {
					t.Errorf("output lacks %q", line)
				}
			}
		})
	}
}

// countingProgram is the users' program with one line more, which tells at the end how many messages it handled.
func countingProgram(t *testing.T) string {
	t.Helper()
	const last = `fmt.Println("Server stopped.")`
	seed := string(seedMain(t))
	if strings.Count(seed, last) != 1 {
		t.Fatalf("the users' program does not end in %s", last)
	}
	counting := strings.Replace(seed, last, last+"\n"+`fmt.Println("Counted:", atomic.LoadInt64(&totalMsgs))`, 1)
	dir := consumer(t, []byte(counting))
	mustRun(t, dir, offline, "go", "build", "-o", "counting")
	return filepath.Join(dir, "counting")
}

// Every message that the server's handler has counted is answered, in order, before the close frame: where the loops run
// handlers, and where workers do.
func TestInterruptUnderLoad(t *testing.T) {
	program := countingProgram(t)
	for name, args := range map[string][]string{"on loops": nil, "on workers": {"-workers", "500"}} {
		t.Run(name, func(t *testing.T) { testInterruptUnderLoad(t, start(t, program, args...)) })
	}
}

func testInterruptUnderLoad(t *testing.T, p *process) {
	var loads [8]*load
	for i := range loads {
		loads[i] = startLoad(dial(t, p.addr))
	}
	for _, l := range loads {
		<-l.warm
	}
	began := time.Now()
	p.interrupt()
	p.wait()
	t.Logf("ended in %v", time.Since(began))

	echoes := int64(0)
	for i, l := range loads {
		<-l.done
		if l.fault != "" {
			t.Errorf("client %d: %s", i, l.fault)
		}
		echoes += l.echoed
	}
	if line := fmt.Sprintf("Counted: %d\n", echoes); !strings.HasSuffix(p.output(), line) {
		t.Errorf("%d messages were echoed, the server said\n%s", echoes, p.output())
	}
}

const (
	loadWindow = 32   // most messages of a load under way
	loadSize   = 1000 // bytes of each
	loadWarm   = 2000 // echoes after which a load is warm
)

// load is a client that sends numbered messages, and checks their echoes, until the server says goodbye.
type load struct {
	warm   chan struct{} // closed when the server has been busy with it for a while, or the load is done
	done   chan struct{} // closed when the server has said goodbye, or broken off
	echoed int64         // right ones; to be read after done
	fault  string        // what was wrong with the stream of echoes, or ""; to be read after done
}

func startLoad(c *client) *load {
	l := &load{warm: make(chan struct{}), done: make(chan struct{})}
	room := make(chan struct{}, loadWindow)
	go l.write(c, room)
	go func() {
		defer close(l.done)
		defer c.Close()
		l.fault = l.read(c, room)
		if l.echoed < loadWarm {
			close(l.warm)
		}
	}()
	return l
}

// write sends messages, one for each place in room, until the connection or the load ends.
func (l *load) write(c *client, room chan<- struct{}) {
	for sequence := uint64(0); ; sequence++ {
		select {
		case room <- struct{}{}:
		case <-l.done:
			return
		}
		if c.send(opBinary, numbered(sequence, loadSize)) != nil {
			return
		}
	}
}

// read counts echoes until the close frame and returns "", or what came instead of either.
func (l *load) read(c *client, room <-chan struct{}) string {
	for {
		opcode, payload, err := c.receive()
		switch {
		case err != nil:
			return fmt.Sprintf("after %d echoes: %v", l.echoed, err)
		case opcode == opClose && bytes.HasPrefix(payload, goingAway):
			c.send(opClose, goingAway) // the server may be gone already, which is its right
			return ""
		case opcode != opBinary || !bytes.Equal(payload, numbered(uint64(l.echoed), loadSize)):
			return fmt.Sprintf("echo %d came as opcode %d, %d bytes, %x...", l.echoed, opcode, len(payload),
				payload[:min(8, len(payload))])
		}
		if l.echoed++; l.echoed == loadWarm {
			close(l.warm)
		}
		<-room
	}
}

// What the kernel holds when the signal comes has been received, though the server knows nothing of it yet. To have it so,
// the server is stopped meanwhile. Since a loop looks at one connection a turn here, nearly all of them are still unread
// when the shutdown begins.
func TestInterruptBacklog(t *testing.T) {
	program := countingProgram(t)
	for name, workers := range map[string]string{"on a loop": "1", "on workers": "500"} {
		t.Run(name, func(t *testing.T) {
			testInterruptBacklog(t, start(t, program, "-workers", workers, "-batch", "1"))
		})
	}
}

func testInterruptBacklog(t *testing.T, p *process) {
	const clients, each = 200, 20
	var conns [clients]*client
	for i := range conns {
		conns[i] = dial(t, p.addr)
		if err := conns[i].send(opText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		conns[i].expect(t, opBinary, []byte("hi"))
	}

	p.signal(syscall.SIGSTOP)
	eventually(t, "the server to stop", func() bool { return statusOf(p.cmd.Process.Pid).state == 'T' })
	for _, c := range conns {
		for sequence := range uint64(each) {
			if err := c.send(opBinary, numbered(sequence, loadSize)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range conns {
		eventually(t, "the server's kernel to acknowledge everything", func() bool { return c.underway(t) == 0 })
	}
	p.interrupt()
	p.signal(syscall.SIGCONT)

	for _, c := range conns {
		for sequence := range uint64(each) {
			c.expect(t, opBinary, numbered(sequence, loadSize))
		}
		c.expect(t, opClose, goingAway)
		if err := c.send(opClose, goingAway); err != nil {
			t.Error(err)
		}
	}
	p.wait()
	if line := fmt.Sprintf("Counted: %d\n", clients*(each+1)); !strings.HasSuffix(p.output(), line) {
		t.Errorf("want %q at the end of\n%s", line, p.output())
	}
}

// numbered is a message that tells its place in the sequence.
func numbered(sequence uint64, size int) []byte {
	b := bytes.Repeat([]byte{byte(sequence)}, size)
	binary.BigEndian.PutUint64(b, sequence)
	return b
}
