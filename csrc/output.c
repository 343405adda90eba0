/*
 * output.c - a stream's outgoing queue: runs of bytes in counted blocks, sent in order, gathered where they are small.
 *
 * While the kernel takes everything, a run points into the block its bytes were given in (staging area, letter,
 * received message) and is gone by the end of the turn. When the kernel stalls, small runs are copied together into
 * blocks of their own: a slow peer that is owed 100 bytes must not hold a staging area of 256 KiB.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define GATHER_SIZE 8192u
#define UNSENT_MAX (4u << 20) /* see HL_ENTER_PERFORM */

/* Chunks come from pages of 4 KiB that live as long as the loop. */
struct chunk_page {
    struct chunk_page *next;
    hl_block *block; /* holds this */
    hl_chunk chunks[(4096 - 16) / sizeof(hl_chunk)];
};

static hl_chunk *chunk_new(hl_loop *l)
{
    if (l->chunks == NULL) {
        hl_block *b = hl_cache_get(l->cache, sizeof(struct chunk_page));
        if (b == NULL)
            return NULL;
        struct chunk_page *page = (struct chunk_page *)hl_block_data(b);
        page->block = b;
        page->next = l->chunk_pages;
        l->chunk_pages = page;
        for (size_t i = 0; i < sizeof page->chunks / sizeof page->chunks[0]; i++) {
            page->chunks[i].next = l->chunks;
            l->chunks = &page->chunks[i];
        }
    }
    hl_chunk *c = l->chunks;
    l->chunks = c->next;
    return c;
}

void hl__output_fini(hl_loop *l)
{
    while (l->chunk_pages != NULL) {
        struct chunk_page *page = l->chunk_pages;
        l->chunk_pages = page->next;
        hl_block_unref(page->block);
    }
}

static void chunk_free(hl_loop *l, hl_chunk *c)
{
    hl_cache_unref(l->cache, c->block);
    c->next = l->chunks;
    l->chunks = c;
}

/* A queue is a ring, known by its last run. */
static void enqueue(hl_chunk **last, hl_chunk *c)
{
    c->next = c;
    if (*last != NULL) {
        c->next = (*last)->next;
        (*last)->next = c;
    }
    *last = c;
}

/* Takes the first run off a queue that has one. */
static hl_chunk *dequeue(hl_chunk **last)
{
    hl_chunk *c = (*last)->next;
    if (c == *last)
        *last = NULL;
    else
        (*last)->next = c->next;
    return c;
}

/* Copies header and data, together, behind the queue's last bytes or into a block of their own. */
static int gather(hl_loop *l, hl_stream *s, const uint8_t *header, size_t header_len, const uint8_t *data, size_t len)
{
    size_t need = header_len + len;
    hl_chunk *c = s->out_last;
    if (c == NULL || !c->own || (size_t)(hl_block_data(c->block) + c->block->size - (c->data + c->len)) < need) {
        hl_block *b = hl_cache_get(l->cache, need > GATHER_SIZE ? need : GATHER_SIZE);
        if (b == NULL)
            return -ENOMEM;
        c = chunk_new(l);
        if (c == NULL) {
            hl_cache_unref(l->cache, b);
            return -ENOMEM;
        }
        *c = (hl_chunk){.block = b, .data = hl_block_data(b), .own = 1};
        enqueue(&s->out_last, c);
    }
    if (header_len > 0)
        memcpy(c->data + c->len, header, header_len);
    memcpy(c->data + c->len + header_len, data, len);
    c->len += need;
    return 0;
}

/* A run that would hold much more memory than it owes is better copied once the kernel has stalled. */
static int worth_gathering(const hl_block *block, uint64_t len)
{
    return len < block->size / 2;
}

static void queued(hl_loop *l, hl_stream *s, uint64_t n)
{
    if (s->stats.queued == 0)
        s->last_sent = (uint32_t)l->now;
    HL_COUNT(s->stats.queued, n);
    l->unsent += n + sizeof(hl_chunk);
    l->crowded |= s->stats.queued > l->config.low_water && !s->stalled;
    hl__list_add(l, &s->slot, HL_LIST_OUTPUT);
}

int hl__output_add(hl_loop *l, hl_stream *s, hl_block *block, uint8_t *data, uint64_t len, const uint8_t *header,
                   uint8_t header_len)
{
    hl_chunk *last = s->out_last;
    if (s->deaf)
        return 0;
    if (last != NULL && last->block == block && last->data + last->len == data && header_len == 0 && !last->own) {
        last->len += len;
    } else if (s->stalled && worth_gathering(block, len)) {
        if (gather(l, s, header, header_len, data, len) < 0)
            return -ENOMEM;
    } else {
        hl_chunk *c = chunk_new(l);
        if (c == NULL)
            return -ENOMEM;
        *c = (hl_chunk){.block = block, .data = data, .len = len, .header_len = header_len};
        if (header_len > 0)
            memcpy(c->header, header, header_len);
        hl_block_ref(block);
        enqueue(&s->out_last, c);
    }
    queued(l, s, len + header_len);
    return 0;
}

