package loop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/csrc"
)

func TestRawEcho(t *testing.T) {
	l := start(t, Config{})
	for _, size := range []int{1, 100, copyMax, copyMax + 1, 65536, 300_000, 5_000_000} {
		_, peer := attach(t, l, false, echoRaw)
		sent := pattern(size)
		go peer.Write(sent)
		got := make([]byte, size)
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back changed", size)
		}
	}
}

func TestWebSocketEcho(t *testing.T) {
	l := start(t, Config{})
	_, peer := attach(t, l, true, echoMessage)
	for _, size := range []int{0, 1, 125, 126, 127, copyMax, copyMax + 1, 65535, 65536, 300_000, 10_000_000} {
		sent := pattern(size)
		go peer.Write(frame(csrc.WSBinary, sent))
		first, got := readFrame(t, peer)
		if first != 0x80|csrc.WSBinary || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back as %d, first byte %#x", size, len(got), first)
		}
	}
}

func TestTCPListener(t *testing.T) {
	l := start(t, Config{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	addr := ln.Addr().String()
	ln.Close()

	streams := make(chan *stream, 10)
	listener := &stream{closed: make(chan csrc.Event, 1)}
	listener.handle = func(_ *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvAccept {
			s := &stream{handle: echoRaw, closed: make(chan csrc.Event, 1)}
			if err := l.Attach(&s.Conn, s, int(ev.Result), false); err != nil {
				t.Error(err)
			}
			streams <- s
		}
	}
	if err := l.Listen(&listener.Conn, listener, fd); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 10; i++ {
		peer, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		peer.SetDeadline(time.Now().Add(patience))
		got := make([]byte, 5)
		peer.Write([]byte("hello"))
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
		peer.Close()
		wait(t, "the stream to close", wait(t, "the stream", streams).closed)
	}
	if err := listener.Close(0, ""); err != nil {
		t.Error(err)
	}
	wait(t, "the listener to close", listener.closed)
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("connected to a listener that is closed")
	}
}

func TestOneShotAndUpgradeWithRest(t *testing.T) {
	l := start(t, Config{})
	fd, peer := pair(t)
	s := &stream{closed: make(chan csrc.Event, 1)}
	upgraded := false
	s.handle = func(s *stream, ev *csrc.Event) {
		switch ev.Type {
		case csrc.EvData:
			if upgraded {
				t.Errorf("raw bytes after the upgrade: %q", ev.Bytes())
				return
			}
			head, rest, ok := bytes.Cut(ev.Bytes(), []byte("\n"))
			if !ok || string(head) != "upgrade" {
				t.Errorf("request %q", ev.Bytes())
			}
			upgraded = true
			if err := s.Upgrade(rest, UpgradeConfig{}); err != nil {
				t.Error(err)
			}
		default:
			echoMessage(s, ev)
		}
	}
	if err := l.Attach(&s.Conn, s, fd, true); err != nil {
		t.Fatal(err)
	}
	// The first frame comes with the request, half of the second, too, and the rest later.
	second := frame(csrc.WSText, bytes.Repeat([]byte("b"), 1000))
	go func() {
		peer.Write(append(append([]byte("upgrade\n"), frame(csrc.WSText, []byte("a"))...), second[:500]...))
		peer.Write(second[500:])
	}()
	if _, got := readFrame(t, peer); string(got) != "a" {
		t.Errorf("first message %q", got)
	}
	if _, got := readFrame(t, peer); len(got) != 1000 {
		t.Errorf("second message has %d bytes", len(got))
	}
}

func TestCloseHandshake(t *testing.T) {
	l := start(t, Config{})
	s, peer := attach(t, l, true, nil)
	if err := s.Conn.Close(1001, "going"); err != nil {
		t.Fatal(err)
	}
	first, got := readFrame(t, peer)
	if first != 0x88 || len(got) < 2 || binary.BigEndian.Uint16(got) != 1001 || string(got[2:]) != "going" {
		t.Errorf("close frame %#x %q", first, got)
	}
	peer.Write(frame(csrc.WSClose, got[:2]))
	if ev := wait(t, "the stream to close", s.closed); ev.Result != 0 || ev.Flags != 1001 {
		t.Errorf("closed with result %d, code %d", ev.Result, ev.Flags)
	}
	if err := s.Conn.Close(1000, string(make([]byte, 124))); !errors.Is(err, ErrClosed) {
		t.Errorf("Close after the end: %v", err)
	}
}

func TestCloseReasonTooLong(t *testing.T) {
	l := start(t, Config{})
	s, _ := attach(t, l, true, nil)
	if err := s.Conn.Close(1000, string(make([]byte, 124))); err != ErrReason {
		t.Errorf("got %v", err)
	}
}

func TestTimer(t *testing.T) {
	l := start(t, Config{})
	s := &stream{closed: make(chan csrc.Event, 1)}
	fired := make(chan time.Time, 2)
	s.handle = func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvTimeout {
			fired <- time.Now()
		}
	}
	begin := time.Now()
	if err := l.Timer(&s.Conn, s, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	// The core's clock counts whole milliseconds, so the last one may be cut short.
	if at := wait(t, "the timer", fired); at.Sub(begin) < 19*time.Millisecond {
		t.Errorf("fired after %v", at.Sub(begin))
	}
	if err := s.Reset(time.Microsecond); err != nil {
		t.Fatal(err)
	}
	wait(t, "the timer again", fired)
	if err := s.Send(0, nil); err != ErrKind {
		t.Errorf("sending to a timer: %v", err)
	}
	if err := s.Abort(false); err != nil {
		t.Fatal(err)
	}
	wait(t, "the timer to close", s.closed)
}

func TestWatch(t *testing.T) {
	l := start(t, Config{})
	fd, peer := pair(t)
	defer syscall.Close(fd)
	s := &stream{closed: make(chan csrc.Event, 1)}
	ready := make(chan uint16, 1)
	s.handle = func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvReady {
			if err := s.Rewatch(0); err != nil {
				t.Error(err)
			}
			ready <- ev.Flags
		}
	}
	if err := l.Watch(&s.Conn, s, fd, csrc.Readable); err != nil {
		t.Fatal(err)
	}
	peer.Write([]byte("x"))
	if flags := wait(t, "readiness", ready); flags != csrc.Readable {
		t.Errorf("flags %#x", flags)
	}
	if err := s.Rewatch(csrc.Writable); err != nil {
		t.Fatal(err)
	}
	if flags := wait(t, "readiness", ready); flags != csrc.Writable {
		t.Errorf("flags %#x", flags)
	}
	if err := s.Conn.Close(0, ""); err != nil {
		t.Fatal(err)
	}
	wait(t, "the watch to end", s.closed)
	var one [1]byte
	if n, err := syscall.Read(fd, one[:]); n != 1 {
		t.Errorf("the descriptor is no longer ours: %v", err)
	}
}

