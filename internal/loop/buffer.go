package loop

import (
	"context"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// Buffer is an api.Buffer over C memory. There are two kinds of life:
//
//   - Lent by [Loop.Lend] for an event. As long as the loop has not finished the batch of events that this one belongs
//     to, the loop itself keeps the bytes: nothing is counted. Released meanwhile, on the loop's goroutine, the Buffer
//     is used again for a later event, and nothing was allocated. If it has not been released when the batch ends, it
//     becomes held.
//   - Held: it has a reference of its own to the block that its bytes lie in, until Release; or, if that never comes,
//     until the garbage collector finds the Buffer unreachable, which is counted (PoolStats.Forgotten).
//
// Release may be called from any goroutine, more than once, and may race with the end of the batch. After it, and after
// the handler has returned, the Buffer must be left alone: it may be somebody else's.
type Buffer struct {
	data    []byte
	ctx     context.Context
	block   *csrc.Block // what data lies in; nil: Go memory
	pool    *Pool
	loop    *Loop // that lent it; nil: never lent
	cleanup cleanup
	state   uint32 // atomic, but where nobody else knows the Buffer yet
	pooled  bool   // came from Pool.Get
}

// States of a Buffer.
const (
	bufferLent  = iota // the loop keeps the bytes until its batch ends
	bufferHeld         // it has a reference of its own
	bufferSpent        // released on the loop's goroutine while lent: used again after the batch
	bufferGone         // released in any other way: garbage
)

var _ api.Buffer = (*Buffer)(nil)

// Lend makes a Buffer of an event's bytes that carries ctx (nil: context.Background). To be called on the loop's
// goroutine by the HandleEvent that was given ev. Whoever it is passed on to owns it until Release.
func (l *Loop) Lend(ev *csrc.Event, ctx context.Context) *Buffer {
	data := ev.Bytes()
	if ev.Block == nil {
		data = append([]byte{}, data...) // cannot be kept where it is
	}
	return l.lend(data, ev.Block, ctx)
}

func (l *Loop) lend(data []byte, block *csrc.Block, ctx context.Context) *Buffer {
	var b *Buffer
	if n := len(l.spare); n > 0 {
		b = l.spare[n-1]
		l.spare = l.spare[:n-1]
	} else {
		b = &Buffer{pool: l.pool, loop: l}
	}
	b.data, b.block, b.ctx = data, block, ctx
	b.state = bufferLent
	l.lent = append(l.lent, b)
	return b
}

// settle ends a batch: Buffers that were released come back, the others become held. The bytes of the batch's events
// are valid for a moment more.
func (l *Loop) settle() {
	for i, b := range l.lent {
		l.lent[i] = nil
		if atomic.LoadUint32(&b.state) == bufferLent {
			b.hold()
		}
		if atomic.LoadUint32(&b.state) == bufferSpent {
			b.data, b.block, b.ctx = nil, nil, nil
			l.spare = append(l.spare, b)
		}
	}
	l.lent = l.lent[:0]
}

// hold gives a lent Buffer a reference of its own. Everything is in place before the state says so, because from then
// on Release, on whatever goroutine, takes it away again.
func (b *Buffer) hold() {
	b.own()
	if !atomic.CompareAndSwapUint32(&b.state, bufferLent, bufferHeld) {
		b.disown() // released just now, while it was still lent
	}
}

// own takes a reference of the block, and sees to it that the garbage collector gives it back if nobody else does.
func (b *Buffer) own() {
	if b.block != nil {
		b.pool.users.Add(1) // not acquire: the loop that lent it, or the Buffer it is sliced from, is a user
		b.block.Ref()
	}
	b.watch()
}

func (b *Buffer) disown() {
	b.unwatch()
	if b.block != nil {
		large := b.block.Size() >= trimSize
		b.block.Unref()
		if large {
			b.pool.ease()
		}
		b.pool.release()
	}
}

// remains is what a forgotten Buffer leaves behind.
type remains struct {
	block  *csrc.Block
	pool   *Pool
	pooled bool
}

func (r remains) bury() {
	if r.pooled {
		r.pool.count(r.block).puts.Add(1)
	}
	if r.block != nil {
		r.block.Unref()
	}
	r.pool.forgotten.Add(1)
	if r.block != nil {
		r.pool.release()
	}
}

// Bytes returns the contents: of a message, exactly the message. They are valid while the Buffer is reachable and not
// released (the slice alone does not keep it alive), and in the handler that was given it until that returns. nil after Release.
func (b *Buffer) Bytes() []byte {
	if atomic.LoadUint32(&b.state) >= bufferSpent {
		return nil
	}
	return b.data
}

// Ctx returns the context that the Buffer was lent with.
func (b *Buffer) Ctx() context.Context {
	if b.ctx == nil {
		return context.Background()
	}
	return b.ctx
}

// Copy returns the contents in Go memory; nil after Release.
func (b *Buffer) Copy() []byte {
	data := b.Bytes()
	if data == nil {
		return nil
	}
	return append([]byte{}, data...)
}

// NUMANode returns the memory node that the bytes lie on; -1 when it is not known, for bytes in Go memory, and after
// Release.
func (b *Buffer) NUMANode() int {
	if b.block == nil || atomic.LoadUint32(&b.state) >= bufferSpent {
		return -1
	}
	return b.block.Node()
}

// Slice returns a view of bytes from..to that counts and is released on its own. It panics when the bounds are out of
// range, as slicing does; after Release nothing is in range.
func (b *Buffer) Slice(from, to int) api.Buffer {
	view := b.Bytes()[from:to:to]
	if atomic.LoadUint32(&b.state) == bufferLent && b.loop.OnLoop() {
		return b.loop.lend(view, b.block, b.ctx)
	}
	s := &Buffer{data: view, block: b.block, pool: b.pool, ctx: b.ctx}
	s.own()
	s.state = bufferHeld
	return s
}

// Release gives the bytes back.
func (b *Buffer) Release() {
	for {
		switch atomic.LoadUint32(&b.state) {
		case bufferLent:
			next := uint32(bufferGone)
			if b.loop.OnLoop() {
				next = bufferSpent
			}
			if atomic.CompareAndSwapUint32(&b.state, bufferLent, next) {
				return
			}
		case bufferHeld:
			if atomic.CompareAndSwapUint32(&b.state, bufferHeld, bufferGone) {
				if b.pooled {
					b.pool.count(b.block).puts.Add(1)
				}
				b.disown()
				return
			}
		default:
			return
		}
	}
}
