package loop

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/momentics/hioload-ws/csrc"
)

func TestConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 64 {
		t.Errorf("a Conn has %d bytes; thousands of idle ones should cost little", size)
	}
}

func TestPanicAbortsTheConnection(t *testing.T) {
	l := start(t, Config{Logger: quiet})
	bad, peer := attach(t, l, false, func(_ *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			panic("on purpose")
		}
	})
	_, other := attach(t, l, false, echoRaw)
	peer.Write([]byte("x"))
	wait(t, "the connection to close", bad.closed)
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("the peer still has a connection")
	}
	if n := l.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
	echoes(t, other)
}

func TestPanicsInABatch(t *testing.T) {
	// Each event of a batch is delivered, whatever the others do.
	l := start(t, Config{Logger: quiet})
	const conns = 20
	var peers []net.Conn
	closed := make(chan struct{}, conns)
	var handled atomic.Int32
	on(t, l, func() {
		for i := 0; i < conns; i++ {
			_, peer := attach(t, l, false, func(_ *stream, ev *csrc.Event) {
				switch ev.Type {
				case csrc.EvData:
					handled.Add(1)
					panic("on purpose")
				case csrc.EvClosed:
					closed <- struct{}{}
					panic("once more")
				}
			})
			peer.Write([]byte("x"))
			peers = append(peers, peer)
		}
	})
	for range peers {
		wait(t, "a connection to close", closed)
	}
	on(t, l, func() {})
	if handled.Load() != conns || l.Stats().Panics != 2*conns {
		t.Errorf("%d messages handled, %d panics counted", handled.Load(), l.Stats().Panics)
	}
}

func TestGoexitDoesNotEndTheLoop(t *testing.T) {
	l := start(t, Config{Logger: quiet})
	bad, peer := attach(t, l, false, func(_ *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			runtime.Goexit()
		}
	})
	_, other := attach(t, l, false, echoRaw)
	peer.Write([]byte("x"))
	wait(t, "the connection to close", bad.closed)
	l.Do(runtime.Goexit)
	l.Do(func() { panic("on purpose") })
	on(t, l, func() {})
	if n := l.Stats().Panics; n != 3 {
		t.Errorf("%d callbacks counted that did not return", n)
	}
	echoes(t, other)
}

func TestRunOnlyIsNotTurned(t *testing.T) {
	l := start(t, Config{RunOnly: true})
	if _, err := l.Turn(0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Turn: %v", err)
	}
	idle, err := New(Config{RunOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	idle.Close() // it may still be closed by anybody while nobody has run it
	wait(t, "the loop to end", idle.Done())
}

func TestGoexitWhileClosing(t *testing.T) {
	l, err := New(Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var told atomic.Int32
	for i := 0; i < 3; i++ {
		fd, _ := pair(t)
		if err := l.Attach(new(Conn), target(func(*csrc.Event) { told.Add(1); runtime.Goexit() }), fd, false); err != nil {
			t.Fatal(err)
		}
	}
	go l.Close() // nobody drives it, so this goroutine does the work, and is ended by it
	wait(t, "the loop to end", l.Done())
	if told.Load() != 3 {
		t.Errorf("%d of 3 targets were told", told.Load())
	}
}

// echoes checks that a raw echo is alive.
func echoes(t *testing.T, peer net.Conn) {
	t.Helper()
	var got [5]byte
	peer.Write([]byte("alive"))
	if _, err := io.ReadFull(peer, got[:]); err != nil || string(got[:]) != "alive" {
		t.Errorf("echo: %q, %v", got, err)
	}
}

func TestCloseTellsEverySlot(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	var streams []*stream
	var peers []net.Conn
	for i := 0; i < 10; i++ {
		s, peer := attach(t, l, false, nil)
		streams, peers = append(streams, s), append(peers, peer)
	}
	l.Close()
	l.Close() // twice is harmless
	wait(t, "the loop to end", l.Done())
	for i, s := range streams {
		if ev := wait(t, "a slot's last event", s.closed); syscall.Errno(-ev.Result) != syscall.ECANCELED {
			t.Errorf("result %d", ev.Result)
		}
		if _, err := peers[i].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer sees %v", err)
		}
		for what, err := range map[string]error{
			"Send": s.Send(0, []byte("x")), "Close": s.Conn.Close(0, ""), "Abort": s.Abort(true),
			"SetReading": s.SetReading(true), "Upgrade": s.Upgrade(nil, UpgradeConfig{}), "Quiesce": s.Quiesce(),
			"SetDeadline": s.SetDeadline(csrc.DeadlineOnce, time.Second),
		} {
			if err != ErrClosed || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Stats(); err != ErrClosed || s.Queued() != 0 {
			t.Errorf("Stats: %v; %d bytes queued", err, s.Queued())
		}
	}
	fd, _ := pair(t)
	defer syscall.Close(fd)
	if err := l.Attach(new(Conn), streams[0], fd, false); err != ErrLoopClosed || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Attach: %v", err)
	}
	if err := l.Do(func() {}); err != ErrLoopClosed {
		t.Errorf("Do: %v", err)
	}
	if _, err := l.Turn(0); err != ErrLoopClosed {
		t.Errorf("Turn: %v", err)
	}
	if err := l.Run(); err != ErrLoopClosed {
		t.Errorf("Run: %v", err)
	}
	l.Wake()
	if l.Backend() != "" || l.Stats().Crossings == 0 {
		t.Errorf("backend %q, %+v", l.Backend(), l.Stats())
	}
}

func TestCloseFromACallback(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, peer := attach(t, l, false, func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			s.Loop().Close()
			if err := s.Send(0, []byte("x")); err != ErrClosed {
				t.Errorf("Send after Close: %v", err)
			}
		}
	})
	peer.Write([]byte("x"))
	if err := l.Run(); err != nil {
		t.Error(err)
	}
	wait(t, "the stream to close", s.closed)
}

