/*
 * fault_uring.c - what liburing does for the core, and the requests that it submits.
 *
 * A request fails before the kernel sees it: in its place a no-op is submitted, whose completion is then given the
 * request's user data and the error. So a multishot request ends, as it must, with a completion without F_MORE. A
 * request falls short when less is asked of the kernel than the core wanted: a send of fewer bytes, a receive of one
 * byte, a multishot request that ends after its first completion, as any may (io_uring_prep_recv_multishot(3)).
 *
 * Cancellations do not fail: what the core cancels is a request that waits for readiness, and that always succeeds.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>

/* ------------------------------------------------------------------ requests */

#define REPLACED UINT64_C(0xfa171fa171fa171f) /* user data of a no-op */

/* The ring in use; a loop has one, and none is probed while another one runs. */
static struct {
    const struct io_uring *ring;
    unsigned seen;      /* requests up to here have had their chance to fail */
    uint64_t user_data; /* of the request that a no-op stands for */
    int result;         /* of that; 0: there is none */
} now;

static fault_call *call_of(const struct io_uring_sqe *sqe)
{
    static fault_call receive = {.name = "request(recv)",
                                 .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(ENOBUFS), HARMLESS(ECANCELED),
                                           ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM)}};
    static fault_call straight = {.name = "request(recv_straight)", /* into memory of the core's choice */
                                  .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(ECANCELED), ENDS_ONE(ECONNRESET),
                                            ENDS_ONE(ENOMEM)}};
    static fault_call send = {.name = "request(send)",
                              .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(EAGAIN), ENDS_ONE(ENOBUFS), ENDS_ONE(EPIPE),
                                        ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM)}};
    static fault_call sendmsg = {.name = "request(sendmsg)",
                                 .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(EAGAIN), ENDS_ONE(ENOBUFS), ENDS_ONE(EPIPE),
                                           ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM)}};
    static fault_call accept = {.name = "request(accept)",
                                .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(ECONNABORTED), HARMLESS(EMFILE),
                                          HARMLESS(ENFILE), HARMLESS(ENOBUFS), HARMLESS(ENOMEM), HARMLESS(ECANCELED)}};
    static fault_call poll = {.name = "request(poll)",
                              .kinds = {SHORT, HARMLESS(EINTR), HARMLESS(ECANCELED), ENDS_ONE(ENOMEM)}};
    switch (sqe->opcode) {
    case IORING_OP_RECV: return sqe->flags & IOSQE_BUFFER_SELECT ? &receive : &straight;
    case IORING_OP_SEND: return &send;
    case IORING_OP_SENDMSG: return &sendmsg;
    case IORING_OP_ACCEPT: return &accept;
    case IORING_OP_POLL_ADD: return &poll;
    default: return NULL;
    }
}

static void fall_short(struct io_uring_sqe *sqe)
{
    static struct msghdr less; /* the kernel has copied it when the submission is over */
    static struct iovec pieces[2];
    switch (sqe->opcode) {
    case IORING_OP_RECV:
        sqe->ioprio &= (__u16)~IORING_RECV_MULTISHOT;
        sqe->len = 1;
        break;
    case IORING_OP_SEND: sqe->len = sqe->len > 0; break;
    case IORING_OP_SENDMSG:
        less = *(const struct msghdr *)(uintptr_t)sqe->addr;
        less.msg_iovlen = less.msg_iovlen < 2 ? less.msg_iovlen : 2;
        memcpy(pieces, less.msg_iov, less.msg_iovlen * sizeof *pieces);
        pieces[less.msg_iovlen - 1].iov_len = 1;
        less.msg_iov = pieces;
        sqe->addr = (uintptr_t)&less;
        break;
    case IORING_OP_ACCEPT: sqe->ioprio &= (__u16)~IORING_ACCEPT_MULTISHOT; break;
    case IORING_OP_POLL_ADD: sqe->len &= ~IORING_POLL_ADD_MULTI; break;
    default: break;
    }
}

static void replace(struct io_uring_sqe *sqe, int error)
{
    if (sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG)
        fault_break(sqe->fd, error);
    now.user_data = sqe->user_data;
    now.result = -error;
    io_uring_prep_nop(sqe);
    sqe->flags = 0;
    sqe->buf_group = 0;
    sqe->user_data = REPLACED;
}

static void before(struct io_uring *ring)
{
    if (now.ring != ring) {
        now.ring = ring;
        now.seen = *ring->sq.khead;
        now.result = 0;
    }
    for (; now.seen != ring->sq.sqe_tail; now.seen++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[now.seen & ring->sq.ring_mask];
        fault_call *call = call_of(sqe);
        const fault_kind *k = call != NULL ? fault_at(call) : NULL;
        if (k != NULL && k->way == FAULT_SHORT)
            fall_short(sqe);
        else if (k != NULL)
            replace(sqe, k->error);
    }
}

/* A no-op completes as it is submitted. */
static void after(struct io_uring *ring)
{
    unsigned tail = io_uring_smp_load_acquire(ring->cq.ktail);
    for (unsigned head = *ring->cq.khead; now.result != 0 && head != tail; head++) {
        struct io_uring_cqe *cqe = &ring->cq.cqes[head & ring->cq.ring_mask];
        if (cqe->user_data == REPLACED) {
            cqe->user_data = now.user_data;
            cqe->res = now.result;
            now.result = 0;
        }
    }
}

