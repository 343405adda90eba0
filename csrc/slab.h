/*
 * slab.h - the inside of a slab, for slab*.c and cache.c.
 *
 * A slab has an arena per memory node, an arena sixteen classes, a class a stack of free blocks and a table of chunks.
 * The blocks of a class have numbers: the chunk's in the upper bits, the place in the chunk in the lower, plus 1.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__SLAB_H
#define HL__SLAB_H

#include <pthread.h>

#include "hl_slab.h"
#include "hl_stack.h"
#include "nodes.h"
#include "pages.h"
#include "poison.h"

/* A class's table of chunks has two levels, so that an empty class costs one untouched page. */
#define HL__LEAVES 512u
#define HL__LEAF 512u

typedef struct hl__chunk {
    uint8_t *base;   /* of its first block; NULL: vacant, its memory is with the kernel */
    uint32_t *links; /* of its blocks, for the stack; in the slab's bookkeeping, and there as long as the slab */
    uint32_t vacant; /* the next vacant chunk's index + 1, or 0; under slab.lock, as what follows */
    uint32_t free;   /* hl_slab_trim's: blocks on the stack */
    hl__page_kind kind;
    uint32_t reserved;
} hl__chunk;

typedef struct hl__class {
    /* The line that getting and giving write. */
    hl_stack stack;    /* free blocks */
    uint64_t taken;    /* atomic: blocks that left the stack or were carved */
    uint64_t returned; /* atomic: blocks pushed */
    char pad0[HL_CACHE_LINE - 24];
    /* The line that carving writes. */
    uint64_t fresh;    /* atomic: index of the chunk that blocks are carved off << 32 | how many have been */
    uint64_t made;     /* atomic: blocks that exist */
    uint32_t capacity; /* blocks in a chunk; constant, as the next three are */
    uint32_t shift;    /* bits of a number that tell the place in the chunk */
    uint64_t stride;   /* bytes of a block with its header */
    uint64_t bytes;    /* of a chunk */
    uint32_t chunks;   /* in the table, vacant ones included; under slab.lock, as the next two are */
    uint32_t mapped;   /* atomic: of these, not vacant */
    uint32_t vacant;   /* the first vacant chunk's index + 1, or 0 */
    uint32_t reserved;
    hl__chunk *leaves[HL__LEAVES]; /* chunk i is leaves[i / HL__LEAF][i % HL__LEAF]; published with a block's number */
} hl__class;

/* Lies before the header of a block that has a mapping of its own. */
typedef struct hl__large {
    struct hl__large *next;
    struct hl__large **prev_next;
    uint64_t mapped; /* bytes */
    hl__page_kind kind;
    char pad[HL_CACHE_LINE - 28];
} hl__large;

typedef struct hl__arena {
    hl__class classes[HL_SLAB_CLASSES];
    hl_slab *slab;
    int16_t node;   /* -1: not known */
    uint16_t index; /* in slab.arenas */
    uint32_t reserved;
    uint8_t order[HL__NODES_MAX];   /* the other arenas, the nearest first */
    uint64_t fallbacks;             /* atomic */
    uint64_t bytes[HL__PAGE_KINDS]; /* mapped for blocks; under slab.lock, as what follows */
    uint64_t large_count;
    uint64_t large_gets;
} hl__arena;

/* A piece of the memory that tables lie in; its first bytes. */
typedef struct hl__table {
    struct hl__table *next;
    size_t bytes;
    size_t used;
} hl__table;

struct hl_slab {
    uint64_t failures; /* atomic */
    uint32_t eased;    /* atomic: how often hl_slab_ease has asked for the caches' blocks */
    char pad[HL_CACHE_LINE - 12];
    pthread_mutex_t lock; /* guards every mapping and unmapping, the growth of the classes, and what follows */
    uint64_t reserved;
    uint64_t returned;
    hl__table *tables;
    hl__large *large;
    hl_cache *caches;
    uint64_t limit; /* constant, as what follows is */
    size_t mapped;  /* bytes of this struct with its arenas */
    uint32_t flags;
    int transparent; /* the kernel gives transparent huge pages */
    uint32_t arena_count;
    uint8_t nearest[HL__NODES_MAX]; /* arena, by the number of a memory node */
    _Alignas(HL_CACHE_LINE) hl__arena arenas[];
};

