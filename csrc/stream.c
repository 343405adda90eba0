/*
 * stream.c - the life of a stream between its descriptor and its codec: input, pauses, deadlines, the ways it ends.
 *
 *            HL_OP_CLOSE             peer's goodbye            all sent                peer's end
 *   OPEN ──────────────▶ CLOSING ──────────────▶ FLUSHING ──────────────▶ LINGERING ──────────────▶ ended
 *     └──── raw stream, error, peer was first ──────▲    └── peer has ended: no lingering ────────────▲
 *
 * Any error of the connection, HL_OP_ABORT and a deadline lead straight to "ended" (hl__end).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CLOSE_CAP 12                 /* an orderly close lasts at most this many times close_ms */
#define DIRECT_MAX ((size_t)1 << 20) /* bytes received straight into one message at a time */

/* A block of input that waits behind other input keeps what the stream needs to know in its spare words. */
typedef struct waiting {
    hl_block *next;
    uint8_t *data;
    uint64_t len;
} waiting;

static waiting *waiting_in(hl_block *b)
{
    return (waiting *)b->spare;
}

/* Makes the next block that waits the current input. */
static void next_input(hl_stream *s)
{
    hl_block *b = s->in_next;
    s->in_next = waiting_in(b)->next;
    s->in_block = b;
    s->in_data = waiting_in(b)->data;
    s->in_len = waiting_in(b)->len;
    s->in_held = 1;
}

static void drop_input(hl_loop *l, hl_stream *s)
{
    for (;;) {
        if (s->in_held)
            hl__drop(l, s->in_block); /* this turn's events may lie in it */
        s->in_held = 0;
        if (s->in_next == NULL)
            break;
        next_input(s);
    }
    s->in_block = NULL;
    s->in_len = 0;
}

int hl__set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return 0;
}

