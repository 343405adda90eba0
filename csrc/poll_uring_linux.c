// go:build !nouring

/*
 * poll_uring_linux.c - the io_uring backend: completions as they are.
 *
 * Receiving is multishot into a ring of provided buffers that are slab blocks: what arrives is delivered where the
 * kernel has put it. Sends of a turn are prepared one by one and leave with the one io_uring_enter that also waits.
 * They are made with MSG_DONTWAIT, so a send is over when it is submitted: a stream never has bytes in the kernel's
 * hands that it could reorder, and a full socket is waited for with a poll, as on epoll.
 *
 * A request names its slot by its handle with a tag in the eight bits that indices do not use; a completion for a void
 * handle is dropped, its buffer recycled. Before a descriptor is closed, requests on it that the kernel has not seen
 * yet are submitted, or they would meet whatever gets its number next; those that it has seen are cancelled.
 *
 * Sources: io_uring(7), io_uring_setup(2), io_uring_prep_recv_multishot(3), io_uring_setup_buf_ring(3); J. Axboe,
 * "io_uring and networking in 2023". Needs Linux 6.0, which open() finds out by trying.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_NO_URING

#include "core.h"
#include "pages.h"

#include <errno.h>
#if !__has_include(<liburing.h>)
#error "install liburing-dev (Debian, Ubuntu, Alpine) or liburing-devel (Fedora), or build with -tags nouring"
#endif
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SQ_ENTRIES 1024
#define CQ_ENTRIES 8192
#define BUFFERS 256u      /* provided to the kernel at a time; a power of two */
#define BUFFER_MAX 32768u /* bytes of one */
#define PROVIDED_BYTES (BUFFERS * sizeof(struct io_uring_buf))
#define GROUP 0
#define IOVS 64
#define SCRATCH 256 /* sends of more than one piece that one submission can carry */

/* What a request is for: the tag in its user data. */
enum { TAG_RECV = 1, TAG_SEND, TAG_WRITABLE, TAG_ACCEPT, TAG_WATCH, TAG_WAKE, TAG_CANCEL };

#define CANCELLED_ALL ((uint64_t)TAG_CANCEL << 24 | 1)

/* hl_slot.poll_mask: requests under way. */
enum { RECEIVING = 1, SENDING = 2, AWAITING_SPACE = 4, ACCEPTING = 8, WATCHING = 16, CANCELLING = 32 };

/* What a message of several pieces needs until it is submitted. */
typedef struct scratch {
    struct msghdr header;
    struct iovec iov[IOVS];
} scratch;

typedef struct uring_state {
    struct io_uring ring;
    struct io_uring_buf_ring *provided;
    hl_block *block; /* holds this */
    hl_block *scratch_block;
    scratch *scratch;
    uint32_t scratch_used;
    uint32_t submissions; /* counts them; a slot's mark tells when it last prepared a request */
    uint32_t buffer_size;
    uint32_t missing_count;
    int wake_fd;
    int woken;                 /* in this wait */
    uint16_t missing[BUFFERS]; /* buffers that the kernel has used and not got back */
    hl_block *buffers[BUFFERS];
} uring_state;

_Static_assert(PROVIDED_BYTES % 4096 == 0, "whole pages");
_Static_assert((1u << 24) - 1 <= 0x00ffffff, "an index leaves eight bits for the tag");

static uint64_t user_data(const hl_slot *s, uint8_t tag)
{
    return hl__handle(s) | (uint64_t)tag << 24;
}
static uint8_t tag_of(uint64_t data)
{
    return (uint8_t)(data >> 24);
}
static hl_handle handle_of(uint64_t data)
{
    return data & ~((uint64_t)0xff << 24);
}

/* ------------------------------------------------------------------ submitting */

static void uring_submit(hl_loop *l)
{
    uring_state *p = l->poll;
    while (io_uring_submit(&p->ring) == -EINTR)
        ;
    p->submissions++;
    p->scratch_used = 0;
}

