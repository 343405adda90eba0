//go:build linux

package reactor

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Hand-offs leave nothing behind, in whichever way the connection ends, or if it never begins.
func TestHandoffsLeaveNothing(t *testing.T) {
	c := contextFor(t, ContextOptions{Loops: 2, Factory: func() Protocol {
		a := newActor()
		a.data = func(_ *actor, data Buffer) Action {
			a.SetTimeout(patience)
			if data.Equal("close") {
				return Close
			}
			return sendBack(a, data)
		}
		return a
	}})
	buf := make([]byte, 16)
	cycle := func(i int) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		dup, err := DupFD(fds[0])
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(fds[0])
		if err := c.Handoff(dup, ClientInfo{}); err != nil {
			t.Fatal(err)
		}
		switch i % 5 {
		case 0: // its peer ends it
			send(t, uintptr(fds[1]), "hello")
			if n, err := syscall.Read(fds[1], buf); err != nil || string(buf[:n]) != "hello" {
				t.Fatalf("read %q, %v", buf[:n], err)
			}
		case 1: // it ends itself
			send(t, uintptr(fds[1]), "close")
		case 2: // at once, or before it has begun
			c.Protocol(dup).(*actor).Abort()
		case 3: // it is given back
			a := c.Protocol(dup).(*actor)
			fd, err := a.Release()
			for errors.Is(err, ErrBusy) {
				fd, err = a.Release()
			}
			if err != nil {
				t.Fatal(err)
			}
			syscall.Close(fd)
		case 4: // a second one is refused
			if err := c.Handoff(dup, ClientInfo{}); !errors.Is(err, ErrRegistered) {
				t.Fatalf("handed off twice: %v, want ErrRegistered", err)
			}
		}
		syscall.Close(fds[1])
		for c.Connections() > 0 { // nobody is told of one that has ended before it began
			runtime.Gosched()
		}
	}
	measure := func() (descriptorCount int, objects uint64) {
		on(t, c.loops[0], func() {}) // what was closed is closed
		on(t, c.loops[1], func() {})
		var mem runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&mem)
		return descriptors(t), mem.HeapObjects
	}
	const handoffs = 10_000
	for i := range handoffs / 10 {
		cycle(i)
	}
	descriptorsBefore, objectsBefore := measure()
	for i := range handoffs {
		cycle(i)
	}
	descriptorsAfter, objectsAfter := measure()
	if descriptorsAfter != descriptorsBefore {
		t.Errorf("%d descriptors, %d before", descriptorsAfter, descriptorsBefore)
	}
	if grown := int64(objectsAfter) - int64(objectsBefore); grown > handoffs/20 {
		t.Errorf("%d objects more on the heap after %d hand-offs", grown, handoffs)
	}
	for _, l := range c.Stats().Loops {
		if l.Sockets != 0 {
			t.Errorf("%d sockets are left", l.Sockets)
		}
	}
}

// tagProtocol expects nothing but its own tag to come, once, and no call after the last.
type tagProtocol struct {
	Base
	t     testing.TB
	tag   uint64
	got   chan struct{} // closed when the tag has come
	gone  chan struct{}
	over  atomic.Bool
	posts atomic.Int64
}

func (p *tagProtocol) alive(method string) {
	if p.over.Load() {
		p.t.Errorf("protocol %d: %s after ConnectionLost", p.tag, method)
	}
}

func (p *tagProtocol) ConnectionMade(fd int, _ ClientInfo) {
	p.alive("ConnectionMade")
	if fd != p.FD() {
		p.t.Errorf("protocol %d: made with fd %d, has %d", p.tag, fd, p.FD())
	}
}

func (p *tagProtocol) DataReceived(data Buffer) Action {
	p.alive("DataReceived")
	if len(data) == 0 {
		return Close
	}
	if len(data) != 8 || binary.NativeEndian.Uint64(data) != p.tag {
		p.t.Errorf("protocol %d has received %x", p.tag, data)
		return Close
	}
	close(p.got)
	p.WriteBuffer.Write(data)
	return WritePending
}

