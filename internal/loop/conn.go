package loop

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/csrc"
)

// Target is told what happens to a slot.
type Target interface {
	// HandleEvent is called on the loop's goroutine, one event at a time, in the order in which things happened. ev and
	// its bytes are valid until it returns; [Loop.Lend] turns bytes into a Buffer that may be kept. The last event of
	// a slot is csrc.EvClosed; when it comes, the Conn's methods already return ErrClosed. The receiver of
	// csrc.EvAccept owns the descriptor in ev.Result.
	HandleEvent(ev *csrc.Event)
}

// Conn is one slot of a loop as Go sees it: 64 bytes, made to be embedded in what implements its Target. The zero value
// is ready for Attach, Listen, Watch or Timer of one [Loop], after which it must not be copied. It may be used again
// when its csrc.EvClosed was handled and nobody calls its methods any more.
//
// All methods are safe from any goroutine and never block. After the slot has closed they return ErrClosed.
type Conn struct {
	loop   *Loop
	target Target
	stats  *csrc.StreamStats // in C memory, valid until the loop is freed
	handle atomic.Uint64     // 0: not attached, or gone
	posted atomic.Uint64     // payload bytes posted so far by other goroutines
	staged uint64            // payload bytes that the loop's goroutine has queued in turn `turn`
	turn   uint32
	state  atomic.Uint32 // kind of slot, and whether it has closed
}

// Kinds of slots, in Conn.state.
const (
	kindStream = 1 << iota
	kindListener
	kindWatch
	kindTimer
	closed   // csrc.EvClosed is being handled or was
	isClient // a WebSocket's end that masks what it sends

	bitsShift   = 8 // from here on: DeflateBits
	deflateBits = 0xff << bitsShift

	kindAny = kindStream | kindListener | kindWatch | kindTimer
)

// Loop is the loop that the slot belongs to, nil before it was attached.
func (c *Conn) Loop() *Loop { return c.loop }

// Handle is the slot's name, 0 before it was attached and after its csrc.EvClosed was handled.
func (c *Conn) Handle() csrc.Handle { return csrc.Handle(c.handle.Load()) }

// Attach makes c a stream over the connected socket fd, which belongs to the loop from then on. It delivers
// csrc.EvData; with oneshot it stops reading after each, until SetReading(true). On success there will be exactly one
// csrc.EvClosed; on error nothing was taken over: ErrLoopClosed, ErrTooManySlots, ErrAttached, ErrNoMemory. That
// goes for Listen, Watch and Timer, too.
func (l *Loop) Attach(c *Conn, t Target, fd int, oneshot bool) error {
	op := csrc.Op{Code: csrc.OpAttach, Kind: csrc.CodecRaw, Arg: int32(fd)}
	if oneshot {
		op.Flags = csrc.OneShot
	}
	return l.open(c, t, kindStream, op)
}

// Listen makes c a listener on the listening socket fd, which is made non-blocking and belongs to the loop from then
// on. It delivers csrc.EvAccept and csrc.EvAcceptError.
func (l *Loop) Listen(c *Conn, t Target, fd int) error {
	return l.open(c, t, kindListener, csrc.Op{Code: csrc.OpListen, Arg: int32(fd)})
}

// Watch makes c a watch on the readiness of fd, which stays the caller's. flags are csrc.Readable, csrc.Writable and
// csrc.Trouble, the last of which is reported with any of the others anyway. It delivers csrc.EvReady, again and again
// while the descriptor is ready.
func (l *Loop) Watch(c *Conn, t Target, fd int, flags uint16) error {
	return l.open(c, t, kindWatch, csrc.Op{Code: csrc.OpWatch, Arg: int32(fd), Flags: flags})
}

// Timer makes c a timer that delivers csrc.EvTimeout once, d from now (in milliseconds, rounded up). Reset sets it
// again.
func (l *Loop) Timer(c *Conn, t Target, d time.Duration) error {
	return l.open(c, t, kindTimer, csrc.Op{Code: csrc.OpTimer, Len: milliseconds(d)})
}