/* ------------------------------------------------------------------ submitting and waiting */

static unsigned to_submit(const struct io_uring *ring)
{
    return ring->sq.sqe_tail - io_uring_smp_load_acquire(ring->sq.khead);
}

/* A submission that nothing keeps from waiting can be interrupted; one with requests returns how many it has taken. */
static fault_call *submission(const struct io_uring *ring)
{
    static fault_call with_requests = {.name = "io_uring_enter(submit)", .kinds = {HARMLESS(EAGAIN), HARMLESS(EBUSY)}};
    static fault_call without = {.name = "io_uring_enter(wait)",
                                 .kinds = {HARMLESS(EINTR), HARMLESS(EBUSY), ENDS_LOOP(EBADF)}};
    return to_submit(ring) > 0 ? &with_requests : &without;
}

/* SUBMIT(function, parameters, arguments): defines the wrapper of a function that submits what is prepared. */
#define SUBMIT(function, parameters, arguments)                                                                        \
    int __real_##function parameters;                                                                                  \
    int __wrap_##function parameters;                                                                                  \
    int __wrap_##function parameters                                                                                   \
    {                                                                                                                  \
        before(ring);                                                                                                  \
        const fault_kind *k = fault_at(submission(ring));                                                              \
        if (k != NULL)                                                                                                 \
            return -k->error;                                                                                          \
        fault_begin_wait();                                                                                            \
        int r = __real_##function arguments;                                                                           \
        fault_end_wait();                                                                                              \
        after(ring);                                                                                                   \
        return r;                                                                                                      \
    }

SUBMIT(io_uring_submit, (struct io_uring * ring), (ring))
SUBMIT(io_uring_submit_and_wait, (struct io_uring * ring, unsigned n), (ring, n))
SUBMIT(io_uring_submit_and_get_events, (struct io_uring * ring), (ring))
SUBMIT(io_uring_submit_and_wait_timeout,
       (struct io_uring * ring, struct io_uring_cqe **cqe, unsigned n, struct __kernel_timespec *t, sigset_t *s),
       (ring, cqe, n, t, s))

int __real_io_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, struct __kernel_timespec *t);
int __wrap_io_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, struct __kernel_timespec *t);
int __wrap_io_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, struct __kernel_timespec *t)
{
    static fault_call call = {.name = "io_uring_wait_cqe_timeout", .kinds = {HARMLESS(EINTR)}};
    const fault_kind *k = fault_at(&call);
    return k != NULL ? -k->error : __real_io_uring_wait_cqe_timeout(ring, cqe, t);
}

/* ------------------------------------------------------------------ setting up: whatever fails, epoll takes over */

/* clang-format off */
#define SET_UP(function, parameters, arguments, ...)                                                                 \
    int __real_##function parameters;                                                                                \
    int __wrap_##function parameters;                                                                                \
    int __wrap_##function parameters                                                                                 \
    {                                                                                                                \
        static fault_call call = {.name = #function, .kinds = {__VA_ARGS__}};                                        \
        const fault_kind *k = fault_at(&call);                                                                       \
        return k != NULL ? -k->error : __real_##function arguments;                                                  \
    }
/* clang-format on */

SET_UP(io_uring_queue_init, (unsigned n, struct io_uring *ring, unsigned flags), (n, ring, flags), HARMLESS(ENOMEM),
       HARMLESS(EMFILE), HARMLESS(EPERM), HARMLESS(ENOSYS))
SET_UP(io_uring_queue_init_params, (unsigned n, struct io_uring *ring, struct io_uring_params *p), (n, ring, p),
       HARMLESS(ENOMEM), HARMLESS(EMFILE), HARMLESS(EPERM), HARMLESS(EINVAL))
SET_UP(io_uring_register_buf_ring, (struct io_uring * ring, struct io_uring_buf_reg *reg, unsigned flags),
       (ring, reg, flags), HARMLESS(ENOMEM), HARMLESS(EINVAL))

int __real_io_uring_register(unsigned fd, unsigned opcode, const void *p, unsigned n);
int __wrap_io_uring_register(unsigned fd, unsigned opcode, const void *p, unsigned n);
int __wrap_io_uring_register(unsigned fd, unsigned opcode, const void *p, unsigned n)
{
    static fault_call enable = {.name = "io_uring_register(ENABLE)", .kinds = {ENDS_LOOP(EBADFD)}};
    static fault_call wish = {.name = "io_uring_register(NAPI)", .kinds = {HARMLESS(EINVAL), HARMLESS(ENOMEM)}};
    const fault_kind *k = fault_at(opcode == IORING_REGISTER_ENABLE_RINGS ? &enable : &wish);
    return k != NULL ? -k->error : __real_io_uring_register(fd, opcode, p, n);
}

struct io_uring_probe *__real_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring)
{
    static fault_call call = {.name = "io_uring_get_probe_ring", .kinds = {HARMLESS(ENOMEM)}};
    return fault_at(&call) == NULL ? __real_io_uring_get_probe_ring(ring) : NULL;
}

void __real_io_uring_queue_exit(struct io_uring *ring);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
    now.ring = NULL; /* the next one may lie where this one did */
    __real_io_uring_queue_exit(ring);
}
