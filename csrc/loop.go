package csrc

/*
#include <errno.h>
#include "hl_loop.h"

// Two calls in one crossing, with no pointer of Go's to write through: names a slot and tells where its counters lie.
typedef struct hl_go_slot {
    hl_handle handle;
    const hl_stream_stats *stats;
} hl_go_slot;

static inline hl_go_slot hl_go_reserve(hl_loop *l)
{
    hl_go_slot slot = {.handle = hl_loop_reserve(l)};
    if (slot.handle != 0)
        slot.stats = hl_loop_stream_stats(l, slot.handle);
    return slot;
}

typedef struct hl_go_failure {
    int error;
    const char *step;
} hl_go_failure;

static inline hl_go_failure hl_go_backend_error(hl_loop *l)
{
    hl_go_failure failure;
    failure.error = hl_loop_backend_error(l, &failure.step);
    return failure;
}

// Posts *op with `payload`, which is Go memory that C may look at until the call returns. It comes as an argument of
// its own because an hl_op that itself points into Go memory may not be passed to C. `op` is an hl_op; its type here
// spares the run time a search for such pointers.
static inline int hl_go_post(hl_loop *l, const uint8_t *op, const uint8_t *payload, size_t len)
{
    hl_op copy = *(const hl_op *)(const void *)op;
    if (len > 0) {
        copy.data = (void *)(uintptr_t)payload;
        copy.len = len;
    }
    return hl_loop_post(l, &copy);
}
*/
import "C"

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// LoopConfig is the Go half of hl_loop_config; zero fields stand for the defaults given there.
type LoopConfig struct {
	Ring       uint32 // entries of each ring: a power of two from 64 to 65536
	Batch      uint32 // ready descriptors taken from the kernel at a time, 1 to 4096
	RecvSize   uint32 // most bytes received from one stream at a time, 512 to 4 MiB
	StageSize  uint32 // bytes of the staging area, 4096 to 4 MiB
	Slots      uint32 // most slots alive at a time, up to 2^24
	HighWater  uint32 // bytes of unsent output that pause reading
	LowWater   uint32 // bytes at which it resumes
	CloseMs    uint32 // how long an orderly close waits for the peer
	Backend    Backend
	Home       uint32 // 1 + the memory node of the rings; 0: the caller's
	OneThread  bool   // whoever drives the loop is locked to one thread until Free
	BusyPollUs uint32 // io_uring: microseconds of NAPI busy polling, up to 10000
	SpinUs     uint32 // microseconds to stay awake before sleeping, while that pays, up to 1000
	Slab       *Slab  // where blocks come from; outlives the loop
	MaxMessage uint64 // most bytes of a WebSocket message
}

// Backend is how a loop talks to the kernel.
type Backend uint32

// The backends. One that is not to be had is replaced by epoll: see Loop.BackendError.
const (
	BackendDefault Backend = C.HL_BACKEND_DEFAULT
	BackendEpoll   Backend = C.HL_BACKEND_EPOLL
	BackendIOUring Backend = C.HL_BACKEND_URING
)

// LetterCost is what a posted message is reckoned to hold besides its payload, in bytes.
const LetterCost = C.HL_LETTER_COST

// Loop is an event loop of the core.
type Loop struct {
	c         *C.hl_loop
	shared    *Shared
	ops       []Op
	events    []Event
	crossings atomic.Uint64
}

// NewLoop makes a loop. Its errors are syscall.EINVAL, when the config is out of bounds, and whatever the kernel has
// against another descriptor or more memory.
func NewLoop(config *LoopConfig) (*Loop, error) {
	c := C.hl_loop_config{
		ring:         C.uint32_t(config.Ring),
		batch:        C.uint32_t(config.Batch),
		recv_size:    C.uint32_t(config.RecvSize),
		stage_size:   C.uint32_t(config.StageSize),
		slots:        C.uint32_t(config.Slots),
		high_water:   C.uint32_t(config.HighWater),
		low_water:    C.uint32_t(config.LowWater),
		close_ms:     C.uint32_t(config.CloseMs),
		backend:      C.uint32_t(config.Backend),
		home:         C.uint32_t(config.Home),
		busy_poll_us: C.uint32_t(config.BusyPollUs),
		spin_us:      C.uint32_t(config.SpinUs),
		slab:         config.Slab.c,
		ws:           C.hl_ws_config{max_message: C.uint64_t(config.MaxMessage)},
	}
	if config.OneThread {
		c.one_thread = 1
	}
	var errno C.int
	l := &Loop{c: C.hl_loop_new(&c, &errno)}
	if l.c == nil {
		return nil, check("hl_loop_new", int(errno))
	}
	l.shared = (*Shared)(unsafe.Pointer(C.hl_loop_shared(l.c)))
	l.ops = unsafe.Slice((*Op)(l.shared.SQ.Entries), int(l.shared.SQ.Mask)+1)
	l.events = unsafe.Slice((*Event)(l.shared.CQ.Entries), int(l.shared.CQ.Mask)+1)
	return l, nil
}

