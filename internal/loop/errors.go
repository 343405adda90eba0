package loop

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Errors that operations return as they are. Those that say "closed" are net.ErrClosed to errors.Is.
var (
	// ErrClosed: the slot has closed or was never attached. Nothing was done.
	ErrClosed error = &closedError{"hioload: connection closed"}

	// ErrLoopClosed: the loop has been closed.
	ErrLoopClosed error = &closedError{"hioload: event loop closed"}

	// ErrPoolClosed: the pool has been closed.
	ErrPoolClosed error = &closedError{"hioload: buffer pool closed"}

	// ErrQueueFull: the connection has more unsent bytes than Config.QueueLimit allows. Nothing of the message was
	// queued; the connection lives.
	ErrQueueFull = errors.New("hioload: outgoing queue full")

	// ErrBusy: the loop is being turned already, by another goroutine or by a callback's caller.
	ErrBusy = errors.New("hioload: event loop is being driven already")

	// ErrAttached: the Conn names a slot already.
	ErrAttached = errors.New("hioload: connection is attached already")

	// ErrKind: the operation is not one for this kind of slot, writing to a listener say.
	ErrKind = errors.New("hioload: operation does not fit this kind of connection")

	// ErrTooManySlots: Config.Slots are in use, or memory is short.
	ErrTooManySlots = errors.New("hioload: no free slot in the event loop")

	// ErrNoMemory: the pool's limit or the machine's memory is reached. It is syscall.ENOMEM to errors.Is.
	ErrNoMemory = fmt.Errorf("hioload: no memory for a block: %w", syscall.ENOMEM)

	// ErrReason: the reason of a close is longer than the 123 bytes that fit a close frame (RFC 6455 section 5.5).
	ErrReason = errors.New("hioload: close reason longer than 123 bytes")

	// ErrDeflate: the parameters of permessage-deflate are not what the core can do (csrc.DeflateConfig).
	ErrDeflate = errors.New("hioload: parameters of permessage-deflate out of bounds")

	// ErrSize: a buffer of a negative size was asked for.
	ErrSize = errors.New("hioload: negative buffer size")
)

type closedError struct{ text string }

func (e *closedError) Error() string { return e.text }

func (e *closedError) Is(target error) bool { return target == net.ErrClosed }
