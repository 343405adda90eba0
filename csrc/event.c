/*
 * event.c - the completion ring, notices, work lists, and the memory that a turn's events point into.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>

/* The receive buffer holds this many full receives, so that a turn over many small streams needs one block. */
#define RECV_DEPTH 2

int hl__grow_pins(hl_loop *l)
{
    size_t used = l->pin_room * sizeof(hl_block *);
    hl_block *grown = hl_cache_grow(l->cache, l->pin_block, used, used * 2);
    if (grown == NULL)
        return -ENOMEM;
    l->pin_block = grown;
    l->pins = (hl_block **)hl_block_data(grown);
    l->pin_room = (uint32_t)(grown->size / sizeof(hl_block *));
    return 0;
}

/* A block can be dropped more than once in a turn, by streams that share it; it is listed once, with one reference. The
 * link's lowest bit tells that it is. */
void hl__drop(hl_loop *l, hl_block *b)
{
    if (b->spare[3] != 0) {
        hl_cache_unref(l->cache, b);
        return;
    }
    b->spare[3] = (uint64_t)(uintptr_t)l->dropped | 1;
    l->dropped = b;
}

void hl__unpin_all(hl_loop *l)
{
    while (l->dropped != NULL) {
        hl_block *b = l->dropped;
        l->dropped = (hl_block *)(uintptr_t)(b->spare[3] & ~(uint64_t)1);
        b->spare[3] = 0;
        hl_cache_unref(l->cache, b);
    }
    while (l->pin_count > 0)
        hl_cache_unref(l->cache, l->pins[--l->pin_count]);
    if (l->recv != NULL && hl_block_sole(l->recv))
        l->recv_used = 0;
}

size_t hl__recv_room(hl_loop *l, size_t want, uint8_t **where)
{
    if (l->recv != NULL && l->recv->size - l->recv_used < want) {
        hl__pin(l, l->recv);
        l->recv = NULL;
    }
    if (l->recv == NULL) {
        l->recv = hl_cache_get(l->cache, (size_t)l->config.recv_size * RECV_DEPTH);
        l->recv_used = 0;
        if (l->recv == NULL)
            return 0;
    }
    *where = hl_block_data(l->recv) + l->recv_used;
    return l->recv->size - l->recv_used;
}

/* ------------------------------------------------------------------ lists */

static void append(hl_list *to, hl_slot *s, int list)
{
    if (to->first == NULL)
        to->first = s;
    else
        to->last->next[list] = s->head.index;
    to->last = s;
}

static hl_slot *take_first(hl_loop *l, hl_list *from, int list)
{
    hl_slot *s = from->first;
    if (s != NULL)
        from->first = s == from->last ? NULL : hl__table_known(&l->table, s->next[list]);
    return s;
}

void hl__list_add(hl_loop *l, hl_slot *s, int list)
{
    if (s->listed & 1u << list)
        return;
    s->listed |= (uint8_t)(1u << list);
    append(&l->lists[list], s, list);
}

hl_slot *hl__list_take(hl_loop *l, int list)
{
    hl_slot *s = take_first(l, &l->lists[list], list);
    if (s != NULL)
        s->listed &= (uint8_t) ~(1u << list);
    return s;
}

/* ------------------------------------------------------------------ notices */

void hl__notice(hl_loop *l, hl_slot *s, uint8_t notice)
{
    s->notices |= notice;
    hl__list_add(l, s, HL_LIST_NOTICE);
}

static void closed_event(hl_loop *l, hl_slot *s)
{
    hl_event *e = hl__event(l, s, HL_EV_CLOSED);
    e->result = s->result;
    e->user = s->user;
    if (s->kind != HL_KIND_STREAM)
        return;
    hl_stream *st = (hl_stream *)s;
    e->kind = st->lost;
    if (st->codec != HL_CODEC_WS)
        return;
    e->flags = st->close_code ? st->close_code : 1006;
    hl_block *reason = st->aside;
    if (st->close_code == 0 || reason == NULL)
        return;
    st->aside = NULL;
    e->len = *(uint64_t *)hl_block_data(reason);
    e->data = hl_block_data(reason) + sizeof(uint64_t);
    e->block = reason;
    hl__pin(l, reason);
}

/* Frees the slot, cleared for its next user but for the statistics: the owner may still want to read them. */
static void release(hl_loop *l, hl_slot *s)
{
    char *from = (char *)s + sizeof s->head, *stats = (char *)&((hl_stream *)s)->stats;
    char *behind = stats + sizeof(hl_stream_stats), *end = (char *)s + sizeof(hl_stream);
    memset(from, 0, (size_t)(stats - from));
    memset(behind, 0, (size_t)(end - behind));
    hl__table_release(&l->table, &s->head);
}

/* Sends one notice of the slot's, the first in order. */
static void send_one(hl_loop *l, hl_slot *s)
{
    uint8_t notice = s->notices & (uint8_t)-s->notices;
    s->notices &= (uint8_t)~notice;
    switch (notice) {
    case HL_NOTICE_ACCEPT_ERROR:
        hl__event(l, s, HL_EV_ACCEPT_ERROR)->result = s->result;
        s->result = 0;
        break;
    case HL_NOTICE_DRAIN: hl__event(l, s, HL_EV_DRAIN); break;
    case HL_NOTICE_QUIET: hl__event(l, s, HL_EV_QUIET); break;
    case HL_NOTICE_CLOSED:
        closed_event(l, s);
        release(l, s);
        break;
    default:
        for (uint8_t kind = 0; kind <= HL_DEADLINE_WRITE; kind++)
            if (notice == HL_NOTICE_TIMER << kind)
                hl__event(l, s, HL_EV_TIMEOUT)->kind = kind;
    }
}

void hl__send_notices(hl_loop *l)
{
    hl_list later = {0};
    while (hl__room(l) > 0) {
        hl_slot *s = hl__list_take(l, HL_LIST_NOTICE);
        if (s == NULL)
            break;
        if (s->ended)
            s->notices &= HL_NOTICE_CLOSED;
        if (s->notices == HL_NOTICE_CLOSED && s->listed != 0) {
            /* still on a work list, which must not be left pointing at a free slot: after that list has been run */
            append(&later, s, HL_LIST_NOTICE);
            continue;
        }
        uint8_t more = s->notices & (uint8_t)(s->notices - 1);
        send_one(l, s);
        if (more)
            hl__list_add(l, s, HL_LIST_NOTICE);
    }
    for (hl_slot *s; (s = take_first(l, &later, HL_LIST_NOTICE)) != NULL;)
        hl__list_add(l, s, HL_LIST_NOTICE);
}
