/*
 * input.c - what a stream receives, on its way from the backend to the codec: where it may lie, what waits, pauses,
 * the end, quiescing.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define DIRECT_MAX ((size_t)1 << 20) /* bytes received straight into one message at a time */
#define COMPACT_SHARE 8              /* input that waits keeps a block of which it fills this part at least */

/* A block of input that waits behind other input keeps what the stream needs to know in its spare words. The last one's
 * next is the first. */
typedef struct waiting {
    hl_block *next;
    uint8_t *data;
    uint64_t len;
} waiting;

static waiting *waiting_in(hl_block *b)
{
    return (waiting *)b->spare;
}

/* Moves a few bytes that have to wait out of a large block: a peer could otherwise have one held for each byte. Returns
 * where they are now. */
static uint8_t *compact(hl_loop *l, hl_block **block, uint8_t *data, size_t n)
{
    hl_block *small = n < (*block)->size / COMPACT_SHARE ? hl_cache_get(l->cache, n) : NULL;
    if (small == NULL)
        return data; /* it fills the block well, or memory is short */
    memcpy(hl_block_data(small), data, n);
    hl_cache_unref(l->cache, *block);
    *block = small;
    return hl_block_data(small);
}

/* Makes the next block that waits the current input. */
static void next_input(hl_stream *s)
{
    hl_block *b = waiting_in(s->in_last)->next;
    if (b == s->in_last)
        s->in_last = NULL;
    else
        waiting_in(s->in_last)->next = waiting_in(b)->next;
    s->in_block = b;
    s->in_at = (uint32_t)(waiting_in(b)->data - hl_block_data(b));
    s->in_len = (uint32_t)waiting_in(b)->len;
    s->in_held = 1;
}

void hl__drop_input(hl_loop *l, hl_stream *s)
{
    for (;;) {
        if (s->in_held)
            hl__drop(l, s->in_block); /* this turn's events may lie in it */
        s->in_held = 0;
        if (s->in_last == NULL)
            break;
        next_input(s);
    }
    s->in_block = NULL;
    s->in_len = 0;
}

/* ------------------------------------------------------------------ pauses */

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

/* ------------------------------------------------------------------ receiving */

