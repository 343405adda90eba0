/*
 * uring_setup_linux.c - a ring's birth and end: what the kernel can do, found out by trying; the provided buffers.
 *
 * Needed: multishot accept, multishot receive, rings of provided buffers (Linux 6.0). Used where they are to be had:
 * SINGLE_ISSUER with DEFER_TASKRUN (6.1), NAPI busy polling (6.9).
 *
 * Sources: io_uring_setup(2), io_uring_register(2), io_uring_setup_buf_ring(3).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_NO_URING

#include "pages.h"
#include "uring.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PROVIDED_BYTES 4096 /* of the ring of buffers, in whole pages */
#define CANCELLED_ALL (HL__NOBODYS | 1)
#define CLOSE_TRIES 1000

_Static_assert(PROVIDED_BYTES >= HL__BUFFERS * sizeof(struct io_uring_buf), "room for all");

/* ------------------------------------------------------------------ buffers */

void hl__uring_replenish(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    int n = 0;
    while (p->missing_count > 0) {
        hl_block *b = hl_cache_get(l->cache, p->buffer_size);
        if (b == NULL)
            break;
        uint16_t id = p->missing[--p->missing_count];
        p->buffers[id] = b;
        io_uring_buf_ring_add(p->provided, hl_block_data(b), p->buffer_size, id, io_uring_buf_ring_mask(HL__BUFFERS),
                              n++);
    }
    if (n > 0)
        io_uring_buf_ring_advance(p->provided, n);
    p->starved = p->missing_count == HL__BUFFERS;
}

hl_block *hl__uring_buffer(hl__uring_state *p, const struct io_uring_cqe *cqe)
{
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    hl_block *b = p->buffers[id];
    p->buffers[id] = NULL;
    p->missing[p->missing_count++] = id;
    return b;
}

/* ------------------------------------------------------------------ what the kernel can do */

/* Whether it knows all operations that the backend prepares. */
static int knows_operations(struct io_uring *ring)
{
    static const int needed[] = {IORING_OP_RECV,     IORING_OP_SEND,        IORING_OP_SENDMSG,     IORING_OP_ACCEPT,
                                 IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE, IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL)
        return -ENOSYS;
    int r = 0;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!io_uring_opcode_supported(probe, needed[i]))
            r = -EOPNOTSUPP;
    io_uring_free_probe(probe);
    return r;
}

/* Tries a multishot receive, which nothing announces. With a byte to receive and no buffer provided, a kernel that
 * knows it says so. Where there is multishot receive there is multishot accept (5.19), too. */
