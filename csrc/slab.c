/*
 * slab.c - blocks in size classes, shared by all threads.
 *
 * The blocks of a class are numbered from 1 in the order in which they are carved off its chunks. Free ones lie on a
 * lock-free stack after R. K. Treiber, "Systems Programming: Coping with Parallelism" (IBM RJ 5118, 1986), whose head
 * is one 64-bit word: the number of the first free block (0: none) and a count of all changes. Numbers in place of
 * addresses leave 32 bits for the count without a 128-bit compare-and-swap.
 *
 * Invariants
 *   1. Every successful compare-and-swap on `head` adds one to the count. So if one succeeds, nothing was pushed or
 *      popped since its head was read (unless exactly a multiple of 2^32 changes fell in between), the blocks below
 *      that head were free all the time, and the links read on the way are the stack's: a whole run may be popped at
 *      once.
 *   2. Chunks stay mapped and headers stay headers while the slab lives. So the link of a block that another thread has
 *      popped meanwhile may be read; what it says is then discarded with the failed compare-and-swap.
 *   3. A link only ever holds the number of a block of its own class that had been carved, or 0. So even a discarded
 *      link leads to a header (2).
 *   4. A block is reached through its number by way of the table of chunks. The entry is written before `total` is
 *      (release), a block is carved after `total` was read (acquire), and its number travels through release-acquire
 *      pairs only (head, link): whoever knows a number sees the entry.
 *   5. carved <= total. Numbers up to `carved` have a header, the memory beyond has never been touched and is not
 *      resident.
 *   6. Off the stack are taken - returned blocks: in caches (their magazine's count) or in use.
 *
 * The mutex is taken to map memory only: when a class grows, and by large blocks.
 *
 * Debug and sanitizer builds watch over free blocks: see poison.h.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

#include "pages.h"

_Static_assert(sizeof(hl_block) == HL_CACHE_LINE, "the header is one cache line");
_Static_assert(offsetof(hl_block, refs) == 0 && offsetof(hl_block, cls) == 4 && offsetof(hl_block, size) == 8 &&
                   offsetof(hl_block, slab) == 16 && offsetof(hl_block, link) == 24,
               "Go knows this layout");
_Static_assert(HL_SLAB_MIN << (HL_SLAB_CLASSES - 1) == HL_SLAB_MAX, "the classes reach from MIN to MAX");
_Static_assert(sizeof(hl__large) == HL_CACHE_LINE, "payload of large blocks is aligned");
_Static_assert(offsetof(hl__class, carved) == HL_CACHE_LINE && offsetof(hl__class, leaves) == 2 * HL_CACHE_LINE,
               "getting and carving do not share a line");

enum { CHUNK_SHIFT = 21, MIN_SHIFT = 7 }; /* a chunk holds 2 MiB of payload, or one block */
enum { MAX_CHUNKS = HL__LEAVES * HL__LEAF - 1 }; /* with 2^14 blocks in one, numbers stay below 2^32 */

/* ------------------------------------------------------------------ memory */

void *hl__slab_map(hl_slab *s, size_t bytes)
{
    if (bytes == 0 || (s->limit != 0 && bytes > s->limit - s->reserved)) {
        return NULL;
    }
    void *p = hl__pages_map(bytes);
    if (p != NULL) {
        s->reserved += bytes;
    }
    return p;
}

void hl__slab_unmap(hl_slab *s, void *p, size_t bytes)
{
    hl__permit(p, bytes);
    hl__pages_unmap(p, bytes);
    s->reserved -= bytes;
}

