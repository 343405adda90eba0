/*
 * table.c - see table.h.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "table.h"

#include <errno.h>
#include <string.h>

#define CHUNK_BYTES 65536u
#define PER_CHUNK_MAX 1024u

int hl__table_init(hl_table *t, hl_slab *slab, uint32_t max, uint32_t slot_size)
{
    memset(t, 0, sizeof *t);
    if (slot_size > CHUNK_BYTES / 2 || max > HL__SLOTS_MAX)
        return -EINVAL;
    t->slab = slab;
    t->max = max;
    t->slot_size = slot_size;
    t->per_chunk = CHUNK_BYTES / slot_size < PER_CHUNK_MAX ? CHUNK_BYTES / slot_size : PER_CHUNK_MAX;
    t->reciprocal = (((uint64_t)1 << 36) + t->per_chunk - 1) / t->per_chunk;
    size_t bytes = ((size_t)max / t->per_chunk + 1) * sizeof(hl_block *);
    t->directory = hl_slab_get(slab, bytes);
    if (t->directory == NULL)
        return -ENOMEM;
    t->chunks = (hl_block **)hl_block_data(t->directory);
    memset(t->chunks, 0, bytes);
    return 0;
}

void hl__table_fini(hl_table *t)
{
    if (t->directory == NULL)
        return;
    for (uint32_t i = 0; i <= t->max / t->per_chunk; i++)
        hl_block_unref(t->chunks[i]);
    hl_block_unref(t->directory);
    t->directory = NULL;
}

/* The chunk that holds `index`, made if need be; NULL when memory is short. */
static hl_block *chunk_for(hl_table *t, uint32_t index)
{
    hl_block **at = &t->chunks[hl__table_chunk(t, index)];
    /* acquire: pairs with the release below, so that the chunk's zeroed contents are seen */
    hl_block *chunk = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (chunk != NULL)
        return chunk;
    hl_block *fresh = hl_slab_get(t->slab, CHUNK_BYTES);
    if (fresh == NULL)
        return NULL;
    memset(hl_block_data(fresh), 0, (size_t)t->per_chunk * t->slot_size);
    /* release: publishes the zeroed chunk; acquire on failure: the winner's */
    if (__atomic_compare_exchange_n(at, &chunk, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    hl_block_unref(fresh);
    return chunk;
}

static hl_slot_head *pop_free(hl_table *t)
{
    /* acquire: the slot's contents as its releaser left them */
    uint64_t head = __atomic_load_n(&t->free, __ATOMIC_ACQUIRE);
    while ((uint32_t)head != 0) {
        hl_slot_head *s = hl__table_at(t, (uint32_t)head - 1);
        /* relaxed: a torn-away link only makes the compare-and-swap below fail (invariant 3) */
        uint64_t next = ((head >> 32) + 1) << 32 | __atomic_load_n(&s->next_free, __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(&t->free, &head, next, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return s;
    }
    return NULL;
}

static hl_slot_head *take_fresh(hl_table *t)
{
    uint32_t index = __atomic_load_n(&t->fresh, __ATOMIC_RELAXED);
    do {
        if (index >= t->max || chunk_for(t, index) == NULL)
            return NULL;
        /* relaxed: the index alone is claimed; the chunk was published by chunk_for */
    } while (!__atomic_compare_exchange_n(&t->fresh, &index, index + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    hl_slot_head *s = hl__table_at(t, index);
    s->index = index;
    return s;
}

hl_handle hl__table_reserve(hl_table *t)
{
    hl_slot_head *s = pop_free(t);
    if (s == NULL)
        s = take_fresh(t);
    if (s == NULL)
        return 0;
    __atomic_add_fetch(&t->alive, 1, __ATOMIC_RELAXED); /* a count only */
    /* relaxed: whoever uses the handle has it from this thread, by a channel that orders (the mailbox) */
    uint32_t generation = __atomic_load_n(&s->generation, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(&s->generation, generation, __ATOMIC_RELAXED);
    return hl_handle_make(s->index, generation);
}

void hl__table_release(hl_table *t, hl_slot_head *s)
{
    uint32_t generation = s->generation + 1;
    uint32_t index = s->index;
    __atomic_store_n(&s->generation, generation, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&t->alive, 1, __ATOMIC_RELAXED);
    uint64_t head = __atomic_load_n(&t->free, __ATOMIC_RELAXED);
    uint64_t next;
    do {
        __atomic_store_n(&s->next_free, (uint32_t)head, __ATOMIC_RELAXED);
        next = ((head >> 32) + 1) << 32 | (index + 1);
        /* release: the cleared slot and its generation, to whoever pops it */
    } while (!__atomic_compare_exchange_n(&t->free, &head, next, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}