func TestTurn(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	nested := make(chan error, 1)
	_, peer := attach(t, l, false, func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvData {
			_, err := l.Turn(0)
			nested <- err
			echoRaw(s, ev)
		}
	})
	if n, err := l.Turn(0); n != 0 || err != nil {
		t.Errorf("nothing to do: %d, %v", n, err)
	}
	peer.Write([]byte("alive"))
	if n, err := l.Turn(-1); n != 1 || err != nil {
		t.Errorf("one event: %d, %v", n, err)
	}
	if err := <-nested; err != ErrBusy {
		t.Errorf("Turn within a callback: %v", err)
	}
	var got [5]byte
	if _, err := io.ReadFull(peer, got[:]); err != nil { // sent though nobody turns the loop now
		t.Error(err)
	}
	begin := time.Now()
	if n, err := l.Turn(30); n != 0 || err != nil || time.Since(begin) < 29*time.Millisecond {
		t.Errorf("waiting for nothing: %d, %v, after %v", n, err, time.Since(begin))
	}

	ran := make(chan struct{})
	waiting := make(chan error, 1)
	go func() { _, err := l.Turn(-1); waiting <- err }()
	l.Do(func() { close(ran) })
	wait(t, "Do to be done by the goroutine that waits", ran)
	if err := wait(t, "that turn", waiting); err != nil {
		t.Error(err)
	}

	go func() {
		var err error
		for err == nil {
			_, err = l.Turn(-1)
		}
		waiting <- err
	}()
	l.Close()
	if err := wait(t, "the turn to be interrupted", waiting); err != ErrLoopClosed {
		t.Errorf("closed while waiting: %v", err)
	}
	wait(t, "the loop to end", l.Done())
}

func TestDoRunsEachFunctionOnce(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	var accepted, ran atomic.Int64
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for l.Do(func() { ran.Add(1) }) == nil {
				if accepted.Add(1) == 10_000 {
					l.Close()
				}
			}
		}()
	}
	wg.Wait()
	wait(t, "the loop to end", l.Done())
	if accepted.Load() != ran.Load() {
		t.Errorf("%d functions accepted, %d run", accepted.Load(), ran.Load())
	}
}

func TestDoFromDo(t *testing.T) {
	l := start(t, Config{})
	_, peer := attach(t, l, false, echoRaw)
	done := make(chan struct{})
	n := 0
	var again func()
	again = func() {
		if n++; n < 1000 {
			l.Do(again)
			return
		}
		close(done)
	}
	l.Do(again)
	echoes(t, peer)
	wait(t, "the last function", done)
}

