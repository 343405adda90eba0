//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
)

const (
	busyClients = 1000
	busyWindow  = 8   // most messages of each under way
	busySize    = 200 // bytes of each
	busyWarm    = 10  // echoes after which a client is warm
)

// busyClient sends numbered messages, and checks their echoes, until the server says goodbye.
type busyClient struct {
	*client
	acknowledged atomic.Int64  // messages that the server's kernel is known to have
	echoed       atomic.Int64  // right ones
	warm         chan struct{} // closed when it has had busyWarm echoes, or is done
	done         chan struct{} // closed when the server has said goodbye, or broken off
	fault        string        // what was wrong with the stream of echoes, or ""; to be read after done
}

func startBusy(c *client) *busyClient {
	b := &busyClient{client: c, warm: make(chan struct{}), done: make(chan struct{})}
	room := make(chan struct{}, busyWindow)
	go b.write(room)
	go func() {
		defer close(b.done)
		defer c.Close()
		b.fault = b.read(room)
		if b.echoed.Load() < busyWarm {
			close(b.warm)
		}
	}()
	return b
}

// write sends messages, one for each place in room, until the connection ends.
func (b *busyClient) write(room chan<- struct{}) {
	for sequence := uint64(0); ; sequence++ {
		select {
		case room <- struct{}{}:
		case <-b.done:
			return
		}
		if b.send(opBinary, numbered(sequence, busySize)) != nil {
			return
		}
		if n, err := b.unacknowledged(); err == nil && n == 0 {
			b.acknowledged.Store(int64(sequence) + 1)
		}
	}
}

// read counts echoes until the close frame and returns "", or what came instead of either.
func (b *busyClient) read(room <-chan struct{}) string {
	for {
		opcode, payload, err := b.receive()
		echoed := b.echoed.Load()
		switch {
		case err != nil:
			return fmt.Sprintf("after %d echoes: %v", echoed, err)
		case opcode == opClose && bytes.HasPrefix(payload, goingAway):
			b.send(opClose, goingAway) // the server may be gone already, which is its right
			return ""
		case opcode != opBinary || !bytes.Equal(payload, numbered(uint64(echoed), busySize)):
			return fmt.Sprintf("echo %d came as opcode %d, %d bytes", echoed, opcode, len(payload))
		}
		if b.echoed.Store(echoed + 1); echoed+1 == busyWarm {
			close(b.warm)
		}
		<-room
	}
}

// SIGTERM, as service managers send it, while 1,000 clients send: each message that the server's machine had acknowledged
// before is answered, in order and without a gap, and then each client is told 1001. A client knows its message to be
// acknowledged when the kernel has nothing left of what it has written.
func TestTerminateUnderLoad(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			needsBackend(t, backend)
			p := startOn(t, backend, echoProgram(t))
			var conns [busyClients]*client
			for i := range conns {
				conns[i] = dial(t, p.addr)
			}
			var clients [busyClients]*busyClient
			for i := range clients { // when all are there: they leave no time for others to come
				clients[i] = startBusy(conns[i])
			}
			for _, c := range clients {
				<-c.warm
			}
			var acknowledged [busyClients]int64
			unanswered := int64(0)
			for i, c := range clients {
				acknowledged[i] = c.acknowledged.Load()
				unanswered += max(acknowledged[i]-c.echoed.Load(), 0)
			}
			p.signal(syscall.SIGTERM)

			echoes := int64(0)
			for i, c := range clients {
				<-c.done
				if c.fault != "" {
					t.Errorf("client %d: %s", i, c.fault)
				}
				if echoed := c.echoed.Load(); echoed < acknowledged[i] {
					t.Errorf("client %d: %d messages were acknowledged, %d answered", i, acknowledged[i], echoed)
				}
				echoes += c.echoed.Load()
			}
			p.wait()
			t.Logf("%d clients, %d messages answered; %d were acknowledged and not answered at the signal", len(clients),
				echoes, unanswered)
		})
	}
}

// The same when it is certain that the server has not seen them: it stands still while each client sends, which the kernel
// acknowledges.
func TestTerminateBacklog(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			needsBackend(t, backend)
			p := startOn(t, backend, echoProgram(t))
			var clients [busyClients]*client
			for i := range clients {
				clients[i] = dial(t, p.addr)
			}
			pipeline(t, clients[:], 1, 1) // all are open
			p.signal(syscall.SIGSTOP)
			eventually(t, "the server to stop", func() bool { return statusOf(p.cmd.Process.Pid).state == 'T' })
			for _, c := range clients {
				for sequence := range uint64(busyWindow) {
					if err := c.send(opBinary, numbered(sequence, busySize)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, c := range clients {
				eventually(t, "the server's kernel to acknowledge everything", func() bool { return c.underway(t) == 0 })
			}
			p.signal(syscall.SIGTERM)
			p.signal(syscall.SIGCONT)
			for _, c := range clients {
				for sequence := range uint64(busyWindow) {
					c.expect(t, opBinary, numbered(sequence, busySize))
				}
				c.expect(t, opClose, goingAway)
				if err := c.send(opClose, goingAway); err != nil {
					t.Error(err)
				}
			}
			p.wait()
		})
	}
}