int hl__output_copy(hl_loop *l, hl_stream *s, const void *data, size_t len)
{
    if (s->deaf)
        return 0;
    if (gather(l, s, NULL, 0, data, len) < 0)
        return -ENOMEM;
    queued(l, s, len);
    return 0;
}

int hl__output_gather(hl_stream *s, struct iovec *iov, int max)
{
    int n = 0;
    hl_chunk *c = s->out_last;
    while (c != NULL && n < max - 1) {
        c = c->next;
        if (c->header_len > 0)
            iov[n++] = (struct iovec){c->header, c->header_len};
        if (c->len > 0)
            iov[n++] = (struct iovec){c->data, c->len};
        if (c == s->out_last)
            break;
    }
    return n;
}

/* Takes n bytes off the front of the run; returns how many it had for that. */
static size_t consume(hl_chunk *c, size_t n)
{
    size_t header = n < c->header_len ? n : c->header_len;
    if (header > 0) {
        c->header_len = (uint8_t)(c->header_len - header);
        memmove(c->header, c->header + header, c->header_len);
    }
    size_t body = n - header < c->len ? n - header : c->len;
    c->data += body;
    c->len -= body;
    return header + body;
}

void hl__output_sent(hl_loop *l, hl_stream *s, size_t n)
{
    HL_COUNT(s->stats.sent, n);
    HL_COUNT(s->stats.queued, -(uint64_t)n);
    s->last_sent = (uint32_t)l->now;
    while (s->out_last != NULL) {
        hl_chunk *c = s->out_last->next;
        n -= consume(c, n);
        if (c->len > 0 || c->header_len > 0)
            break;
        chunk_free(l, dequeue(&s->out_last));
    }
    if (s->stats.queued <= l->config.low_water && s->drain_due) {
        s->drain_due = 0;
        hl__notice(l, &s->slot, HL_NOTICE_DRAIN);
        hl__resume(l, s, HL_PAUSE_OUTPUT);
    }
    if (s->out_last == NULL)
        hl__stream_flushed(l, s);
}

/* Who does not take what we have to say is not listened to either. A stream that is closing goes on reading: a peer
 * that writes before it reads would wait for us for ever. */
static void mind_high_water(hl_loop *l, hl_stream *s)
{
    if (s->slot.ended || s->state != HL_OPEN || s->stats.queued < l->config.high_water || s->pauses & HL_PAUSE_OUTPUT)
        return;
    s->drain_due = 1;
    HL_COUNT(l->stats.read_pauses, 1);
    hl__pause(s, HL_PAUSE_OUTPUT);
}

void hl__output_stalled(hl_loop *l, hl_stream *s)
{
    if (s->stalled)
        return;
    s->stalled = 1;
    hl_chunk *last = s->out_last;
    s->out_last = NULL;
    while (last != NULL) {
        hl_chunk *c = dequeue(&last);
        int copied = worth_gathering(c->block, c->len) && !c->own &&
                     gather(l, s, c->header, c->header_len, c->data, c->len) == 0;
        if (copied)
            chunk_free(l, c);
        else
            enqueue(&s->out_last, c); /* large, or memory is short: it stays where it lies */
    }
    mind_high_water(l, s);
    if (s->write_ms != 0)
        hl__rearm(l, s);
}

void hl__output_drop(hl_loop *l, hl_stream *s)
{
    while (s->out_last != NULL)
        chunk_free(l, dequeue(&s->out_last));
    __atomic_store_n(&s->stats.queued, 0, __ATOMIC_RELAXED); /* a gauge; readers on other threads */
}

void hl__output_await_drain(hl_loop *l, hl_stream *s)
{
    if (s->stats.queued > l->config.low_water)
        s->drain_due = 1;
    else
        hl__notice(l, &s->slot, HL_NOTICE_DRAIN);
}

/* What waits costs memory and time; and above low_water an owner takes the peer for slow, which it is only once the
 * kernel has been asked. */
int hl__output_abounds(const hl_loop *l)
{
    return l->unsent >= UNSENT_MAX || l->crowded;
}

void hl__output_flush_all(hl_loop *l)
{
    hl_slot *slot;
    l->unsent = 0;
    l->crowded = 0;
    while ((slot = hl__list_take(l, HL_LIST_OUTPUT)) != NULL) {
        hl_stream *s = (hl_stream *)slot;
        if (slot->ended)
            continue;
        if (s->stalled)
            mind_high_water(l, s);
        else if (s->out_last != NULL)
            l->backend->send(l, s);
    }
}

void hl__stage_restart(hl_loop *l)
{
    hl_shared *sh = &l->shared;
    if (sh->stage_used == 0)
        return;
    if (!hl_block_sole(sh->stage)) {
        hl_block *fresh = hl_cache_get(l->cache, l->config.stage_size);
        if (fresh == NULL) {
            /* what is staged stays where it is; the owner goes on behind it, or copies into blocks when it is full */
            HL_COUNT(l->stats.nomem, 1);
            return;
        }
        hl_cache_unref(l->cache, sh->stage);
        sh->stage = fresh;
    }
    sh->stage_used = 0;
}