func (p *tagProtocol) WriteReady() Action {
	p.alive("WriteReady")
	return p.Base.WriteReady()
}

func (p *tagProtocol) ConnectionLost() {
	p.alive("another ConnectionLost")
	p.over.Store(true)
	close(p.gone)
}

// Many goroutines hand off connections with input in wait, to two contexts of two loops each, and end them in every
// way there is, so that numbers come back all the time, in the other context, too. Each protocol gets what was sent to
// it, answers its own peer, and hears nothing after its end. Others post to it meanwhile.
func TestHandoffReusesNumbers(t *testing.T) {
	const goroutines, rounds = 6, 300
	contexts := [2]*Context{contextFor(t, ContextOptions{Loops: 2}), contextFor(t, ContextOptions{Loops: 2})}
	var next sync.Mutex // a factory is asked by the hand-off that it is for
	var seen sync.Map
	var reused atomic.Int64
	var wg sync.WaitGroup
	for g := range uint64(goroutines) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := range uint64(rounds) {
				p := &tagProtocol{t: t, tag: g<<32 | round, got: make(chan struct{}), gone: make(chan struct{})}
				fd, peer := taggedPair(t, p.tag)
				if _, again := seen.LoadOrStore(fd, true); again {
					reused.Add(1)
				}
				c := contexts[(g+round)%2]
				next.Lock()
				c.SetFactory(func() Protocol { return p })
				err := c.Handoff(fd, ClientInfo{})
				next.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				p.converse(peer, round)
			}
		}()
	}
	wg.Wait()
	if n := reused.Load(); n < goroutines*rounds/2 {
		t.Errorf("only %d numbers came back: nothing was shown", n)
	}
}

// converse ends the connection in one of the ways there are, while another goroutine posts to it.
func (p *tagProtocol) converse(peer int, round uint64) {
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		for p.Post(func() Action {
			p.alive("a posted function")
			p.posts.Add(1)
			return Continue
		}) == nil {
			runtime.Gosched()
		}
	}()
	switch round % 4 {
	case 0: // as soon as possible, from here
		p.Abort()
	case 1: // from the loop
		p.Post(func() Action { p.Abort(); return WritePending })
	case 2: // when it has read, in order
		await(p.t, "the tag", p.got)
		p.Close()
	case 3: // by the peer, which has its answer
		syscall.SetNonblock(peer, false)
		var answer [8]byte
		if n, err := syscall.Read(peer, answer[:]); n != 8 || binary.NativeEndian.Uint64(answer[:]) != p.tag {
			p.t.Errorf("protocol %d answered %x, %v", p.tag, answer[:max(n, 0)], err)
		}
	}
	if round%4 > 1 {
		syscall.Shutdown(peer, syscall.SHUT_WR)
	}
	await(p.t, "the posts to fail", posted)
	if err := p.Post(func() Action { return Continue }); !errors.Is(err, net.ErrClosed) {
		p.t.Errorf("Post after the end: %v, want net.ErrClosed", err)
	}
	if round%4 > 1 {
		await(p.t, "ConnectionLost", p.gone)
	}
	syscall.Close(peer)
}

// What is posted by many goroutines is done in each one's order, and all of it, as long as the connection is there.
func TestPostFromAnyGoroutine(t *testing.T) {
	const goroutines, posts = 8, 500
	a := newActor()
	serve(t, a)
	var last [goroutines]int // belongs to the loop
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 1; i <= posts; i++ {
				if err := a.Post(func() Action {
					if last[g] != i-1 {
						t.Errorf("goroutine %d: %d comes after %d", g, i, last[g])
					}
					last[g] = i
					return Continue
				}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	a.do(t, func() Action {
		for g, n := range last {
			if n != posts {
				t.Errorf("goroutine %d: %d posts were done, want %d", g, n, posts)
			}
		}
		return Continue
	})
}
