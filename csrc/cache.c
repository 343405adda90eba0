/*
 * cache.c - one thread's free blocks, a magazine per class.
 *
 * After J. Bonwick and J. Adams, "Magazines and Vmem" (USENIX 2001), with one magazine of two batches instead of two
 * of one: an empty one is refilled with a batch, of a full one the older half is given back, so about a batch of gets
 * or releases lies between two visits to the shared stack.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

#include <string.h>

#include "pages.h"

enum { BATCH_BYTES = 512 << 10 }; /* a batch of large blocks has fewer of them */

static uint32_t batch_of(uint32_t cls)
{
    uint64_t fit = BATCH_BYTES / hl__class_size(cls);
    return fit >= HL_CACHE_BATCH ? HL_CACHE_BATCH : fit > 1 ? (uint32_t)fit : 1;
}

/* relaxed: written by the owner alone; others read it for statistics. */
static void set_count(hl__magazine *m, uint32_t count)
{
    __atomic_store_n(&m->count, count, __ATOMIC_RELAXED);
}

hl_cache *hl_cache_new(hl_slab *s)
{
    pthread_mutex_lock(&s->lock);
    hl_cache *c = hl__slab_map(s, hl__page_round(sizeof *c));
    if (c != NULL) {
        c->slab = s;
        c->next = s->caches;
        c->prev_next = &s->caches;
        if (c->next != NULL) {
            c->next->prev_next = &c->next;
        }
        s->caches = c;
    }
    pthread_mutex_unlock(&s->lock);
    if (c == NULL) {
        __atomic_fetch_add(&s->failures, 1, __ATOMIC_RELAXED); /* relaxed: statistics */
    }
    return c;
}

void hl_cache_free(hl_cache *c)
{
    if (c == NULL) {
        return;
    }
    hl_slab *s = c->slab;
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        hl__magazine *m = &c->magazines[cls];
        uint32_t count = m->count;
        if (count != 0) {
            set_count(m, 0);
            hl__slab_give(s, cls, m->blocks, count);
        }
    }
    pthread_mutex_lock(&s->lock);
    *c->prev_next = c->next;
    if (c->next != NULL) {
        c->next->prev_next = c->prev_next;
    }
    hl__slab_unmap(s, c, hl__page_round(sizeof *c));
    pthread_mutex_unlock(&s->lock);
}

hl_block *hl_cache_get(hl_cache *c, size_t size)
{
    uint32_t cls = hl__class_of(size);
    if (cls == HL_SLAB_LARGE) {
        return hl__large_get(c->slab, size);
    }
    hl__magazine *m = &c->magazines[cls];
    uint32_t count = m->count;
    if (count == 0) {
        count = hl__slab_take(c->slab, cls, m->blocks, batch_of(cls));
        if (count == 0) {
            return NULL;
        }
    }
    set_count(m, count - 1);
    return hl__block_bear(m->blocks[count - 1]);
}

void hl_cache_unref(hl_cache *c, hl_block *b)
{
    if (b == NULL || b->slab != c->slab || b->cls == HL_SLAB_LARGE) {
        hl_block_unref(b);
        return;
    }
    if (!hl__block_drop(b)) {
        return;
    }
    hl__magazine *m = &c->magazines[b->cls];
    uint32_t count = m->count;
    uint32_t batch = batch_of(b->cls);
    if (count == 2 * batch) {
        count = batch;
        set_count(m, count);
        hl__slab_give(c->slab, b->cls, m->blocks, batch);
        memmove(m->blocks, m->blocks + batch, batch * sizeof *m->blocks);
    }
    m->blocks[count] = b;
    set_count(m, count + 1);
}

hl_block *hl_cache_grow(hl_cache *c, hl_block *b, size_t used, size_t size)
{
    if (size <= b->size) {
        return b;
    }
    if (b->cls == HL_SLAB_LARGE) {
        return hl__large_grow(b, size);
    }
    hl_block *grown = hl_cache_get(c, size);
    if (grown != NULL) {
        memcpy(hl_block_data(grown), hl_block_data(b), used);
        hl_cache_unref(c, b);
    }
    return grown;
}