// open gives c a slot and queues the operation that brings it to life.
func (l *Loop) open(c *Conn, t Target, kind uint32, op csrc.Op) error {
	if !l.OnLoop() {
		l.mu.RLock()
		defer l.mu.RUnlock()
	}
	if l.closing.Load() {
		return ErrLoopClosed
	}
	if c.handle.Load() != 0 {
		return ErrAttached
	}
	h, stats := l.core.Reserve()
	if h == 0 {
		return ErrTooManySlots
	}
	c.loop, c.target, c.stats = l, t, stats
	c.posted.Store(0)
	c.staged, c.turn = 0, 0
	c.state.Store(kind)
	c.handle.Store(uint64(h))
	l.table.enter(h, c)
	op.Handle = h
	if err := l.submitOpen(op); err != nil {
		c.detach()
		l.core.Cancel(h)
		return err
	}
	return nil
}

// submitOpen is submit under the lock that open holds already.
func (l *Loop) submitOpen(op csrc.Op) error {
	if !l.OnLoop() {
		return l.mail(op, nil)
	}
	if err := l.prepare(); err != nil {
		return err
	}
	l.append(op)
	return nil
}

// detach ends the Conn's use for its slot.
func (c *Conn) detach() {
	c.loop.table.remove(c.Handle(), c)
	c.target = nil
	c.state.Or(closed)
	c.loop.pool.ease()
	c.handle.Store(0) // publishes the above to whoever attaches c next
}

// open returns the name of a slot of one of the kinds, or says why there is none.
func (c *Conn) open(kinds uint32) (csrc.Handle, error) {
	state := c.state.Load()
	h := c.handle.Load()
	if h == 0 || state&closed != 0 {
		return 0, ErrClosed
	}
	if state&kinds == 0 {
		return 0, ErrKind
	}
	return csrc.Handle(h), nil
}

// submit queues an operation for a slot of one of the kinds.
func (c *Conn) submit(kinds uint32, op csrc.Op) error {
	h, err := c.open(kinds)
	if err != nil {
		return err
	}
	op.Handle = h
	return c.loop.submit(op)
}

// SetReading stops or resumes receiving. What was received already is still delivered.
func (c *Conn) SetReading(on bool) error {
	op := csrc.Op{Code: csrc.OpRead}
	if on {
		op.Arg = 1
	}
	return c.submit(kindStream, op)
}

// UpgradeConfig says what kind of WebSocket a stream becomes.
type UpgradeConfig struct {
	Client     bool   // it is the client's end, which masks what it sends; else the server's
	Streamed   bool   // messages are delivered in pieces, as they arrive: csrc.EvMessage with csrc.More
	MaxMessage uint64 // bytes of a received message; 0: Config.MaxMessage, or without limit when Streamed

	// Deflate is what was agreed upon for permessage-deflate; nil: nothing is compressed. Messages are compressed and
	// expanded by the loop, a message sent in several frames always.
	Deflate *csrc.DeflateConfig
}

// Upgrade makes a raw stream one end of a WebSocket, which reads from then on. rest is what was received already behind
// the peer's handshake; the caller must not change it any more. ErrDeflate when u.Deflate is out of its bounds.
func (c *Conn) Upgrade(rest []byte, u UpgradeConfig) error {
	h, err := c.open(kindStream)
	if err != nil {
		return err
	}
	if u.Deflate != nil && !u.Deflate.Valid() {
		return ErrDeflate
	}
	op := csrc.Op{Handle: h, Code: csrc.OpUpgrade, User: min(u.MaxMessage, noLimit)}
	if u.Client {
		op.Kind |= csrc.WSClient
		c.state.Or(isClient)
	}
	if u.Streamed {
		op.Kind |= csrc.WSStreamed
		if op.User == 0 {
			op.User = noLimit
		}
	}
	if u.Deflate != nil {
		op.Kind |= csrc.WSDeflate
		c.state.Or(uint32(cmp.Or(u.Deflate.OutBits, maxWindowBits)) << bitsShift)
		rest = append(u.Deflate.Append(nil), rest...)
	}
	return c.loop.submitBytes(op, rest, 0)
}

