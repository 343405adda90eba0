package csrc

/*
#include "hl_loop.h"
*/
import "C"

import "unsafe"

// Handle names one slot of one loop: its index in the low 32 bits, a generation above. 0 is never a valid handle.
type Handle uint64

// Index is the number of the slot, below [LoopConfig].Slots. Slots are reused under another generation.
func (h Handle) Index() uint32 { return uint32(h) }

// Op is an operation as it lies in the submission ring (hl_op). Data must not point into Go memory: nothing in C ever
// keeps a Go pointer.
type Op struct {
	Handle Handle
	Data   unsafe.Pointer
	Len    uint64
	Block  *Block
	User   uint64
	Arg    int32
	Flags  uint16
	Kind   uint8
	Code   uint8
}

// Event is an event as it lies in the completion ring (hl_event), valid until the owner enters the loop again.
type Event struct {
	Handle Handle
	Data   unsafe.Pointer
	Len    uint64
	Block  *Block // what Data lies in; nil when it cannot be kept
	User   uint64
	Result int32
	Flags  uint16
	Kind   uint8
	Type   uint8
}

// Bytes is what the event carries, without a copy. Never nil for an event that carries a message, even an empty one.
func (e *Event) Bytes() []byte {
	if e.Len == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(e.Data), e.Len)
}

// Ring is one direction of the traffic between owner and loop (hl_ring). Head and Tail are accessed atomically.
type Ring struct {
	Head     uint32
	_        [cacheLine - 4]byte
	Tail     uint32
	_        [cacheLine - 4]byte
	Mask     uint32
	Reserved uint32
	Entries  unsafe.Pointer
	_        [cacheLine - 16]byte
}

// Mailbox is the head of the list of posted letters (hl_mailbox). Letters is accessed atomically: the owner may
// exchange it for nil and queue what it got as [OpLetters].
type Mailbox struct {
	Letters  unsafe.Pointer
	Sleeping uint32
	Reserved uint32
	_        [cacheLine - 16]byte
}

// Shared is the memory that a loop and its owner share (hl_shared).
type Shared struct {
	SQ        Ring
	CQ        Ring
	Mailbox   Mailbox
	Stage     *Block
	StageUsed uint64
}

// StreamStats are the counters of one stream (hl_stream_stats), written by the loop while others read them with
// atomic loads.
type StreamStats struct {
	Queued         uint64 // bytes waiting to be sent
	Received       uint64 // bytes
	Sent           uint64 // bytes
	FramesReceived uint64 // WebSocket frames, control frames included; raw: pieces delivered
	FramesSent     uint64 // WebSocket frames, control frames included; raw: sends
	Posted         uint64 // bytes sent by letter that the loop has taken up
}

// LoopStats are the counters of a loop (hl_loop_stats).
type LoopStats struct {
	Turns        uint64 // calls of Enter that may deliver events
	Flushes      uint64 // calls of Enter with EnterFlush or EnterPerform
	Ops          uint64 // operations performed
	Events       uint64 // events delivered
	Messages     uint64 // of these, whole WebSocket messages
	StaleOps     uint64 // operations dropped because their handle was void
	StaleEvents  uint64 // kernel events dropped for the same reason
	Letters      uint64 // letters taken from the mailbox
	Waits        uint64 // turns that asked the kernel to wait
	Spins        uint64 // turns that stayed awake for a while first
	SpinHits     uint64 // ... and found something to do
	Wakeups      uint64 // times another thread had to wake the loop
	Accepted     uint64 // connections
	AcceptPauses uint64 // times accepting paused for want of descriptors or memory
	ReadPauses   uint64 // times the high-water mark paused a stream
	Slots        uint64 // alive now
	NoMem        uint64 // streams ended, or operations refused, because a block could not be had
}

// What Op.Code says.
const (
	OpAttach   = C.HL_OP_ATTACH
	OpListen   = C.HL_OP_LISTEN
	OpWatch    = C.HL_OP_WATCH
	OpRewatch  = C.HL_OP_REWATCH
	OpTimer    = C.HL_OP_TIMER
	OpSend     = C.HL_OP_SEND
	OpRead     = C.HL_OP_READ
	OpUpgrade  = C.HL_OP_UPGRADE
	OpDeadline = C.HL_OP_DEADLINE
	OpQuiesce  = C.HL_OP_QUIESCE
	OpDrain    = C.HL_OP_DRAIN
	OpClose    = C.HL_OP_CLOSE
	OpAbort    = C.HL_OP_ABORT
	OpLetters  = C.HL_OP_LETTERS
)

