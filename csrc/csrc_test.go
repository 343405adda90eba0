package csrc

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

func newSlab(t *testing.T, limit uint64) *Slab {
	t.Helper()
	s, err := NewSlab(SlabConfig{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := s.Free(); n != 0 {
			t.Errorf("%d blocks still in use", n)
		}
	})
	return s
}

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := NewLoop(&LoopConfig{Ring: 64, Slots: 4, Slab: newSlab(t, 0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Free)
	return l
}

// enter publishes the operations up to tail, which were written to l.Ops(), and enters.
func enter(t *testing.T, l *Loop, tail uint32, timeoutMs int64, flags uint32) int {
	t.Helper()
	atomic.StoreUint32(&l.Shared().SQ.Tail, tail)
	n, err := l.Enter(timeoutMs, flags)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestErrors(t *testing.T) {
	if err := check("op", 0); err != nil {
		t.Error(err)
	}
	if err := check("op", 7); err != nil {
		t.Error(err)
	}
	err := check("hl_loop_enter", -int(syscall.ENOENT))
	if !errors.Is(err, syscall.ENOENT) || !errors.Is(err, os.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "hl_loop_enter: ") {
		t.Errorf("%v", err)
	}
	if _, err := NewLoop(&LoopConfig{Ring: 65, Slab: newSlab(t, 0)}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a ring of 65 entries: %v", err)
	}
}

func TestSlabLimit(t *testing.T) {
	s := newSlab(t, 4<<20)
	if b := s.Get(64<<20, -1); b != nil {
		t.Error("a block above the limit")
	}
	if stats := s.Stats(); stats.Limit != 4<<20 || stats.Failures != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestBlockCounting(t *testing.T) {
	s := newSlab(t, 0)
	b := s.Get(1000, -1)
	if b.Size() != 1024 || len(b.Bytes()) != 1024 || uintptr(b.Data())%64 != 0 {
		t.Errorf("a block of %d bytes at %p", b.Size(), b.Data())
	}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		b.Ref()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; n < 10_000; n++ {
				b.Ref()
				b.Unref()
			}
			b.Unref()
		}()
	}
	wg.Wait()
	inUse := func() (n uint64) {
		for _, class := range s.Stats().Classes {
			n += class.InUse
		}
		return n
	}
	if n := inUse(); n != 1 {
		t.Errorf("%d blocks in use", n)
	}
	b.Unref()
	if n := inUse(); n != 0 {
		t.Errorf("%d blocks in use after the last reference", n)
	}
}

func TestRingsAreSeenByBothSides(t *testing.T) {
	l := newLoop(t)
	if len(l.Ops()) != 64 || len(l.Events()) != 64 || l.Backend() != "epoll" {
		t.Fatalf("%d operations, %d events, %s", len(l.Ops()), len(l.Events()), l.Backend())
	}
	h, stats := l.Reserve()
	if h == 0 || stats == nil {
		t.Fatal("no slot")
	}
	l.Ops()[0] = Op{Code: OpTimer, Handle: h, Len: 1, User: 42}
	if n := enter(t, l, 1, 0, EnterFlush); n != 0 || atomic.LoadUint32(&l.Shared().SQ.Head) != 1 {
		t.Errorf("a flush gave %d events and took the operations up to %d", n, l.Shared().SQ.Head)
	}
	n, waits := 0, uint64(0)
	for ; n == 0; waits++ { // a signal may end one
		n = enter(t, l, 1, -1, 0)
	}
	if n != 1 {
		t.Fatalf("%d events", n)
	}
	if ev := l.Events()[0]; ev.Type != EvTimeout || ev.Handle != h || len(ev.Bytes()) != 0 {
		t.Errorf("%+v", ev)
	}
	atomic.StoreUint32(&l.Shared().CQ.Head, 1)
	l.Ops()[1] = Op{Code: OpClose, Handle: h}
	if n := enter(t, l, 2, 0, 0); n != 1 {
		t.Fatalf("%d events", n)
	}
	if ev := l.Events()[1]; ev.Type != EvClosed || ev.Handle != h || ev.User != 42 || ev.Result != 0 {
		t.Errorf("%+v", ev)
	}
	if n := l.Crossings(); n != waits+2 {
		t.Errorf("%d crossings, of them %d waits", n, waits)
	}
	if stats := l.Stats(); stats.Turns != waits+1 || stats.Flushes != 1 || stats.Ops != 2 || stats.Events != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestPostCopiesItsPayload(t *testing.T) {
	l := newLoop(t)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1])
	h, stats := l.Reserve()
	if err := l.Post(&Op{Code: OpAttach, Handle: h, Arg: int32(fds[0])}, nil); err != nil {
		t.Fatal(err)
	}
	payload := []byte("payload")
	if err := l.Post(&Op{Code: OpSend, Handle: h}, payload); err != nil {
		t.Fatal(err)
	}
	clear(payload)
	if err := l.Post(&Op{}, nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an operation that does not exist: %v", err)
	}
	enter(t, l, 0, 0, 0)
	got := make([]byte, 100)
	if n, err := syscall.Read(fds[1], got); err != nil || string(got[:n]) != "payload" {
		t.Errorf("read %q, %v", got[:max(n, 0)], err)
	}
	if sent, posted := atomic.LoadUint64(&stats.Sent), atomic.LoadUint64(&stats.Posted); sent != 7 || posted != 7+LetterCost {
		t.Errorf("%d bytes sent, %d posted", sent, posted)
	}
}

func TestWakeAndCancel(t *testing.T) {
	l := newLoop(t)
	done := make(chan struct{})
	go func() { defer close(done); enter(t, l, 0, -1, 0) }()
	l.Wake()
	<-done

	for i := 0; i < 100; i++ { // of four slots
		h, _ := l.Reserve()
		if h == 0 || h.Index() >= 4 {
			t.Fatalf("round %d: handle %#x", i, h)
		}
		l.Cancel(h)
	}
	if n := l.Stats().Slots; n != 0 {
		t.Errorf("%d slots alive", n)
	}
}

func TestPollable(t *testing.T) {
	if err := Pollable(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("-1: %v", err)
	}
	if err := Pollable(1<<32 | 1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a number that is no int: %v", err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := Pollable(int(dir.Fd())); !errors.Is(err, syscall.EPERM) {
		t.Errorf("a directory: %v", err)
	}
}

func TestEventBytes(t *testing.T) {
	b := newSlab(t, 0).Get(10, -1)
	defer b.Unref()
	copy(b.Bytes(), "0123456789")
	ev := Event{Data: unsafe.Add(b.Data(), 2), Len: 3, Block: b}
	if got := string(ev.Bytes()); got != "234" {
		t.Errorf("%q", got)
	}
	if got := (&Event{}).Bytes(); got == nil || len(got) != 0 {
		t.Errorf("of an empty message: %v", got)
	}
}