static struct io_uring_sqe *request(hl_loop *l)
{
    uring_state *p = l->poll;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
    if (sqe == NULL) {
        uring_submit(l);
        sqe = io_uring_get_sqe(&p->ring);
    }
    return sqe;
}

/* Ends the preparation of a slot's request. */
static void prepared(hl_loop *l, hl_slot *s, struct io_uring_sqe *sqe, uint8_t tag, uint32_t under_way)
{
    uring_state *p = l->poll;
    io_uring_sqe_set_data64(sqe, user_data(s, tag));
    s->poll_mask |= under_way;
    s->head.mark = p->submissions;
}

static void cancel(hl_loop *l, hl_slot *s, uint8_t tag)
{
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_cancel64(sqe, user_data(s, tag), 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)TAG_CANCEL << 24);
}

static void receive(hl_loop *l, hl_stream *s)
{
    struct io_uring_sqe *sqe = request(l);
    if (s->oneshot)
        io_uring_prep_recv(sqe, s->slot.fd, NULL, 0, 0);
    else
        io_uring_prep_recv_multishot(sqe, s->slot.fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    prepared(l, &s->slot, sqe, TAG_RECV, RECEIVING);
}

static void accept_connections(hl_loop *l, hl_slot *s)
{
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    prepared(l, s, sqe, TAG_ACCEPT, ACCEPTING);
}

static void watch(hl_loop *l, hl_slot *s)
{
    uint32_t events = (s->poll_want & HL_READABLE ? POLLIN : 0u) | (s->poll_want & HL_WRITABLE ? POLLOUT : 0u);
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_add(sqe, s->fd, events);
    prepared(l, s, sqe, TAG_WATCH, WATCHING);
}

static void await_wake(hl_loop *l)
{
    uring_state *p = l->poll;
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_multishot(sqe, p->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, (uint64_t)TAG_WAKE << 24);
}

/* ------------------------------------------------------------------ buffers */

static void provide(uring_state *p, uint16_t id, hl_block *b, int offset)
{
    p->buffers[id] = b;
    io_uring_buf_ring_add(p->provided, hl_block_data(b), p->buffer_size, id, io_uring_buf_ring_mask(BUFFERS), offset);
}

/* Gives the kernel blocks in the place of those that it has filled. What memory is short for is tried again later. */
static void replenish(hl_loop *l)
{
    uring_state *p = l->poll;
    int n = 0;
    while (p->missing_count > 0) {
        hl_block *b = hl_cache_get(l->cache, p->buffer_size);
        if (b == NULL) {
            HL_COUNT(l->stats.nomem, 1);
            break;
        }
        provide(p, p->missing[--p->missing_count], b, n++);
    }
    if (n > 0)
        io_uring_buf_ring_advance(p->provided, n);
}

/* Takes the buffer of a completion out of the ring. */
static hl_block *taken_buffer(uring_state *p, const struct io_uring_cqe *cqe)
{
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    hl_block *b = p->buffers[id];
    p->buffers[id] = NULL;
    p->missing[p->missing_count++] = id;
    return b;
}

/* ------------------------------------------------------------------ opening, closing */

static void free_state(uring_state *p)
{
    for (uint32_t i = 0; i < BUFFERS; i++)
        hl_block_unref(p->buffers[i]);
    hl_block_unref(p->scratch_block);
    if (p->provided != NULL)
        hl__pages_unmap(p->provided, PROVIDED_BYTES);
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    hl_block_unref(p->block);
}

/* Tries a multishot receive, which no feature flag announces (Linux 6.0). With a byte to receive and no buffer provided
 * yet, a kernel that knows it says so. */
static int try_multishot(uring_state *p)
{
    int fd[2], result = -EIO;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return -errno;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
    io_uring_prep_recv_multishot(sqe, fd[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    struct io_uring_cqe *cqe;
    if (write(fd[1], "", 1) == 1 && io_uring_submit(&p->ring) == 1 && io_uring_wait_cqe(&p->ring, &cqe) == 0) {
        result = cqe->res;
        io_uring_cqe_seen(&p->ring, cqe);
    }
    close(fd[0]);
    close(fd[1]);
    return result == -ENOBUFS ? 0 : result;
}

static int set_up(hl_loop *l, uring_state *p)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CLAMP,
                                     .cq_entries = CQ_ENTRIES};
    int r = io_uring_queue_init_params(SQ_ENTRIES, &p->ring, &params);
    if (r < 0)
        return r;
    struct io_uring_buf_reg buffers = {.ring_addr = (uintptr_t)p->provided, .ring_entries = BUFFERS, .bgid = GROUP};
    r = io_uring_register_buf_ring(&p->ring, &buffers, 0);
    if (r == 0)
        r = try_multishot(p);
    if (r < 0) {
        io_uring_queue_exit(&p->ring);
        return r;
    }
    l->poll = p;
    for (p->missing_count = 0; p->missing_count < BUFFERS; p->missing_count++)
        p->missing[p->missing_count] = (uint16_t)p->missing_count;
    replenish(l);
    await_wake(l);
    return 0;
}

static int uring_open(hl_loop *l)
{
    hl_block *b = hl_slab_get(l->config.slab, sizeof(uring_state));
    if (b == NULL)
        return -ENOMEM;
    uring_state *p = (uring_state *)hl_block_data(b);
    memset(p, 0, sizeof *p);
    p->block = b;
    p->buffer_size = l->config.recv_size < BUFFER_MAX ? l->config.recv_size : BUFFER_MAX;
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int r = p->wake_fd < 0 ? -errno : 0;
    p->scratch_block = hl_slab_get(l->config.slab, SCRATCH * sizeof(scratch));
    p->provided = hl__pages_map(PROVIDED_BYTES);
    if (r == 0 && (p->scratch_block == NULL || p->provided == NULL))
        r = -ENOMEM;
    if (r == 0) {
        p->scratch = (scratch *)hl_block_data(p->scratch_block);
        r = set_up(l, p);
    }
    if (r < 0) {
        l->poll = NULL;
        free_state(p);
    }
    return r;
}

/* Cancels what is under way and waits for that: a request keeps its socket open, and io_uring_queue_exit leaves the
 * clean-up to a kernel thread. */
static void cancel_all(uring_state *p)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
    if (sqe == NULL && io_uring_submit(&p->ring) >= 0)
        sqe = io_uring_get_sqe(&p->ring);
    if (sqe == NULL)
        return;
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, CANCELLED_ALL);
    if (io_uring_submit(&p->ring) < 0)
        return;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec second = {.tv_sec = 1};
    for (int done = 0; !done && io_uring_wait_cqe_timeout(&p->ring, &cqe, &second) == 0;) {
        done = cqe->user_data == CANCELLED_ALL;
        if (tag_of(cqe->user_data) == TAG_ACCEPT && cqe->res >= 0)
            close(cqe->res);
        io_uring_cqe_seen(&p->ring, cqe);
    }
}