func TestPostsRacingClose(t *testing.T) {
	for round := 0; round < 50; round++ {
		l, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		go l.Run()
		s, peer := attach(t, l, true, nil)
		go io.Copy(io.Discard, peer)
		var started, wg sync.WaitGroup
		for i := 0; i < 4; i++ {
			started.Add(1)
			wg.Add(1)
			go func() {
				defer wg.Done()
				for n := 0; ; n++ {
					err := s.Send(csrc.WSBinary, []byte("message"))
					s.Queued()
					s.Stats()
					l.Stats()
					if n == 0 {
						started.Done()
					}
					if err != nil && err != ErrQueueFull { // which is for want of a turn
						if err != ErrClosed {
							t.Errorf("Send: %v", err)
						}
						return
					}
				}
			}()
		}
		started.Wait()
		l.Close()
		wg.Wait()
		wait(t, "the loop to end", l.Done())
		wait(t, "the stream's last event", s.closed)
	}
}

func TestAttachRacingClose(t *testing.T) {
	// Whoever succeeds in attaching is told of the end, and the descriptor is closed; whoever does not keeps it.
	for round := 0; round < 50; round++ {
		l, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		go l.Run()
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for i := 0; i < 4; i++ {
			fd, peer := pair(t)
			wg.Add(1)
			go func() {
				defer wg.Done()
				<-begin
				s := &stream{closed: make(chan csrc.Event, 1)}
				if err := l.Attach(&s.Conn, s, fd, false); err == nil {
					wait(t, "the last event", s.closed)
				} else if err == ErrLoopClosed {
					syscall.Close(fd)
				} else {
					t.Errorf("Attach: %v", err)
				}
				if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the peer sees %v", err)
				}
			}()
		}
		close(begin)
		l.Close()
		wg.Wait()
		wait(t, "the loop to end", l.Done())
	}
}

func TestSlotReusedBeforeItsEnd(t *testing.T) {
	// Two connections end in one batch. Handling the first end attaches a new one, which may well get the second's slot.
	l := start(t, Config{Slots: 2})
	var streams [2]*stream
	closed := make(chan *stream, 4)
	handle := func(s *stream, ev *csrc.Event) {
		if ev.Type != csrc.EvClosed {
			return
		}
		closed <- s
		if s == streams[0] || s == streams[1] {
			next := &stream{closed: make(chan csrc.Event, 1)}
			next.handle = func(s *stream, ev *csrc.Event) {
				if ev.Type == csrc.EvClosed {
					closed <- s
				}
			}
			fd, peer := pair(t)
			peer.Close()
			if err := l.Attach(&next.Conn, next, fd, false); err != nil {
				t.Error(err)
			}
		}
	}
	streams[0], _ = attach(t, l, false, handle)
	streams[1], _ = attach(t, l, false, handle)
	on(t, l, func() {
		streams[0].Abort(false)
		streams[1].Abort(false)
	})
	seen := map[*stream]bool{}
	for i := 0; i < 4; i++ {
		seen[wait(t, "a stream's end", closed)] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d different streams ended", len(seen))
	}
}

func TestStatsAtTheEnd(t *testing.T) {
	l := start(t, Config{})
	last := make(chan csrc.StreamStats, 1)
	s, peer := attach(t, l, false, func(s *stream, ev *csrc.Event) {
		echoRaw(s, ev)
		if ev.Type == csrc.EvClosed {
			stats, err := s.Stats()
			if err != nil {
				t.Error(err)
			}
			last <- stats
		}
	})
	echoes(t, peer)
	peer.Close()
	if stats := wait(t, "the last event", last); stats.Received != 5 || stats.Sent != 5 {
		t.Errorf("%+v", stats)
	}
	wait(t, "the stream to close", s.closed)
}

func TestAttachedTwice(t *testing.T) {
	l := start(t, Config{})
	s, _ := attach(t, l, false, nil)
	fd, _ := pair(t)
	if err := l.Attach(&s.Conn, s, fd, false); err != ErrAttached {
		t.Errorf("while attached: %v", err)
	}
	s.Abort(false)
	wait(t, "the stream to close", s.closed)
	on(t, l, func() { // on the loop's goroutine the first end has been handled for certain
		if err := l.Attach(&s.Conn, s, fd, false); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}
