package loop

import (
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/momentics/hioload-ws/csrc"
)

// Send queues a message, or bytes of a raw stream, and returns; p is the caller's again, unless it lies in the event
// being handled: such bytes, if they are many, are not copied but referred to, and must not be changed any more. kind is 0
// for a raw stream; for a WebSocket the opcode of the frame, or'ed with csrc.SendPartial and csrc.SendContinuation for a
// message in several frames. Messages leave in the order in which they were sent, whoever sent them.
//
// nil does not mean that the peer got it: the connection may fail before. ErrClosed when it has; ErrQueueFull when
// there are more unsent bytes than Config.LowWater, and with this message more than Config.QueueLimit; ErrNoMemory
// when no memory is to be had. Nothing was queued then.
func (c *Conn) Send(kind uint8, p []byte) error { return c.send(kind, p, false) }

// SendAbove is Send without Config.QueueLimit, for callers who have seen that less than [Loop.HighWater] is unsent.
func (c *Conn) SendAbove(kind uint8, p []byte) error { return c.send(kind, p, true) }

// SendHere is Send for the loop's goroutine, which knows that it is: [Loop.OnLoop].
func (c *Conn) SendHere(kind uint8, p []byte) error {
	h, err := c.open(kindStream)
	if err != nil {
		return err
	}
	return c.stageSend(h, kind, p, c.loop.limit)
}

func (c *Conn) send(kind uint8, p []byte, above bool) error {
	h, err := c.open(kindStream)
	if err != nil {
		return err
	}
	l := c.loop
	limit := l.limit
	if above {
		limit = math.MaxUint64
	}
	if !l.OnLoop() {
		return c.post(csrc.Op{Handle: h, Code: csrc.OpSend, Kind: kind}, p, limit)
	}
	return c.stageSend(h, kind, p, limit)
}

// stageSend is Send on the loop's goroutine.
func (c *Conn) stageSend(h csrc.Handle, kind uint8, p []byte, limit uint64) error {
	size := uint64(len(p))
	if err := c.admit(size, limit); err != nil {
		return err
	}
	if len(p) > copyMax || !c.sendsPlain(kind) || !c.loop.extendRun(h, kind, p) {
		if err := c.queueSend(h, kind, p); err != nil {
			return err
		}
	}
	c.stage(size)
	return nil
}

// queueSend queues an operation that sends p. prepare has made room for it.
func (c *Conn) queueSend(h csrc.Handle, kind uint8, p []byte) error {
	l := c.loop
	headroom := 0
	if kind != 0 {
		headroom = csrc.WSHeaderSize(len(p))
		if c.state.Load()&isClient != 0 {
			headroom += csrc.WSMaskSize
		}
	}
	op := csrc.Op{Handle: h, Code: csrc.OpSend, Kind: kind}
	if err := l.place(&op, p, headroom); err != nil {
		return err
	}
	l.append(op)
	return nil
}

// SendEncoded queues whole WebSocket frames, encoded as a server's, that lie in block, of which the loop takes a reference
// of its own: nothing is copied. They must not be changed any more. If they are compressed, all are, without context and
// for a window that the peer has agreed to. Otherwise it is as Send.
func (c *Conn) SendEncoded(block *csrc.Block, frames []byte) error {
	h, err := c.open(kindStream)
	if err != nil {
		return err
	}
	op := csrc.Op{
		Handle: h,
		Code:   csrc.OpSend,
		Flags:  csrc.Keep | csrc.Encoded,
		Data:   unsafe.Pointer(unsafe.SliceData(frames)),
		Len:    uint64(len(frames)),
		Block:  block,
	}
	l := c.loop
	if !l.OnLoop() {
		return c.post(op, nil, l.limit)
	}
	if err := c.admit(op.Len, l.limit); err != nil {
		return err
	}
	block.Ref() // now: the caller may release the block before the operation is performed
	op.Flags = csrc.Give | csrc.Encoded
	l.append(op)
	c.stage(op.Len)
	return nil
}

