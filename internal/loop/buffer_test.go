package loop

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// inUse is the number of a pool's blocks that are handed out.
func inUse(p *Pool) uint64 {
	var n uint64
	for _, class := range p.Stats().Classes {
		n += class.InUse
	}
	return n
}

// collect makes the garbage collector work until done says that it has had its effect.
func collect(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("the garbage collector did not bring about: %s", what)
		}
		runtime.GC()
		runtime.Gosched() // cleanups run on goroutines of their own
	}
}

// bufferKey is the key of what lendOne puts into a Buffer's context.
type bufferKey struct{}

// lendOne has a message of n bytes delivered and f called with a Buffer of it, in its handler. It returns when the
// batch is over.
func lendOne(t *testing.T, l *Loop, n int, f func(b *Buffer)) {
	t.Helper()
	delivered := make(chan struct{})
	s, peer := attach(t, l, true, func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvMessage {
			f(l.Lend(ev, context.WithValue(context.Background(), bufferKey{}, "value")))
			close(delivered)
		}
	})
	go peer.Write(frame(csrc.WSBinary, pattern(n)))
	wait(t, "the message", delivered)
	peer.Close()
	wait(t, "the stream to close", s.closed)
	on(t, l, func() {})
}

func TestBufferInItsHandler(t *testing.T) {
	l := start(t, Config{})
	for _, n := range []int{0, 1, 1000, 100_000, 1_000_000} {
		lendOne(t, l, n, func(b *Buffer) {
			if b.Bytes() == nil || !bytes.Equal(b.Bytes(), pattern(n)) || !bytes.Equal(b.Copy(), pattern(n)) {
				t.Errorf("%d bytes came as %d", n, len(b.Bytes()))
			}
			if b.Ctx().Value(bufferKey{}) != "value" {
				t.Error("the context is not the one that was given")
			}
			if !slices.Contains(nodes(l.Pool()), b.NUMANode()) {
				t.Errorf("node %d", b.NUMANode())
			}
			b.Release()
			b.Release()
			if b.Bytes() != nil || b.Copy() != nil || b.NUMANode() != -1 {
				t.Error("bytes after Release")
			}
		})
	}
	if n := l.Pool().Stats().Forgotten; n != 0 {
		t.Errorf("%d buffers counted as forgotten", n)
	}
}

func TestBufferWithoutContext(t *testing.T) {
	var b Buffer
	if b.Ctx() != context.Background() {
		t.Error("no context is not the background context")
	}
}

func TestReleasedBuffersAreUsedAgain(t *testing.T) {
	needsGoroutines(t)
	l := start(t, Config{})
	seen := map[*Buffer]bool{}
	for i := 0; i < 10; i++ {
		lendOne(t, l, 10, func(b *Buffer) { seen[b] = true; b.Release() })
	}
	if len(seen) != 1 {
		t.Errorf("10 messages, one after the other, took %d buffers", len(seen))
	}
}

func TestHeldBuffer(t *testing.T) {
	l := start(t, Config{})
	for _, n := range []int{1, 1000, 1_000_000} {
		var held *Buffer
		lendOne(t, l, n, func(b *Buffer) { held = b })
		for i := 0; i < 10; i++ { // overwrites what is not held
			lendOne(t, l, n, func(b *Buffer) { clear(b.Bytes()); b.Release() })
		}
		if !bytes.Equal(held.Bytes(), pattern(n)) {
			t.Errorf("%d bytes have changed after the handler", n)
		}
		var wg sync.WaitGroup
		for i := 0; i < 4; i++ { // a race for the one release that counts
			wg.Add(1)
			go func() { defer wg.Done(); held.Release() }()
		}
		wg.Wait()
		if held.Bytes() != nil {
			t.Error("bytes after Release")
		}
	}
	if n := l.Pool().Stats().Forgotten; n != 0 {
		t.Errorf("%d buffers counted as forgotten", n)
	}
}

func TestReleaseRacingTheEndOfTheBatch(t *testing.T) {
	l := start(t, Config{})
	release := make(chan *Buffer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := range release {
			if len(b.Bytes()) != 8 {
				t.Errorf("%d bytes", len(b.Bytes()))
			}
			b.Release()
			b.Release()
		}
	}()
	s, peer := attach(t, l, true, func(s *stream, ev *csrc.Event) {
		if ev.Type == csrc.EvMessage {
			b := l.Lend(ev, nil)
			release <- b // the other goroutine releases it about when this handler returns
			echoMessage(s, ev)
		}
	})
	for i := 0; i < 2000; i++ {
		want := pattern(8)
		want[0] = byte(i)
		peer.Write(frame(csrc.WSBinary, want))
		if _, got := readFrame(t, peer); !bytes.Equal(got, want) {
			t.Fatalf("message %d came as %v", i, got)
		}
	}
	peer.Close()
	wait(t, "the stream to close", s.closed)
	close(release)
	wait(t, "the other goroutine", done)
	on(t, l, func() {})
	if n := l.Pool().Stats().Forgotten; n != 0 {
		t.Errorf("%d buffers counted as forgotten", n)
	}
}

