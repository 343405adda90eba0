//go:build linux

package reactor

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// A client that sends far more than is read gets the whole response all the same: the end is orderly, and no reset
// destroys what is on its way.
func TestCloseLetsTheResponseArrive(t *testing.T) {
	response := pattern(256<<10, 7)
	a := newActor()
	received := 0
	a.data = func(_ *actor, data Buffer) Action {
		if received++; received > 1 {
			t.Error("DataReceived after Close was answered")
		}
		a.WriteBuffer.Write(response)
		return WritePending
	}
	a.room = func(*actor) Action {
		if done, err := a.Flush(); err == nil && !done {
			return Continue
		}
		return Close
	}
	a.lost = func(*actor) {
		if !a.Closed() {
			t.Error("Closed says no")
		}
	}
	fd, peer := tcpPair(t)
	give(t, contextFor(t, ContextOptions{Loop: Options{ReadBuffer: 1024}, CloseTimeout: time.Hour}), fd, a)
	sent := make(chan error, 1)
	go func() {
		_, err := peer.Write(make([]byte, 1<<20))
		sent <- err
	}()
	if err := await(t, "the client to have sent", sent); err != nil {
		t.Error(err)
	}
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, response) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(response), err)
	}
	if n := a.Context().Connections(); n != 1 {
		t.Errorf("%d connections, want the one whose peer has not closed", n)
	}
	peer.Close()
	a.closes(t)
}

// A peer that never closes is given a time.
func TestCloseTimeout(t *testing.T) {
	a := newActor()
	a.data = returning(Close)
	fd, peer := tcpPair(t)
	give(t, contextFor(t, ContextOptions{CloseTimeout: time.Millisecond}), fd, a)
	put(t, peer, "x")
	a.closes(t)
	expectEnd(t, peer)
}

// Base.Close is orderly as well; from then on the connection takes no orders but Abort.
func TestCloseFromElsewhere(t *testing.T) {
	a := newActor()
	peer := serve(t, a)
	if err := a.Base.Close(); err != nil {
		t.Error(err)
	}
	expectEnd(t, peer)
	on(t, a.conn.Load().socket.loop, func() {}) // its callback has returned
	for name, err := range map[string]error{
		"Close": a.Base.Close(), "Post": a.Post(func() Action { return Continue }),
		"SetTimeout": a.SetTimeout(time.Hour), "CancelTimeout": a.CancelTimeout(),
	} {
		if !errors.Is(err, ErrNoSocket) {
			t.Errorf("%s of a connection that closes: %v, want ErrNoSocket", name, err)
		}
	}
	peer.Close()
	a.closes(t)
}

// Abort does not wait, not even for a protocol that has answered Close.
func TestAbort(t *testing.T) {
	for name, first := range map[string]func(a *actor){
		"at once":     func(*actor) {},
		"after Close": func(a *actor) { a.Base.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor()
			peer := serve(t, a)
			first(a)
			if err := a.Abort(); err != nil {
				t.Error(err)
			}
			a.closes(t)
			expectEnd(t, peer)
			if err := a.Abort(); !errors.Is(err, ErrNoSocket) {
				t.Errorf("a second time: %v, want ErrNoSocket", err)
			}
		})
	}
}

// A connection that ends before it has begun is told of neither.
func TestAbortBeforeConnectionMade(t *testing.T) {
	c := contextFor(t, ContextOptions{})
	busy, inside, leave := newActor(), make(chan struct{}), make(chan struct{})
	busy.data = func(*actor, Buffer) Action {
		close(inside)
		<-leave
		return Continue
	}
	fd, peer := wire(t)
	give(t, c, fd, busy)
	put(t, peer, "x")
	await(t, "the loop to be busy", inside)
	a := newActor()
	a.made = func(*actor) { t.Error("ConnectionMade was called") }
	a.lost = func(*actor) { t.Error("ConnectionLost was called") }
	c.SetFactory(func() Protocol { return a })
	fd, peer = wire(t)
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Error(err)
	} else if err := a.Abort(); err != nil {
		t.Error(err)
	}
	close(leave)
	expectEnd(t, peer)
	closeContext(t, c)
}