// post is Send on any goroutine but the loop's.
func (c *Conn) post(op csrc.Op, p []byte, limit uint64) error {
	l := c.loop
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closing.Load() {
		return ErrClosed
	}
	// Counted first and looked at then: however many goroutines do so at once, they do not pass the limit together.
	size := max(uint64(len(p)), op.Len) + csrc.LetterCost
	posted := c.posted.Add(size)
	// It may be less than size: until the loop has attached it, a slot shows what its last stream had taken up.
	if waiting := c.unsent(posted); waiting > limit && waiting > size+l.lowWater {
		c.posted.Add(-size)
		return ErrQueueFull
	}
	if err := l.mail(op, p); err != nil {
		c.posted.Add(-size)
		return err
	}
	return nil
}

// admit prepares the ring for a send of size bytes, on the loop's goroutine, or says why they are not to be sent.
func (c *Conn) admit(size, limit uint64) error {
	if c.loop.closing.Load() {
		return ErrClosed
	}
	if c.loop.full(c.waiting(), size, limit) {
		if err := c.makeRoom(size, limit); err != nil {
			return err
		}
	}
	return c.loop.prepare()
}

// full tells whether size bytes more are too many behind those that wait.
func (l *Loop) full(waiting, size, limit uint64) bool {
	return waiting > l.lowWater && waiting+size > limit
}

// makeRoom offers the kernel what it has not seen yet, letters too, before a peer is said to take too little.
func (c *Conn) makeRoom(size, limit uint64) error {
	staged := c.turn == c.loop.turn && c.staged > 0
	if !staged && !c.loop.unsent && c.posted.Load() == atomic.LoadUint64(&c.stats.Posted) {
		return ErrQueueFull
	}
	if err := c.loop.perform(); err != nil {
		return err
	}
	if c.loop.full(c.waiting(), size, limit) {
		return ErrQueueFull
	}
	return nil
}

// stage counts bytes that the loop's goroutine has queued since it last entered the core, which does not know of them.
func (c *Conn) stage(size uint64) {
	if c.turn != c.loop.turn {
		c.turn, c.staged = c.loop.turn, 0
	}
	c.staged += size
}

// waiting is the number of unsent bytes as the loop's goroutine knows it.
func (c *Conn) waiting() uint64 {
	n := c.unsent(c.posted.Load())
	if c.turn == c.loop.turn {
		n += c.staged
	}
	return n
}

// unsent is the number of bytes that wait in the core or on their way to it, of which `posted` were posted so far.
func (c *Conn) unsent(posted uint64) uint64 {
	taken := atomic.LoadUint64(&c.stats.Posted) // first: what it counts is in Queued by now
	n := atomic.LoadUint64(&c.stats.Queued)
	if underway := int64(posted - taken); underway > 0 {
		n += uint64(underway)
	}
	return n
}

// Queued is the number of bytes that Send has accepted and the kernel has not; without those of the current turn when
// called on another goroutine than the loop's, and with those of a message twice for the moment in which the loop takes
// it over: never too few of what was posted. 0 after the stream has closed.
func (c *Conn) Queued() uint64 {
	if _, err := c.open(kindStream); err != nil {
		return 0
	}
	if c.loop.OnLoop() {
		return c.waiting()
	}
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	if c.loop.freed {
		return 0
	}
	return c.unsent(c.posted.Load())
}

// Stats returns the stream's counters. They can still be read while csrc.EvClosed is being handled, and are the last
// ones then; after that ErrClosed.
func (c *Conn) Stats() (csrc.StreamStats, error) {
	if c.handle.Load() == 0 {
		return csrc.StreamStats{}, ErrClosed
	}
	if !c.loop.OnLoop() {
		c.loop.mu.RLock()
		defer c.loop.mu.RUnlock()
		if c.loop.freed {
			return csrc.StreamStats{}, ErrClosed
		}
	}
	s := c.stats
	return csrc.StreamStats{
		Queued:         atomic.LoadUint64(&s.Queued),
		Received:       atomic.LoadUint64(&s.Received),
		Sent:           atomic.LoadUint64(&s.Sent),
		FramesReceived: atomic.LoadUint64(&s.FramesReceived),
		FramesSent:     atomic.LoadUint64(&s.FramesSent),
		Posted:         atomic.LoadUint64(&s.Posted),
	}, nil
}