static void uring_close(hl_loop *l)
{
    uring_state *p = l->poll;
    cancel_all(p);
    io_uring_queue_exit(&p->ring);
    free_state(p);
    l->poll = NULL;
}

/* ------------------------------------------------------------------ slots */

static int uring_attach(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    if (s->kind == HL_KIND_STREAM) {
        receive(l, (hl_stream *)s);
        return 0;
    }
    if (s->kind == HL_KIND_LISTENER) {
        accept_connections(l, s);
        return 0;
    }
    int r = hl_fd_pollable(s->fd);
    s->poll_want = readiness;
    if (r == 0 && readiness != 0)
        watch(l, s);
    return r;
}

static int uring_change(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    if (s->kind == HL_KIND_LISTENER) {
        if (readiness != 0 && !(s->poll_mask & ACCEPTING))
            accept_connections(l, s);
        return 0;
    }
    if (readiness == s->poll_want)
        return 0;
    s->poll_want = readiness;
    if (!(s->poll_mask & WATCHING)) {
        if (readiness != 0 && !(s->listed & 1u << HL_LIST_BACKEND))
            watch(l, s);
    } else if (!(s->poll_mask & CANCELLING)) {
        cancel(l, s, TAG_WATCH); /* its last completion asks again */
        s->poll_mask |= CANCELLING;
    }
    return 0;
}

