package loop

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/gid"
)

// patience bounds every wait of these tests. Nothing is expected to take that long; it only keeps a bug from hanging.
const patience = 20 * time.Second

// quiet is a logger for tests that provoke reports.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start makes a loop that runs until the test ends, and then checks that it ended whole and has given back all memory.
func start(t testing.TB, cfg Config) *Loop {
	t.Helper()
	pool, err := NewPool(PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pool = pool
	cfg.RunOnly = true
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- l.Run() }()
	t.Cleanup(func() {
		l.Close()
		wait(t, "Run to return", l.Done())
		if err := <-result; err != nil && err != ErrLoopClosed { // the latter when it was closed before Run began
			t.Errorf("Run: %v", err)
		}
		if n := inUse(pool); n != 0 {
			t.Errorf("%d blocks of memory are still in use: %+v", n, pool.Stats())
		}
		pool.Close()
		if n := pool.users.Load(); n != 0 {
			t.Errorf("the pool still has %d users", n)
		}
	})
	return l
}

// needsGoroutines skips a test of what only a loop can do that knows whether its own goroutine calls: without that (build
// tag purego), everything goes by letters, and buffers are not used again.
func needsGoroutines(t *testing.T) {
	t.Helper()
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
}

// wait fails the test when nothing happens on done.
func wait[T any](t testing.TB, what string, done <-chan T) T {
	t.Helper()
	select {
	case v := <-done:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// on runs f on the loop's goroutine and returns when it has run.
func on(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := l.Do(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	wait(t, "a function given to Do", done)
}

// target is a Target made of a function.
type target func(ev *csrc.Event)

func (f target) HandleEvent(ev *csrc.Event) { f(ev) }

// stream is a Conn with a Target made of a function that is told the stream.
type stream struct {
	Conn
	handle func(s *stream, ev *csrc.Event)
	closed chan csrc.Event
}

func (s *stream) HandleEvent(ev *csrc.Event) {
	if s.handle != nil {
		s.handle(s, ev)
	}
	switch ev.Type {
	case csrc.EvEnd:
		_ = s.Conn.Close(0, "")
	case csrc.EvClosed:
		s.closed <- *ev
	}
}

// pair is a connected pair of stream sockets: a descriptor for the loop, and the test's end.
func pair(t testing.TB) (int, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "peer")
	defer f.Close()
	peer, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = peer.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { peer.Close() })
	return fds[0], peer
}

// attach makes a stream on l, a WebSocket if asked, and returns it with the test's end of it.
func attach(t testing.TB, l *Loop, websocket bool, handle func(s *stream, ev *csrc.Event)) (*stream, net.Conn) {
	t.Helper()
	fd, peer := pair(t)
	s := &stream{handle: handle, closed: make(chan csrc.Event, 1)}
	if !websocket {
		if err := l.Attach(&s.Conn, s, fd, false); err != nil {
			t.Fatal(err)
		}
		return s, peer
	}
	on(t, l, func() { // both in one turn, or bytes might arrive in between and be taken for raw ones
		if err := l.Attach(&s.Conn, s, fd, false); err != nil {
			t.Error(err)
		}
		if err := s.Upgrade(nil, UpgradeConfig{}); err != nil {
			t.Error(err)
		}
	})
	return s, peer
}

// frame is a client's frame: masked (with zeros, which changes nothing).
func frame(opcode byte, payload []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 65536:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}

// readFrame reads a server's frame.
func readFrame(t testing.TB, r io.Reader) (first byte, payload []byte) {
	t.Helper()
	var h [10]byte
	read := func(b []byte) {
		t.Helper()
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatalf("reading a frame: %v", err)
		}
	}
	read(h[:2])
	n := uint64(h[1])
	switch n {
	case 126:
		read(h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		read(h[2:10])
		n = binary.BigEndian.Uint64(h[2:])
	}
	payload = make([]byte, n)
	read(payload)
	return h[0], payload
}

// pattern is n bytes that differ from place to place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func echoRaw(s *stream, ev *csrc.Event) {
	if ev.Type == csrc.EvData {
		if err := s.Send(0, ev.Bytes()); err != nil {
			panic(err)
		}
	}
}

// echoMessage echoes as users do: it takes the bytes, releases, and then sends.
func echoMessage(s *stream, ev *csrc.Event) {
	if ev.Type == csrc.EvMessage {
		b := s.Loop().Lend(ev, context.Background())
		p := b.Bytes()
		b.Release()
		if err := s.Send(ev.Kind, p); err != nil {
			panic(err)
		}
	}
}
