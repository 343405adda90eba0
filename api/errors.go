package api

import (
	"errors"
	"fmt"
	"net"
	"sort"
	"strings"
)

// Errors that functions of this module return, possibly wrapped: test with errors.Is.
var (
	ErrTransportClosed   error = closedError{} // also matches net.ErrClosed
	ErrBufferPoolClosed        = errors.New("buffer pool is closed")
	ErrInvalidArgument         = errors.New("invalid argument")
	ErrResourceExhausted       = errors.New("resource exhausted")
	ErrOperationTimeout        = errors.New("operation timed out")
	ErrNotSupported            = errors.New("not supported")
	ErrAlreadyExists           = errors.New("already exists")
	ErrNotFound                = errors.New("not found")
)

// closedError is the type of ErrTransportClosed.
type closedError struct{}

func (closedError) Error() string { return "transport is closed" }

func (closedError) Is(target error) bool { return target == net.ErrClosed }

// ErrorCode classifies an [Error].
type ErrorCode int

// The classes of errors. Those that have a sentinel (ErrInvalidArgument and so on) match it under errors.Is.
const (
	ErrCodeOK ErrorCode = iota
	ErrCodeInvalidArgument
	ErrCodeResourceExhausted
	ErrCodeTimeout
	ErrCodeNotSupported
	ErrCodeAlreadyExists
	ErrCodeNotFound
	ErrCodeInternal
)

// sentinel returns the error that stands for the class, or nil.
func (c ErrorCode) sentinel() error {
	switch c {
	case ErrCodeInvalidArgument:
		return ErrInvalidArgument
	case ErrCodeResourceExhausted:
		return ErrResourceExhausted
	case ErrCodeTimeout:
		return ErrOperationTimeout
	case ErrCodeNotSupported:
		return ErrNotSupported
	case ErrCodeAlreadyExists:
		return ErrAlreadyExists
	case ErrCodeNotFound:
		return ErrNotFound
	}
	return nil
}

// Error is an error with a class and named details.
type Error struct {
	Code    ErrorCode
	Message string
	Context map[string]any // details; nil when there are none
}

// NewError returns an error of the given class.
func NewError(code ErrorCode, message string) *Error {
	return &Error{Code: code, Message: message}
}

// WithContext adds a detail to e and returns e. It is for whoever builds the error, before others see it.
func (e *Error) WithContext(key string, value any) *Error {
	if e.Context == nil {
		e.Context = make(map[string]any)
	}
	e.Context[key] = value
	return e
}

// Error returns the message, followed by the details in the order of their names.
func (e *Error) Error() string {
	if len(e.Context) == 0 {
		return e.Message
	}
	keys := make([]string, 0, len(e.Context))
	for k := range e.Context {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var text strings.Builder
	text.WriteString(e.Message)
	separator := " ("
	for _, k := range keys {
		fmt.Fprintf(&text, "%s%s: %v", separator, k, e.Context[k])
		separator = ", "
	}
	text.WriteByte(')')
	return text.String()
}

// Is makes errors.Is(e, ErrInvalidArgument) and its like true for an error of that class.
func (e *Error) Is(target error) bool {
	sentinel := e.Code.sentinel()
	return sentinel != nil && target == sentinel
}