/* After the codec has run: keeps what it left, tells what waited for it to be done. */
static void after_input(hl_loop *l, hl_stream *s)
{
    if (s->slot.ended)
        return;
    if (s->in_len > 0) {
        if (!s->in_held)
            hl_block_ref(s->in_block);
        s->in_held = 1;
        if (!(s->pauses & (uint8_t)~HL_PAUSE_END)) /* the end may have come before the upgrade that brought this */
            hl__list_add(l, &s->slot, HL_LIST_INPUT);
        return;
    }
    if (s->in_held)
        hl__pin(l, s->in_block); /* this turn's events may point into it */
    s->in_held = 0;
    s->in_block = NULL;
    if (s->in_last != NULL) {
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
    hl__codec(s)->input(l, s);
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
    int64_t room = s->state <= HL_CLOSING && hl__codec(s)->room != NULL ? hl__codec(s)->room(l, s, &where, block) : 0;
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
    /* A message of recv_size comes in one piece with its header, and is delivered where it lies. */
    size_t most = (size_t)l->config.recv_size + HL_WS_MAX_HEADER;
    size_t room = hl__recv_room(l, most, &where);
    if (room == 0) {
        short_of_memory(l, s);
        return 0;
    }
    iov[n++] = (struct iovec){where, room < most ? room : most};
    return n;
}

static void count_received(hl_loop *l, hl_stream *s, size_t n)
{
    HL_COUNT(s->stats.received, n);
    l->received += n;
    s->last_received = (uint32_t)l->now;
    s->quiesce_left = n < s->quiesce_left ? s->quiesce_left - (uint32_t)n : 0;
}

void hl__stream_received(hl_loop *l, hl_stream *s, const struct iovec *iov, size_t direct, size_t n)
{
    count_received(l, s, n);
    if (s->state > HL_CLOSING)
        return; /* flushing or lingering: discarded */
    size_t straight = n < direct ? n : direct;
    if (n > straight) {
        s->in_block = l->recv;
        s->in_at = (uint32_t)((uint8_t *)iov[direct > 0].iov_base - hl_block_data(l->recv));
        s->in_len = (uint32_t)(n - straight);
        l->recv_used += s->in_len;
    }
    if (straight > 0)
        hl__codec(s)->filled(l, s, straight);
    if (s->in_len > 0)
        hl__codec(s)->input(l, s);
    after_input(l, s);
}

void hl__stream_took(hl_loop *l, hl_stream *s, hl_block *block, uint8_t *data, size_t n)
{
    count_received(l, s, n);
    if (s->state > HL_CLOSING) {
        hl_cache_unref(l->cache, block);
        return;
    }
    if (s->pauses != 0 || s->in_len > 0)
        data = compact(l, &block, data, n);
    *waiting_in(block) = (waiting){.next = s->in_last ? waiting_in(s->in_last)->next : block, .data = data, .len = n};
    if (s->in_last != NULL)
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
        hl__codec(s)->input(l, s);
    after_input(l, s);
}

void hl__stream_finished(hl_loop *l, hl_stream *s, int end)
{
    if (hl__input_waits(s)) {
        s->in_end = (int16_t)(end < 0 ? end : 1);
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
        hl__codec(s)->input(l, s);
        after_input(l, s);
    }
}

void hl__receive_failed(hl_loop *l, hl_stream *s, int error)
{
    /* A lingering stream has said all it had to say: how the peer goes is its own affair. */
    hl__end(l, &s->slot, s->state == HL_LINGERING ? 0 : error);
}

/* ------------------------------------------------------------------ quiescing, upgrading */

void hl__held(hl_loop *l, hl_stream *s)
{
    int waiting = 0, more = s->quiescing == HL_QUIESCE_HOLDING && !(s->pauses & HL_PAUSE_END) && s->in_end == 0;
    hl__resume(l, s, HL_PAUSE_QUIET); /* it may have been quiesced before */
    if (more && ioctl(s->slot.fd, FIONREAD, &waiting) < 0)
        waiting = 0;
    s->quiesce_left = (uint32_t)waiting;
    s->quiescing = HL_QUIESCE_READING;
    if (!hl__input_waits(s))
        after_input(l, s);
    if (!s->slot.ended && s->pauses == 0)
        l->backend->resume(l, s);
}

void hl__quiesce(hl_loop *l, hl_stream *s, int leave)
{
    if (s->state != HL_OPEN || s->quiescing != HL_QUIESCE_NONE)
        return;
    s->quiescing = leave ? HL_QUIESCE_LEAVING : HL_QUIESCE_HOLDING;
    if (l->backend->hold == NULL || l->backend->hold(l, s))
        hl__held(l, s);
}

int hl__prepend_input(hl_loop *l, hl_stream *s, const hl_op *op)
{
    if (op->len == 0)
        return 0;
    if (op->block->size > UINT32_MAX || op->len > UINT32_MAX - s->in_len)
        return -ENOMEM;
    if (s->in_len == 0) {
        hl_block_ref(op->block);
        s->in_block = op->block;
        s->in_at = (uint32_t)((uint8_t *)op->data - hl_block_data(op->block));
    } else {
        hl_block *both = hl_cache_get(l->cache, op->len + s->in_len);
        if (both == NULL)
            return -ENOMEM;
        memcpy(hl_block_data(both), op->data, op->len);
        memcpy(hl_block_data(both) + op->len, hl__in_data(s), s->in_len);
        if (s->in_held)
            hl__drop(l, s->in_block);
        s->in_block = both;
        s->in_at = 0;
    }
    s->in_held = 1;
    s->in_len += (uint32_t)op->len;
    return 0;
}