// TimerOff is Op.Arg of OpTimer for a timer that is not to fire after all.
const TimerOff = C.HL_TIMER_OFF

// Op.Kind of OpAttach.
const (
	CodecRaw = C.HL_CODEC_RAW
	CodecWS  = C.HL_CODEC_WS
)

// Op.Kind of OpUpgrade.
const (
	WSClient   = C.HL_WS_CLIENT   // the stream is the client's end: what it sends is masked
	WSStreamed = C.HL_WS_STREAMED // messages are delivered in pieces
	WSDeflate  = C.HL_WS_DEFLATE  // the bytes begin with what DeflateConfig.Append makes
)

// Bits of Op.Flags and, the first three and the last, of Event.Flags.
const (
	Readable = C.HL_READABLE // watching: wanted, or found to be so
	Writable = C.HL_WRITABLE
	Trouble  = C.HL_TROUBLE  // events only: error or hang-up
	OneShot  = C.HL_ONESHOT  // attach: stop reading after each EvData until OpRead with 1
	Keep     = C.HL_KEEP     // send: the bytes lie in Block, of which the loop takes a reference of its own
	Give     = C.HL_GIVE     // send: as Keep, but the caller's reference passes to the loop
	Headroom = C.HL_HEADROOM // send: there is room for a frame header right before Data
	Reset    = C.HL_RESET    // abort: with a reset
	Encoded  = C.HL_ENCODED  // send: the bytes are whole frames, encoded as a server's
	More     = C.HL_MORE     // events only: a piece of a message that is streamed, and not the last
)

// Op.Kind of OpSend on a WebSocket is an opcode, or'ed with these; on a raw stream it is 0.
const (
	SendContinuation = C.HL_SEND_CONTINUATION // a continuation frame: the opcode bits are 0
	SendPartial      = C.HL_SEND_PARTIAL      // FIN is not set: more frames of this message follow
)

// Op.Kind of OpDeadline and Event.Kind of EvTimeout.
const (
	DeadlineOnce  = C.HL_DEADLINE_ONCE  // once
	DeadlineRead  = C.HL_DEADLINE_READ  // whenever nothing was received for that long
	DeadlineWrite = C.HL_DEADLINE_WRITE // whenever output has waited that long and not a byte of it was taken
	DeadlinePing  = C.HL_DEADLINE_PING  // no event: a WebSocket whose peer was silent that long pings it
)

// What Event.Type says.
const (
	EvAccept      = C.HL_EV_ACCEPT       // Result: a connected socket, the receiver's; Bytes: its sockaddr
	EvAcceptError = C.HL_EV_ACCEPT_ERROR // Result: a negative errno; accepting pauses for a moment
	EvData        = C.HL_EV_DATA         // raw bytes
	EvMessage     = C.HL_EV_MESSAGE      // a whole WebSocket message, or with More a piece of it; Kind: its opcode
	EvPong        = C.HL_EV_PONG         // a pong with a payload
	EvEnd         = C.HL_EV_END          // the peer sends no more; answered with OpClose. Flags: WebSocket status code
	EvReady       = C.HL_EV_READY        // a watched descriptor; Flags: Readable | Writable | Trouble
	EvTimeout     = C.HL_EV_TIMEOUT      // a timer fired; or Kind: the deadline that passed
	EvDrain       = C.HL_EV_DRAIN        // unsent output fell to the low-water mark
	EvQuiet       = C.HL_EV_QUIET        // answer to OpQuiesce
	EvClosed      = C.HL_EV_CLOSED       // the slot's last event; see hl_loop.h
)

// Opcodes of WebSocket messages and frames (RFC 6455 section 5.2).
const (
	WSContinuation = C.HL_WS_CONTINUATION
	WSText         = C.HL_WS_TEXT
	WSBinary       = C.HL_WS_BINARY
	WSClose        = C.HL_WS_CLOSE
	WSPing         = C.HL_WS_PING
	WSPong         = C.HL_WS_PONG
)

// Flags of [Loop.Enter], which then makes no event and does not wait.
const (
	EnterFlush   = C.HL_ENTER_FLUSH   // only perform the queued operations and send; the staging area starts anew
	EnterPerform = C.HL_ENTER_PERFORM // the same, without sending unless much waits, and the staging area goes on
)

const cacheLine = C.HL_CACHE_LINE