void hl__attach(hl_loop *l, hl_stream *s, const hl_op *op)
{
    s->slot.kind = HL_KIND_STREAM;
    s->slot.fd = op->arg;
    s->slot.user = op->user;
    s->codec = &hl__codec_raw;
    s->oneshot = (op->flags & HL_ONESHOT) != 0;
    s->last_received = s->last_sent = (uint32_t)l->now;
    for (uint64_t *count = (uint64_t *)&s->stats; count < (uint64_t *)(&s->stats + 1); count++)
        __atomic_store_n(count, 0, __ATOMIC_RELAXED); /* counts: see HL_COUNT */
    int on = 1;
    setsockopt(op->arg, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* we gather by ourselves; not every socket is TCP */
    int r = hl__set_nonblocking(op->arg);
    if (r == 0)
        r = l->backend->attach(l, &s->slot, HL_READABLE);
    if (r < 0)
        hl__end(l, &s->slot, r);
}

/* ------------------------------------------------------------------ reading */

void hl__pause(hl_stream *s, uint8_t why)
{
    s->pauses |= why;
}

void hl__resume(hl_loop *l, hl_stream *s, uint8_t why)
{
    if (!(s->pauses & why))
        return;
    s->pauses &= (uint8_t)~why;
    if (s->pauses & (uint8_t)~HL_PAUSE_END)
        return;
    if (hl__input_waits(s) || (s->pauses & HL_PAUSE_END && !s->end_told))
        hl__list_add(l, &s->slot, HL_LIST_INPUT);
    else if (s->pauses == 0)
        l->backend->resume(l, s);
}

/* After the codec has run: keeps what it left, tells what waited for it to be done. */
static void after_input(hl_loop *l, hl_stream *s)
{
    if (s->slot.ended)
        return;
    if (s->in_len > 0) {
        if (!s->in_held)
            hl_block_ref(s->in_block);
        s->in_held = 1;
        if (s->pauses == 0)
            hl__list_add(l, &s->slot, HL_LIST_INPUT);
        return;
    }
    if (s->in_held)
        hl__pin(l, s->in_block); /* this turn's events may point into it */
    s->in_held = 0;
    s->in_block = NULL;
    if (s->in_next != NULL) {
        next_input(s);
        if (s->pauses == 0)
            hl__list_add(l, &s->slot, HL_LIST_INPUT);
        return;
    }
    if (s->in_end != 0) {
        hl__stream_finished(l, s, s->in_end < 0 ? s->in_end : 0);
        return;
    }
    if (s->quiescing == HL_QUIESCE_READING && s->quiesce_left == 0) {
        s->quiescing = HL_QUIESCE_NONE;
        hl__pause(s, HL_PAUSE_QUIET);
        hl__notice(l, &s->slot, HL_NOTICE_QUIET);
    }
    if (s->pauses & HL_PAUSE_END && s->state == HL_OPEN && !s->end_told)
        hl__list_add(l, &s->slot, HL_LIST_INPUT); /* the completion ring was full when the end came */
}

void hl__stream_input(hl_loop *l, hl_stream *s)
{
    if (s->slot.ended || s->pauses & (uint8_t)~HL_PAUSE_END)
        return;
    s->fed = (uint32_t)l->stats.turns;
    s->codec->input(l, s);
    after_input(l, s);
    if (!s->slot.ended && !hl__input_waits(s) && s->pauses == 0)
        l->backend->resume(l, s);
}

static void short_of_memory(hl_loop *l, hl_stream *s)
{
    HL_COUNT(l->stats.nomem, 1);
    hl__end(l, &s->slot, -ENOMEM);
}

struct iovec hl__stream_straight(hl_loop *l, hl_stream *s, size_t least, hl_block **block)
{
    uint8_t *where = NULL;
    int64_t room = s->state <= HL_CLOSING && s->codec->room != NULL ? s->codec->room(l, s, &where, block) : 0;
    if (room < 0)
        short_of_memory(l, s);
    if (room < (int64_t)least)
        room = 0;
    return (struct iovec){where, (size_t)room < DIRECT_MAX ? (size_t)room : DIRECT_MAX};
}

int hl__stream_where(hl_loop *l, hl_stream *s, struct iovec iov[2], size_t *direct)
{
    int n = 0;
    hl_block *block;
    iov[0] = hl__stream_straight(l, s, 1, &block);
    if (s->slot.ended)
        return 0;
    *direct = iov[0].iov_len;
    if (*direct > 0)
        n++;
    uint8_t *where;
    size_t room = hl__recv_room(l, l->config.recv_size / 2, &where);
    if (room == 0) {
        short_of_memory(l, s);
        return 0;
    }
    iov[n++] = (struct iovec){where, room < l->config.recv_size ? room : l->config.recv_size};
    return n;
}

void hl__stream_received(hl_loop *l, hl_stream *s, const struct iovec *iov, size_t direct, size_t n)
{
    HL_COUNT(s->stats.received, n);
    s->last_received = (uint32_t)l->now;
    s->quiesce_left = n < s->quiesce_left ? s->quiesce_left - (uint32_t)n : 0;
    if (s->state > HL_CLOSING)
        return; /* flushing or lingering: discarded */
    size_t straight = n < direct ? n : direct;
    if (n > straight) {
        s->in_block = l->recv;
        s->in_data = iov[direct > 0].iov_base;
        s->in_len = n - straight;
        l->recv_used += s->in_len;
    }
    if (straight > 0)
        s->codec->filled(l, s, straight);
    if (s->in_len > 0)
        s->codec->input(l, s);
    after_input(l, s);
}

void hl__stream_took(hl_loop *l, hl_stream *s, hl_block *block, uint8_t *data, size_t n)
{
    HL_COUNT(s->stats.received, n);
    s->last_received = (uint32_t)l->now;
    s->quiesce_left = n < s->quiesce_left ? s->quiesce_left - (uint32_t)n : 0;
    if (s->state > HL_CLOSING) {
        hl_cache_unref(l->cache, block);
        return;
    }
    *waiting_in(block) = (waiting){.data = data, .len = n};
    if (s->in_next == NULL)
        s->in_next = block;
    else
        waiting_in(s->in_last)->next = block;
    s->in_last = block;
    if (s->in_len > 0)
        return;
    next_input(s);
    if (s->fed == (uint32_t)l->stats.turns) {
        if (s->pauses == 0)
            hl__list_add(l, &s->slot, HL_LIST_INPUT); /* one piece a turn: others want to be heard too */
        return;
    }
    s->fed = (uint32_t)l->stats.turns;
    if (s->pauses == 0)
        s->codec->input(l, s);
    after_input(l, s);
}

void hl__stream_finished(hl_loop *l, hl_stream *s, int end)
{
    if (hl__input_waits(s)) {
        s->in_end = end < 0 ? end : 1;
        return;
    }
    s->in_end = 0;
    if (end < 0)
        hl__receive_failed(l, s, end);
    else
        hl__stream_ended(l, s);
}

void hl__stream_empty(hl_loop *l, hl_stream *s)
{
    s->quiesce_left = 0;
    after_input(l, s);
}

void hl__stream_ended(hl_loop *l, hl_stream *s)
{
    hl__pause(s, HL_PAUSE_END);
    s->quiesce_left = 0;
    if (s->state == HL_LINGERING)
        hl__end(l, &s->slot, 0);
    else if (s->state == HL_CLOSING)
        hl__stream_finish(l, s);
    else if (s->state == HL_OPEN) {
        s->codec->input(l, s);
        after_input(l, s);
    }
}

void hl__receive_failed(hl_loop *l, hl_stream *s, int error)
{
    /* A lingering stream has said all it had to say: how the peer goes is its own affair. */
    hl__end(l, &s->slot, s->state == HL_LINGERING ? 0 : error);
}

void hl__held(hl_loop *l, hl_stream *s)
{
    int waiting = 0;
    hl__resume(l, s, HL_PAUSE_QUIET); /* it may have been quiesced before */
    if (!(s->pauses & HL_PAUSE_END) && s->in_end == 0 && ioctl(s->slot.fd, FIONREAD, &waiting) < 0)
        waiting = 0;
    s->quiesce_left = (uint32_t)waiting;
    s->quiescing = HL_QUIESCE_READING;
    if (!hl__input_waits(s))
        after_input(l, s);
    if (!s->slot.ended && s->pauses == 0)
        l->backend->resume(l, s);
}

void hl__quiesce(hl_loop *l, hl_stream *s)
{
    if (s->state != HL_OPEN || s->quiescing != HL_QUIESCE_NONE)
        return;
    s->quiescing = HL_QUIESCE_HOLDING;
    if (l->backend->hold == NULL || l->backend->hold(l, s))
        hl__held(l, s);
}

/* Puts the bytes of an operation, and behind them input that waits, where the codec will take them. */
static int prepend_input(hl_loop *l, hl_stream *s, const hl_op *op)
{
    if (op->len == 0)
        return 0;
    if (s->in_len == 0) {
        hl_block_ref(op->block);
        s->in_block = op->block;
        s->in_data = op->data;
    } else {
        hl_block *both = hl_cache_get(l->cache, op->len + s->in_len);
        if (both == NULL)
            return -ENOMEM;
        memcpy(hl_block_data(both), op->data, op->len);
        memcpy(hl_block_data(both) + op->len, s->in_data, s->in_len);
        if (s->in_held)
            hl__drop(l, s->in_block);
        s->in_block = both;
        s->in_data = hl_block_data(both);
    }
    s->in_held = 1;
    s->in_len += op->len;
    return 0;
}

void hl__upgrade(hl_loop *l, hl_stream *s, const hl_op *op)
{
    if (s->codec != &hl__codec_raw || s->state != HL_OPEN)
        return;
    if (prepend_input(l, s, op) < 0) {
        HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, -ENOMEM);
        return;
    }
    s->codec = &hl__codec_ws;
    s->oneshot = 0;
    s->end_told = 0; /* an end that the raw stream has told of is one of the WebSocket, too */
    hl_ws_init(&s->ws, &l->config.ws);
    hl__resume(l, s, HL_PAUSE_USER);
    if (s->in_len > 0 || s->pauses & HL_PAUSE_END)
        hl__list_add(l, &s->slot, HL_LIST_INPUT);
}

