package loop

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

// packets is a connected pair of sockets: what one system call sends, one call receives.
func packets(t *testing.T) (near, far int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fds[1]) })
	return fds[0], fds[1]
}

// packetStreams attaches n streams, of which the peers see how they are sent.
func packetStreams(t *testing.T, l *Loop, n int) (conns []Conn, peers []int) {
	t.Helper()
	conns, peers = make([]Conn, n), make([]int, n)
	for i := range conns {
		var fd int
		fd, peers[i] = packets(t)
		if err := l.Attach(&conns[i], target(func(*csrc.Event) {}), fd, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Turn(0); err != nil {
		t.Fatal(err)
	}
	return conns, peers
}

// What a stream is given in a turn leaves by one system call, however often the turn fills the submission ring.
func TestOneSendATurn(t *testing.T) {
	const streams, rounds, ring = 100, 16, 64
	l := driven(t, Config{Ring: ring})
	conns, peers := packetStreams(t, l, streams)
	before, byRing := l.Stats().Flushes, false
	if err := l.Do(func() {
		byRing = l.OnLoop() // else by letters
		for round := range byte(rounds) {
			for i := range conns {
				if err := conns[i].Send(0, []byte{round}); err != nil {
					t.Error(err)
				}
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Turn(0); err != nil {
		t.Fatal(err)
	}
	if n := l.Stats().Flushes - before; byRing && n < rounds*streams/ring-1 {
		t.Errorf("%d flushes: the ring was not filled", n)
	}
	want := make([]byte, rounds)
	for i := range want {
		want[i] = byte(i)
	}
	for _, fd := range peers {
		got := make([]byte, rounds+1)
		if n, err := syscall.Read(fd, got); err != nil || !bytes.Equal(got[:n], want) {
			t.Fatalf("one call received % x, %v; want % x", got[:max(n, 0)], err, want)
		}
	}
}

// A turn has sent everything when it returns, also when the last operation happened to fill the ring.
func TestTurnLeavesNothingUnsent(t *testing.T) {
	const ring = 64
	for sends := ring - 3; sends <= ring+3; sends++ {
		l := driven(t, Config{Ring: ring})
		conns, peers := packetStreams(t, l, 2)
		send := func() {
			for i := range sends {
				if err := conns[i%2].Send(0, []byte{1}); err != nil { // by turns: in a row they are one operation
					t.Error(err)
				}
			}
		}
		if err := l.Do(func() { _ = l.Do(send) }); err != nil { // the inner one runs behind the turn's events
			t.Fatal(err)
		}
		if _, err := l.Turn(0); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{(sends + 1) / 2, sends / 2} {
			if n, err := syscall.Read(peers[i], make([]byte, 2*ring)); err != nil || n != want {
				t.Errorf("of %d bytes %d arrived with the turn, %v", want, n, err)
			}
		}
	}
}
