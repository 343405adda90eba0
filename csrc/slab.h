/*
 * slab.h - the inside of a slab, for slab.c, slab_large.c and cache.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__SLAB_H
#define HL__SLAB_H

#include <pthread.h>

#include "hl_slab.h"
#include "poison.h"

/* A class's table of chunks has two levels, so that an empty class costs one untouched page. */
#define HL__LEAVES 512u
#define HL__LEAF 512u

typedef struct hl__class {
    /* The line that getting and giving write. */
    uint64_t head;     /* atomic: count << 32 | number of the first free block; see slab.c */
    uint64_t taken;    /* atomic: blocks that left the stack or were carved */
    uint64_t returned; /* atomic: blocks pushed */
    char pad0[HL_CACHE_LINE - 24];
    /* The line that carving writes. */
    uint32_t carved;   /* atomic: blocks carved so far, numbered from 1 */
    uint32_t total;    /* atomic; written under slab.lock: blocks that the chunks have room for */
    uint32_t shift;    /* a chunk holds 1 << shift blocks */
    uint32_t reserved;
    uint64_t stride;   /* bytes of a block with its header */
    uint64_t chunk;    /* bytes of a chunk */
    char pad1[HL_CACHE_LINE - 32];
    uint8_t **leaves[HL__LEAVES]; /* chunk c begins at leaves[c / HL__LEAF][c % HL__LEAF]; published by total */
} hl__class;

/* Lies before the header of a block that has a mapping of its own. */
typedef struct hl__large {
    struct hl__large *next;
    struct hl__large **prev_next;
    uint64_t mapped; /* bytes */
    char pad[HL_CACHE_LINE - 24];
} hl__large;

struct hl_slab {
    hl__class classes[HL_SLAB_CLASSES];
    uint64_t failures; /* atomic */
    char pad[HL_CACHE_LINE - 8];
    pthread_mutex_t lock; /* guards what follows, every mapping and unmapping, and the growth of the classes */
    uint64_t reserved;
    uint64_t limit;
    uint64_t large_count;
    uint64_t large_gets;
    hl__large *large;
    hl_cache *caches;
};

typedef struct hl__magazine {
    uint32_t count; /* atomic; written by the owner, read by hl_slab_stats_read */
    uint32_t reserved;
    hl_block *blocks[2 * HL_CACHE_BATCH]; /* the last is the one used last */
} hl__magazine;

struct hl_cache {
    hl_slab *slab;
    hl_cache *next; /* slab.caches; under its lock */
    hl_cache **prev_next;
    hl__magazine magazines[HL_SLAB_CLASSES];
};

/* Class of a block with room for `size` bytes, or HL_SLAB_LARGE. */
static inline uint32_t hl__class_of(size_t size)
{
    if (size <= HL_SLAB_MIN) {
        return 0;
    }
    if (size > HL_SLAB_MAX) {
        return HL_SLAB_LARGE;
    }
    return 64u - 7u - (uint32_t)__builtin_clzll(size - 1);
}

static inline uint64_t hl__class_size(uint32_t cls)
{
    return (uint64_t)HL_SLAB_MIN << cls;
}

/* Maps pages within the limit, or NULL. Under s->lock. */
void *hl__slab_map(hl_slab *s, size_t bytes);
void hl__slab_unmap(hl_slab *s, void *p, size_t bytes);

/* Takes 1 to `want` free blocks of a class, contents undefined and references 0. 0: none are to be had, which is
 * counted as a failure. Any thread. */
uint32_t hl__slab_take(hl_slab *s, uint32_t cls, hl_block **out, uint32_t want);

/* Gives n free blocks of a class back, n >= 1. Any thread. */
void hl__slab_give(hl_slab *s, uint32_t cls, hl_block **blocks, uint32_t n);

/* Blocks with a mapping of their own. Any thread. */
hl_block *hl__large_get(hl_slab *s, size_t size);
void hl__large_free(hl_block *b);
hl_block *hl__large_grow(hl_block *b, size_t size);

/* A free block gets its first reference. */
static inline hl_block *hl__block_bear(hl_block *b)
{
    hl__block_raise(b);
    /* relaxed: the block is ours alone; whoever gets it later gets it from us. */
    __atomic_store_n(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

/* Takes a reference away. True when it was the last: the block, buried if it is one of a class, is the caller's to give
 * back. */
static inline int hl__block_drop(hl_block *b)
{
    /* acquire: what others did with the block before they released it (their acq_rel below) is done before we reuse it.
     * A 1 is our own reference, and nobody can add to it without holding one: so no read-modify-write is needed. */
    int32_t refs = __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE);
    hl__check(refs > 0, "a block was released more often than referenced");
    if (refs != 1) {
        /* acq_rel: releases our accesses to whoever drops the last reference; acquires the others' if that is us. */
        refs = __atomic_fetch_sub(&b->refs, 1, __ATOMIC_ACQ_REL);
        hl__check(refs > 0, "a block was released more often than referenced");
        if (refs != 1) {
            return 0;
        }
    }
    /* relaxed: ours alone; giving it back publishes it. */
    __atomic_store_n(&b->refs, 0, __ATOMIC_RELAXED);
    if (b->cls != HL_SLAB_LARGE) {
        hl__block_bury(b);
    }
    return 1;
}

#endif /* HL__SLAB_H */
