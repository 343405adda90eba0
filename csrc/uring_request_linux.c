/*
 * uring_request_linux.c - what the io_uring backend asks the kernel for: preparing requests, handing them over.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_NO_URING

#include "uring.h"

#include <errno.h>
#include <poll.h>

#define SUBMIT_TRIES 1000 /* while the kernel is short of memory for requests */

_Static_assert(HL__SLOTS_MAX <= 1u << 24, "an index leaves eight bits for the tag");

uint64_t hl__uring_data(const hl_slot *s, uint8_t tag)
{
    return hl__handle(s) | (uint64_t)tag << 24;
}

/* ------------------------------------------------------------------ handing over */

int hl__uring_enable(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    if (p->enabled || p->broken)
        return p->broken;
    /* io_uring_enable_rings(3), which liburing 2.3 declares and does not export */
    int r = l->features & HL_FEATURE_ONE_THREAD
                ? io_uring_register((unsigned)p->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0)
                : 0;
    if (r < 0)
        return p->broken = r;
    p->enabled = 1;
    hl__uring_await_wake(l);
    return 0;
}

void hl__uring_entered(hl__uring_state *p)
{
    if (io_uring_sq_ready(&p->ring) > 0)
        return; /* it has not taken all: what they point to has to stay */
    p->submissions++;
    p->gathers_used = 0;
}

void hl__uring_submit(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    if (hl__uring_enable(l) < 0)
        return;
    for (int i = 0; i < SUBMIT_TRIES; i++) {
        int r = io_uring_submit_and_get_events(&p->ring);
        hl__uring_entered(p);
        if (r < 0 && r != -EINTR && r != -EBUSY && r != -EAGAIN) {
            p->broken = r;
            return;
        }
        if (io_uring_sq_ready(&p->ring) == 0)
            return;
    }
    p->broken = -ENOMEM;
}

/* ------------------------------------------------------------------ preparing */

/* An entry to be filled. When the ring is broken nobody will read it. */
static struct io_uring_sqe *request(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    struct io_uring_sqe *sqe = p->broken ? NULL : io_uring_get_sqe(&p->ring);
    if (sqe == NULL && !p->broken) {
        hl__uring_submit(l);
        sqe = p->broken ? NULL : io_uring_get_sqe(&p->ring);
    }
    return sqe != NULL ? sqe : &p->nowhere;
}

/* Ends the preparation of a slot's request. */
static void prepared(hl_loop *l, hl_slot *s, struct io_uring_sqe *sqe, uint8_t tag, uint32_t under_way)
{
    hl__uring_state *p = l->poll;
    io_uring_sqe_set_data64(sqe, hl__uring_data(s, tag));
    s->poll_mask |= under_way;
    s->head.mark = p->submissions;
}

void hl__uring_cancel(hl_loop *l, uint64_t data)
{
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_cancel64(sqe, data, 0);
    io_uring_sqe_set_data64(sqe, HL__NOBODYS);
}

uint64_t hl__uring_receive_data(const hl_slot *s)
{
    if (s->poll_mask & STRAIGHT)
        return (uint64_t)TAG_STRAIGHT << 24 | s->poll_mask >> 16;
    return hl__uring_data(s, TAG_RECV);
}

void hl__uring_cancel_receive(hl_loop *l, hl_stream *s)
{
    if (!(s->slot.poll_mask & CANCELLING))
        hl__uring_cancel(l, hl__uring_receive_data(&s->slot));
    s->slot.poll_mask |= CANCELLING;
}

/* Receives the rest of a message where it belongs, if there is one that is worth it. */
static int receive_straight(hl_loop *l, hl_stream *s)
{
    hl__uring_state *p = l->poll;
    if (p->unused_count == 0)
        return 0;
    hl_block *block = NULL;
    struct iovec where = hl__stream_straight(l, s, HL__STRAIGHT_MIN, &block);
    if (where.iov_len == 0)
        return 0;
    uint32_t id = p->unused[--p->unused_count];
    hl_block_ref(block);
    p->straights[id] = (hl__straight){hl__handle(&s->slot), block, where};
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_recv(sqe, s->slot.fd, where.iov_base, where.iov_len, 0);
    prepared(l, &s->slot, sqe, TAG_STRAIGHT, RECEIVING | STRAIGHT | id << 16);
    io_uring_sqe_set_data64(sqe, hl__uring_receive_data(&s->slot));
    return 1;
}

void hl__uring_receive(hl_loop *l, hl_stream *s)
{
    if (receive_straight(l, s) || s->slot.ended)
        return;
    hl__uring_state *p = l->poll;
    if (p->starved)
        hl__uring_replenish(l); /* there may be memory again */
    if (p->starved) { /* asking would only be refused, again and again */
        HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, -ENOMEM);
        return;
    }
    struct io_uring_sqe *sqe = request(l);
    /* Amid large messages multishot would drain the socket into buffers before it can be stopped. */
    if (s->oneshot || s->slot.poll_mask & BULK)
        io_uring_prep_recv(sqe, s->slot.fd, NULL, 0, 0);
    else
        io_uring_prep_recv_multishot(sqe, s->slot.fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = HL__GROUP;
    prepared(l, &s->slot, sqe, TAG_RECV, RECEIVING);
}

void hl__uring_accept(hl_loop *l, hl_slot *s)
{
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    prepared(l, s, sqe, TAG_ACCEPT, ACCEPTING);
}

void hl__uring_watch(hl_loop *l, hl_slot *s)
{
    uint32_t events = (s->poll_want & HL_READABLE ? POLLIN : 0u) | (s->poll_want & HL_WRITABLE ? POLLOUT : 0u);
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_add(sqe, s->fd, events);
    prepared(l, s, sqe, TAG_WATCH, WATCHING);
}

void hl__uring_await_wake(hl_loop *l)
{
    hl__uring_state *p = l->poll;
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_multishot(sqe, p->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, (uint64_t)TAG_WAKE << 24);
}

void hl__uring_send(hl_loop *l, hl_stream *s)
{
    hl__uring_state *p = l->poll;
    if (s->slot.poll_mask & SENDING)
        return;
    if (p->gathers_used == HL__GATHERS)
        hl__uring_submit(l);
    struct io_uring_sqe *sqe = request(l); /* first: it may submit, which lets the gathers start anew */
    if (p->broken)
        p->gathers_used = 0; /* nobody will read them, and there is no end to those who write */
    hl__gather *x = &p->gathers[p->gathers_used];
    int count = hl__output_gather(s, x->iov, HL__IOVS);
    if (count == 1) {
        io_uring_prep_send(sqe, s->slot.fd, x->iov[0].iov_base, x->iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        p->gathers_used++;
        x->header = (struct msghdr){.msg_iov = x->iov, .msg_iovlen = (size_t)count};
        io_uring_prep_sendmsg(sqe, s->slot.fd, &x->header, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    prepared(l, &s->slot, sqe, TAG_SEND, SENDING);
}

void hl__uring_await_space(hl_loop *l, hl_stream *s)
{
    hl__output_stalled(l, s);
    struct io_uring_sqe *sqe = request(l);
    io_uring_prep_poll_add(sqe, s->slot.fd, POLLOUT);
    prepared(l, &s->slot, sqe, TAG_WRITABLE, AWAITING_SPACE);
}

#endif /* HL_NO_URING */
