/*
 * cache.c - one thread's free blocks, a magazine per class.
 *
 * After J. Bonwick and J. Adams, "Magazines and Vmem" (USENIX 2001), with one magazine of two batches instead of two of
 * one: an empty one is refilled with a batch, of a full one the older half is given back, so about a batch of gets or
 * releases lies between two visits to the shared stack.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

#include <string.h>

enum { BATCH_BYTES = 512 << 10 }; /* a batch of large blocks has fewer of them */

static uint32_t batch_of(uint32_t cls)
{
    uint32_t fit = (BATCH_BYTES / HL_SLAB_MIN) >> cls; /* without a division, which costs as much as all the rest */
    return fit >= HL_CACHE_BATCH ? HL_CACHE_BATCH : fit > 1 ? fit : 1;
}

/* relaxed, both: written by the owner alone; others read it for statistics. */
static void set_count(hl__magazine *m, uint32_t count)
{
    __atomic_store_n(&m->count, count, __ATOMIC_RELAXED);
}

static void set_arena(hl_cache *c, hl__arena *a)
{
    c->index = a->index;
    __atomic_store_n(&c->arena, a, __ATOMIC_RELAXED);
}

hl_cache *hl_cache_new_on(hl_slab *s, int node)
{
    pthread_mutex_lock(&s->lock);
    hl_cache *c = hl__slab_map(s, hl__page_round(sizeof *c));
    if (c != NULL) {
        c->slab = s;
        c->node = node;
        set_arena(c, hl__slab_arena(s, node));
        c->next = s->caches;
        c->prev_next = &s->caches;
        if (c->next != NULL) {
            c->next->prev_next = &c->next;
        }
        s->caches = c;
    }
    pthread_mutex_unlock(&s->lock);
    if (c == NULL) {
        hl__slab_count_failure(s);
    }
    return c;
}

hl_cache *hl_cache_new(hl_slab *s)
{
    return hl_cache_new_on(s, -1);
}

static void flush(hl_cache *c)
{
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        hl__magazine *m = &c->magazines[cls];
        uint32_t count = m->count;
        if (count != 0) {
            set_count(m, 0);
            hl__arena_give(c->arena, cls, m->blocks, count);
        }
    }
}

/* relaxed: a request; a moment later will do. */
static uint32_t requests(const hl_cache *c)
{
    return __atomic_load_n(&c->slab->eased, __ATOMIC_RELAXED);
}

int hl_cache_asked(const hl_cache *c)
{
    return requests(c) != c->eased;
}

void hl_cache_heed(hl_cache *c)
{
    uint32_t eased = requests(c);
    if (eased != c->eased) {
        c->eased = eased;
        flush(c);
    }
}

void hl_cache_free(hl_cache *c)
{
    if (c == NULL) {
        return;
    }
    hl_slab *s = c->slab;
    flush(c);
    pthread_mutex_lock(&s->lock);
    *c->prev_next = c->next;
    if (c->next != NULL) {
        c->next->prev_next = c->prev_next;
    }
    hl__slab_unmap(s, c, hl__page_round(sizeof *c));
    pthread_mutex_unlock(&s->lock);
}

/*
 * The two ways to the shared stack. Once per batch; kept out of the functions that call them, which need to save no
 * registers then.
 */

/* Fills an empty magazine from our node, or the one that we run on. Returns how many blocks it has then; 0: no memory.
 */
static __attribute__((noinline)) uint32_t refill(hl_cache *c, uint32_t cls)
{
    hl__arena *here = hl__slab_arena(c->slab, c->node);
    if (here != c->arena) {
        flush(c);
        set_arena(c, here);
    }
    return hl__arena_take(here, cls, c->magazines[cls].blocks, batch_of(cls));
}

/* Gives the older half of a full magazine back. Returns how many blocks it has then. */
static __attribute__((noinline)) uint32_t spill(hl_cache *c, uint32_t cls)
{
    hl__magazine *m = &c->magazines[cls];
    uint32_t batch = batch_of(cls);
    set_count(m, batch);
    hl__arena_give(c->arena, cls, m->blocks, batch);
    memmove(m->blocks, m->blocks + batch, batch * sizeof *m->blocks);
    return batch;
}

hl_block *hl_cache_get(hl_cache *c, size_t size)
{
    uint32_t cls = hl__class_of(size);
    if (cls == HL_SLAB_LARGE) {
        return hl__large_get(hl__slab_arena(c->slab, c->node), size);
    }
    hl__magazine *m = &c->magazines[cls];
    uint32_t count = m->count;
    if (count == 0) {
        count = refill(c, cls); /* a block of another arena is the only one, and leaves at once */
        if (count == 0) {
            return NULL;
        }
    }
    set_count(m, count - 1);
    return hl__block_bear(m->blocks[count - 1]);
}

void hl_cache_unref(hl_cache *c, hl_block *b)
{
    if (b == NULL || b->slab != c->slab || b->arena != c->index || b->cls == HL_SLAB_LARGE) {
        hl_block_unref(b);
        return;
    }
    if (!hl__block_drop(b)) {
        return;
    }
    hl__magazine *m = &c->magazines[b->cls];
    uint32_t count = m->count;
    if (count == 2 * batch_of(b->cls)) {
        count = spill(c, b->cls);
    }
    m->blocks[count] = b;
    set_count(m, count + 1);
}

hl_block *hl_cache_grow(hl_cache *c, hl_block *b, size_t used, size_t size)
{
    if (size <= b->size) {
        return b;
    }
    if (b->cls == HL_SLAB_LARGE && hl__large_of(b)->kind != HL__PAGES_HUGE) {
        return hl__large_grow(b, size);
    }
    hl_block *grown = hl_cache_get(c, size);
    if (grown != NULL) {
        memcpy(hl_block_data(grown), hl_block_data(b), used);
        hl_cache_unref(c, b);
    }
    return grown;
}