/* ------------------------------------------------------------------ ending */

static void begin_close(hl_loop *l, hl_stream *s)
{
    if (s->close_by == 0) {
        s->close_by = l->now + l->config.close_ms;
        s->close_cap = l->now + (uint64_t)CLOSE_CAP * l->config.close_ms;
    }
    s->quiescing = HL_QUIESCE_NONE;
    hl__rearm(l, s);
}

/* Reading serves only to see the peer's goodbye or end from now on. */
static void read_to_the_end(hl_loop *l, hl_stream *s)
{
    hl__resume(l, s, HL_PAUSE_USER | HL_PAUSE_OUTPUT | HL_PAUSE_QUIET | HL_PAUSE_FAILED);
}

void hl__stream_close(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len)
{
    if (s->state != HL_OPEN)
        return;
    s->close_by = 0; /* it may have been set to wait for this call */
    int await = s->codec->close(l, s, code, reason, len);
    if (s->slot.ended)
        return;
    if (!await) {
        hl__stream_finish(l, s);
        return;
    }
    s->state = HL_CLOSING;
    begin_close(l, s);
    read_to_the_end(l, s);
}

void hl__stream_finish(hl_loop *l, hl_stream *s)
{
    s->state = HL_FLUSHING;
    drop_input(l, s);
    if (s->in_end != 0) {
        s->in_end = 0;
        hl__pause(s, HL_PAUSE_END); /* it had come behind what is dropped */
    }
    begin_close(l, s);
    read_to_the_end(l, s);
    if (s->pauses == 0)
        l->backend->resume(l, s); /* dropping the input may have been what it waited for */
    if (s->out_first == NULL)
        hl__stream_flushed(l, s);
}