static int knows_multishot(struct io_uring *ring)
{
    int fd[2], result = -EIO;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return -errno;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fd[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = HL__GROUP;
    struct io_uring_cqe *cqe;
    int r = write(fd[1], "", 1) == 1 ? io_uring_submit_and_wait(ring, 1) : -errno;
    if (r == 1)
        r = io_uring_wait_cqe(ring, &cqe);
    if (r == 0) {
        result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
    close(fd[0]);
    close(fd[1]);
    return r < 0 ? r : result == -ENOBUFS ? 0 : result;
}

/* Tries out, in a small ring of its own, what the loop's ring cannot do without. The loop's own may not be used for it:
 * the thread that makes a loop need not be the one that drives it. */
static int probe(hl__uring_state *p, const char **step)
{
    struct io_uring ring;
    *step = "io_uring_setup";
    int r = io_uring_queue_init(4, &ring, 0);
    if (r < 0)
        return r;
    *step = "io_uring operations";
    r = knows_operations(&ring);
    if (r == 0) {
        *step = "io_uring provided buffers";
        struct io_uring_buf_reg buffers = {
            .ring_addr = (uintptr_t)p->provided, .ring_entries = HL__BUFFERS, .bgid = HL__GROUP};
        r = io_uring_register_buf_ring(&ring, &buffers, 0);
    }
    if (r == 0) {
        *step = "io_uring multishot receive";
        r = knows_multishot(&ring);
    }
    io_uring_queue_exit(&ring);
    return r;
}

/* ------------------------------------------------------------------ opening */

/* The ring itself, with the most that the kernel offers and the config allows. */
static int set_up(hl_loop *l, hl__uring_state *p)
{
    struct io_uring_params params = {.cq_entries = 4 * l->config.ring};
    uint32_t common = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    if (l->config.one_thread) {
        params.flags = common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED;
        if (io_uring_queue_init_params(l->config.ring, &p->ring, &params) == 0) {
            l->features |= HL_FEATURE_ONE_THREAD;
            return 0;
        }
        params = (struct io_uring_params){.cq_entries = 4 * l->config.ring};
    }
    params.flags = common | IORING_SETUP_COOP_TASKRUN;
    return io_uring_queue_init_params(l->config.ring, &p->ring, &params);
}

/* Busy polling is a wish: a kernel without it serves as well. */
static void busy_poll(hl_loop *l, hl__uring_state *p)
{
    enum { REGISTER_NAPI = 27 }; /* IORING_REGISTER_NAPI, which is younger than the oldest liburing supported */
    struct {
        uint32_t busy_poll_us;
        uint8_t prefer, pad[3];
        uint64_t reserved;
    } napi = {.busy_poll_us = l->config.busy_poll_us, .prefer = 1};
    if (l->config.busy_poll_us > 0 && io_uring_register((unsigned)p->ring.ring_fd, REGISTER_NAPI, &napi, 1) == 0)
        l->features |= HL_FEATURE_BUSY_POLL;
}

static int make_ring(hl_loop *l, hl__uring_state *p, const char **step)
{
    int r = probe(p, step);
    if (r < 0)
        return r;
    *step = "io_uring_setup";
    r = set_up(l, p);
    if (r < 0)
        return r;
    *step = "io_uring provided buffers";
    struct io_uring_buf_reg buffers = {
        .ring_addr = (uintptr_t)p->provided, .ring_entries = HL__BUFFERS, .bgid = HL__GROUP};
    r = io_uring_register_buf_ring(&p->ring, &buffers, 0);
    if (r < 0) {
        io_uring_queue_exit(&p->ring);
        return r;
    }
    busy_poll(l, p);
    return 0;
}

static void free_state(hl__uring_state *p)
{
    for (uint32_t i = 0; i < HL__BUFFERS; i++)
        hl_block_unref(p->buffers[i]);
    for (uint32_t i = 0; i < HL__STRAIGHTS; i++)
        hl_block_unref(p->straights[i].block);
    hl_block_unref(p->gathers_block);
    if (p->provided != NULL)
        hl__pages_unmap(p->provided, PROVIDED_BYTES);
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    hl_block_unref(p->block);
}

static hl__uring_state *new_state(hl_loop *l)
{
    hl_block *b = hl_slab_get(l->config.slab, sizeof(hl__uring_state));
    if (b == NULL)
        return NULL;
    hl__uring_state *p = (hl__uring_state *)hl_block_data(b);
    memset(p, 0, sizeof *p);
    p->block = b;
    p->wake_fd = -1;
    p->buffer_size = l->config.recv_size < HL__BUFFER_MAX ? l->config.recv_size : HL__BUFFER_MAX;
    for (; p->missing_count < HL__BUFFERS; p->missing_count++)
        p->missing[p->missing_count] = (uint16_t)p->missing_count;
    for (; p->unused_count < HL__STRAIGHTS; p->unused_count++)
        p->unused[p->unused_count] = (uint16_t)p->unused_count;
    p->gathers_block = hl_slab_get(l->config.slab, HL__GATHERS * sizeof(hl__gather));
    p->provided = hl__pages_map(PROVIDED_BYTES);
    if (p->gathers_block == NULL || p->provided == NULL) {
        free_state(p);
        return NULL;
    }
    p->gathers = (hl__gather *)hl_block_data(p->gathers_block);
    return p;
}

int hl__uring_open(hl_loop *l)
{
    hl__uring_state *p = new_state(l);
    l->backend_step = "io_uring memory";
    if (p == NULL)
        return -ENOMEM;
    l->backend_step = "io_uring eventfd";
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int r = p->wake_fd < 0 ? -errno : make_ring(l, p, &l->backend_step);
    if (r < 0) {
        free_state(p);
        return r;
    }
    l->backend_step = NULL;
    l->poll = p; /* buffers come with the first wait, from the memory node of whoever drives the loop */
    return 0;
}

/* ------------------------------------------------------------------ closing */

/* What ends by itself: a signal, or a kernel that is short of memory or of room for completions. */
static int passes(int error)
{
    return error == -EINTR || error == -EAGAIN || error == -EBUSY;
}

/* Takes the completions that are there, which nobody waits for any more. *left: the last completions that are still to
 * come, INT_MAX less those that have come as long as the cancellation has not told. */
static void discard(hl__uring_state *p, int *left)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&p->ring, &cqe) == 0) {
        if (cqe->user_data == CANCELLED_ALL)
            *left -= INT_MAX - (cqe->res > 0 ? cqe->res : 0);
        else if (!(cqe->flags & IORING_CQE_F_MORE))
            --*left;
        if (hl__tag_of(cqe->user_data) == TAG_ACCEPT && cqe->res >= 0)
            close(cqe->res);
        io_uring_cqe_seen(&p->ring, cqe);
    }
}