// After Abort in a callback nothing is called but ConnectionLost, whatever that callback answers.
func TestAbortInCallback(t *testing.T) {
	for _, answer := range []Action{Continue, ReadPending, WritePending, Close} {
		a := newActor()
		a.data = func(*actor, Buffer) Action {
			if err := a.Abort(); err != nil {
				t.Error(err)
			}
			return answer
		}
		a.room = func(*actor) Action {
			t.Errorf("%v: WriteReady after Abort", answer)
			return Close
		}
		peer := serve(t, a)
		put(t, peer, "x")
		a.closes(t)
		expectEnd(t, peer)
	}
}

// What was given back is the caller's alone: whatever the callback answers, nothing happens to it.
func TestReleaseInCallback(t *testing.T) {
	for _, answer := range []Action{Continue, ReadPending, WritePending, Close} {
		a := newActor()
		released := make(chan int, 1)
		a.data = func(*actor, Buffer) Action {
			fd, err := a.Release()
			if err != nil {
				t.Error(err)
			}
			released <- fd
			return answer
		}
		a.room = func(*actor) Action {
			t.Errorf("%v: WriteReady after Release", answer)
			return Close
		}
		a.lost = func(*actor) { t.Errorf("%v: ConnectionLost after Release", answer) }
		fd, peer := wire(t)
		c := contextFor(t, ContextOptions{})
		give(t, c, fd, a)
		put(t, peer, "x")
		mine := connOf(t, uintptr(await(t, "the descriptor", released)))
		closeContext(t, c)
		put(t, mine, "still here")
		expect(t, peer, "still here")
		if a.FD() != -1 || !a.Closed() {
			t.Errorf("fd %d after Release, closed %t", a.FD(), a.Closed())
		}
	}
}

// Release from another goroutine waits for nobody: while a method runs, it is refused.
func TestReleaseFromElsewhere(t *testing.T) {
	knowsGoroutines(t)
	a := newActor()
	inside, leave := make(chan struct{}), make(chan struct{})
	a.data = func(*actor, Buffer) Action {
		close(inside)
		<-leave
		return Continue
	}
	fd, peer := wire(t)
	c := contextFor(t, ContextOptions{})
	give(t, c, fd, a)
	put(t, peer, "x")
	await(t, "data", inside)
	if _, err := a.Release(); !errors.Is(err, ErrBusy) {
		t.Errorf("Release while a method runs: %v, want ErrBusy", err)
	}
	close(leave)
	released, err := a.Release()
	for errors.Is(err, ErrBusy) {
		released, err = a.Release()
	}
	if err != nil || released != fd {
		t.Fatalf("Release gave %d, %v; want %d", released, err, fd)
	}
	own(t, released)
	if c.Connections() != 0 || c.Protocol(fd) != nil {
		t.Errorf("%d connections after Release", c.Connections())
	}
	if _, err := a.Release(); !errors.Is(err, ErrNoSocket) {
		t.Errorf("a second time: %v, want ErrNoSocket", err)
	}
}

// One that is being closed is not given back any more, not even to who saw it open a moment ago.
func TestReleaseOfAClosingConnection(t *testing.T) {
	a := newActor()
	peer := serve(t, a)
	conn, err := a.bound("release")
	if err != nil {
		t.Fatal(err)
	}
	a.do(t, func() Action { return Close })
	expectEnd(t, peer)
	on(t, conn.socket.loop, func() {}) // its callback has returned
	for range 2 {
		if fd, err := conn.release(); fd != -1 || !errors.Is(err, ErrNoSocket) {
			t.Errorf("fd %d, %v; want -1, ErrNoSocket", fd, err)
		}
	}
	if fd, err := a.Release(); fd != -1 || !errors.Is(err, ErrNoSocket) {
		t.Errorf("fd %d, %v; want -1, ErrNoSocket", fd, err)
	}
	peer.Close()
	a.closes(t)
}

// A connection of packets closes as one of bytes does: what it has sent last arrives, although there is unread input.
func TestCloseLetsTheLastPacketArrive(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := connOf(t, own(t, fds[1]))
	put(t, peer, "one")
	put(t, peer, "two")
	a := newActor()
	a.data = func(_ *actor, data Buffer) Action {
		if data.String() != "one" {
			t.Errorf("got %q, want the first alone", data)
		}
		if _, err := a.Write([]byte("bye")); err != nil {
			t.Error(err)
		}
		return Close
	}
	give(t, contextFor(t, ContextOptions{CloseTimeout: time.Hour}), fds[0], a)
	expect(t, peer, "bye")
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read: %d, %v; want the end", n, err)
	}
	peer.Close()
	a.closes(t)
}