void hl__stream_flushed(hl_loop *l, hl_stream *s)
{
    if (s->state != HL_FLUSHING || s->slot.ended)
        return;
    /* After the goodbyes of both sides, or the peer's end, nothing can arrive that a close would answer with a reset.
     */
    if (s->pauses & HL_PAUSE_END || s->close_code != 0 || shutdown(s->slot.fd, SHUT_WR) < 0) {
        hl__end(l, &s->slot, 0);
        return;
    }
    s->state = HL_LINGERING;
    s->close_by = l->now + l->config.close_ms; /* however long the flushing took */
    hl__rearm(l, s);
    l->backend->resume(l, s);
}

void hl__output_failed(hl_loop *l, hl_stream *s, int error)
{
    s->deaf = 1;
    s->lost = 1;
    s->slot.result = error;
    hl__output_drop(l, s);
    if (s->state == HL_OPEN && (error == -EPIPE || error == -ECONNRESET))
        hl__resume(l, s, HL_PAUSE_OUTPUT); /* what the peer sent before it went away is still to be read */
    else
        hl__end(l, &s->slot, error);
}

void hl__stream_release(hl_loop *l, hl_stream *s)
{
    if (s->stats.queued > 0)
        s->lost = 1;
    hl__output_drop(l, s);
    drop_input(l, s);
    if (s->codec != NULL && s->codec->fini != NULL)
        s->codec->fini(l, s);
}

/* ------------------------------------------------------------------ deadlines */

void hl__deadline(hl_loop *l, hl_stream *s, const hl_op *op)
{
    uint64_t ms = op->len;
    uint32_t interval = ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
    switch (op->kind) {
    case HL_DEADLINE_ONCE: s->once = ms ? hl__after(l, ms) : 0; break;
    case HL_DEADLINE_READ:
        s->read_ms = interval;
        s->last_received = (uint32_t)l->now;
        break;
    case HL_DEADLINE_WRITE: s->write_ms = interval; break;
    }
    hl__rearm(l, s);
}

/* The time at which `interval` ms will have passed since `since` (low 32 bits of the clock). */
static uint64_t due(const hl_loop *l, uint32_t since, uint32_t interval)
{
    return l->now - (uint32_t)((uint32_t)l->now - since) + interval + 1; /* + 1: see hl__after */
}

/* When the orderly close is over; bytes that move put it off up to the cap. */
static uint64_t close_deadline(const hl_loop *l, const hl_stream *s)
{
    uint64_t by = s->close_by;
    if (s->stats.queued > 0 && due(l, s->last_sent, l->config.close_ms) > by)
        by = due(l, s->last_sent, l->config.close_ms);
    /* A peer that is in the middle of a message when we close cannot answer before its end. */
    if (s->state == HL_CLOSING && due(l, s->last_received, l->config.close_ms) > by)
        by = due(l, s->last_received, l->config.close_ms);
    return by < s->close_cap ? by : s->close_cap;
}

void hl__rearm(hl_loop *l, hl_stream *s)
{
    uint64_t next = UINT64_MAX;
    if (s->close_by != 0)
        next = close_deadline(l, s);
    if (s->once != 0 && s->once < next)
        next = s->once;
    if (s->read_ms != 0 && due(l, s->last_received, s->read_ms) < next)
        next = due(l, s->last_received, s->read_ms);
    if (s->write_ms != 0 && s->stalled && due(l, s->last_sent, s->write_ms) < next)
        next = due(l, s->last_sent, s->write_ms);
    if (next == UINT64_MAX)
        hl_timer_cancel(&l->wheel, &s->slot.timer);
    else
        hl_timer_set(&l->wheel, &s->slot.timer, next);
}

void hl__stream_timer(hl_loop *l, hl_stream *s)
{
    if (s->close_by != 0 && close_deadline(l, s) <= l->now) {
        if (s->state != HL_OPEN) {
            hl__end(l, &s->slot, s->state == HL_LINGERING ? 0 : -ETIMEDOUT);
            return;
        }
        s->close_by = 0;
        hl__stream_close(l, s, 0, NULL, 0); /* the owner has not answered HL_EV_END */
        if (s->slot.ended)
            return;
    }
    if (s->once != 0 && s->once <= l->now) {
        s->once = 0;
        hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_ONCE);
    }
    if (s->read_ms != 0 && due(l, s->last_received, s->read_ms) <= l->now) {
        s->last_received = (uint32_t)l->now;
        if (s->pauses == 0 && s->state == HL_OPEN) /* a peer is not silent because we do not listen */
            hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_READ);
    }
    if (s->write_ms != 0 && s->stalled && due(l, s->last_sent, s->write_ms) <= l->now) {
        s->last_sent = (uint32_t)l->now;
        hl__notice(l, &s->slot, HL_NOTICE_TIMER << HL_DEADLINE_WRITE);
    }
    hl__rearm(l, s);
}
