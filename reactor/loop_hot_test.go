//go:build linux

package reactor

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// Messages allocate nothing, cross into C once a turn, and putting off a timeout with each of them, as an idle timeout
// does, costs nothing of either.
func TestMessagesAllocateNothing(t *testing.T) {
	l := newLoop(t, Options{})
	const sockets = 32
	received := 0
	h := &hooks{readable: func(s *Socket, buffer []byte) {
		received++
		echo(s, buffer)
		if err := s.SetTimeout(time.Hour); err != nil {
			t.Error(err)
		}
	}}
	var peers [sockets]uintptr
	for i := range peers {
		_, peers[i] = connPair(t, l, h)
	}
	message := make([]byte, 64)
	round := func() {
		for _, peer := range peers {
			if _, err := syscall.Write(int(peer), message); err != nil {
				t.Fatal(err)
			}
		}
		for want := received + sockets; received < want; {
			if err := l.PollOnce(-1); err != nil {
				t.Fatal(err)
			}
		}
		for _, peer := range peers {
			if _, err := syscall.Read(int(peer), message); err != nil {
				t.Fatal(err)
			}
		}
	}
	round() // the timers are set
	turn(t, l)
	before := l.Stats()
	if allocs := testing.AllocsPerRun(100, round); allocs > 0 {
		t.Errorf("%v allocations for %d messages", allocs, sockets)
	}
	after := l.Stats()
	if turns, crossings := after.Turns-before.Turns, after.Crossings-before.Crossings; crossings != turns {
		t.Errorf("%d crossings into C in %d turns", crossings, turns)
	}
	if turns := after.Turns - before.Turns; turns > 2*101 {
		t.Errorf("%d turns for 101 rounds of messages", turns)
	}
}

// What callbacks ask for travels with the next turn: under Run there is one crossing a turn, whatever happens.
func TestRunCrossesOnceATurn(t *testing.T) {
	l := newLoop(t, Options{})
	const sockets, rounds = 64, 100
	var peers [sockets]uintptr
	h := &hooks{
		readable: func(s *Socket, buffer []byte) {
			if _, err := s.Read(buffer); err != nil {
				t.Error(err)
			}
			s.Interest(true, true)
			s.SetTimeout(time.Hour)
		},
		writable: func(s *Socket) {
			s.Interest(true, false)
			s.CancelTimeout()
		},
	}
	for i := range peers {
		_, peers[i] = connPair(t, l, h)
	}
	turns := 0
	clock := newEventfd(t)
	raise(t, clock) // and nobody reads it
	add(t, l, clock, &hooks{readable: func(*Socket, []byte) {
		for _, peer := range peers {
			send(t, peer, "x")
		}
		brief, _ := connPair(t, l, h)
		if err := l.Remove(brief); err != nil {
			t.Error(err)
		}
		if turns++; turns == rounds {
			l.Stop()
		}
	}})
	before := l.Stats()
	if err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := l.Stats()
	if turns, crossings := after.Turns-before.Turns, after.Crossings-before.Crossings; crossings > turns+1 {
		t.Errorf("%d crossings into C in %d turns, and one when Run ends", crossings, turns)
	}
	if calls := after.Callbacks - before.Callbacks; calls < sockets*rounds {
		t.Errorf("only %d callbacks", calls)
	}
}

// BenchmarkReadinessEcho is one message of 64 bytes on each of many sockets per turn.
func BenchmarkReadinessEcho(b *testing.B) {
	l := newLoop(b, Options{})
	const sockets = 100
	received := 0
	h := &hooks{readable: func(s *Socket, buffer []byte) {
		received++
		echo(s, buffer)
	}}
	var peers [sockets]uintptr
	for i := range peers {
		_, peers[i] = connPair(b, l, h)
	}
	message := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += sockets {
		for _, peer := range peers {
			if _, err := syscall.Write(int(peer), message); err != nil {
				b.Fatal(err)
			}
		}
		for want := received + sockets; received < want; {
			if err := l.PollOnce(-1); err != nil {
				b.Fatal(err)
			}
		}
		for _, peer := range peers {
			if _, err := syscall.Read(int(peer), message); err != nil {
				b.Fatal(err)
			}
		}
	}
}
