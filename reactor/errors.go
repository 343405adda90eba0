package reactor

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// Errors that methods of a Reactor and of a Loop return, wrapped with the operation and the descriptor.
var (
	// ErrClosed: Close was called. errors.Is also takes it for net.ErrClosed and os.ErrClosed.
	ErrClosed error = &kindError{"reactor is closed", []error{net.ErrClosed, os.ErrClosed}}

	// ErrPolling: another Poll, Run or PollOnce is under way, or this one was called in a callback. Also syscall.EBUSY.
	ErrPolling error = &kindError{"another Poll is under way", []error{syscall.EBUSY}}

	// ErrRegistered: the descriptor is registered, or in the loop, already. Also syscall.EEXIST and os.ErrExist.
	ErrRegistered error = &kindError{"descriptor is already registered", []error{syscall.EEXIST}}

	// ErrNotRegistered: the descriptor is not registered. Also syscall.ENOENT and os.ErrNotExist.
	ErrNotRegistered error = &kindError{"descriptor is not registered", []error{syscall.ENOENT}}

	// ErrInvalid: no events, unknown events, a nil callback or handler, an option that is out of bounds. Also
	// syscall.EINVAL and os.ErrInvalid.
	ErrInvalid error = &kindError{"invalid argument", []error{syscall.EINVAL, os.ErrInvalid}}

	// ErrNoSocket: the socket is closed or released, or a token never named one of the loop. Also net.ErrClosed.
	ErrNoSocket error = &kindError{"no such socket", []error{net.ErrClosed}}

	// ErrTooManySockets: the loop has Options.MaxSockets of them.
	ErrTooManySockets = errors.New("too many sockets")

	// ErrConnecting: the socket is not connected yet. Also syscall.EALREADY.
	ErrConnecting error = &kindError{"still connecting", []error{syscall.EALREADY}}

	// ErrBusy: one of the socket's callbacks is running. Also syscall.EBUSY.
	ErrBusy error = &kindError{"a callback is running", []error{syscall.EBUSY}}

	// ErrWouldBlock: nothing can be read or written now; OnReadable or OnWritable will say when. Also syscall.EAGAIN.
	ErrWouldBlock error = &kindError{"would block", []error{syscall.EAGAIN}}
)

// kindError is an error of its own that also is what other packages call it.
type kindError struct {
	text  string
	kinds []error
}

func (e *kindError) Error() string { return e.text }

// Unwrap lets errors.Is see the kinds.
func (e *kindError) Unwrap() []error { return e.kinds }
