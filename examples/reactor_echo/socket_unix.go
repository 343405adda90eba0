//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// errWouldBlock says that the socket has nothing to read, or no room to write, at the moment.
var errWouldBlock error = syscall.EAGAIN

// takeSocket returns a descriptor of its own for tc's socket and closes tc. Without the duplicate, package net would
// close the descriptor when tc is collected, under the reactor's feet. The socket stays non-blocking, as net made it.
func takeSocket(tc *net.TCPConn) (uintptr, error) {
	defer tc.Close()
	raw, err := tc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var failure error
	err = raw.Control(func(original uintptr) {
		// F_DUPFD_CLOEXEC, where dup(2) would leave a moment in which a child process inherits the socket.
		dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, original, syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			failure = os.NewSyscallError("fcntl", errno)
		}
		fd = dup
	})
	return fd, errors.Join(err, failure)
}

// readFromSocket reads once, at most len(p) bytes; 0 without an error is the end of the stream.
func readFromSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// writeToSocket writes once, possibly less than all of p. When the peer is gone it gets EPIPE and no more: the Go runtime
// ends a program on SIGPIPE only for descriptors 1 and 2.
func writeToSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// closeSocket closes the descriptor. It is gone even when an error is returned, so there is no second attempt.
func closeSocket(fd uintptr) error {
	return os.NewSyscallError("close", syscall.Close(int(fd)))
}
