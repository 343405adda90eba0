/*
 * poll_uring_linux.c - the io_uring backend: completions as they are.
 *
 * Receiving is multishot into a ring of provided buffers that are slab blocks: what arrives is delivered where the
 * kernel has put it. The rest of a large message is received straight into the message, one request at a time.
 *
 * Sends of a turn are prepared one by one and leave with the one io_uring_enter that also waits. They are made with
 * MSG_DONTWAIT, so a send is over when it is submitted: a stream never has bytes in the kernel's hands that it could
 * reorder, and a full socket is waited for with a poll, as on epoll.
 *
 * A request names its slot by its handle with a tag in the eight bits that indices do not use; a completion for a void
 * handle is dropped, its buffer recycled. Before a descriptor is closed, requests on it that the kernel has not seen
 * yet are submitted, or they would meet whatever gets its number next; those that it has seen are cancelled.
 *
 * Nothing is lost when something runs out. Provided buffers (ENOBUFS) or the ring of completions (which the kernel
 * keeps in a list of its own until there is room: IORING_FEAT_NODROP): what was asked for is asked for again.
 *
 * Sources: io_uring(7), io_uring_enter(2), io_uring_prep_recv_multishot(3); J. Axboe, "io_uring and networking in
 * 2023".
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_NO_URING

#include "uring.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* ------------------------------------------------------------------ slots */

static int uring_attach(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    if (s->kind == HL_KIND_STREAM) {
        hl__uring_receive(l, (hl_stream *)s);
        return 0;
    }
    if (s->kind == HL_KIND_LISTENER) {
        hl__uring_accept(l, s);
        return 0;
    }
    int r = hl_fd_pollable(s->fd);
    s->poll_want = readiness & (HL_READABLE | HL_WRITABLE | HL_TROUBLE);
    if (r == 0 && readiness != 0)
        hl__uring_watch(l, s);
    return r;
}

static int uring_change(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    if (s->kind == HL_KIND_LISTENER) {
        if (readiness != 0 && !(s->poll_mask & ACCEPTING))
            hl__uring_accept(l, s);
        return 0;
    }
    readiness &= HL_READABLE | HL_WRITABLE | HL_TROUBLE;
    if (readiness == s->poll_want)
        return 0;
    s->poll_want = readiness & 0x0f;
    if (!(s->poll_mask & WATCHING)) {
        if (readiness != 0 && !(s->listed & 1u << HL_LIST_BACKEND))
            hl__uring_watch(l, s);
    } else if (!(s->poll_mask & CANCELLING)) {
        hl__uring_cancel(l, hl__uring_data(s, TAG_WATCH)); /* its last completion asks again */
        s->poll_mask |= CANCELLING;
    }
    return 0;
}

static void uring_detach(hl_loop *l, hl_slot *s)
{
    const struct {
        uint32_t under_way;
        uint64_t data;
    } requests[] = {{RECEIVING, hl__uring_receive_data(s)},
                    {AWAITING_SPACE, hl__uring_data(s, TAG_WRITABLE)},
                    {ACCEPTING, hl__uring_data(s, TAG_ACCEPT)},
                    {WATCHING, hl__uring_data(s, TAG_WATCH)}};
    hl__uring_state *p = l->poll;
    if (s->poll_mask != 0 && s->head.mark == p->submissions)
        hl__uring_submit(l); /* nothing that the kernel has not seen may outlive the descriptor */
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if (s->poll_mask & requests[i].under_way)
            hl__uring_cancel(l, requests[i].data);
    if (s->kind == HL_KIND_LISTENER)
        hl__uring_submit(l); /* an accept under way keeps the socket listening: nobody should connect in vain */
    s->poll_mask = 0;
}

static int reads(const hl_stream *s)
{
    return s->pauses == 0 && !hl__input_waits(s);
}

static void uring_resume(hl_loop *l, hl_stream *s)
{
    if (reads(s) && !(s->slot.poll_mask & RECEIVING))
        hl__uring_receive(l, s);
}

static int uring_hold(hl_loop *l, hl_stream *s)
{
    if (!(s->slot.poll_mask & RECEIVING))
        return 1;
    hl__uring_cancel_receive(l, s);
    return 0; /* its last completion, behind all that it has received, tells */
}

/* ------------------------------------------------------------------ completions */

static void sent(hl_loop *l, hl_stream *s, int n)
{
    s->slot.poll_mask &= ~(uint32_t)SENDING;
    if (n == -EAGAIN) {
        hl__uring_await_space(l, s);
        return;
    }
    if (n < 0 && n != -EINTR) {
        hl__output_failed(l, s, n);
        return;
    }
    if (n > 0)
        hl__output_sent(l, s, (size_t)n);
    if (!s->slot.ended && s->out_last != NULL)
        hl__uring_send(l, s); /* the rest, or what has come behind it; a full socket says so */
}