/* Hands over what is prepared. 0: it cannot be done. */
static int submit_all(hl__uring_state *p, int *left)
{
    for (int i = 0; i < CLOSE_TRIES; i++) {
        int r = io_uring_submit_and_get_events(&p->ring);
        if (r < 0 && !passes(r))
            return 0;
        discard(p, left);
        if (io_uring_sq_ready(&p->ring) == 0)
            return 1;
    }
    return 0;
}

/* Cancels what is under way and waits for that: a request keeps its socket open and may write to its block, and
 * io_uring_queue_exit leaves the clean-up to a kernel thread. */
static void cancel_all(hl__uring_state *p)
{
    struct __kernel_timespec second = {.tv_sec = 1};
    struct io_uring_cqe *cqe;
    int left = INT_MAX;
    if (!submit_all(p, &left))
        return;
    /* What has been cancelled already, and only has to say so, would be looked for all over again. */
    for (int before = INT_MAX; left < before;) {
        before = left;
        io_uring_get_events(&p->ring);
        discard(p, &left);
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, CANCELLED_ALL);
    left = INT_MAX;
    if (!submit_all(p, &left))
        return;
    for (int i = 0; left > 0 && i < CLOSE_TRIES; i++) {
        int r = io_uring_wait_cqe_timeout(&p->ring, &cqe, &second);
        if (r < 0 && !passes(r))
            return;
        discard(p, &left);
    }
}

/* cancel_all for a ring to which nothing can be submitted any more (io_uring_register_sync_cancel(3), Linux 6.0). */
static void cancel_all_now(hl__uring_state *p)
{
    struct io_uring_sync_cancel_reg all = {
        .fd = -1, .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, .timeout = {.tv_sec = 1}};
    for (int i = 0; i < CLOSE_TRIES && io_uring_register_sync_cancel(&p->ring, &all) == -EINTR; i++)
        ;
    io_uring_get_events(&p->ring);
}

void hl__uring_close(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    int left = INT_MAX;
    if (p->enabled)
        (p->broken ? cancel_all_now : cancel_all)(p);
    discard(p, &left); /* sockets accepted meanwhile: nobody else knows them */
    io_uring_queue_exit(&p->ring);
    free_state(p);
    l->poll = NULL;
}

#endif /* HL_NO_URING */
