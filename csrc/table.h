/*
 * table.h - slots: fixed-size records named by {index, generation}, reserved by any thread, used by one.
 *
 * Invariants
 *   1. A slot's generation is odd from reserve to release and even while free; each changes it by one.
 *   2. A free index lies on the free list exactly once, or has never been used (index >= fresh).
 *   3. The free list is a Treiber stack whose head carries a 32-bit tag that grows with every change: a head that was
 *      popped and pushed back between another thread's load and compare-and-swap differs in its tag (ABA).
 *   4. Chunks are published once and stay until the table is freed, so a slot's address never changes and reading the
 *      link of a slot that someone else has just popped is harmless.
 *
 * R. K. Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_TABLE_H
#define HL_TABLE_H

#include "hl_slab.h"

#define HL__SLOTS_MAX (1u << 24) /* in a table: backends put an index and eight bits of their own into one word */

/* Every slot begins with this. */
typedef struct hl_slot_head {
    uint32_t generation; /* atomic */
    uint32_t index;
    uint32_t next_free; /* atomic; index + 1 of the next free slot, 0: none */
    uint32_t mark;      /* the owner's; survives release */
} hl_slot_head;

typedef struct hl_table {
    uint64_t free;  /* atomic: tag << 32 | index + 1 */
    uint32_t fresh; /* atomic: indices below it have been used */
    uint32_t max;
    uint32_t slot_size;
    uint32_t per_chunk;
    uint32_t alive;      /* atomic: slots reserved and not released */
    uint64_t reciprocal; /* of per_chunk, times 2^36: an index is divided at every operation */
    hl_block **chunks;   /* atomic entries */
    hl_block *directory; /* holds `chunks` */
    hl_slab *slab;
} hl_table;

/* For at most 2^24 slots of at most 32 KiB. -ENOMEM, -EINVAL. Owner. */
int hl__table_init(hl_table *t, hl_slab *slab, uint32_t max, uint32_t slot_size);
void hl__table_fini(hl_table *t);

/* A slot, with what its last user left in it or zero bytes when it is new; or 0 when `max` are alive or memory is
 * short. Any thread. */
hl_handle hl__table_reserve(hl_table *t);

/* Voids the slot's handle and frees the slot. Owner, or the thread that reserved it. */
void hl__table_release(hl_table *t, hl_slot_head *s);

/* index / per_chunk without a division, which every operation would pay for. The reciprocal is rounded up by less than
 * 2^-36, so the quotient is too large by less than index / 2^36, which is less than 2^-12. That is below 1 / per_chunk,
 * and the result exact, with fewer than 4096 slots in a chunk. */
static inline uint32_t hl__table_chunk(const hl_table *t, uint32_t index)
{
    return (uint32_t)(index * t->reciprocal >> 36);
}

/* The slot at an index that lies in this chunk, whose memory is `block`. */
static inline void *hl__table_in(const hl_table *t, uint32_t chunk, hl_block *block, uint32_t index)
{
    return hl_block_data(block) + (size_t)(index - chunk * t->per_chunk) * t->slot_size;
}

/* The slot at an index that the caller knows to be in use. Owner. */
static inline void *hl__table_known(const hl_table *t, uint32_t index)
{
    uint32_t chunk = hl__table_chunk(t, index);
    return hl__table_in(t, chunk, t->chunks[chunk], index);
}

/* The slot at an index that has been handed out, or NULL. Any thread. */
static inline void *hl__table_at(const hl_table *t, uint32_t index)
{
    if (index >= t->max)
        return NULL;
    uint32_t chunk = hl__table_chunk(t, index);
    /* acquire: the chunk's contents */
    hl_block *block = __atomic_load_n(&t->chunks[chunk], __ATOMIC_ACQUIRE);
    return block != NULL ? hl__table_in(t, chunk, block, index) : NULL;
}

/* The slot named by h while h is valid, else NULL. Owner, or the thread that reserved h. */
static inline void *hl__table_get(const hl_table *t, hl_handle h)
{
    hl_slot_head *s = (hl_slot_head *)hl__table_at(t, hl_handle_index(h));
    if (s == NULL || (hl_handle_generation(h) & 1) == 0)
        return NULL;
    return __atomic_load_n(&s->generation, __ATOMIC_RELAXED) == hl_handle_generation(h) ? s : NULL;
}

static inline hl_handle hl__slot_handle(const hl_slot_head *s)
{
    return hl_handle_make(s->index, s->generation);
}

#endif /* HL_TABLE_H */
