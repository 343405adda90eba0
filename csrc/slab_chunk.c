/*
 * slab_chunk.c - where a slab's memory comes from: chunks of blocks, and the tables that describe them.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

enum {
    DENSE = 4 << 10,                        /* bytes of payload: of blocks of up to so many, one begins in every page */
    MANY = 256 << 10,                       /* of blocks of up to so many, several share a chunk */
    MAX_CHUNKS = HL__LEAVES * HL__LEAF - 1, /* with 2^14 places in one, numbers stay below 2^32 */
    TABLE_BYTES = 64 << 10
};

_Static_assert(sizeof(hl__large) == HL_CACHE_LINE, "payload of large blocks is aligned");

/* ------------------------------------------------------------------ mapping within the limit */

static int is_allowed(const hl_slab *s, size_t bytes)
{
    return bytes != 0 && (s->limit == 0 || bytes <= s->limit - s->reserved);
}

void *hl__slab_map(hl_slab *s, size_t bytes)
{
    void *p = is_allowed(s, bytes) ? hl__pages_map(bytes) : NULL;
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

void *hl__arena_map(hl__arena *a, size_t bytes, hl__page_kind *kind)
{
    hl_slab *s = a->slab;
    if (*kind == HL__PAGES_TRANSPARENT && !s->transparent) {
        *kind = HL__PAGES_PLAIN;
    }
    void *p = is_allowed(s, bytes) ? hl__pages_place(bytes, kind, s->arena_count > 1 ? a->node : -1) : NULL;
    if (p != NULL) {
        s->reserved += bytes;
        a->bytes[*kind] += bytes;
    }
    return p;
}

void hl__arena_unmap(hl__arena *a, void *p, size_t bytes, hl__page_kind kind)
{
    a->bytes[kind] -= bytes;
    hl__slab_unmap(a->slab, p, bytes);
}

void hl__arena_locate(hl__arena *a, hl_block **blocks, uint32_t n)
{
    void *pages[HL_CACHE_BATCH];
    int nodes[HL_CACHE_BATCH];
    int many = a->slab->arena_count > 1;
    if (many) {
        for (uint32_t i = 0; i < n; i++) {
            pages[i] = blocks[i];
        }
        hl__nodes_where(pages, nodes, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        blocks[i]->node = many && nodes[i] >= 0 ? (int16_t)nodes[i] : a->node;
        if (blocks[i]->node != a->node) {
            __atomic_fetch_add(&a->fallbacks, 1, __ATOMIC_RELAXED); /* relaxed: statistics */
        }
    }
}

/* ------------------------------------------------------------------ tables */

/* Zeroed memory that stays as long as the slab, on a line of its own; or NULL. Under the lock. */
static void *table_get(hl_slab *s, size_t bytes)
{
    const size_t line = HL_CACHE_LINE - 1;
    bytes = (bytes + line) & ~line;
    hl__table *t = s->tables;
    if (t == NULL || t->bytes - t->used < bytes) {
        size_t first = (sizeof *t + line) & ~line;
        size_t mapped = hl__page_round(first + bytes > TABLE_BYTES ? first + bytes : TABLE_BYTES);
        t = hl__slab_map(s, mapped);
        if (t == NULL) {
            return NULL;
        }
        *t = (hl__table){.next = s->tables, .bytes = mapped, .used = first};
        s->tables = t;
    }
    void *p = (uint8_t *)t + t->used;
    t->used += bytes;
    return p;
}

/* Adds a vacant chunk to the table. 0: no memory. */
static int add_chunk(hl_slab *s, hl__class *c)
{
    hl__chunk **leaf = &c->leaves[c->chunks / HL__LEAF];
    if (c->chunks == MAX_CHUNKS || (*leaf == NULL && (*leaf = table_get(s, HL__LEAF * sizeof **leaf)) == NULL)) {
        return 0;
    }
    hl__chunk *k = hl__chunk_at(c, c->chunks);
    k->links = table_get(s, c->capacity * sizeof *k->links);
    if (k->links == NULL) {
        return 0;
    }
    k->vacant = c->vacant;
    c->vacant = ++c->chunks;
    return 1;
}

/* ------------------------------------------------------------------ chunks */

void hl__class_init(hl__class *c, uint32_t cls)
{
    c->stride = sizeof(hl_block) + hl__class_size(cls);
    c->capacity = hl__class_size(cls) <= MANY ? (uint32_t)(HL__HUGE_PAGE / c->stride) : 1;
    c->bytes = c->capacity > 1 ? HL__HUGE_PAGE : hl__page_round(c->stride);
    while (1u << c->shift < c->capacity) {
        c->shift++;
    }
    c->fresh = c->capacity; /* nothing to carve */
}

/*
 * What the class's next chunk shall consist of. Little use stays small: a first chunk is never huge, but for reserved
 * pages, which nobody else could use. Nor are those of blocks of which a part may be used for long: io_uring's receive
 * buffers, made huge, would cost an idle loop 8 MiB. So that leaves blocks so small that carving touches every page
 * anyway, and those that only much data asks for.
 */
static hl__page_kind next_kind(const hl_slab *s, const hl__class *c)
{
    if ((s->flags & HL_SLAB_HUGE) != 0 && c->bytes % HL__HUGE_PAGE == 0) {
        return HL__PAGES_HUGE;
    }
    int dense = c->stride <= DENSE + sizeof(hl_block) || c->stride > HL__HUGE_PAGE;
    return dense && c->mapped > 0 ? HL__PAGES_TRANSPARENT : HL__PAGES_PLAIN;
}

/*
 * Bytes that a chunk's blocks are moved up by, out of what is left over at its end, so that those of all chunks use all
 * sets of a processor's caches alike (J. Bonwick, "The Slab Allocator", USENIX 1994, section 4.3).
 */
static size_t colour(const hl__class *c, uint32_t index)
{
    uint64_t left = (c->bytes - c->capacity * c->stride) / HL_CACHE_LINE;
    return (uint64_t)index * c->capacity % (left + 1) * HL_CACHE_LINE;
}

static int map_chunk(hl__arena *a, hl__class *c)
{
    if (c->vacant == 0 && !add_chunk(a->slab, c)) {
        return 0;
    }
    uint32_t index = c->vacant - 1;
    hl__chunk *k = hl__chunk_at(c, index);
    k->kind = next_kind(a->slab, c);
    uint8_t *p = hl__arena_map(a, c->bytes, &k->kind);
    if (p == NULL) {
        return 0;
    }
    k->base = p + colour(c, index);
    c->vacant = k->vacant;
    __atomic_fetch_add(&c->mapped, 1, __ATOMIC_RELAXED); /* relaxed: statistics, for who does not hold the lock */
    /* release: whoever carves off this chunk finds it in the table (invariant 2 of slab.c). */
    __atomic_store_n(&c->fresh, (uint64_t)index << 32, __ATOMIC_RELEASE);
    return 1;
}

int hl__class_grow(hl__arena *a, hl__class *c)
{
    hl_slab *s = a->slab;
    pthread_mutex_lock(&s->lock);
    /* Somebody may have grown it, or put blocks back that he held for a moment only (hl_slab_trim), while we waited.
     * relaxed: the lock has ordered us behind him, and whoever uses the room reads again. */
    int grown = !hl_stack_empty(&c->stack) || (uint32_t)__atomic_load_n(&c->fresh, __ATOMIC_RELAXED) < c->capacity ||
                map_chunk(a, c);
    pthread_mutex_unlock(&s->lock);
    return grown;
}

void hl__class_vacate(hl__arena *a, hl__class *c, uint32_t index)
{
    hl__chunk *k = hl__chunk_at(c, index);
    if (k->base == NULL) {
        return;
    }
    hl__arena_unmap(a, k->base - colour(c, index), c->bytes, k->kind);
    k->base = NULL;
    k->vacant = c->vacant;
    c->vacant = index + 1;
    __atomic_fetch_sub(&c->mapped, 1, __ATOMIC_RELAXED);
}