static void uring_detach(hl_loop *l, hl_slot *s)
{
    static const struct {
        uint32_t under_way;
        uint8_t tag;
    } requests[] = {
        {RECEIVING, TAG_RECV}, {AWAITING_SPACE, TAG_WRITABLE}, {ACCEPTING, TAG_ACCEPT}, {WATCHING, TAG_WATCH}};
    uring_state *p = l->poll;
    if (s->poll_mask != 0 && s->head.mark == p->submissions)
        uring_submit(l); /* nothing that the kernel has not seen may outlive the descriptor */
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if (s->poll_mask & requests[i].under_way)
            cancel(l, s, requests[i].tag);
    s->poll_mask = 0;
}

static int reads(const hl_stream *s)
{
    return s->pauses == 0 && !hl__input_waits(s);
}

static void uring_resume(hl_loop *l, hl_stream *s)
{
    if (reads(s) && !(s->slot.poll_mask & RECEIVING))
        receive(l, s);
}

static int uring_hold(hl_loop *l, hl_stream *s)
{
    if (!(s->slot.poll_mask & RECEIVING))
        return 1;
    if (!(s->slot.poll_mask & CANCELLING)) {
        cancel(l, &s->slot, TAG_RECV);
        s->slot.poll_mask |= CANCELLING;
    }
    return 0; /* its last completion, behind all that it has received, tells */
}

