package loop

import (
	"bytes"
	"io"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

// What is sent to a stream in a row is one operation to the core, whatever its sizes; what comes in between keeps its place.
func TestRuns(t *testing.T) {
	needsGoroutines(t)
	l := start(t, Config{StageSize: 4096})
	s, peer := attach(t, l, true, nil)
	other, otherPeer := attach(t, l, true, nil)
	raw, rawPeer := attach(t, l, false, nil)
	var want []byte // of s
	send := func(kind uint8, p []byte) {
		if err := s.Send(kind, p); err != nil {
			t.Error(err)
		}
		head := make([]byte, csrc.WSHeaderSize(len(p)))
		csrc.PutWSHeader(head, csrc.WSFinal|kind, len(p))
		want = append(append(want, head...), p...)
	}
	ops := func(f func()) (n uint64) {
		t.Helper()
		on(t, l, func() {
			if err := l.perform(); err != nil {
				t.Error(err)
			}
			n = l.Stats().Ops
			f()
			if err := l.perform(); err != nil {
				t.Error(err)
			}
			n = l.Stats().Ops - n
		})
		return n
	}

	for what, c := range map[string]struct {
		f    func()
		want uint64
	}{
		"a row of messages": {func() {
			for n := range 20 {
				send(csrc.WSBinary-uint8(n%2), pattern(n*10))
			}
		}, 1},
		"two streams in turns": {func() {
			for n := range 3 {
				send(csrc.WSText, pattern(n))
				if err := other.Send(csrc.WSText, nil); err != nil {
					t.Error(err)
				}
			}
		}, 6},
		"a ping, and a message in fragments, in between": {func() {
			send(csrc.WSText, pattern(5))
			send(csrc.WSPing, pattern(3))
			send(csrc.WSText, pattern(6))
			if err := s.Send(csrc.WSText|csrc.SendPartial, pattern(4)); err != nil {
				t.Error(err)
			}
			if err := s.Send(csrc.SendContinuation, nil); err != nil {
				t.Error(err)
			}
			want = append(want, 1, 4)
			want = append(want, pattern(4)...)
			want = append(want, 0x80, 0)
			send(csrc.WSBinary, pattern(7))
		}, 6},
		"more than the staging area holds": {func() {
			for range 16 {
				send(csrc.WSBinary, pattern(400))
			}
		}, 3}, // the one that finds it full goes alone
		"a large one in between": {func() {
			send(csrc.WSBinary, pattern(10))
			send(csrc.WSBinary, pattern(copyMax+1))
			send(csrc.WSBinary, pattern(20))
		}, 3},
		"pieces of a raw stream": {func() {
			for range 5 {
				if err := raw.Send(0, pattern(10)); err != nil {
					t.Error(err)
				}
			}
		}, 1},
	} {
		before, _ := s.Stats()
		rawBefore, _ := raw.Stats()
		want = nil
		if got := ops(c.f); got != c.want {
			t.Errorf("%s: %d operations, want %d", what, got, c.want)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: what arrives is not what was sent (%v)", what, err)
		}
		after, _ := s.Stats()
		rawAfter, _ := raw.Stats()
		if what == "a row of messages" && after.FramesSent-before.FramesSent != 20 {
			t.Errorf("%d frames are counted, want 20", after.FramesSent-before.FramesSent)
		}
		if what == "pieces of a raw stream" && rawAfter.FramesSent-rawBefore.FramesSent != 5 {
			t.Errorf("%d pieces are counted, want 5", rawAfter.FramesSent-rawBefore.FramesSent)
		}
	}
	got := make([]byte, 50)
	if _, err := io.ReadFull(rawPeer, got); err != nil || !bytes.Equal(got[:10], pattern(10)) {
		t.Errorf("of the raw stream: % x (%v)", got, err)
	}
	if _, err := io.ReadFull(otherPeer, got[:6]); err != nil {
		t.Error(err)
	}
}

// A letter that was posted before a message is sent goes before it.
func TestRunsYieldToLetters(t *testing.T) {
	l := start(t, Config{})
	s, peer := attach(t, l, true, nil)
	on(t, l, func() {
		for n := range 10 {
			if err := s.Send(csrc.WSBinary, []byte{byte(n)}); err != nil {
				t.Error(err)
			}
			posted := make(chan error)
			go func() { posted <- s.Send(csrc.WSBinary, []byte{byte(n), 1}) }()
			if err := <-posted; err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 10 {
		for size := 1; size <= 2; size++ {
			if _, p := readFrame(t, peer); len(p) != size || p[0] != byte(n) {
				t.Fatalf("% x at %d", p, n)
			}
		}
	}
}

// What is compressed or masked is the core's to make.
func TestNoRunsOfWhatTheCoreMakes(t *testing.T) {
	l := start(t, Config{})
	fd, peer := pair(t)
	s := attachAs(t, l, fd, UpgradeConfig{Client: true}, nil, nil)
	on(t, l, func() {
		for range 3 {
			if err := s.Send(csrc.WSText, pattern(10)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		header := make([]byte, 2+csrc.WSMaskSize+10)
		if _, err := io.ReadFull(peer, header); err != nil || header[1] != 0x80|10 {
			t.Errorf("% x (%v), want a masked frame", header, err)
		}
	}
}

// A peer that takes everything is never too slow, however little its messages are and however many come in a turn.
func TestManySmallMessagesToAFastPeer(t *testing.T) {
	needsGoroutines(t)
	l := start(t, Config{QueueLimit: 64 << 10})
	s, peer := attach(t, l, false, nil)
	go io.Copy(io.Discard, peer)
	on(t, l, func() {
		for n := range 5000 { // the kernel alone has room for them
			if err := s.Send(0, pattern(20)); err != nil {
				t.Errorf("%d: %v", n, err)
				return
			}
		}
	})
}

// Nor is it when others have posted to it what the loop has not looked at yet.
func TestLettersToAFastPeer(t *testing.T) {
	needsGoroutines(t)
	l := start(t, Config{LowWater: 16 << 10, QueueLimit: 64 << 10})
	s, peer := attach(t, l, false, nil)
	go io.Copy(io.Discard, peer)
	on(t, l, func() {
		posted := make(chan error)
		for range 2 {
			go func() { posted <- s.Send(0, pattern(30<<10)) }()
			if err := <-posted; err != nil {
				t.Error(err)
			}
		}
		if err := s.Send(0, pattern(10<<10)); err != nil {
			t.Error(err)
		}
	})
}