/* What follows a completion of the stream's receive: `result` is an error, 0 for the end, or a number of bytes. */
static void go_on_receiving(hl_loop *l, hl_stream *s, int result)
{
    if (s->slot.ended)
        return;
    if (result == 0)
        hl__stream_finished(l, s, 0);
    else if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR)
        hl__stream_finished(l, s, result);
    if (!s->slot.ended && hl__holding(s) && !(s->slot.poll_mask & RECEIVING))
        hl__held(l, s);
    if (s->slot.ended)
        return;
    if (s->slot.poll_mask & RECEIVING) {
        if (!reads(s))
            hl__uring_cancel_receive(l, s);
    } else if (reads(s)) {
        hl__list_add(l, &s->slot, HL_LIST_BACKEND); /* asked again when there are buffers */
    }
}

/* Whether the stream is in the middle of a message that is better received straight. */
static int in_large_message(hl_loop *l, hl_stream *s)
{
    hl_block *block;
    return reads(s) && hl__stream_straight(l, s, HL__STRAIGHT_MIN, &block).iov_len > 0;
}

static void received(hl_loop *l, hl_stream *s, const struct io_uring_cqe *cqe)
{
    hl__uring_state *p = l->poll;
    hl_block *b = cqe->flags & IORING_CQE_F_BUFFER ? hl__uring_buffer(p, cqe) : NULL;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        s->slot.poll_mask &= ~(uint32_t)(RECEIVING | CANCELLING);
    if (cqe->res < (int)p->buffer_size)
        s->slot.poll_mask &= ~(uint32_t)BULK;
    if (cqe->res > 0)
        hl__stream_took(l, s, b, hl_block_data(b), (size_t)cqe->res);
    else if (b != NULL)
        hl_cache_unref(l->cache, b);
    go_on_receiving(l, s, cqe->res);
    if (cqe->res == (int)p->buffer_size && s->slot.poll_mask & RECEIVING && in_large_message(l, s))
        hl__uring_cancel_receive(l, s); /* its last completion leads to receive_straight */
}

static void received_straight(hl_loop *l, const struct io_uring_cqe *cqe)
{
    hl__uring_state *p = l->poll;
    uint32_t id = cqe->user_data & (HL__STRAIGHTS - 1);
    hl__straight done = p->straights[id];
    p->straights[id].block = NULL;
    p->unused[p->unused_count++] = (uint16_t)id;
    hl_stream *s = (hl_stream *)hl__slot(l, done.stream);
    int stale = s == NULL || s->slot.ended;
    if (stale) {
        HL_COUNT(l->stats.stale_events, 1);
    } else {
        s->slot.poll_mask = (s->slot.poll_mask & 0xffff & ~(uint32_t)(RECEIVING | CANCELLING | STRAIGHT)) | BULK;
        if (cqe->res > 0)
            hl__stream_received(l, s, &done.where, done.where.iov_len, (size_t)cqe->res);
    }
    hl_cache_unref(l->cache, done.block); /* before it may grow for what is asked for next: growing can move it */
    if (!stale)
        go_on_receiving(l, s, cqe->res);
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
    if (s->out_last != NULL)
        hl__uring_send(l, s);
}

