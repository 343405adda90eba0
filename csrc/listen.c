/*
 * listen.c - the slots that are not streams: listeners, watched descriptors, timers; and the end of any slot.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 100
#define ADDRESS_ROOM 128 /* sizeof(struct sockaddr_storage) */

void hl__end(hl_loop *l, hl_slot *s, int32_t result)
{
    if (s->ended)
        return;
    if (s->result == 0)
        s->result = result;
    hl_timer_cancel(&l->wheel, &s->timer);
    if (s->kind != HL_KIND_TIMER)
        l->backend->detach(l, s);
    if (s->kind == HL_KIND_STREAM)
        hl__stream_release(l, (hl_stream *)s);
    if (s->kind == HL_KIND_STREAM || s->kind == HL_KIND_LISTENER)
        close(s->fd);
    s->ended = 1;
    hl__notice(l, s, HL_NOTICE_CLOSED);
}

/* ------------------------------------------------------------------ listeners */

void hl__listen(hl_loop *l, hl_slot *s, const hl_op *op)
{
    s->kind = HL_KIND_LISTENER;
    s->fd = op->arg;
    s->user = op->user;
    int r = hl__set_nonblocking(s->fd);
    if (r == 0)
        r = l->backend->attach(l, s, HL_READABLE);
    if (r < 0)
        hl__end(l, s, r);
}

/* Descriptors or memory are short: stops asking for a while, or the loop would spin on a queue that it cannot empty. */
static void pause_accepting(hl_loop *l, hl_slot *s, int error)
{
    HL_COUNT(l->stats.accept_pauses, 1);
    l->backend->change(l, s, 0);
    hl_timer_set(&l->wheel, &s->timer, l->now + ACCEPT_PAUSE_MS);
    s->result = error;
    hl__notice(l, s, HL_NOTICE_ACCEPT_ERROR);
}

void hl__listener_timer(hl_loop *l, hl_slot *s)
{
    int r = l->backend->change(l, s, HL_READABLE);
    if (r < 0)
        hl__end(l, s, r);
}

/* Tells the owner of a new connection; the address is NULL when there is no memory to put it in. */
static void accepted(hl_loop *l, hl_slot *s, int fd, void *address, size_t len)
{
    hl_event *e = hl__event(l, s, HL_EV_ACCEPT);
    e->result = fd;
    if (address != NULL) {
        e->data = address;
        e->len = len;
        e->block = l->recv;
        l->recv_used += ADDRESS_ROOM;
    }
    HL_COUNT(l->stats.accepted, 1);
}

void hl__accepted(hl_loop *l, hl_slot *s, int fd)
{
    uint8_t *where;
    socklen_t len = ADDRESS_ROOM;
    int known = hl__recv_room(l, ADDRESS_ROOM, &where) > 0 && getpeername(fd, (struct sockaddr *)where, &len) == 0;
    accepted(l, s, fd, known ? where : NULL, len);
}

void hl__accept_failed(hl_loop *l, hl_slot *s, int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: pause_accepting(l, s, error); break;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP: hl__end(l, s, error); break;
    default: /* accept(2): errors of the connection that went away while it waited */ break;
    }
}

void hl__accept(hl_loop *l, hl_slot *s)
{
    uint32_t most = l->config.batch;
    while (most-- > 0 && hl__room(l) > 0) {
        struct sockaddr_storage any;
        uint8_t *where;
        int kept = hl__recv_room(l, ADDRESS_ROOM, &where) > 0;
        socklen_t len = ADDRESS_ROOM;
        int fd = accept4(s->fd, kept ? (struct sockaddr *)where : (struct sockaddr *)&any, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(l, s, fd, kept ? where : NULL, len);
            continue;
        }
        if (errno == EAGAIN)
            return;
        hl__accept_failed(l, s, -errno);
        if (s->ended || hl_timer_is_set(&s->timer))
            return;
    }
}

/* ------------------------------------------------------------------ watched descriptors */

void hl__watch(hl_loop *l, hl_slot *s, const hl_op *op)
{
    s->kind = HL_KIND_WATCH;
    s->fd = op->arg;
    s->user = op->user;
    int r = l->backend->attach(l, s, op->flags);
    if (r < 0)
        hl__end(l, s, r);
}

void hl__rewatch(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    int r = l->backend->change(l, s, readiness);
    if (r < 0)
        hl__end(l, s, r);
}

void hl__ready(hl_loop *l, hl_slot *s, uint16_t flags)
{
    hl__event(l, s, HL_EV_READY)->flags = flags;
}

/* ------------------------------------------------------------------ timers */

void hl__timer(hl_loop *l, hl_slot *s, const hl_op *op)
{
    if (s->kind == HL_KIND_NONE) {
        s->kind = HL_KIND_TIMER;
        s->fd = -1;
        s->user = op->user;
    }
    s->notices &= (uint8_t)~HL_NOTICE_TIMER; /* that it has fired, if nobody has been told yet */
    if (op->arg == HL_TIMER_OFF)
        hl_timer_cancel(&l->wheel, &s->timer);
    else
        hl_timer_set(&l->wheel, &s->timer, hl__after(l, op->len));
}