typedef struct hl__magazine {
    uint32_t count; /* atomic; written by the owner, read for statistics */
    uint32_t reserved;
    hl_block *blocks[2 * HL_CACHE_BATCH]; /* all of the cache's arena; the last is the one used last */
} hl__magazine;

struct hl_cache {
    hl_slab *slab;
    hl_cache *next; /* slab.caches; under its lock */
    hl_cache **prev_next;
    hl__arena *arena; /* atomic; written by the owner, read for statistics */
    uint32_t eased;   /* slab.eased when it was heeded last */
    uint32_t index;   /* the arena's */
    int node;         /* that it was made for, or -1: where the owner runs */
    uint32_t reserved;
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

/* The arena for memory node `node`, or for where the calling thread runs (-1). */
static inline hl__arena *hl__slab_arena(hl_slab *s, int node)
{
    if (s->arena_count == 1) {
        return &s->arenas[0];
    }
    if (node < 0 || node >= (int)HL__NODES_MAX) {
        node = hl__nodes_here();
    }
    return &s->arenas[node >= 0 && node < (int)HL__NODES_MAX ? s->nearest[node] : 0];
}

/* slab.c: hl_slab_make on a machine with these nodes; tests make machines up. */
hl_slab *hl__slab_make_for(const hl_slab_config *config, const hl__nodes *machine);

/* Maps plain pages for bookkeeping within the limit, or NULL. Under s->lock. */
void *hl__slab_map(hl_slab *s, size_t bytes);
void hl__slab_unmap(hl_slab *s, void *p, size_t bytes);

/* slab_chunk.c: maps memory for blocks of an arena within the limit: of *kind or, when that is not to be had, of what
 * *kind then says. NULL: no memory. Under the lock. */
void *hl__arena_map(hl__arena *a, size_t bytes, hl__page_kind *kind);
void hl__arena_unmap(hl__arena *a, void *p, size_t bytes, hl__page_kind kind);

/* The block whose header lies at b, or those, get the number of the node that they really lie on. */
void hl__arena_locate(hl__arena *a, hl_block **blocks, uint32_t n);

void hl__class_init(hl__class *c, uint32_t cls);

/* Sees to it that there is something to pop or to carve. 0: no memory. */
int hl__class_grow(hl__arena *a, hl__class *c);

/* Takes a chunk's memory away. Under the lock. */
void hl__class_vacate(hl__arena *a, hl__class *c, uint32_t index);

static inline hl__chunk *hl__chunk_at(const hl__class *c, uint32_t index)
{
    return &c->leaves[index / HL__LEAF][index % HL__LEAF];
}

/* The chunk of the block with this number. */
static inline hl__chunk *hl__chunk_of(const hl__class *c, uint32_t number)
{
    return hl__chunk_at(c, (number - 1) >> c->shift);
}

static inline uint32_t hl__place_of(const hl__class *c, uint32_t number)
{
    return (number - 1) & ((1u << c->shift) - 1);
}

/* The link of a free block: hl_stack_link. */
static inline uint32_t *hl__class_link(const void *elements, uint32_t number)
{
    const hl__class *c = (const hl__class *)elements;
    return &hl__chunk_of(c, number)->links[hl__place_of(c, number)];
}

/* slab.c: takes 1 to `want` free blocks of a class, contents undefined and references 0, all of this arena; or one of
 * another that has some when this one has none. 0: none are to be had, which is counted as a failure. Any thread. */
uint32_t hl__arena_take(hl__arena *a, uint32_t cls, hl_block **out, uint32_t want);

/* Gives n free blocks of a class back to the arena that they came from, n from 1 to 2 * HL_CACHE_BATCH. Any thread. */
void hl__arena_give(hl__arena *a, uint32_t cls, hl_block **blocks, uint32_t n);

/* slab_large.c: blocks with a mapping of their own. Any thread. */
hl_block *hl__large_get(hl__arena *a, size_t size);
void hl__large_free(hl_block *b);
/* Not for one of huge pages. NULL: b is as it was. */
hl_block *hl__large_grow(hl_block *b, size_t size);

static inline hl__large *hl__large_of(hl_block *b)
{
    return (hl__large *)b - 1;
}

static inline void hl__slab_count_failure(hl_slab *s)
{
    __atomic_fetch_add(&s->failures, 1, __ATOMIC_RELAXED); /* relaxed: statistics */
}

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