/* Adds a chunk to a class that had `seen` blocks, unless somebody else has meanwhile. 0: no memory. */
static int grow(hl_slab *s, hl__class *c, uint32_t seen)
{
    int grown = 1;
    pthread_mutex_lock(&s->lock);
    if (c->total == seen) {
        uint32_t chunk = seen >> c->shift;
        uint8_t ***leaf = &c->leaves[chunk / HL__LEAF];
        grown = chunk < MAX_CHUNKS &&
                (*leaf != NULL || (*leaf = hl__slab_map(s, hl__page_round(HL__LEAF * sizeof **leaf))) != NULL) &&
                ((*leaf)[chunk % HL__LEAF] = hl__slab_map(s, c->chunk)) != NULL;
        if (grown) {
            /* release: whoever reads the new total (carve's acquire) finds the chunk in the table (invariant 4). */
            __atomic_store_n(&c->total, seen + (1u << c->shift), __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return grown;
}

static hl_block *block_at(const hl__class *c, uint32_t number)
{
    uint32_t index = number - 1;
    uint32_t chunk = index >> c->shift;
    return (hl_block *)(c->leaves[chunk / HL__LEAF][chunk % HL__LEAF] + (index & ((1u << c->shift) - 1)) * c->stride);
}

static hl_block *block_init(hl_slab *s, uint32_t cls, uint32_t number)
{
    hl_block *b = block_at(&s->classes[cls], number);
    *b = (hl_block){.cls = cls, .size = hl__class_size(cls), .slab = s, .link = (uint64_t)number << 32};
    hl__block_bury(b);
    return b;
}

/* Makes 1 to `want` new blocks. 0: no memory. */
static uint32_t carve(hl_slab *s, uint32_t cls, hl_block **out, uint32_t want)
{
    hl__class *c = &s->classes[cls];
    for (;;) {
        /* acquire: pairs with grow's release, for the table of chunks (invariant 4). */
        uint32_t total = __atomic_load_n(&c->total, __ATOMIC_ACQUIRE);
        /* relaxed: the number hands out room and publishes nothing; nobody else knows these blocks yet. */
        uint32_t carved = __atomic_load_n(&c->carved, __ATOMIC_RELAXED);
        while (carved < total) {
            uint32_t n = want < total - carved ? want : total - carved;
            if (__atomic_compare_exchange_n(&c->carved, &carved, carved + n, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
                for (uint32_t i = 0; i < n; i++) {
                    out[i] = block_init(s, cls, carved + 1 + i);
                }
                return n;
            }
        }
        if (!grow(s, c, total)) {
            return 0;
        }
    }
}

/* ------------------------------------------------------------------ the stack */

static uint64_t next_head(uint64_t head, uint32_t number)
{
    return ((head >> 32) + 1) << 32 | number;
}

static uint32_t pop(hl__class *c, hl_block **out, uint32_t want)
{
    /* acquire, also on failure below: sees the header and link of every block on the stack. All changes of head are
     * read-modify-writes, so each push's release reaches us through the later ones. */
    uint64_t head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
    for (;;) {
        uint32_t n = 0;
        uint32_t number = (uint32_t)head;
        while (n < want && number != 0) {
            out[n] = block_at(c, number);
            /* acquire: a link written after our head was read may name a block whose chunk we have not seen
             * (invariant 4). */
            number = (uint32_t)__atomic_load_n(&out[n]->link, __ATOMIC_ACQUIRE);
            n++;
        }
        /* acquire on success: the blocks are ours together with what their last users left in order. */
        if (n == 0 || __atomic_compare_exchange_n(&c->head, &head, next_head(head, number), 1, __ATOMIC_ACQUIRE,
                                                  __ATOMIC_ACQUIRE)) {
            return n;
        }
    }
}

static uint32_t number_of(const hl_block *b)
{
    /* relaxed: the upper half never changes after carving. */
    return (uint32_t)(__atomic_load_n(&b->link, __ATOMIC_RELAXED) >> 32);
}

static void set_link(hl_block *b, uint32_t next)
{
    /* release: publishes what we know of `next`'s chunk to a pop that reads this link by invariant 2. */
    __atomic_store_n(&b->link, (uint64_t)number_of(b) << 32 | next, __ATOMIC_RELEASE);
}

uint32_t hl__slab_take(hl_slab *s, uint32_t cls, hl_block **out, uint32_t want)
{
    hl__class *c = &s->classes[cls];
    uint32_t n = pop(c, out, want);
    if (n == 0) {
        n = carve(s, cls, out, want);
    }
    /* relaxed: statistics. */
    if (n == 0) {
        __atomic_fetch_add(&s->failures, 1, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_add(&c->taken, n, __ATOMIC_RELAXED);
    }
    return n;
}

void hl__slab_give(hl_slab *s, uint32_t cls, hl_block **blocks, uint32_t n)
{
    hl__class *c = &s->classes[cls];
    for (uint32_t i = 0; i + 1 < n; i++) {
        set_link(blocks[i], number_of(blocks[i + 1]));
    }
    uint32_t first = number_of(blocks[0]);
    /* acquire, also on failure below: who passes a number on in a link has to know its chunk (invariant 4). */
    uint64_t head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
    int pushed;
    do {
        set_link(blocks[n - 1], (uint32_t)head);
        /* release: publishes links, headers and our last accesses to the payload to pop's acquire. */
        pushed = __atomic_compare_exchange_n(&c->head, &head, next_head(head, first), 1, __ATOMIC_RELEASE,
                                             __ATOMIC_ACQUIRE);
    } while (!pushed);
    __atomic_fetch_add(&c->returned, n, __ATOMIC_RELAXED); /* relaxed: statistics */
}

/* ------------------------------------------------------------------ the slab */

hl_slab *hl_slab_new(uint64_t limit)
{
    hl_slab account = {.limit = limit}; /* only lends its limit and its counter to the mapping of the slab itself */
    hl_slab *s = hl__slab_map(&account, hl__page_round(sizeof *s));
    if (s == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        hl__pages_unmap(s, hl__page_round(sizeof *s));
        return NULL;
    }
    s->limit = limit;
    s->reserved = account.reserved;
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        hl__class *c = &s->classes[cls];
        c->shift = cls + MIN_SHIFT < CHUNK_SHIFT ? CHUNK_SHIFT - MIN_SHIFT - cls : 0;
        c->stride = sizeof(hl_block) + hl__class_size(cls);
        c->chunk = hl__page_round((size_t)c->stride << c->shift);
    }
    return s;
}

static void unmap_class(hl_slab *s, hl__class *c)
{
    uint32_t chunks = c->total >> c->shift;
    for (uint32_t chunk = 0; chunk < chunks; chunk++) {
        hl__slab_unmap(s, c->leaves[chunk / HL__LEAF][chunk % HL__LEAF], c->chunk);
    }
    for (uint32_t leaf = 0; leaf < HL__LEAVES && c->leaves[leaf] != NULL; leaf++) {
        hl__slab_unmap(s, c->leaves[leaf], hl__page_round(HL__LEAF * sizeof(uint8_t *)));
    }
}

uint64_t hl_slab_free(hl_slab *s)
{
    if (s == NULL) {
        return 0;
    }
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    uint64_t in_use = 0;
    for (uint32_t cls = 0; cls <= HL_SLAB_LARGE; cls++) {
        in_use += stats.classes[cls].in_use;
    }
    while (s->large != NULL) {
        hl__large_free((hl_block *)(s->large + 1));
    }
    while (s->caches != NULL) {
        hl_cache *c = s->caches;
        s->caches = c->next;
        hl__slab_unmap(s, c, hl__page_round(sizeof *c));
    }
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        unmap_class(s, &s->classes[cls]);
    }
    pthread_mutex_destroy(&s->lock);
    hl__pages_unmap(s, hl__page_round(sizeof *s));
    return in_use;
}

hl_block *hl_slab_get(hl_slab *s, size_t size)
{
    hl_block *b;
    uint32_t cls = hl__class_of(size);
    if (cls == HL_SLAB_LARGE) {
        return hl__large_get(s, size);
    }
    return hl__slab_take(s, cls, &b, 1) != 0 ? hl__block_bear(b) : NULL;
}

void hl_slab_stats_read(hl_slab *s, hl_slab_stats *out)
{
    *out = (hl_slab_stats){.limit = s->limit};
    pthread_mutex_lock(&s->lock);
    out->reserved = s->reserved;
    /* relaxed, here and below: numbers from about the same time. */
    out->failures = __atomic_load_n(&s->failures, __ATOMIC_RELAXED);
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        const hl__class *c = &s->classes[cls];
        uint64_t off = __atomic_load_n(&c->returned, __ATOMIC_RELAXED);
        for (const hl_cache *cache = s->caches; cache != NULL; cache = cache->next) {
            off += __atomic_load_n(&cache->magazines[cls].count, __ATOMIC_RELAXED);
        }
        uint64_t taken = __atomic_load_n(&c->taken, __ATOMIC_RELAXED);
        out->classes[cls] = (hl_slab_class_stats){
            .size = hl__class_size(cls),
            .in_use = taken > off ? taken - off : 0, /* may be overtaken while others work */
            .total = __atomic_load_n(&c->carved, __ATOMIC_RELAXED),
            .gets = taken,
        };
    }
    out->classes[HL_SLAB_LARGE] =
        (hl_slab_class_stats){.in_use = s->large_count, .total = s->large_count, .gets = s->large_gets};
    pthread_mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------------ blocks */

void hl_block_ref(hl_block *b)
{
    /* relaxed: the caller's own reference keeps the block alive; a new holder learns of it from the caller. */
    int32_t refs = __atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
    hl__check(refs > 0, "a reference was added to a free block");
    (void)refs;
}

void hl_block_unref(hl_block *b)
{
    if (b == NULL || !hl__block_drop(b)) {
        return;
    }
    if (b->cls == HL_SLAB_LARGE) {
        hl__large_free(b);
    } else {
        hl__slab_give(b->slab, b->cls, &b, 1);
    }
}

int hl_block_sole(const hl_block *b)
{
    /* acquire: the holders that are gone have finished with the bytes (their release in hl__block_drop). */
    return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) == 1;
}
