package tcpio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/internal/loop"
)

// Errors of this package. Where one concerns a connection, it comes inside a *net.OpError that names both ends.
var (
	// ErrListenerClosed: the listener was closed, and its connections with it. Also net.ErrClosed.
	ErrListenerClosed error = &kindError{"tcpio: listener closed", net.ErrClosed}

	// ErrTooManyConns: a client was turned away because of ListenerOptions.MaxConns.
	ErrTooManyConns = errors.New("tcpio: too many connections")

	// ErrWouldBlock: nothing to read at this moment. Also syscall.EAGAIN.
	ErrWouldBlock error = &kindError{"tcpio: nothing to read now", syscall.EAGAIN}

	// ErrQueueFull: a Stream has more unsent bytes than ListenerOptions.MaxUnsent allows. Nothing of what was to be
	// written was queued.
	ErrQueueFull = loop.ErrQueueFull

	// ErrPushed: Read of a Stream, whose received bytes go to OnData.
	ErrPushed = errors.New("tcpio: received bytes go to OnData")

	// ErrWrapped: SetReading of a Conn with a Wrap on it, which reads by itself.
	ErrWrapped = errors.New("tcpio: the connection is read by what Wrap has put on it")

	// ErrMessageTooLong: a message, or what its header announces, is longer than its Framing allows.
	ErrMessageTooLong = errors.New("tcpio: message too long")
)

// What ends a connection that has been silent for too long, by the option that says so. All of them are
// os.ErrDeadlineExceeded to errors.Is and time-outs as package net has them.
var (
	ErrIdleTimeout      error = &timeoutError{"tcpio: idle timeout: nothing was received or sent"}
	ErrReadTimeout      error = &timeoutError{"tcpio: read timeout: nothing was received"}
	ErrWriteTimeout     error = &timeoutError{"tcpio: write timeout: the peer takes no more"}
	ErrHandshakeTimeout error = &timeoutError{"tcpio: handshake timeout: the client has not begun in time"}
)

// PanicError is what OnErrorEvent gets, and OnClose, when a callback has panicked or has called runtime.Goexit.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // as runtime/debug.Stack formats it
}

func (e *PanicError) Error() string { return fmt.Sprintf("tcpio: a callback panicked: %v", e.Value) }

// Unwrap returns Value when that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// kindError is an error of its own that also is what other packages call it.
type kindError struct {
	text string
	kind error
}

func (e *kindError) Error() string { return e.text }

func (e *kindError) Unwrap() error { return e.kind }

type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }

// Timeout and Temporary make it, and the net.OpError around it, a time-out as package net has them.
func (e *timeoutError) Timeout() bool { return true }

func (e *timeoutError) Temporary() bool { return true }

func (e *timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// ends are the two addresses of a connection.
type ends struct{ local, remote net.Addr }

// opError puts an error of an operation on the connection into the form that package net gives it; io.EOF and nil are
// not for it.
func (e *ends) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: e.local, Addr: e.remote, Err: err}
}