// Free closes every descriptor that the loop owns and frees everything but the slab. Owner; the last call.
func (l *Loop) Free() {
	C.hl_loop_free(l.c)
	*l = Loop{}
}

// Shared is the memory that loop and owner share.
func (l *Loop) Shared() *Shared { return l.shared }

// Ops are the entries of the submission ring: operation n lies at n modulo their number. Owner.
func (l *Loop) Ops() []Op { return l.ops }

// Events are the entries of the completion ring. Owner.
func (l *Loop) Events() []Event { return l.events }

// Enter is one turn: it performs the operations up to SQ.Tail, waits up to timeoutMs milliseconds when nothing is ready
// (0: not at all; below 0: without limit), and returns the number of events in the completion ring. Owner.
func (l *Loop) Enter(timeoutMs int64, flags uint32) (int, error) {
	l.crossings.Add(1)
	n := int(C.hl_loop_enter(l.c, C.int64_t(timeoutMs), C.uint32_t(flags)))
	if n < 0 {
		return 0, check("hl_loop_enter", n)
	}
	return n, nil
}

// Crossings is the number of times Enter was called.
func (l *Loop) Crossings() uint64 { return l.crossings.Load() }

// Reserve names a free slot and tells where its counters are, an address that stays valid until Free. The handle is 0
// when there is no slot to be had.
func (l *Loop) Reserve() (Handle, *StreamStats) {
	slot := C.hl_go_reserve(l.c)
	return Handle(slot.handle), (*StreamStats)(unsafe.Pointer(slot.stats))
}

// Cancel gives back a slot that was reserved and is not wanted after all.
func (l *Loop) Cancel(h Handle) { C.hl_loop_cancel(l.c, C.hl_handle(h)) }

// Post posts a copy of *op to the loop's mailbox. With a payload, op.Data and op.Len stand for it, and its bytes are
// copied. The error is a syscall.ENOMEM or a syscall.EINVAL.
func (l *Loop) Post(op *Op, payload []byte) error {
	return check("hl_loop_post", int(C.hl_go_post(l.c, (*C.uint8_t)(unsafe.Pointer(op)),
		(*C.uint8_t)(unsafe.SliceData(payload)), C.size_t(len(payload)))))
}

// Wake makes the current or the next waiting Enter return.
func (l *Loop) Wake() { C.hl_loop_wake(l.c) }

// Stats returns the counters.
func (l *Loop) Stats() LoopStats {
	var stats LoopStats
	C.hl_loop_stats_read(l.c, (*C.hl_loop_stats)(unsafe.Pointer(&stats)))
	return stats
}

// Backend names how the loop talks to the kernel: "epoll" or "io_uring".
func (l *Loop) Backend() string { return C.GoString(C.hl_loop_backend(l.c)) }

// BackendError tells what failed when the backend asked for could not be had, and why (syscall.ENOSYS: it is not built
// in); nil when it could.
func (l *Loop) BackendError() error {
	failure := C.hl_go_backend_error(l.c)
	return check(C.GoString(failure.step), int(failure.error))
}

// Feature is something that a backend makes use of where the kernel has it.
type Feature uint32

// The features.
const (
	FeatureOneThread Feature = C.HL_FEATURE_ONE_THREAD // of LoopConfig.OneThread
	FeatureBusyPoll  Feature = C.HL_FEATURE_BUSY_POLL  // of LoopConfig.BusyPollUs
)

// Features tells which are in use.
func (l *Loop) Features() Feature { return Feature(C.hl_loop_features(l.c)) }

// Pollable tells whether readiness of a descriptor can be watched: syscall.EBADF when it is not open, syscall.EPERM for
// what is always ready (regular files, directories).
func Pollable(fd int) error {
	if fd < 0 || fd > 1<<31-1 {
		return check("hl_fd_pollable", -int(syscall.EBADF))
	}
	return check("hl_fd_pollable", int(C.hl_fd_pollable(C.int(fd))))
}
