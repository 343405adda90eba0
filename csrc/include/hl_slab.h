/*
 * hl_slab.h - counted blocks of memory in size classes, on the memory node where they are used.
 *
 * A slab hands out blocks: a 64-byte header followed by `size` bytes. Classes are powers of two from HL_SLAB_MIN to
 * HL_SLAB_MAX bytes of payload, carved from chunks taken from the kernel with mmap: 2 MiB for the classes up to 256
 * KiB, one block for those above. Larger blocks get a mapping of their own, which grows in place or moves without a
 * copy (mremap). Free blocks of a class lie on one lock-free stack (hl_stack.h), so any thread may get and release; a
 * thread that gets many keeps some in a cache of its own (hl_cache), which touches the shared stack once per
 * HL_CACHE_BATCH blocks (per fewer where blocks are larger than 32 KiB: it never holds more than 1 MiB of a class, or
 * two blocks).
 *
 * A block is counted: it is born with one reference, hl_block_ref adds one, hl_block_unref takes one away and, with the
 * last, returns the block to the slab it came from, from whatever thread. No memory is zeroed.
 *
 * Nodes. On a machine with several memory nodes (NUMA) a slab has an arena per node, each with stacks and chunks of its
 * own, and a block is got from the node asked for, -1 being the one that the calling thread runs on at that moment. It
 * returns to the arena it came from. A node that is full gives way to the nearest that is not, which is counted; which
 * node a block really lies on is what hl_block_node says.
 *
 * Huge pages. The kernel is asked for transparent ones where they commit little that is not used: for blocks of up to 4
 * KiB from the second chunk of a class on, for those of 2 and 4 MiB from the second, and for larger ones. Other memory
 * is of plain pages, committed as they are touched. With HL_SLAB_HUGE, all comes from the administrator's reserve of 2
 * MiB pages as long as it lasts, where rounding up to whole ones wastes no more than an eighth.
 *
 * Giving back. hl_slab_trim unmaps chunks whose blocks are all free and empties free blocks in others; hl_slab_ease
 * tells when that may be worth it. Nothing is given back unasked, but for blocks above HL_SLAB_MAX, which are unmapped
 * when they are released.
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
    uint32_t number; /*        24: the slab's: its name in its class */
    uint16_t arena;  /*        28: the slab's: where it returns to */
    int16_t node;    /*        30: see hl_block_node */
    uint64_t spare[4];
} hl_block;

static inline uint8_t *hl_block_data(hl_block *b) { return (uint8_t *)(b + 1); }

/* The memory node that the block's first page lay on when the block was made, by the kernel's number; -1: not known. */
static inline int hl_block_node(const hl_block *b) { return b->node; }

typedef struct hl_slab_class_stats {
    uint64_t size;     /* bytes of payload of a block of this class; 0 for the large ones */
    uint64_t in_use;   /* blocks handed out; what lies in caches is not */
    uint64_t total;    /* blocks that exist: in use, in caches and free; room never used is not counted */
    uint64_t gets;     /* handed out so far; for blocks served from a cache, counted when the cache refills */
} hl_slab_class_stats;

typedef struct hl_slab_stats {
    uint64_t reserved;  /* bytes mapped, its own tables and caches included; the kernel commits what is touched */
    uint64_t limit;     /* bytes that may be mapped; 0: no limit */
    uint64_t failures;  /* gets refused */
    uint64_t returned;  /* bytes of the chunks that hl_slab_trim has given back so far */
    hl_slab_class_stats classes[HL_SLAB_CLASSES + 1];
} hl_slab_stats;

/* What an arena has done. Its blocks are those that were made for its node, wherever they came to lie. */
typedef struct hl_slab_node_stats {
    int64_t node;               /* the kernel's number, or -1: not known */
    uint64_t fallbacks;         /* blocks asked of this node that came from another arena, or were made when it was full
                                   and lie elsewhere */
    uint64_t bytes_plain;       /* mapped for blocks, as plain pages */
    uint64_t bytes_transparent; /* ... where the kernel may give transparent huge pages */
    uint64_t bytes_huge;        /* ... from the reserve of huge pages */
    hl_slab_class_stats classes[HL_SLAB_CLASSES + 1];
} hl_slab_node_stats;

