//go:build linux

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// bare is a Protocol that has nothing but its Base.
type bare struct {
	Base
	gone chan struct{}
}

func (b *bare) ConnectionLost() {
	b.Base.ConnectionLost()
	close(b.gone)
}

// A Base alone drops what it gets, and closes when there is no more.
func TestBaseAlone(t *testing.T) {
	b := &bare{gone: make(chan struct{})}
	fd, peer := wire(t)
	c := contextFor(t, ContextOptions{Factory: func() Protocol { return b }})
	if err := c.Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	put(t, peer, "who listens?")
	peer.CloseWrite()
	expectEnd(t, peer)
	await(t, "ConnectionLost", b.gone)
}

// Before hand-off and after the end, every method says that there is no connection.
func TestBaseWithoutConnection(t *testing.T) {
	check := func(when string, b *Base) {
		t.Helper()
		p := make([]byte, 1)
		_, readErr := b.Read(p)
		_, writeErr := b.Write(p)
		_, releaseErr := b.Release()
		for name, err := range map[string]error{
			"Read": readErr, "Write": writeErr, "Release": releaseErr, "SetTimeout": b.SetTimeout(time.Hour),
			"CancelTimeout": b.CancelTimeout(), "Post": b.Post(func() Action { return Close }), "Close": b.Close(),
			"Abort": b.Abort(),
		} {
			if !errors.Is(err, ErrNoSocket) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s %s: %v, want ErrNoSocket", name, when, err)
			}
		}
		b.WriteBuffer.WriteString("x")
		if done, err := b.Flush(); done || !errors.Is(err, ErrNoSocket) {
			t.Errorf("Flush %s: %t, %v, want ErrNoSocket", when, done, err)
		}
		if b.WriteBuffer.Len() != 1 {
			t.Errorf("Flush %s has lost what it could not write", when)
		}
	}
	a := newActor()
	check("before", &a.Base)
	a.WriteBuffer.Reset()
	fd, _ := wire(t)
	c := contextFor(t, ContextOptions{})
	give(t, c, fd, a)
	if err := a.Post(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("Post of nil: %v, want ErrInvalid", err)
	}
	closeContext(t, c)
	check("after", &a.Base)
}

// Read takes what DataReceived has not brought, tells when there is nothing, and the end, which DataReceived is told,
// too.
func TestBaseRead(t *testing.T) {
	a := newActor()
	type result struct {
		first, more string
		empty, end  error
	}
	results := make(chan result, 1)
	var got result
	a.data = func(_ *actor, data Buffer) Action {
		if len(data) == 0 {
			results <- got
			return Close
		}
		p := make([]byte, 4)
		n, err := a.Read(p)
		if err != nil {
			t.Error(err)
		}
		got.first, got.more = data.String(), string(p[:n])
		_, got.empty = a.Read(p)
		return Continue
	}
	fd, peer := wire(t)
	put(t, peer, "12345678")
	give(t, contextFor(t, ContextOptions{Loop: Options{ReadBuffer: 5}}), fd, a)
	a.until(t, "data", func() bool { return got.more != "" })
	a.do(t, func() Action {
		peer.CloseWrite()
		_, got.end = a.Read(make([]byte, 4))
		return Continue
	})
	r := await(t, "the end", results)
	if r.first != "12345" || r.more != "678" || r.empty != ErrWouldBlock || r.end != io.EOF {
		t.Errorf("got %+v; want 12345, 678, ErrWouldBlock, io.EOF", r)
	}
	a.closes(t)
}

// Write takes what there is room for.
func TestBaseWrite(t *testing.T) {
	a := newActor()
	peer := serve(t, a)
	text := pattern(1<<20, 0)
	wrote := 0
	a.do(t, func() Action {
		n, err := a.Write(text)
		if err != ErrWouldBlock || n == 0 || n == len(text) {
			t.Errorf("Write of a megabyte: %d, %v; want some, ErrWouldBlock", n, err)
		}
		wrote = n
		a.WriteBuffer.Write(text[n:])
		return WritePending
	})
	got := make([]byte, len(text))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%v; equal: %t (%d bytes came at once)", err, bytes.Equal(got, text), wrote)
	}
}

// WriteReady of Base: nothing to write is no work, and a big buffer is not kept.
func TestBaseWriteReady(t *testing.T) {
	a := newActor()
	peer := serve(t, a)
	a.do(t, func() Action {
		if action := a.Base.WriteReady(); action != ReadPending {
			t.Errorf("nothing to write: %v, want ReadPending", action)
		}
		if done, err := a.Flush(); !done || err != nil {
			t.Errorf("Flush of nothing: %t, %v", done, err)
		}
		a.WriteBuffer.Write(make([]byte, 4<<20))
		if action := a.Base.WriteReady(); action != Continue {
			t.Errorf("some is left: %v, want Continue", action)
		}
		return WritePending
	})
	if _, err := io.CopyN(io.Discard, peer, 4<<20); err != nil {
		t.Fatal(err)
	}
	a.until(t, "it to be written", func() bool { return a.WriteBuffer.Len() == 0 })
	a.do(t, func() Action {
		if kept := a.WriteBuffer.Cap(); kept > 4<<10 {
			t.Errorf("an idle connection keeps %d bytes", kept)
		}
		return Continue
	})
}

// An error of Write ends the connection with it, whether or not the protocol cares; WriteReady of Base answers Close.
func TestWriteErrorEnds(t *testing.T) {
	for name, write := range map[string]func(a *actor) Action{
		"ignored": func(a *actor) Action { a.Write([]byte("x")); return Continue },
		"base": func(a *actor) Action {
			a.WriteBuffer.WriteString("x")
			if action := a.Base.WriteReady(); action != Close {
				t.Errorf("WriteReady answers %v, want Close", action)
			}
			return Continue
		},
		"pending": func(a *actor) Action { a.WriteBuffer.WriteString("x"); return WritePending },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor()
			a.data = func(_ *actor, data Buffer) Action {
				if len(data) > 0 {
					t.Errorf("received %q", data)
				}
				return write(a)
			}
			serve(t, a).Close()
			err := a.end(t)
			var op *net.OpError
			if !errors.Is(err, syscall.EPIPE) || !errors.As(err, &op) || op.Op != "write" {
				t.Errorf("ended with %v, want write: EPIPE", err)
			}
		})
	}
}

// An error of Read ends it as well.
func TestReadErrorEnds(t *testing.T) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	own(t, fds[0])
	a := newActor()
	give(t, contextFor(t, ContextOptions{}), fds[1], a) // which is for writing
	a.do(t, func() Action {
		a.Read(make([]byte, 1))
		return Continue
	})
	err := a.end(t)
	var call *os.SyscallError
	if !errors.Is(err, syscall.EBADF) || !errors.As(err, &call) {
		t.Errorf("ended with %v, want read: EBADF", err)
	}
}
