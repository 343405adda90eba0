/*
 * hl_mpmc.h - a bounded lock-free ring between any number of producers and consumers.
 *
 * D. Vyukov, "Bounded MPMC queue" (1024cores.net, 2010). Each cell carries a sequence number that says whose turn it
 * is, so that one compare-and-swap on an index claims a cell and no two claims meet in it.
 *
 * Invariants, for a ring of `size` cells; positions count modulo 2^32, and so do the sequence numbers
 *   1. Cell p & mask serves positions p, p + size, p + 2 size ... in this order.
 *   2. sequence == p: free for the producer of position p. sequence == p + 1: full, for the consumer of position p, who
 *      sets it to p + size, which is 2 again for the next round.
 *   3. A position is claimed by the thread whose compare-and-swap moves tail (head) past it, after it has seen the cell
 *      ready; only that thread writes the cell's value and its sequence number.
 *   4. The sequence number is stored with release after the value was written (read) and loaded with acquire before it
 *      is read (written): the number hands the value over.
 *   5. A stale index cannot claim: by the time it is 2^32 positions behind, the compare-and-swap would have to be
 * passed over by 2^32 operations between its load and itself.
 *
 * Order: values come out in the order in which their positions were claimed, hence per producer in the order of
 * pushing. A producer that stalls between claiming and publishing makes consumers see "empty" at its cell, not wait.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_MPMC_H
#define HL_MPMC_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hl_mpmc_cell {
    uint64_t value;
    uint32_t sequence; /* atomic */
    uint32_t reserved;
} hl_mpmc_cell;

typedef struct hl_mpmc {
    hl_mpmc_cell *cells; /* the owner's memory; constant, as mask is */
    uint32_t mask;
    char pad0[HL_CACHE_LINE - 12];
    uint32_t tail; /* atomic; the next position to push to */
    char pad1[HL_CACHE_LINE - 4];
    uint32_t head; /* atomic; the next position to pop from */
    char pad2[HL_CACHE_LINE - 4];
} hl_mpmc;

/* `cells` has room for `size` cells, a power of two from 2 to 2^30, and outlives the ring. Returns 0 or -1: bad size.
 * Before anyone uses it. */
static inline int hl_mpmc_init(hl_mpmc *r, hl_mpmc_cell *cells, uint32_t size)
{
    if (size < 2 || size > 1u << 30 || (size & (size - 1)) != 0)
        return -1;
    r->cells = cells;
    r->mask = size - 1;
    r->head = r->tail = 0;
    for (uint32_t i = 0; i < size; i++)
        cells[i].sequence = i;
    return 0;
}

/* 1, or 0 when the ring is full. Any thread; lock-free. */
static inline int hl_mpmc_push(hl_mpmc *r, uint64_t value)
{
    uint32_t position = __atomic_load_n(&r->tail, __ATOMIC_RELAXED); /* a guess; the compare-and-swap decides */
    for (;;) {
        hl_mpmc_cell *cell = &r->cells[position & r->mask];
        /* acquire: the consumer of the last round has read the value (4) */
        int32_t ahead = (int32_t)(__atomic_load_n(&cell->sequence, __ATOMIC_ACQUIRE) - position);
        if (ahead < 0)
            return 0; /* still full from the last round */
        if (ahead > 0) {
            position = __atomic_load_n(&r->tail, __ATOMIC_RELAXED); /* somebody else has claimed it */
            continue;
        }
        /* relaxed: the claim orders nothing, the sequence number does (3, 4) */
        if (__atomic_compare_exchange_n(&r->tail, &position, position + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            cell->value = value;
            __atomic_store_n(&cell->sequence, position + 1, __ATOMIC_RELEASE); /* hands the value to a consumer (4) */
            return 1;
        }
    }
}

/* 1 and the oldest value, or 0 when the ring is empty. Any thread; lock-free. */
static inline int hl_mpmc_pop(hl_mpmc *r, uint64_t *value)
{
    uint32_t position = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
    for (;;) {
        hl_mpmc_cell *cell = &r->cells[position & r->mask];
        /* acquire: the producer has written the value (4) */
        int32_t ahead = (int32_t)(__atomic_load_n(&cell->sequence, __ATOMIC_ACQUIRE) - (position + 1));
        if (ahead < 0)
            return 0;
        if (ahead > 0) {
            position = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
            continue;
        }
        if (__atomic_compare_exchange_n(&r->head, &position, position + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            *value = cell->value;
            /* release: we have read it; the producer of the next round may write (4) */
            __atomic_store_n(&cell->sequence, position + r->mask + 1, __ATOMIC_RELEASE);
            return 1;
        }
    }
}

/* A moment's number of entries, between 0 and the size. Any thread. */
static inline uint32_t hl_mpmc_count(const hl_mpmc *r)
{
    uint32_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE); /* first, so that tail is not behind it */
    uint32_t count = __atomic_load_n(&r->tail, __ATOMIC_RELAXED) - head;
    return count <= r->mask + 1 ? count : r->mask + 1;
}

#ifdef __cplusplus
}
#endif
#endif /* HL_MPMC_H */
