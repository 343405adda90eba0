/*
 * deadline.c - a stream's deadlines: those that its owner sets, and those of an orderly close. It has one timer, set to
 * the earliest; what moves meanwhile is found out when that fires.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <sys/ioctl.h>

#define LONGEST (1u << 30) /* ms, 12 days: the difference of two 32-bit times has a sign */
#define CLOSE_CAP 12       /* an orderly close lasts at most this many times close_ms */

void hl__deadline(hl_loop *l, hl_stream *s, const hl_op *op)
{
    uint64_t ms = op->len;
    uint32_t interval = ms < LONGEST ? (uint32_t)ms : LONGEST;
    switch (op->kind) {
    case HL_DEADLINE_ONCE:
        s->once = (uint32_t)hl__after(l, interval);
        s->once += s->once == 0; /* 0 stands for "never" */
        s->once *= interval > 0;
        break;
    case HL_DEADLINE_READ:
        s->read_ms = interval;
        s->last_received = (uint32_t)l->now;
        break;
    case HL_DEADLINE_WRITE: s->write_ms = interval; break;
    case HL_DEADLINE_PING:
        if (s->goodbye == HL_GOODBYE_NONE) {
            s->ping_ms = interval;
            s->pinged = (uint32_t)l->now;
        }
        break;
    }
    hl__rearm(l, s);
}

/* The time at which `interval` ms will have passed since `since` (low 32 bits of the clock). */
static uint64_t due(const hl_loop *l, uint32_t since, uint64_t interval)
{
    return l->now - (uint32_t)((uint32_t)l->now - since) + interval + 1; /* + 1: see hl__after */
}

/* When the orderly close is over; bytes that move put it off up to the cap. */
static uint64_t close_deadline(const hl_loop *l, const hl_stream *s)
{
    uint64_t by = due(l, s->close_from, l->config.close_ms);
    if (s->goodbye == HL_GOODBYE_OWNER)
        return by;
    if (s->stats.queued > 0 && due(l, s->last_sent, l->config.close_ms) > by)
        by = due(l, s->last_sent, l->config.close_ms);
    /* A peer that is in the middle of a message when we close cannot answer before its end. */
    if (s->state == HL_CLOSING && due(l, s->last_received, l->config.close_ms) > by)
        by = due(l, s->last_received, l->config.close_ms);
    uint64_t cap = due(l, s->goodbye_began, (uint64_t)CLOSE_CAP * l->config.close_ms);
    return by < cap ? by : cap;
}

static uint64_t once_due(const hl_loop *l, const hl_stream *s)
{
    return l->now + (uint64_t)(int32_t)(s->once - (uint32_t)l->now);
}

static int pings(const hl_stream *s)
{
    return s->goodbye == HL_GOODBYE_NONE && s->ping_ms != 0;
}

/* When the peer has been silent for long enough to be asked for a sign of life. */
static uint64_t ping_due(const hl_loop *l, const hl_stream *s)
{
    uint64_t since_received = due(l, s->last_received, s->ping_ms);
    uint64_t since_pinged = due(l, s->pinged, s->ping_ms);
    return since_received > since_pinged ? since_received : since_pinged;
}

static void ping(hl_loop *l, hl_stream *s)
{
    s->pinged = (uint32_t)l->now;
    /* A peer that does not take what waits for it would not take a ping either. */
    if (s->state == HL_OPEN && hl__codec(s)->ping != NULL && s->stats.queued == 0)
        hl__codec(s)->ping(l, s);
}

void hl__goodbye(hl_loop *l, hl_stream *s, uint8_t whose)
{
    s->goodbye = whose & 0x0f;
    s->goodbye_began = s->close_from = (uint32_t)l->now;
    hl__rearm(l, s);
}

void hl__rearm(hl_loop *l, hl_stream *s)
{
    uint64_t next = UINT64_MAX;
    if (s->goodbye != HL_GOODBYE_NONE)
        next = close_deadline(l, s);
    if (s->once != 0 && once_due(l, s) < next)
        next = once_due(l, s);
    if (s->read_ms != 0 && due(l, s->last_received, s->read_ms) < next)
        next = due(l, s->last_received, s->read_ms);
    if (s->write_ms != 0 && s->stalled && due(l, s->last_sent, s->write_ms) < next)
        next = due(l, s->last_sent, s->write_ms);
    if (pings(s) && ping_due(l, s) < next)
        next = ping_due(l, s);
    if (next == UINT64_MAX)
        hl_timer_cancel(&l->wheel, &s->slot.timer);
    else
        hl_timer_set(&l->wheel, &s->slot.timer, next);
}

/* A peer is not silent because we do not listen, or because the turn had no room for what it has sent. */
static int silent(const hl_stream *s)
{
    int unread;
    return s->pauses == 0 && s->state == HL_OPEN && (ioctl(s->slot.fd, FIONREAD, &unread) < 0 || unread == 0);
}

void hl__stream_timer(hl_loop *l, hl_stream *s)
{
    if (s->goodbye != HL_GOODBYE_NONE && close_deadline(l, s) <= l->now) {
        if (s->state != HL_OPEN) {
            hl__end(l, &s->slot, s->state == HL_LINGERING ? 0 : -ETIMEDOUT);
            return;
        }
        hl__stream_close(l, s, 0, NULL, 0); /* the owner has not answered HL_EV_END */
        if (s->slot.ended)
            return;
    }
    if (s->once != 0 && once_due(l, s) <= l->now) {
        s->once = 0;
        hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_ONCE);
    }
    if (s->read_ms != 0 && due(l, s->last_received, s->read_ms) <= l->now) {
        s->last_received = (uint32_t)l->now;
        if (silent(s))
            hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_READ);
    }
    if (s->write_ms != 0 && s->stalled && due(l, s->last_sent, s->write_ms) <= l->now) {
        s->last_sent = (uint32_t)l->now;
        hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_WRITE);
    }
    if (pings(s) && ping_due(l, s) <= l->now) {
        ping(l, s);
        if (s->slot.ended)
            return;
    }
    hl__rearm(l, s);
}