/* hl_slab_config.flags */
#define HL_SLAB_HUGE 1u /* take from the administrator's reserve of 2 MiB pages (vm.nr_hugepages) */

typedef struct hl_slab_config {
    uint64_t limit; /* bytes that may be mapped; 0: no limit */
    uint32_t flags;
    uint32_t reserved;
} hl_slab_config;

/* Makes a slab. NULL when even its own bookkeeping cannot be had, or does not fit into the limit. */
hl_slab *hl_slab_make(const hl_slab_config *config);

/* hl_slab_make with nothing but a limit. */
hl_slab *hl_slab_new(uint64_t limit);

/*
 * Unmaps everything at once. Any thread, but the last call on the slab: no block, no cache of it may be used after.
 * Returns the number of blocks that were still in use (a leak, if the caller expected none). Its caches go with it.
 */
uint64_t hl_slab_free(hl_slab *s);

/* A block with room for `size` bytes (size 0 gives the smallest), one reference, contents undefined, from the node that
 * the caller runs on; or NULL. Any thread. */
hl_block *hl_slab_get(hl_slab *s, size_t size);

/* The same, from memory node `node`; -1, and any that has no memory for this process, is the node of the processor that
 * the caller runs on, or the nearest to it. Any thread. */
hl_block *hl_slab_get_on(hl_slab *s, size_t size, int node);

/*
 * Looks whether more than `floor` bytes are mapped for blocks beyond those in use and in caches. If so it returns 1 and
 * has the caches give back what they hold, each when its owner calls hl_cache_heed: the time for hl_slab_trim is a
 * little later. Else 0. Cheap; any thread.
 */
int hl_slab_ease(hl_slab *s, uint64_t floor);

/*
 * Gives chunks whose blocks are all free back to the kernel, and of free blocks in other chunks the pages that they
 * consist of. Returns the bytes of the former. Its time grows with the number of free blocks, and whoever needs a new
 * chunk meanwhile waits for it: a thing for quiet moments, not for every turn of a loop. What lies in caches is not
 * free. Any thread.
 */
uint64_t hl_slab_trim(hl_slab *s);

/* A snapshot; exact when nobody gets or releases meanwhile. Any thread. */
void hl_slab_stats_read(hl_slab *s, hl_slab_stats *out);

/* The number of arenas, which is that of the memory nodes that the process may use, at least 1; and a snapshot of one
 * of them, counted from 0. Any thread. */
uint32_t hl_slab_arenas(const hl_slab *s);
void hl_slab_node_stats_read(hl_slab *s, uint32_t arena, hl_slab_node_stats *out);

/* Adds a reference. The caller holds one already. Any thread. */
void hl_block_ref(hl_block *b);

/* Takes a reference away; the last returns the block to its slab. NULL is allowed. Any thread. */
void hl_block_unref(hl_block *b);

/* True when the caller's reference is the only one. Any thread that holds a reference. */
int hl_block_sole(const hl_block *b);

/*
 * One thread's cache over `s`. Owner: the thread that uses it; it may move to another thread between calls with the
 * usual happens-before. It serves from memory node `node`, as hl_slab_get_on does; with -1, which is hl_cache_new, from
 * the one that the owner ran on when it last ran out of blocks of some class, and if that is another than before, sends
 * home what it still has. Blocks of other nodes are never kept. hl_cache_free gives every cached block back. NULL when
 * no memory is to be had.
 */
hl_cache *hl_cache_new_on(hl_slab *s, int node);
hl_cache *hl_cache_new(hl_slab *s);
void hl_cache_free(hl_cache *c);

/* Gives every cached block back, if hl_slab_ease has asked for it since the last time. For an owner about to wait: what
 * it keeps while it sleeps is of use to nobody. Owner. */
void hl_cache_heed(hl_cache *c);

/* 1 when hl_cache_heed would do so: then is the time to give back what else is kept. Owner. */
int hl_cache_asked(const hl_cache *c);

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