func TestForgottenBufferComesBack(t *testing.T) {
	l := start(t, Config{})
	lendOne(t, l, 1_000_000, func(b *Buffer) { b.Slice(10, 20) }) // neither is released
	collect(t, "two forgotten buffers", func() bool { return l.Pool().Stats().Forgotten == 2 })
}

func TestSlices(t *testing.T) {
	l := start(t, Config{})
	var inside, outside api.Buffer
	var held *Buffer
	lendOne(t, l, 1000, func(b *Buffer) {
		inside = b.Slice(10, 20)
		b.Slice(1, 2).Release()
		done := make(chan struct{})
		go func() { outside = b.Slice(20, 30); close(done) }()
		<-done
		held = b
	})
	between := held.Slice(30, 40)
	late := between.Slice(1, 10)
	between.Release()
	held.Release()
	for i := 0; i < 10; i++ {
		lendOne(t, l, 1000, func(b *Buffer) { clear(b.Bytes()); b.Release() })
	}
	for name, c := range map[string]struct {
		b        api.Buffer
		from, to int
	}{"on the loop": {inside, 10, 20}, "elsewhere": {outside, 20, 30}, "later": {late, 31, 40}} {
		if !bytes.Equal(c.b.Bytes(), pattern(1000)[c.from:c.to]) {
			t.Errorf("sliced %s: %v", name, c.b.Bytes())
		}
		if cap(c.b.Bytes()) != c.to-c.from {
			t.Errorf("sliced %s: appending would overwrite what follows", name)
		}
		c.b.Release()
		c.b.Release()
		if c.b.Bytes() != nil {
			t.Errorf("sliced %s: bytes after Release", name)
		}
	}
	lendOne(t, l, 10, func(b *Buffer) {
		defer func() {
			if recover() == nil {
				t.Error("slicing out of range did not panic")
			}
			b.Release()
		}()
		b.Slice(0, 11)
	})
}

func TestBufferOutlivesItsLoop(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	var held *Buffer
	lendOne(t, l, 100_000, func(b *Buffer) { held = b })
	l.Close()
	wait(t, "the loop to end", l.Done())
	if !bytes.Equal(held.Bytes(), pattern(100_000)) {
		t.Error("bytes have changed with the end of the loop")
	}
	held.Release() // the last user of the loop's pool: now its memory is unmapped
	if stats := l.Pool().Stats(); stats.Reserved != 0 {
		t.Errorf("%d bytes are still mapped", stats.Reserved)
	}
}

func TestPool(t *testing.T) {
	p, err := NewPool(PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var held []*Buffer
	for _, n := range []int{0, 1, 127, 4096, 10_000_000} {
		b, err := p.Get(n, -1)
		if err != nil {
			t.Fatal(err)
		}
		copy(b.Bytes(), pattern(n))
		if len(b.Bytes()) != n || cap(b.Bytes()) != n || !bytes.Equal(b.Copy(), pattern(n)) {
			t.Errorf("asked for %d bytes, got %d", n, len(b.Bytes()))
		}
		held = append(held, b)
	}
	if stats := p.Stats(); stats.Gets != 5 || stats.Puts != 0 || inUse(p) != 5 {
		t.Errorf("%+v", stats)
	}
	if _, err := p.Get(-1, -1); err != ErrSize {
		t.Errorf("a negative size: %v", err)
	}
	p.Close()
	p.Close()
	if _, err := p.Get(1, -1); err != ErrPoolClosed || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if _, err := New(Config{Pool: p}); err != ErrPoolClosed {
		t.Errorf("a loop over a closed pool: %v", err)
	}
	for _, b := range held {
		b.Release()
		b.Release()
	}
	if stats := p.Stats(); stats.Puts != 5 || stats.Reserved != 0 {
		t.Errorf("after the last buffer: %+v", stats)
	}
}

func TestPoolForgotten(t *testing.T) {
	p, err := NewPool(PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := 0; i < 10; i++ {
		if _, err := p.Get(100, -1); err != nil {
			t.Fatal(err)
		}
	}
	collect(t, "ten forgotten buffers", func() bool { return p.Stats().Forgotten == 10 })
	if stats := p.Stats(); stats.Puts != 10 || inUse(p) != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestPoolPressureBringsForgottenBuffersBack(t *testing.T) {
	const size = 1 << 20
	p, err := NewPool(PoolConfig{Limit: 16 * size})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for n := 0; n < 1000; n++ {
		if _, err = p.Get(size, -1); err != nil {
			break
		}
	}
	if err != ErrNoMemory {
		t.Fatalf("the limit was not reached: %v", err)
	}
	// The refusal itself has started the garbage collector, and nobody else does here.
	for deadline := time.Now().Add(patience); p.Stats().Forgotten == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing came back")
		}
	}
	if b, err := p.Get(size, -1); err != nil {
		t.Errorf("after the collection: %v", err)
	} else {
		b.Release()
	}
}
