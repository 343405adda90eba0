/*
 * hl_slab.h - counted blocks of memory in size classes.
 *
 * A slab hands out blocks: a 64-byte header followed by `size` bytes. Classes are powers of two from HL_SLAB_MIN to
 * HL_SLAB_MAX bytes of payload, carved from chunks of at least 2 MiB taken from the kernel with mmap; larger blocks get
 * a mapping of their own, which grows in place or moves without a copy (mremap). Free blocks of a class lie on one
 * lock-free stack (Treiber 1986, with a counted head against ABA), so any thread may get and release; a thread that
 * gets many keeps some in a cache of its own (hl_cache), which touches the shared stack once per HL_CACHE_BATCH blocks
 * (per fewer where blocks are larger than 32 KiB: it never holds more than 1 MiB of a class, or two blocks).
 *
 * A block is counted: it is born with one reference, hl_block_ref adds one, hl_block_unref takes one away and, with the
 * last, returns the block to the slab it came from, from whatever thread. No memory is zeroed.
 *
 * When the limit or the machine's memory is reached, getting returns NULL and the failure is counted; nothing aborts.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_SLAB_H
#define HL_SLAB_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HL_SLAB_MIN 128u               /* bytes of payload of the smallest class: 2^7  */
#define HL_SLAB_MAX (4u << 20)         /* of the largest class:                   2^22 */
#define HL_SLAB_CLASSES 16             /* 2^7, 2^8 ... 2^22 */
#define HL_SLAB_LARGE HL_SLAB_CLASSES  /* the "class" of blocks with a mapping of their own */
#define HL_CACHE_BATCH 16

typedef struct hl_slab hl_slab;
typedef struct hl_cache hl_cache;

/*
 * The header of a block; the bytes follow it at once, 64-byte aligned. The layout is pinned: Go counts references with
 * its own atomics on `refs` (but only hl_block_unref may take the last one away).
 */
typedef struct hl_block {
    int32_t refs;    /* offset  0: atomic; 0 only while free */
    uint32_t cls;    /*         4: class, or HL_SLAB_LARGE */
    uint64_t size;   /*         8: bytes of payload */
    hl_slab *slab;   /*        16: home */
    uint64_t link;   /*        24: atomic; the slab's: the block's own number, and the next one's while it is free */
    uint64_t spare[4];
} hl_block;

static inline uint8_t *hl_block_data(hl_block *b) { return (uint8_t *)(b + 1); }

typedef struct hl_slab_class_stats {
    uint64_t size;     /* bytes of payload of a block of this class; 0 for the large ones */
    uint64_t in_use;   /* blocks handed out; what lies in caches is not */
    uint64_t total;    /* blocks made so far: in use, in caches and free; room never used is not counted */
    uint64_t gets;     /* handed out so far; for blocks served from a cache, counted when the cache refills */
} hl_slab_class_stats;

typedef struct hl_slab_stats {
    uint64_t reserved;  /* bytes mapped, its own tables and caches included; the kernel commits what is touched */
    uint64_t limit;     /* bytes that may be mapped; 0: no limit */
    uint64_t failures;  /* gets refused */
    hl_slab_class_stats classes[HL_SLAB_CLASSES + 1];
} hl_slab_stats;

/* Makes a slab that maps at most `limit` bytes (0: no limit). NULL when even its own bookkeeping cannot be had. */
hl_slab *hl_slab_new(uint64_t limit);

/*
 * Unmaps everything at once. Any thread, but the last call on the slab: no block, no cache of it may be used after.
 * Returns the number of blocks that were still in use (a leak, if the caller expected none). Its caches go with it.
 */
uint64_t hl_slab_free(hl_slab *s);

/* A block with room for `size` bytes (size 0 gives the smallest), one reference, contents undefined; or NULL.
 * Any thread. */
hl_block *hl_slab_get(hl_slab *s, size_t size);

/* A snapshot; exact when nobody gets or releases meanwhile. Any thread. */
void hl_slab_stats_read(hl_slab *s, hl_slab_stats *out);

/* Adds a reference. The caller holds one already. Any thread. */
void hl_block_ref(hl_block *b);

/* Takes a reference away; the last returns the block to its slab. NULL is allowed. Any thread. */
void hl_block_unref(hl_block *b);

/* True when the caller's reference is the only one. Any thread that holds a reference. */
int hl_block_sole(const hl_block *b);

/*
 * One thread's cache over `s`. Owner: the thread that uses it; it may move to another thread between calls with the
 * usual happens-before. hl_cache_free gives every cached block back. NULL when no memory is to be had.
 */
hl_cache *hl_cache_new(hl_slab *s);
void hl_cache_free(hl_cache *c);

/* As hl_slab_get and hl_block_unref, by way of the cache. A block of another slab goes to its own home. Owner. */
hl_block *hl_cache_get(hl_cache *c, size_t size);
void hl_cache_unref(hl_cache *c, hl_block *b);

/*
 * Gives `b`, whose sole reference the caller holds and whose first `used` bytes matter, room for at least `size` bytes.
 * Returns the block to use from now on (b itself, or another that took its reference over); or NULL, and then b is
 * unchanged and still the caller's. Owner.
 */
hl_block *hl_cache_grow(hl_cache *c, hl_block *b, size_t used, size_t size);

#ifdef __cplusplus
}
#endif
#endif /* HL_SLAB_H */