static void woken(hl_loop *l, const struct io_uring_cqe *cqe)
{
    hl__uring_state *p = l->poll;
    uint64_t count;
    while (read(p->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    HL_COUNT(l->stats.wakeups, 1);
    p->woken = 1;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        hl__uring_await_wake(l);
}

/* A completion whose slot is gone. */
static void drop(hl_loop *l, const struct io_uring_cqe *cqe)
{
    uint8_t tag = hl__tag_of(cqe->user_data);
    HL_COUNT(l->stats.stale_events, 1);
    if (cqe->flags & IORING_CQE_F_BUFFER)
        hl_cache_unref(l->cache, hl__uring_buffer(l->poll, cqe));
    if (tag == TAG_ACCEPT && cqe->res >= 0)
        close(cqe->res);
}

static void dispatch(hl_loop *l, const struct io_uring_cqe *cqe)
{
    uint8_t tag = hl__tag_of(cqe->user_data);
    if (tag == TAG_CANCEL)
        return; /* whether it came in time shows in the completion of what it cancels */
    if (tag == TAG_WAKE || tag == TAG_STRAIGHT) {
        (tag == TAG_WAKE ? woken : received_straight)(l, cqe);
        return;
    }
    hl_slot *s = hl__slot(l, hl__handle_of(cqe->user_data));
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

/* Asks again for what a completion has ended. Of streams, for no more than there can be buffers: each of the others
 * would only learn that there is none. */
static void ask_again(hl_loop *l)
{
    hl_slot *s;
    int buffers = HL__BUFFERS;
    while (buffers > 0 && (s = hl__list_take(l, HL_LIST_BACKEND)) != NULL) {
        if (s->ended)
            continue;
        if (s->kind == HL_KIND_STREAM) {
            uring_resume(l, (hl_stream *)s);
            buffers--;
        } else if (s->kind == HL_KIND_LISTENER) {
            uring_change(l, s, HL_READABLE);
        } else if (s->poll_want != 0 && !(s->poll_mask & WATCHING)) {
            hl__uring_watch(l, s);
        }
    }
}

#define ENTER_SHORT 1

/* Submits, waits, and brings the clock up to date. 0, ENTER_SHORT or a negative errno. */
static int enter(hl_loop *l, int timeout_ms)
{
    hl__uring_state *p = l->poll;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long long)(timeout_ms % 1000) * 1000000};
    int r;
    if (hl__uring_enable(l) < 0)
        return p->broken;
    if (io_uring_cq_ready(&p->ring) > 0 || timeout_ms == 0)
        r = io_uring_submit_and_get_events(&p->ring);
    else
        r = io_uring_submit_and_wait_timeout(&p->ring, &cqe, 1, timeout_ms > 0 ? &ts : NULL, NULL);
    hl__uring_entered(p);
    hl__clock(l);
    if (r == -EINTR || r == -EBUSY || r == -EAGAIN)
        return ENTER_SHORT; /* a signal, or completions to be taken first */
    return r < 0 && r != -ETIME ? r : 0;
}

/* Dispatches completions while there is room for what they say. Those it leaves are `behind`, but not the ones that
 * come later: deadlines are not put off for ever. */
static void reap(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    struct io_uring_cqe *cqe;
    uint32_t seen = 0;
    for (; hl__room(l) > 0 && io_uring_peek_cqe(&p->ring, &cqe) == 0; seen++) {
        struct io_uring_cqe copy = *cqe;
        io_uring_cqe_seen(&p->ring, cqe);
        dispatch(l, &copy);
    }
    uint32_t left = io_uring_cq_ready(&p->ring);
    if (left == 0 || l->behind == 0)
        l->behind = left;
    else
        l->behind -= seen < l->behind ? seen : l->behind;
}

/* Takes the completions of sends out of their order; nobody's business is left in their place. Returns their number. */
static unsigned take_sends(hl_loop *l)
{
    struct io_uring_cq *cq = &((hl__uring_state *)l->poll)->ring.cq;
    unsigned taken = 0;
    for (unsigned head = *cq->khead; head != io_uring_smp_load_acquire(cq->ktail); head++) {
        struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
        if (hl__tag_of(cqe->user_data) != TAG_SEND)
            continue;
        struct io_uring_cqe copy = *cqe;
        cqe->user_data = HL__NOBODYS;
        dispatch(l, &copy);
        taken++;
    }
    return taken;
}

/* A send is over when it is submitted: what a stream still holds is known in mid-turn, too. */
static void uring_submit(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    do
        hl__uring_submit(l);
    while (!p->broken && take_sends(l) > 0 && io_uring_sq_ready(&p->ring) > 0);
}

static int uring_wait(hl_loop *l, int timeout_ms)
{
    hl__uring_state *p = l->poll;
    uint64_t until = l->now + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
    p->woken = 0;
    for (;;) {
        hl__uring_replenish(l);
        ask_again(l);
        int r = enter(l, l->lists[HL_LIST_BACKEND].first != NULL ? 0 : timeout_ms);
        if (r < 0)
            return r;
        reap(l);
        hl__output_flush_all(l); /* pongs and the like; the next submission takes them along */
        /* Completions of cancellations and sends are nobody's business: they must not end a wait. */
        if (timeout_ms == 0 || r == ENTER_SHORT || p->woken || hl__has_work(l) || (timeout_ms > 0 && l->now >= until))
            return 0;
        /* Output that has stalled meanwhile may have set a timer. */
        timeout_ms = hl__may_wait(l, timeout_ms > 0 ? (int64_t)(until - l->now) : -1);
        if (timeout_ms == 0)
            return 0;
    }
}

static void uring_wake(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    uint64_t one = 1;
    while (write(p->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

const hl_backend hl__uring = {
    .name = "io_uring",
    .open = hl__uring_open,
    .close = hl__uring_close,
    .attach = uring_attach,
    .change = uring_change,
    .detach = uring_detach,
    .resume = uring_resume,
    .hold = uring_hold,
    .send = hl__uring_send,
    .submit = uring_submit,
    .wait = uring_wait,
    .wake = uring_wake,
};

#endif /* HL_NO_URING */
