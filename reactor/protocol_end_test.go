//go:build linux

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// The end of a stream is told once, whatever is answered to it: to write on, or nothing of the kind, which closes.
func TestEndOfStream(t *testing.T) {
	for _, answer := range []Action{Continue, ReadPending, WritePending, Close} {
		t.Run(answer.String(), func(t *testing.T) {
			a := newActor()
			ends, rooms := 0, 0
			a.data = func(_ *actor, data Buffer) Action {
				if len(data) > 0 {
					return Continue
				}
				ends++
				return answer
			}
			a.room = func(*actor) Action {
				if rooms++; rooms < 5 {
					return Continue
				}
				a.Write([]byte("the last word"))
				return ReadPending
			}
			peer := serve(t, a).(*net.UnixConn)
			put(t, peer, "x")
			peer.CloseWrite()
			want := 0
			if answer == WritePending {
				want = 5
				expect(t, peer, "the last word")
			}
			expectEnd(t, peer)
			a.closes(t)
			if ends != 1 || rooms != want {
				t.Errorf("told %d times of the end, and %d times of room; want 1 and %d", ends, rooms, want)
			}
		})
	}
}

// A peer that has finished sending still gets everything.
func TestHalfCloseWithEcho(t *testing.T) {
	a := newActor()
	a.data = sendBack
	peer := serve(t, a).(*net.UnixConn)
	sent := pattern(1<<20, 0)
	go func() {
		peer.Write(sent)
		peer.CloseWrite()
	}()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, equal: %t, %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	a.closes(t)
}

// Five megabytes go to and fro through buffers that are far too small for them, and none is lost or out of place.
func TestEchoThroughSmallBuffers(t *testing.T) {
	const size = 5 << 20
	a := newActor()
	a.data = sendBack
	waits := 0
	a.room = func(*actor) Action {
		action := a.Base.WriteReady()
		if action == Continue {
			waits++
		}
		return action
	}
	fd, peer := tcpPair(t)
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	give(t, contextFor(t, ContextOptions{}), fd, a)
	go func() {
		for at := 0; at < size; at += 64 << 10 {
			if _, err := peer.Write(pattern(64<<10, at)); err != nil {
				t.Error(err)
				return
			}
		}
		peer.CloseWrite()
	}()
	at, chunk := 0, make([]byte, 64<<10)
	for {
		n, err := peer.Read(chunk)
		want := pattern(n, at)
		for i := range n {
			if chunk[i] != want[i] {
				t.Fatalf("byte %d is %#x, want %#x", at+i, chunk[i], want[i])
			}
		}
		at += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if at != size {
		t.Errorf("%d bytes came back, want %d", at, size)
	}
	a.closes(t)
	if waits == 0 {
		t.Error("there was always room: nothing was shown")
	}
}

// pattern is n bytes of a stream that repeats itself only after 16 million.
func pattern(n, at int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := at + i
		p[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return p
}

// A peer that resets the connection ends it with that error.
func TestResetByPeer(t *testing.T) {
	a := newActor()
	fd, peer := tcpPair(t)
	give(t, contextFor(t, ContextOptions{}), fd, a)
	peer.SetLinger(0)
	peer.Close()
	if err := a.end(t); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("ended with %v, want ECONNRESET", err)
	}
}
