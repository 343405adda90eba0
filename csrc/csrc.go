// Package csrc is the C core of hioload-ws and its only cgo binding: typed wrappers around the functions of
// csrc/include, errors instead of negative numbers, and the shared rings seen as Go slices over C memory. It holds no
// policy; package internal/loop does.
//
// The headers in csrc/include are the manual of everything bound here. They are embedded below, unused, because cgo's
// build cache and "go mod vendor" look at this folder only: without the embedding an edited header would leave a stale
// binary, and a vendored copy of the module would come without its headers.
//
// Threads are those of the headers: a method documented there as "owner" belongs to one goroutine at a time, the one
// that drives the loop; everything else may be called from any goroutine until the object is freed.
package csrc

/*
#if !defined(__linux__)
#error "hioload-ws supports Linux only so far (amd64 and arm64; Windows is planned)"
#endif
#if !defined(HL_NO_URING) && !__has_include(<liburing.h>)
#error "install liburing-dev (Debian, Ubuntu, Alpine) or liburing-devel (Fedora), or build with -tags nouring"
#endif
#if !defined(HL_NO_NUMA) && !__has_include(<numa.h>)
#error "install libnuma-dev (Debian, Ubuntu) or numactl-devel (Fedora) or numactl-dev (Alpine), or build with -tags nonuma"
#endif
#if !__has_include(<zlib.h>)
#error "install zlib1g-dev (Debian, Ubuntu) or zlib-devel (Fedora) or zlib-dev (Alpine)"
#endif

#cgo CFLAGS: -std=c11 -D_GNU_SOURCE -O2 -Wall -I${SRCDIR}/include
#cgo LDFLAGS: -pthread -lz
#cgo !nouring LDFLAGS: -luring
#cgo !nonuma LDFLAGS: -lnuma
#cgo nouring CFLAGS: -DHL_NO_URING
#cgo nonuma CFLAGS: -DHL_NO_NUMA

#include "hl_loop.h"
*/
import "C"

import (
	"embed"
	"os"
	"syscall"
)

//go:embed include
var _ embed.FS

// check turns the result of a C function into an error that names the operation: nil for 0 and above, else a
// *os.SyscallError around the errno, so that errors.Is works with syscall.Errno and with os.ErrInvalid and its like.
func check(operation string, result int) error {
	if result >= 0 {
		return nil
	}
	return os.NewSyscallError(operation, syscall.Errno(-result))
}
