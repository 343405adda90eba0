/*
 * hl_spsc.h - a bounded lock-free ring between one producer and one consumer.
 *
 * Lamport, "Specifying Concurrent Program Modules" (TOPLAS 1983); each side keeps a copy of the other's index and looks
 * at the original only when the copy says full or empty, so that most operations touch no line that the other side
 * writes (Lee, Bu, Chandranmenon, "A lock-free, cache-efficient shared ring buffer", ANCS 2009, the same idea).
 *
 * Invariants
 *   1. head and tail only grow, modulo 2^32; tail - head, modulo 2^32, is the number of entries, at most mask + 1.
 *   2. Only the consumer writes head, only the producer writes tail: neither needs a read-modify-write.
 *   3. Entries [head, tail) are the consumer's to read, all others the producer's to write. An entry changes hands with
 *      the release store of the index that passes it, and is taken with the acquire load of that index.
 *   4. head_seen <= head and tail_seen <= tail in the sense of 1: a copy that is old makes a side look fuller or
 * emptier than it is, never the reverse.
 *
 * Entries are 64-bit values: a pointer, a handle, a number. Every operation is wait-free.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_SPSC_H
#define HL_SPSC_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hl_spsc {
    uint64_t *entries; /* the owner's memory; constant, as mask is */
    uint32_t mask;
    char pad0[HL_CACHE_LINE - 12];
    uint32_t head;      /* atomic; the consumer's line */
    uint32_t tail_seen; /* consumer only */
    char pad1[HL_CACHE_LINE - 8];
    uint32_t tail;      /* atomic; the producer's line */
    uint32_t head_seen; /* producer only */
    char pad2[HL_CACHE_LINE - 8];
} hl_spsc;

/* `entries` has room for `size` values, a power of two up to 2^31, and outlives the ring. Returns 0 or -1: bad size.
 * Before both sides start. */
static inline int hl_spsc_init(hl_spsc *r, uint64_t *entries, uint32_t size)
{
    if (size == 0 || (size & (size - 1)) != 0)
        return -1;
    r->entries = entries;
    r->mask = size - 1;
    r->head = r->tail = r->head_seen = r->tail_seen = 0;
    return 0;
}

/* 1, or 0 when the ring is full. Producer. */
static inline int hl_spsc_push(hl_spsc *r, uint64_t value)
{
    uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED); /* our own */
    if (tail - r->head_seen > r->mask) {
        /* acquire: the consumer has read the entries before head (3), we may write over them */
        r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        if (tail - r->head_seen > r->mask)
            return 0;
    }
    r->entries[tail & r->mask] = value;
    __atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE); /* release: publishes the entry to the consumer (3) */
    return 1;
}

/* 1 and the oldest value, or 0 when the ring is empty. Consumer. */
static inline int hl_spsc_pop(hl_spsc *r, uint64_t *value)
{
    uint32_t head = __atomic_load_n(&r->head, __ATOMIC_RELAXED); /* our own */
    if (head == r->tail_seen) {
        /* acquire: the entries before tail are written (3) */
        r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
        if (head == r->tail_seen)
            return 0;
    }
    *value = r->entries[head & r->mask];
    __atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE); /* release: we have read it, it may be written over (3) */
    return 1;
}

/* Number of entries: exact for the two sides when the other is still, else a moment's value between 0 and the size. Any
 * thread. */
static inline uint32_t hl_spsc_count(const hl_spsc *r)
{
    /* head first, acquire so that it stays first: tail has then moved on, if anything */
    uint32_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    uint32_t count = __atomic_load_n(&r->tail, __ATOMIC_RELAXED) - head;
    return count <= r->mask + 1 ? count : r->mask + 1;
}

#ifdef __cplusplus
}
#endif
#endif /* HL_SPSC_H */
