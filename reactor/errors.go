package reactor

import (
	"net"
	"os"
	"syscall"
)

// Errors that methods of a Reactor return, wrapped with the operation and the descriptor.
var (
	// ErrClosed: Close was called. errors.Is also takes it for net.ErrClosed and os.ErrClosed.
	ErrClosed error = &kindError{"reactor is closed", []error{net.ErrClosed, os.ErrClosed}}

	// ErrPolling: another Poll is under way, or this one was called in a callback. Also syscall.EBUSY.
	ErrPolling error = &kindError{"another Poll is under way", []error{syscall.EBUSY}}

	// ErrRegistered: the descriptor is registered already. Also syscall.EEXIST and os.ErrExist.
	ErrRegistered error = &kindError{"descriptor is already registered", []error{syscall.EEXIST}}

	// ErrNotRegistered: the descriptor is not registered. Also syscall.ENOENT and os.ErrNotExist.
	ErrNotRegistered error = &kindError{"descriptor is not registered", []error{syscall.ENOENT}}

	// ErrInvalid: no events, unknown events, or a nil callback. Also syscall.EINVAL and os.ErrInvalid.
	ErrInvalid error = &kindError{"invalid argument", []error{syscall.EINVAL, os.ErrInvalid}}
)

// kindError is an error of its own that also is what other packages call it.
type kindError struct {
	text  string
	kinds []error
}

func (e *kindError) Error() string { return e.text }

// Unwrap lets errors.Is see the kinds.
func (e *kindError) Unwrap() []error { return e.kinds }
