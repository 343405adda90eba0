//go:build linux

package reactor

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/gid"
)

// tagged is a handler that expects nothing but its own tag to read, and not to be called when it is over.
type tagged struct {
	t     testing.TB
	tag   uint64
	reads atomic.Int64
	heard chan struct{} // has one once it has read
	over  atomic.Bool
	first func()        // called first in OnReadable
	done  chan struct{} // closed in OnClose
}

func newTagged(t testing.TB, tag uint64) *tagged {
	return &tagged{t: t, tag: tag, heard: make(chan struct{}, 1), done: make(chan struct{})}
}

func (h *tagged) OnReadable(s *Socket, buffer []byte) {
	if h.over.Load() {
		h.t.Errorf("socket %d: OnReadable after its end", h.tag)
	}
	if h.first != nil {
		h.first()
	}
	n, err := s.Read(buffer[:8])
	if err == io.EOF || err == ErrWouldBlock || errors.Is(err, net.ErrClosed) {
		return // the last: somebody else has ended it just now
	}
	if err != nil || n != 8 {
		h.t.Errorf("socket %d: %d bytes, %v", h.tag, n, err)
		return
	}
	if got := binary.NativeEndian.Uint64(buffer); got != h.tag {
		h.t.Errorf("socket %d has read what was sent to %d", h.tag, got)
	}
	h.reads.Add(1)
	h.heard <- struct{}{} // there is one tag to read
}

func (h *tagged) OnWritable(*Socket) { h.t.Errorf("socket %d: OnWritable was not asked for", h.tag) }
func (h *tagged) OnTimeout(*Socket) {
	if h.over.Load() {
		h.t.Errorf("socket %d: OnTimeout after its end", h.tag)
	}
}

func (h *tagged) OnClose(*Socket) {
	if h.over.Swap(true) {
		h.t.Errorf("socket %d: a second end", h.tag)
	}
	close(h.done)
}

// taggedPair makes a socket pair of which the second has sent tag to the first.
func taggedPair(t testing.TB, tag uint64) (fd, peer int) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return -1, -1
	}
	var text [8]byte
	binary.NativeEndian.PutUint64(text[:], tag)
	if _, err := syscall.Write(fds[1], text[:]); err != nil {
		t.Error(err)
	}
	return fds[0], fds[1]
}

// All sockets of a turn are ready. The first to be called gives away the others, closes them and opens new ones, which
// the kernel gives the same numbers. The events of the old ones, which lie in wait, reach nobody.
func TestNumbersReusedWithinATurn(t *testing.T) {
	const sockets = 50
	l := newLoop(t, Options{})
	for round := range uint64(20) {
		var old, renewed [sockets]*tagged
		var tokens [sockets]Token
		var peers []int
		var once sync.Once
		swap := func(caller *tagged) {
			for i := range old {
				renewed[i] = newTagged(t, round<<16|1<<8|uint64(i))
				if old[i] == caller {
					renewed[i] = caller
					continue
				}
				fd, err := l.Release(tokens[i])
				if err != nil {
					t.Error(err)
					continue
				}
				old[i].over.Store(true)
				other, peer := taggedPair(t, renewed[i].tag)
				if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil { // closes fd, and reuses the number
					t.Error(err)
				}
				syscall.Close(other)
				peers = append(peers, peer)
				tokens[i] = add(t, l, fd, renewed[i])
			}
		}
		for i := range old {
			h := newTagged(t, round<<16|uint64(i))
			h.first = func() { once.Do(func() { swap(h) }) }
			fd, peer := taggedPair(t, h.tag)
			old[i], tokens[i] = h, add(t, l, fd, h)
			peers = append(peers, peer)
		}
		before := l.loop.Stats().Events
		pollUntil(t, l, "the swap", func() bool { return renewed[0] != nil })
		if events := l.loop.Stats().Events - before; events < sockets {
			t.Fatalf("only %d events lay in wait: nothing was shown", events)
		}
		pollUntil(t, l, "the new ones to read", func() bool {
			for _, h := range renewed {
				if h.reads.Load() == 0 {
					return false
				}
			}
			return true
		})
		for _, token := range tokens {
			if err := l.Remove(token); err != nil {
				t.Error(err)
			}
		}
		for _, peer := range peers {
			syscall.Close(peer)
		}
	}
}

// Many goroutines open and close sockets of one running loop, in every way there is, as fast as they can, with input
// waiting; numbers come back all the time, also to sockets that the loop does not have. Nobody reads what was
// sent to another, and nobody is called after the end.
func TestNumbersReusedUnderLoad(t *testing.T) {
	const goroutines, rounds = 8, 400
	l := running(t, Options{})
	var seen sync.Map // descriptor numbers
	var reused atomic.Int64
	var wg sync.WaitGroup
	for g := range uint64(goroutines) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := range uint64(rounds) {
				h := newTagged(t, g<<32|round)
				fd, peer := taggedPair(t, h.tag)
				if _, again := seen.LoadOrStore(fd, true); again {
					reused.Add(1)
				}
				token, err := l.Add(fd, h)
				if err != nil {
					t.Error(err)
					return
				}
				l.SetTimeout(token, time.Duration(round%3)*time.Millisecond)
				way := round % 4
				if way == 2 && gid.Current() == 0 {
					way = 0 // this build would not know that a callback is running
				}
				switch way {
				case 0: // the loop closes it, asked from here
					l.Remove(token)
				case 1: // or from a callback
					l.Post(func() { l.Remove(token) })
				case 2: // its owner does, who has got it back
					released, err := l.Release(token)
					for errors.Is(err, ErrBusy) { // its callback is running
						released, err = l.Release(token)
					}
					if err != nil {
						t.Error(err)
					}
					syscall.Close(released)
					close(h.done)
				case 3: // it has read, then its peer goes, too
					await(t, "it to read", h.heard)
					syscall.Shutdown(peer, syscall.SHUT_WR)
					l.Remove(token)
				}
				await(t, "the end", h.done)
				syscall.Close(peer)
			}
		}()
	}
	wg.Wait()
	if n := reused.Load(); n < goroutines*rounds/2 {
		t.Errorf("only %d numbers came back: nothing was shown", n)
	}
	on(t, l, func() {})
	if n := l.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}
