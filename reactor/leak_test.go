//go:build linux

package reactor

import (
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const cycles = 10_000

// footprint is what the process holds.
type footprint struct {
	descriptors int
	objects     uint64 // of Go's heap
	reserved    uint64 // bytes of the C core's
}

func measure(t testing.TB, l *Loop) footprint {
	t.Helper()
	var mem runtime.MemStats
	for range 3 { // finalizers of package net's run after one collection, what they keep goes with the next
		runtime.GC()
	}
	runtime.ReadMemStats(&mem)
	return footprint{descriptors(t), mem.HeapObjects, l.loop.Pool().Stats().Reserved}
}

// leavesNothing runs a cycle that opens and closes sockets many times, and compares what the process holds then with
// what it held after the first tenth.
func leavesNothing(t *testing.T, l *Loop, cycle func(i int)) {
	t.Helper()
	for i := range cycles / 10 {
		cycle(i)
	}
	before := measure(t, l)
	for i := range cycles {
		cycle(i)
	}
	after := measure(t, l)
	if n := l.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets are left", n)
	}
	if after.descriptors != before.descriptors {
		t.Errorf("%d descriptors, %d before", after.descriptors, before.descriptors)
	}
	if grown := int64(after.objects) - int64(before.objects); grown > cycles/20 {
		t.Errorf("%d objects more on the heap after %d cycles", grown, cycles)
	}
	if after.reserved > before.reserved {
		t.Errorf("%d bytes mapped by C, %d before", after.reserved, before.reserved)
	}
}

func TestOpenAndCloseLeavesNothing(t *testing.T) {
	l := newLoop(t, Options{})
	closed := 0
	h := &heavy{hooks: hooks{readable: func(s *Socket, buffer []byte) { s.Close() }, closed: func(*Socket) { closed++ }}}
	h.low.Store(true)
	leavesNothing(t, l, func(i int) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		token := add(t, l, fds[0], h)
		setTimeout(t, l, token, time.Hour)
		switch i % 3 {
		case 0:
			l.Remove(token)
		case 1: // through the callback
			send(t, uintptr(fds[1]), "x")
		case 2:
			fd, err := l.Release(token)
			if err != nil {
				t.Fatal(err)
			}
			syscall.Close(fd)
			closed++
		}
		for want := closed; closed == want && i%3 != 2; {
			if err := l.PollOnce(patience); err != nil {
				t.Fatal(err)
			}
		}
		syscall.Close(fds[1])
	})
}

func TestAcceptAndDialLeavesNothing(t *testing.T) {
	l := newLoop(t, Options{})
	closed := 0
	count := func(*Socket) { closed++ }
	server := &hooks{readable: echo, closed: count}
	ln, err := l.Listen("unix", filepath.Join(t.TempDir(), "s"), func(a *Accepted) {
		if _, err := a.Add(server); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &hooks{
		writable: func(s *Socket) { s.Write([]byte("x")) },
		readable: func(s *Socket, buffer []byte) { s.Close() },
		closed:   count,
	}
	leavesNothing(t, l, func(i int) {
		network, address, want := "unix", ln.Addr().String(), 2
		if i%10 == 0 { // one that fails
			address, want = address+"-nobody", 1
		}
		if _, err := l.Dial(network, address, time.Minute, client); err != nil {
			t.Fatal(err)
		}
		for want += closed; closed < want; {
			if err := l.PollOnce(patience); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Loops themselves leave nothing either, whatever they have in hand.
func TestLoopsLeaveNothing(t *testing.T) {
	before := descriptors(t)
	for i := range 100 {
		l, err := NewLoop(Options{ReadBuffer: 1})
		if err != nil {
			t.Fatal(err)
		}
		fd, _ := pair(t)
		add(t, l, fd, &hooks{})
		listen(t, l, func(*Accepted) {})
		if _, err := l.Dial("tcp", "127.0.0.1:1", 0, &hooks{}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			turn(t, l)
		}
		l.Close()
		await(t, "Done", l.Done())
	}
	for fd := range owned {
		closeFD(t, fd)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