func TestPollable(t *testing.T) {
	fd, _ := pair(t)
	defer syscall.Close(fd)
	if err := Pollable(fd); err != nil {
		t.Errorf("a socket: %v", err)
	}
	f, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := Pollable(int(f.Fd())); !errors.Is(err, syscall.EPERM) {
		t.Errorf("a regular file: %v", err)
	}
	f.Close()
	for _, fd := range []int{-1, 1 << 30, 1 << 40} {
		if err := Pollable(fd); !errors.Is(err, syscall.EBADF) {
			t.Errorf("descriptor %d: %v", fd, err)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for _, cfg := range []Config{{Ring: 100}, {RecvSize: 1}, {Slots: 1 << 25}, {HighWater: 1, LowWater: 5}} {
		if l, err := New(cfg); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%+v: %v, %v", cfg, l, err)
		}
	}
}

func TestSlotsRunOut(t *testing.T) {
	l := start(t, Config{Slots: 2})
	fd, _ := pair(t)
	defer syscall.Close(fd)
	attach(t, l, false, nil)
	attach(t, l, false, nil)
	s := &stream{}
	if err := l.Attach(&s.Conn, s, fd, false); err != ErrTooManySlots {
		t.Errorf("a third slot of two: %v", err)
	}
	if err := s.Send(0, nil); err != ErrClosed {
		t.Errorf("sending to what was never attached: %v", err)
	}
}

func TestQueueLimit(t *testing.T) {
	l := start(t, Config{QueueLimit: 1 << 20, HighWater: 1 << 19})
	s, peer := attach(t, l, false, nil)
	chunk := pattern(100_000)
	fill := func(where string) int {
		sent := 0
		for ; sent < 100; sent++ {
			if err := s.Send(0, chunk); err == ErrQueueFull {
				break
			} else if err != nil {
				t.Errorf("%s: %v", where, err)
				break
			}
		}
		if sent < 5 || sent == 100 {
			t.Errorf("%s: %d messages of %d bytes were accepted", where, sent, len(chunk))
		}
		return sent
	}
	queued := func(where string) {
		if n := s.Queued(); n == 0 || n > 1<<20 {
			t.Errorf("%s: %d bytes queued", where, n)
		}
	}
	sent := fill("by letter")                // nobody reads: the socket takes some, the rest waits
	on(t, l, func() { queued("by letter") }) // elsewhere a letter may count twice while the loop takes it over
	if _, err := io.ReadFull(peer, make([]byte, sent*len(chunk))); err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {
		if n := s.Queued(); n != 0 {
			t.Errorf("%d bytes queued when the peer has everything", n)
		}
		fill("on the loop") // all in one turn: the core has seen none of it
		queued("on the loop")
		if err := s.Abort(false); err != nil {
			t.Error(err)
		}
	})
	wait(t, "the stream to close", s.closed)

	big, peer := attach(t, l, false, nil)
	if err := big.Send(0, make([]byte, 2<<20)); err != nil {
		t.Errorf("a message above the limit, with nothing queued: %v", err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 2<<20)); err != nil {
		t.Error(err)
	}
}

