//go:build windows

package main

import (
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Winsock's names and numbers that package syscall lacks (winsock2.h, winerror.h).
const (
	wsaEWouldBlock    = syscall.Errno(10035) // WSAEWOULDBLOCK
	wsaFlagOverlapped = 0x01                 // WSA_FLAG_OVERLAPPED
	wsaFlagNoInherit  = 0x80                 // WSA_FLAG_NO_HANDLE_INHERIT
	fromProtocolInfo  = ^uintptr(0)          // FROM_PROTOCOL_INFO, -1
	fionbio           = 0x8004667e           // FIONBIO
)

var (
	ws2_32              = syscall.NewLazyDLL("ws2_32.dll")
	procDuplicateSocket = ws2_32.NewProc("WSADuplicateSocketW")
	procSocket          = ws2_32.NewProc("WSASocketW")
	procIoctlSocket     = ws2_32.NewProc("ioctlsocket")
)

// errWouldBlock says that the socket has nothing to read, or no room to write, at the moment.
var errWouldBlock error = wsaEWouldBlock

// takeSocket returns a non-blocking handle of its own for tc's socket and closes tc. Without the duplicate, package net
// would close the handle when tc is collected, under the reactor's feet. DuplicateHandle is not for sockets: Winsock
// has a call of its own, which makes a description of the socket that another WSASocket can open.
func takeSocket(tc *net.TCPConn) (uintptr, error) {
	defer tc.Close()
	raw, err := tc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var failure error
	err = raw.Control(func(original uintptr) { fd, failure = duplicate(original) })
	return fd, errors.Join(err, failure)
}

func duplicate(original uintptr) (uintptr, error) {
	var info syscall.WSAProtocolInfo
	r, _, errno := procDuplicateSocket.Call(original, uintptr(syscall.Getpid()), uintptr(unsafe.Pointer(&info)))
	if r != 0 {
		return 0, os.NewSyscallError("WSADuplicateSocket", errno)
	}
	fd, _, errno := procSocket.Call(fromProtocolInfo, fromProtocolInfo, fromProtocolInfo,
		uintptr(unsafe.Pointer(&info)), 0, wsaFlagOverlapped|wsaFlagNoInherit)
	if syscall.Handle(fd) == syscall.InvalidHandle {
		return 0, os.NewSyscallError("WSASocket", errno)
	}
	on := uint32(1)
	if r, _, errno := procIoctlSocket.Call(fd, fionbio, uintptr(unsafe.Pointer(&on))); r != 0 {
		return 0, errors.Join(os.NewSyscallError("ioctlsocket", errno), closeSocket(fd))
	}
	return fd, nil
}

// readFromSocket reads once, at most len(p) bytes; 0 without an error is the end of the stream.
func readFromSocket(fd uintptr, p []byte) (int, error) {
	var n, flags uint32
	buf := syscall.WSABuf{Len: uint32(len(p)), Buf: unsafe.SliceData(p)}
	err := syscall.WSARecv(syscall.Handle(fd), &buf, 1, &n, &flags, nil, nil)
	return int(n), os.NewSyscallError("WSARecv", err)
}

// writeToSocket writes once, possibly less than all of p.
func writeToSocket(fd uintptr, p []byte) (int, error) {
	var n uint32
	buf := syscall.WSABuf{Len: uint32(len(p)), Buf: unsafe.SliceData(p)}
	err := syscall.WSASend(syscall.Handle(fd), &buf, 1, &n, 0, nil, nil)
	return int(n), os.NewSyscallError("WSASend", err)
}

// closeSocket closes the handle.
func closeSocket(fd uintptr) error {
	return os.NewSyscallError("closesocket", syscall.Closesocket(syscall.Handle(fd)))
}
