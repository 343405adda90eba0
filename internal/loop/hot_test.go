package loop

import (
	"io"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

func TestOneCrossingATurn(t *testing.T) {
	needsGoroutines(t)
	const conns, each = 100, 100
	l := start(t, Config{})
	message := frame(csrc.WSBinary, pattern(64))
	var pipeline []byte
	for i := 0; i < each; i++ {
		pipeline = append(pipeline, message...)
	}
	var peers []io.ReadWriter
	for i := 0; i < conns; i++ {
		_, peer := attach(t, l, true, echoMessage)
		peers = append(peers, peer)
	}
	on(t, l, func() {})
	calls, crossings := runtime.NumCgoCall(), l.Stats().Crossings
	var wg sync.WaitGroup
	for _, peer := range peers {
		wg.Add(2)
		go func() { defer wg.Done(); peer.Write(pipeline) }()
		go func() {
			defer wg.Done()
			for i := 0; i < each; i++ {
				readFrame(t, peer)
			}
		}()
	}
	wg.Wait()
	crossings = l.Stats().Crossings - crossings
	calls = runtime.NumCgoCall() - calls
	t.Logf("%d messages: %d turns, %d cgo calls", conns*each, crossings, calls)
	if calls >= 1000 {
		t.Errorf("%d cgo calls for %d messages", calls, conns*each)
	}
	// One call a turn; those of Stats come on top, and of whatever earlier tests left for the collector. The call that the
	// loop is in may be counted before its turn. A second call a turn would be as many again.
	if extra := calls - int64(crossings); extra < -3 || extra > int64(crossings)/2+3 {
		t.Errorf("%d cgo calls in %d turns", calls, crossings)
	}
}

// client is the other end of a stream as a plain descriptor: no allocation, no poller of Go's.
type client struct {
	t  testing.TB
	fd int
}

func newClient(t testing.TB, l *Loop, handle func(s *stream, ev *csrc.Event)) *client {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fds[1]) })
	s := &stream{handle: handle, closed: make(chan csrc.Event, 1)}
	on(t, l, func() {
		if err := l.Attach(&s.Conn, s, fds[0], false); err != nil {
			t.Error(err)
		}
		if err := s.Upgrade(nil, UpgradeConfig{}); err != nil {
			t.Error(err)
		}
	})
	return &client{t, fds[1]}
}

func (c *client) write(p []byte) {
	for len(p) > 0 {
		n, err := syscall.Write(c.fd, p)
		if err != nil && err != syscall.EINTR {
			c.t.Fatal(err)
		}
		p = p[max(n, 0):]
	}
}

func (c *client) read(p []byte) {
	for len(p) > 0 {
		n, err := syscall.Read(c.fd, p)
		if n == 0 || err != nil && err != syscall.EINTR {
			c.t.Fatalf("read %d: %v", n, err)
		}
		p = p[max(n, 0):]
	}
}

func TestNoAllocationsOnTheEchoPath(t *testing.T) {
	needsGoroutines(t)
	l := start(t, Config{})
	handler := func(data any) { // what a user's handler sees: the Buffer in an interface
		data.(*Buffer).Release()
	}
	for _, size := range []int{10, copyMax, 60_000, 200_000} {
		c := newClient(t, l, func(s *stream, ev *csrc.Event) {
			if ev.Type != csrc.EvMessage {
				return
			}
			b := l.Lend(ev, nil)
			view := b.Slice(0, size/2)
			p := b.Bytes()
			handler(b)
			view.Release()
			if err := s.Send(ev.Kind, p); err != nil {
				t.Error(err)
			}
		})
		message := frame(csrc.WSBinary, pattern(size))
		reply := make([]byte, csrc.WSHeaderSize(size)+size)
		echo := func() {
			for i := 0; i < 3; i++ {
				c.write(message)
			}
			for i := 0; i < 3; i++ {
				c.read(reply)
			}
		}
		if n := testing.AllocsPerRun(100, echo); n != 0 {
			t.Errorf("%d bytes: %v allocations for three echoes", size, n)
		}
	}
}

func TestNoAllocationsForLetters(t *testing.T) {
	if !noescape {
		t.Skip("the arguments of cgo calls escape before Go 1.24")
	}
	l := start(t, Config{})
	s, peer := attach(t, l, false, nil)
	go io.Copy(io.Discard, peer)
	p := pattern(100)
	if n := testing.AllocsPerRun(1000, func() {
		if err := s.Send(0, p); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations to post a message", n)
	}
}

// BenchmarkEcho is a message of 64 bytes at a time on each of a few connections. It guards how often the loop yields
// (yieldInterval): at every wait shows here at once. Never shows only where the client is another process; for that see
// docs/design.md, "Threads, and Go's scheduler".
func BenchmarkEcho(b *testing.B) {
	for name, conns := range map[string]int{"1": 1, "8": 8} {
		b.Run(name, func(b *testing.B) {
			l := start(b, Config{})
			message := frame(csrc.WSBinary, pattern(64))
			var wg sync.WaitGroup
			clients := make([]*client, conns)
			for i := range clients {
				clients[i] = newClient(b, l, echoMessage)
			}
			b.ResetTimer()
			for _, c := range clients {
				wg.Add(1)
				go func() {
					defer wg.Done()
					reply := make([]byte, 66)
					for i := 0; i < b.N/conns; i++ {
						c.write(message)
						c.read(reply)
					}
				}()
			}
			wg.Wait()
		})
	}
}

// BenchmarkPipelinedEcho is messages of 64 bytes as fast as one connection takes them.
func BenchmarkPipelinedEcho(b *testing.B) {
	l := start(b, Config{})
	c := newClient(b, l, echoMessage)
	const batch = 100
	var messages []byte
	for i := 0; i < batch; i++ {
		messages = append(messages, frame(csrc.WSBinary, pattern(64))...)
	}
	replies := make([]byte, 66*batch)
	b.ResetTimer()
	for i := 0; i < b.N; i += batch {
		c.write(messages)
		c.read(replies)
	}
}

func BenchmarkPost(b *testing.B) {
	l := start(b, Config{QueueLimit: 1 << 40})
	s, peer := attach(b, l, false, nil)
	go io.Copy(io.Discard, peer)
	p := pattern(64)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := s.Send(0, p); err != nil {
			b.Fatal(err)
		}
	}
}