func TestOrderAcrossGoroutines(t *testing.T) {
	// A token goes back and forth between the loop and another goroutine; whoever has it sends the next number.
	l := start(t, Config{})
	s, peer := attach(t, l, false, nil)
	const rounds = 2000
	go func() {
		done := make(chan struct{})
		for i := uint32(0); i < rounds; i += 4 {
			send := func(n uint32) {
				if err := s.Send(0, binary.BigEndian.AppendUint32(nil, n)); err != nil {
					t.Error(err)
				}
			}
			send(i)
			l.Do(func() {
				send(i + 1)
				ack := make(chan struct{})
				go func() { send(i + 2); close(ack) }() // a letter, posted in mid-turn
				<-ack
				send(i + 3)
				done <- struct{}{}
			})
			<-done
		}
	}()
	got := make([]byte, 4)
	for i := uint32(0); i < rounds; i++ {
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
		if n := binary.BigEndian.Uint32(got); n != i {
			t.Fatalf("message %d came in place of %d", n, i)
		}
	}
}

func TestManySenders(t *testing.T) {
	l := start(t, Config{Ring: 64})
	s, peer := attach(t, l, false, nil)
	const senders, each = 8, 2000
	var wg sync.WaitGroup
	for i := 0; i < senders; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := uint32(0); n < each; n++ {
				if err := s.Send(0, binary.BigEndian.AppendUint32([]byte{byte(i)}, n)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	var next [senders]uint32
	got := make([]byte, 5)
	for i := 0; i < senders*each; i++ {
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
		if n := binary.BigEndian.Uint32(got[1:]); n != next[got[0]] {
			t.Fatalf("sender %d: %d came in place of %d", got[0], n, next[got[0]])
		}
		next[got[0]]++
	}
	wg.Wait()
}

func TestMoreInOneTurnThanFits(t *testing.T) {
	// Ring and staging area are much too small for what one function sends.
	l := start(t, Config{Ring: 64, StageSize: 4096})
	s, peer := attach(t, l, true, nil)
	sizes := []int{10, 400, 2000, 3000, 5000, 70000, 0}
	const messages = 700
	err := l.Do(func() {
		for i := 0; i < messages; i++ {
			if err := s.Send(csrc.WSBinary, pattern(sizes[i%len(sizes)])); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < messages; i++ {
		if _, got := readFrame(t, peer); !bytes.Equal(got, pattern(sizes[i%len(sizes)])) {
			t.Fatalf("message %d of %d bytes came as %d", i, sizes[i%len(sizes)], len(got))
		}
	}
	if l.OnLoop() {
		t.Error("the test's goroutine is not the loop's")
	}
}