// SetDeadline asks for a csrc.EvTimeout: csrc.DeadlineOnce: once, in d; csrc.DeadlineRead: whenever nothing was
// received for d; csrc.DeadlineWrite: whenever output has waited for d and not a byte of it was taken. With
// csrc.DeadlinePing the core pings a WebSocket's peer whenever nothing was received for d. Milliseconds, rounded up; 0 and
// below switch it off.
func (c *Conn) SetDeadline(kind uint8, d time.Duration) error {
	return c.submit(kindStream, csrc.Op{Code: csrc.OpDeadline, Kind: kind, Len: milliseconds(d)})
}

// Quiesce delivers what the kernel has received until now, stops reading, and then delivers csrc.EvQuiet.
func (c *Conn) Quiesce() error { return c.submit(kindStream, csrc.Op{Code: csrc.OpQuiesce}) }

// Halt is Quiesce for a descriptor that somebody else goes on with: it delivers only what the loop has taken from the
// kernel already, stops reading, and then delivers csrc.EvQuiet.
func (c *Conn) Halt() error { return c.submit(kindStream, csrc.Op{Code: csrc.OpQuiesce, Arg: 1}) }

// AwaitDrain has a stream deliver csrc.EvDrain as soon as no more than Config.LowWater is unsent, if it is so already, too.
func (c *Conn) AwaitDrain() error { return c.submit(kindStream, csrc.Op{Code: csrc.OpDrain}) }

// Rewatch changes what a watch asks for; 0 mutes it.
func (c *Conn) Rewatch(flags uint16) error {
	return c.submit(kindWatch, csrc.Op{Code: csrc.OpRewatch, Flags: flags})
}

// Reset has a timer, or the timer that each watch has, fire once, d from now, whatever was set before.
func (c *Conn) Reset(d time.Duration) error {
	return c.submit(kindTimer|kindWatch, csrc.Op{Code: csrc.OpTimer, Len: milliseconds(d)})
}

// StopTimer has it not fire after all, unless it already has.
func (c *Conn) StopTimer() error {
	return c.submit(kindTimer|kindWatch, csrc.Op{Code: csrc.OpTimer, Arg: csrc.TimerOff})
}

// Close ends any slot. A stream is closed in an orderly way: what is queued is sent; a WebSocket then sends a close
// frame with the status code (0: the peer's own if it has closed, else 1000) and the reason, UTF-8 of at most 123
// bytes, and waits for the peer's; Config.CloseTimeout bounds it all. Later Sends do nothing.
func (c *Conn) Close(code uint16, reason string) error {
	h, err := c.open(kindAny)
	if err != nil {
		return err
	}
	op := csrc.Op{Handle: h, Code: csrc.OpClose, Arg: int32(code)}
	if reason == "" {
		return c.loop.submit(op)
	}
	if len(reason) > maxReason {
		return ErrReason
	}
	return c.loop.submitBytes(op, []byte(reason), 0)
}

// maxWindowBits is the base-2 logarithm of the largest window there is (RFC 7692 section 7.1.2).
const maxWindowBits = 15

// noLimit is more bytes than any message has.
const noLimit = 1 << 62

// maxReason is how many bytes of reason fit a close frame (RFC 6455 sections 5.5 and 5.5.1).
const maxReason = 123

// Abort ends any slot at once; what a stream has not sent is lost. With reset the peer is told so (RST instead of FIN).
func (c *Conn) Abort(reset bool) error {
	op := csrc.Op{Code: csrc.OpAbort}
	if reset {
		op.Flags = csrc.Reset
	}
	return c.submit(kindAny, op)
}
