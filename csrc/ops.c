/*
 * ops.c - operations: those in the submission ring, and those that other threads post as letters.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A posted operation: the letter, the operation, then room for a frame header and the bytes that it carries. */
typedef struct posted {
    hl_letter letter; /* first */
    hl_block *block;  /* holds this */
    hl_op op;
    uint8_t headroom[HL_WS_MAX_HEADER];
    uint8_t bytes[];
} posted;

/* Gives back what an operation carries. */
static void op_done(hl_loop *l, const hl_op *op)
{
    if (op->flags & HL_GIVE)
        hl_cache_unref(l->cache, op->block);
}

static void stale(hl_loop *l, const hl_op *op)
{
    HL_COUNT(l->stats.stale_ops, 1);
    if (op->code == HL_OP_ATTACH || op->code == HL_OP_LISTEN)
        close(op->arg);
}

/* Operations that bring a slot to life. */
static void bear(hl_loop *l, hl_slot *s, const hl_op *op)
{
    switch (op->code) {
    case HL_OP_ATTACH: hl__attach(l, (hl_stream *)s, op); break;
    case HL_OP_LISTEN: hl__listen(l, s, op); break;
    case HL_OP_WATCH: hl__watch(l, s, op); break;
    case HL_OP_TIMER: hl__timer(l, s, op); break;
    default: stale(l, op);
    }
}

static void reset_on_close(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void stream_op(hl_loop *l, hl_stream *s, const hl_op *op)
{
    switch (op->code) {
    case HL_OP_SEND:
        if (s->state == HL_OPEN)
            hl__codec(s)->send(l, s, op);
        else
            stale(l, op);
        break;
    case HL_OP_READ:
        if (s->state != HL_OPEN)
            stale(l, op); /* it reads for the peer's goodbye, whatever its owner wants */
        else if (op->arg)
            hl__resume(l, s, HL_PAUSE_USER);
        else
            hl__pause(s, HL_PAUSE_USER);
        break;
    case HL_OP_UPGRADE: hl__upgrade(l, s, op); break;
    case HL_OP_DEADLINE: hl__deadline(l, s, op); break;
    case HL_OP_QUIESCE: hl__quiesce(l, s, op->arg == 1); break;
    case HL_OP_DRAIN: hl__output_await_drain(l, s); break;
    case HL_OP_CLOSE: hl__stream_close(l, s, op->arg, op->data, op->len); break;
    case HL_OP_ABORT:
        if (op->flags & HL_RESET)
            reset_on_close(s->slot.fd);
        hl__end(l, &s->slot, 0);
        break;
    default: stale(l, op);
    }
}

/* Operations on the other kinds of slots. */
static void slot_op(hl_loop *l, hl_slot *s, const hl_op *op)
{
    if (op->code == HL_OP_CLOSE || op->code == HL_OP_ABORT)
        hl__end(l, s, 0);
    else if (op->code == HL_OP_REWATCH && s->kind == HL_KIND_WATCH)
        hl__rewatch(l, s, op->flags);
    else if (op->code == HL_OP_TIMER && (s->kind == HL_KIND_TIMER || s->kind == HL_KIND_WATCH))
        hl__timer(l, s, op);
    else
        stale(l, op);
}

static void perform(hl_loop *l, const hl_op *op)
{
    hl_slot *s = hl__slot(l, op->handle);
    HL_COUNT(l->stats.ops, 1);
    if (s == NULL || s->ended)
        stale(l, op);
    else if (s->kind == HL_KIND_STREAM)
        stream_op(l, (hl_stream *)s, op);
    else if (s->kind == HL_KIND_NONE)
        bear(l, s, op);
    else
        slot_op(l, s, op);
    op_done(l, op);
}

void hl__read_letters(hl_loop *l, hl_letter *first)
{
    while (first != NULL) {
        posted *p = (posted *)first;
        first = first->next;
        HL_COUNT(l->stats.letters, 1);
        hl_slot *s = hl__slot(l, p->op.handle);
        int is_send = p->op.code == HL_OP_SEND && s != NULL && s->kind == HL_KIND_STREAM;
        perform(l, &p->op);
        if (is_send) {
            hl_stream_stats *stats = &((hl_stream *)s)->stats;
            /* release: who sees that it was taken up sees it queued; between the two it is counted twice, never not */
            __atomic_store_n(&stats->posted, stats->posted + p->op.len + HL_LETTER_COST, __ATOMIC_RELEASE);
        }
        hl_cache_unref(l->cache, p->block);
    }
}

void hl__run_ops(hl_loop *l)
{
    hl_ring *sq = &l->shared.sq;
    /* acquire: the entries up to tail */
    uint32_t tail = __atomic_load_n(&sq->tail, __ATOMIC_ACQUIRE);
    for (uint32_t head = sq->head; head != tail; head++) {
        hl_op *op = (hl_op *)sq->entries + (head & sq->mask);
        if (op->code == HL_OP_LETTERS) {
            hl__read_letters(l, hl_letter_reverse(op->data));
            continue;
        }
        if (!(op->flags & (HL_KEEP | HL_GIVE)))
            op->block = l->shared.stage;
        perform(l, op);
    }
    /* release: the entries have been read and may be overwritten */
    __atomic_store_n(&sq->head, tail, __ATOMIC_RELEASE);
}

int hl_loop_post(hl_loop *l, const hl_op *op)
{
    int copies = (op->code == HL_OP_SEND || op->code == HL_OP_CLOSE || op->code == HL_OP_UPGRADE) &&
                 !(op->flags & (HL_KEEP | HL_GIVE));
    uint16_t placed = op->flags & (HL_KEEP | HL_GIVE);
    if (op->code == 0 || op->code >= HL_OP_LETTERS || placed == (HL_KEEP | HL_GIVE) || (placed && op->block == NULL))
        return -EINVAL;
    size_t len = copies ? op->len : 0;
    hl_block *b = hl_slab_get(l->config.slab, sizeof(posted) + len);
    if (b == NULL)
        return -ENOMEM;
    posted *p = (posted *)hl_block_data(b);
    p->block = b;
    p->op = *op;
    if (copies) {
        if (len > 0)
            memcpy(p->bytes, op->data, len);
        p->op.data = p->bytes;
        p->op.block = b;
        p->op.flags |= HL_KEEP | HL_HEADROOM;
    } else if (op->flags & HL_KEEP) {
        hl_block_ref(op->block); /* until the letter is read */
        p->op.flags = (uint16_t)((op->flags & ~HL_KEEP) | HL_GIVE);
    }
    if (hl_mailbox_post(&l->shared.mailbox, &p->letter))
        l->backend->wake(l);
    return 0;
}