static void uring_send(hl_loop *l, hl_stream *s)
{
    uring_state *p = l->poll;
    if (s->slot.poll_mask & SENDING)
        return;
    if (p->scratch_used == SCRATCH)
        uring_submit(l);
    scratch *x = &p->scratch[p->scratch_used];
    int count = hl__output_gather(s, x->iov, IOVS);
    struct io_uring_sqe *sqe = request(l);
    if (count == 1) {
        io_uring_prep_send(sqe, s->slot.fd, x->iov[0].iov_base, x->iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        x = &p->scratch[p->scratch_used++]; /* request() may have submitted, which lets the scratch start anew */
        count = hl__output_gather(s, x->iov, IOVS);
        x->header = (struct msghdr){.msg_iov = x->iov, .msg_iovlen = (size_t)count};
        io_uring_prep_sendmsg(sqe, s->slot.fd, &x->header, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    prepared(l, &s->slot, sqe, TAG_SEND, SENDING);
}

/* ------------------------------------------------------------------ completions */

static void await_space(hl_loop *l, hl_stream *s)
{
    hl__output_stalled(l, s);
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_add(sqe, s->slot.fd, POLLOUT);
    prepared(l, &s->slot, sqe, TAG_WRITABLE, AWAITING_SPACE);
}

static void sent(hl_loop *l, hl_stream *s, int n)
{
    s->slot.poll_mask &= ~(uint32_t)SENDING;
    if (n == -EAGAIN) {
        await_space(l, s);
        return;
    }
    if (n < 0 && n != -EINTR) {
        hl__output_failed(l, s, n);
        return;
    }
    if (n > 0)
        hl__output_sent(l, s, (size_t)n);
    if (!s->slot.ended && s->out_first != NULL)
        uring_send(l, s); /* the rest, or what has come behind it; a full socket says so */
}

static void received(hl_loop *l, hl_stream *s, const struct io_uring_cqe *cqe)
{
    uring_state *p = l->poll;
    hl_block *b = cqe->flags & IORING_CQE_F_BUFFER ? taken_buffer(p, cqe) : NULL;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        s->slot.poll_mask &= ~(uint32_t)(RECEIVING | CANCELLING);
    if (cqe->res > 0)
        hl__stream_took(l, s, b, hl_block_data(b), (size_t)cqe->res);
    else if (b != NULL)
        hl_cache_unref(l->cache, b);
    if (cqe->res == 0)
        hl__stream_finished(l, s, 0);
    else if (cqe->res < 0 && cqe->res != -ENOBUFS && cqe->res != -ECANCELED && cqe->res != -EINTR)
        hl__stream_finished(l, s, cqe->res);
    if (!s->slot.ended && s->quiescing == HL_QUIESCE_HOLDING && !(s->slot.poll_mask & RECEIVING))
        hl__held(l, s);
    if (s->slot.ended || s->pauses & HL_PAUSE_END || s->in_end != 0)
        return;
    if (!(s->slot.poll_mask & RECEIVING)) {
        if (reads(s))
            hl__list_add(l, &s->slot, HL_LIST_BACKEND); /* asked again when there are buffers */
    } else if (!reads(s) && !(s->slot.poll_mask & CANCELLING)) {
        cancel(l, &s->slot, TAG_RECV);
        s->slot.poll_mask |= CANCELLING;
    }
}

static void watched(hl_loop *l, hl_slot *s, int events)
{
    s->poll_mask &= ~(uint32_t)(WATCHING | CANCELLING);
    if (events > 0 && s->poll_want != 0) {
        uint32_t flags = (events & POLLIN ? HL_READABLE : 0u) | (events & POLLOUT ? HL_WRITABLE : 0u);
        flags &= s->poll_want;
        if (events & (POLLERR | POLLHUP | POLLNVAL))
            flags |= HL_TROUBLE;
        if (flags != 0)
            hl__ready(l, s, (uint16_t)flags);
    } else if (events < 0 && events != -ECANCELED && events != -EINTR) {
        hl__end(l, s, events);
        return;
    }
    hl__list_add(l, s, HL_LIST_BACKEND); /* asked again in the next turn, after its owner has dealt with it */
}

static void accepted(hl_loop *l, hl_slot *s, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        s->poll_mask &= ~(uint32_t)ACCEPTING;
    if (cqe->res >= 0)
        hl__accepted(l, s, cqe->res);
    else
        hl__accept_failed(l, s, cqe->res);
    if (!s->ended && !(s->poll_mask & ACCEPTING) && !hl_timer_is_set(&s->timer))
        hl__list_add(l, s, HL_LIST_BACKEND);
}

static void writable(hl_loop *l, hl_stream *s)
{
    s->slot.poll_mask &= ~(uint32_t)AWAITING_SPACE;
    s->stalled = 0;
    if (s->out_first != NULL)
        uring_send(l, s);
}

static void woken(hl_loop *l, const struct io_uring_cqe *cqe)
{
    uring_state *p = l->poll;
    uint64_t count;
    while (read(p->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    HL_COUNT(l->stats.wakeups, 1);
    p->woken = 1;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        await_wake(l);
}

/* A completion whose slot is gone. */
static void drop(hl_loop *l, const struct io_uring_cqe *cqe)
{
    uint8_t tag = tag_of(cqe->user_data);
    HL_COUNT(l->stats.stale_events, 1);
    if (cqe->flags & IORING_CQE_F_BUFFER)
        hl_cache_unref(l->cache, taken_buffer(l->poll, cqe));
    if (tag == TAG_ACCEPT && cqe->res >= 0)
        close(cqe->res);
}

static void dispatch(hl_loop *l, const struct io_uring_cqe *cqe)
{
    uint8_t tag = tag_of(cqe->user_data);
    if (tag == TAG_CANCEL)
        return; /* whether it came in time shows in the completion of what it cancels */
    if (tag == TAG_WAKE) {
        woken(l, cqe);
        return;
    }
    hl_slot *s = hl__slot(l, handle_of(cqe->user_data));
    if (s == NULL || s->ended)
        drop(l, cqe);
    else if (tag == TAG_RECV)
        received(l, (hl_stream *)s, cqe);
    else if (tag == TAG_SEND)
        sent(l, (hl_stream *)s, cqe->res);
    else if (tag == TAG_WRITABLE)
        writable(l, (hl_stream *)s);
    else if (tag == TAG_ACCEPT)
        accepted(l, s, cqe);
    else
        watched(l, s, cqe->res);
}

/* ------------------------------------------------------------------ waiting */

/* Asks again for what a completion has ended. */
static void ask_again(hl_loop *l)
{
    hl_slot *s;
    while ((s = hl__list_take(l, HL_LIST_BACKEND)) != NULL) {
        if (s->ended)
            continue;
        if (s->kind == HL_KIND_STREAM)
            uring_resume(l, (hl_stream *)s);
        else if (s->kind == HL_KIND_LISTENER)
            uring_change(l, s, HL_READABLE);
        else if (s->poll_want != 0 && !(s->poll_mask & WATCHING))
            watch(l, s);
    }
}

#define ENTER_SHORT 1

/* Submits, waits, and brings the clock up to date. 0, ENTER_SHORT or a negative errno. */
static int enter(hl_loop *l, int timeout_ms)
{
    uring_state *p = l->poll;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long long)(timeout_ms % 1000) * 1000000};
    int r;
    if (io_uring_cq_ready(&p->ring) > 0)
        timeout_ms = 0;
    if (timeout_ms == 0)
        r = io_uring_submit_and_get_events(&p->ring);
    else
        r = io_uring_submit_and_wait_timeout(&p->ring, &cqe, 1, timeout_ms > 0 ? &ts : NULL, NULL);
    p->submissions++;
    p->scratch_used = 0;
    hl__clock(l);
    if (r == -EINTR || r == -EBUSY || r == -EAGAIN)
        return ENTER_SHORT; /* a signal, or completions to be taken first */
    return r < 0 && r != -ETIME ? r : 0;
}

/* Dispatches completions while there is room for what they say. */
static void reap(hl_loop *l)
{
    uring_state *p = l->poll;
    struct io_uring_cqe *cqe;
    while (hl__room(l) > 0 && io_uring_peek_cqe(&p->ring, &cqe) == 0) {
        struct io_uring_cqe copy = *cqe;
        io_uring_cqe_seen(&p->ring, cqe);
        dispatch(l, &copy);
    }
}

static int uring_wait(hl_loop *l, int timeout_ms)
{
    uring_state *p = l->poll;
    uint64_t until = l->now + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
    p->woken = 0;
    for (;;) {
        replenish(l);
        ask_again(l);
        int r = enter(l, timeout_ms);
        if (r < 0)
            return r;
        reap(l);
        hl__output_flush_all(l); /* pongs and the like; the next submission takes them along */
        /* Completions of cancellations and sends are nobody's business: they must not end a wait. */
        if (timeout_ms == 0 || r == ENTER_SHORT || p->woken || hl__has_work(l) || (timeout_ms > 0 && l->now >= until))
            return 0;
        if (timeout_ms > 0)
            timeout_ms = (int)(until - l->now);
    }
}

static void uring_wake(hl_loop *l)
{
    uring_state *p = l->poll;
    uint64_t one = 1;
    while (write(p->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

const hl_backend hl__uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .attach = uring_attach,
    .change = uring_change,
    .detach = uring_detach,
    .resume = uring_resume,
    .hold = uring_hold,
    .send = uring_send,
    .submit = uring_submit,
    .wait = uring_wait,
    .wake = uring_wake,
};

#endif /* HL_NO_URING */
