/*
 * slab.c - blocks in size classes, shared by all threads: getting, giving, counting references.
 *
 * Free blocks of a class lie on its stack (hl_stack.h), whose links are in the slab's own tables: popping a block that
 * another thread has used touches none of its memory, and a free block's memory may go back to the kernel while others
 * are about to pop it.
 *
 * Invariants, beside those of the stack
 *   1. A class's `fresh` names the chunk that blocks are carved off and how many have been. All changes but growing are
 *      compare-and-swaps, and its value says all there is to know: a thread that holds an old value which is current
 *      again, after the chunk has been given back and mapped anew, carves what is there to be carved.
 *   2. A chunk's table entry and memory are in place before `fresh` names it (release in hl__class_grow); who carves
 *      off it has read that (acquire), and blocks change hands with release and acquire: whoever has a block's number
 *      may look its chunk up. Tables stay while the slab lives, so a stale number leads to a link too (invariant 2 of
 *      hl_stack.h).
 *   3. A chunk's memory goes only when all of its blocks that were ever carved have been popped by the one who takes it
 *      away (slab_trim.c). A block's memory is touched by those only who hold it: never through a stale number.
 *   4. What is not carved yet has never been touched and is not resident, unless it is of huge pages.
 *   5. Off the stack are taken - returned blocks: in caches (their magazine's count) or in use.
 *   6. A cache holds blocks of one arena; a block returns to the arena in its header.
 *
 * The mutex is taken to map memory only: when a class grows, and by large blocks.
 *
 * Debug and sanitizer builds watch over free blocks: see poison.h.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

#include <string.h>

_Static_assert(sizeof(hl_block) == HL_CACHE_LINE, "the header is one cache line");
_Static_assert(offsetof(hl_block, refs) == 0 && offsetof(hl_block, cls) == 4 && offsetof(hl_block, size) == 8 &&
                   offsetof(hl_block, slab) == 16 && offsetof(hl_block, number) == 24 &&
                   offsetof(hl_block, arena) == 28 && offsetof(hl_block, node) == 30,
               "Go knows this layout");
_Static_assert(HL_SLAB_MIN << (HL_SLAB_CLASSES - 1) == HL_SLAB_MAX, "the classes reach from MIN to MAX");
_Static_assert(offsetof(hl__class, fresh) == HL_CACHE_LINE, "getting and carving do not share a line");
_Static_assert(sizeof(hl__arena) % HL_CACHE_LINE == 0, "nor do arenas");

static hl_block *block_at(const hl__class *c, uint32_t number)
{
    return (hl_block *)(hl__chunk_of(c, number)->base + hl__place_of(c, number) * c->stride);
}

/* Makes 1 to `want` new blocks. 0: there is no room. */
static uint32_t carve(hl__arena *a, uint32_t cls, hl_block **out, uint32_t want)
{
    hl__class *c = &a->classes[cls];
    /* acquire, also below: pairs with hl__class_grow's release, for the chunk (invariant 2). The successful one counts:
     * it reads the latest value, which may be an equal one of a chunk that was mapped anew. */
    uint64_t fresh = __atomic_load_n(&c->fresh, __ATOMIC_ACQUIRE);
    uint32_t n;
    do {
        uint32_t room = c->capacity - (uint32_t)fresh;
        if (room == 0) {
            return 0;
        }
        n = want < room ? want : room;
    } while (!__atomic_compare_exchange_n(&c->fresh, &fresh, fresh + n, 1, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    uint32_t first = ((uint32_t)(fresh >> 32) << c->shift) + (uint32_t)fresh + 1;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = block_at(c, first + i);
        *out[i] = (hl_block){
            .cls = cls, .size = hl__class_size(cls), .slab = a->slab, .number = first + i, .arena = a->index};
        hl__block_bury(out[i]);
    }
    hl__arena_locate(a, out, n);
    __atomic_fetch_add(&c->made, n, __ATOMIC_RELAXED); /* relaxed: statistics */
    return n;
}

static uint32_t take(hl__arena *a, uint32_t cls, hl_block **out, uint32_t want)
{
    hl__class *c = &a->classes[cls];
    uint32_t numbers[HL_CACHE_BATCH], n;
    do {
        n = hl_stack_pop(&c->stack, hl__class_link, c, numbers, want);
        for (uint32_t i = 0; i < n; i++) {
            out[i] = block_at(c, numbers[i]);
        }
        if (n == 0) {
            n = carve(a, cls, out, want);
        }
    } while (n == 0 && hl__class_grow(a, c));
    if (n != 0) {
        __atomic_fetch_add(&c->taken, n, __ATOMIC_RELAXED); /* relaxed: statistics */
    }
    return n;
}

uint32_t hl__arena_take(hl__arena *a, uint32_t cls, hl_block **out, uint32_t want)
{
    hl_slab *s = a->slab;
    uint32_t n = take(a, cls, out, want);
    for (uint32_t i = 0; n == 0 && i + 1 < s->arena_count; i++) {
        n = take(&s->arenas[a->order[i]], cls, out, 1);
        __atomic_fetch_add(&a->fallbacks, n, __ATOMIC_RELAXED); /* relaxed: statistics */
    }
    if (n == 0) {
        hl__slab_count_failure(s);
    }
    return n;
}

void hl__arena_give(hl__arena *a, uint32_t cls, hl_block **blocks, uint32_t n)
{
    hl__class *c = &a->classes[cls];
    for (uint32_t i = 0; i + 1 < n; i++) {
        hl_stack_join(hl__class_link, c, blocks[i]->number, blocks[i + 1]->number);
    }
    hl_stack_push(&c->stack, hl__class_link, c, blocks[0]->number, blocks[n - 1]->number);
    __atomic_fetch_add(&c->returned, n, __ATOMIC_RELAXED); /* relaxed: statistics */
}

/* ------------------------------------------------------------------ the slab */

static void arena_init(hl_slab *s, uint32_t index, const hl__nodes *machine)
{
    hl__arena *a = &s->arenas[index];
    a->slab = s;
    a->index = (uint16_t)index;
    a->node = machine->node[index];
    memcpy(a->order, machine->order[index], sizeof a->order);
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        hl__class_init(&a->classes[cls], cls);
    }
}

hl_slab *hl__slab_make_for(const hl_slab_config *config, const hl__nodes *machine)
{
    size_t bytes = hl__page_round(sizeof(hl_slab) + machine->count * sizeof(hl__arena));
    hl_slab *s = config->limit == 0 || bytes <= config->limit ? hl__pages_map(bytes) : NULL;
    if (s == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        hl__pages_unmap(s, bytes);
        return NULL;
    }
    s->limit = config->limit;
    s->flags = config->flags;
    s->transparent = hl__pages_transparent();
    s->mapped = s->reserved = bytes;
    s->arena_count = machine->count;
    memcpy(s->nearest, machine->nearest, sizeof s->nearest);
    for (uint32_t i = 0; i < machine->count; i++) {
        arena_init(s, i, machine);
    }
    return s;
}

hl_slab *hl_slab_make(const hl_slab_config *config)
{
    hl__nodes machine;
    hl__nodes_survey(&machine);
    return hl__slab_make_for(config, &machine);
}

hl_slab *hl_slab_new(uint64_t limit)
{
    return hl_slab_make(&(hl_slab_config){.limit = limit});
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
    for (uint32_t i = 0; i < s->arena_count * HL_SLAB_CLASSES; i++) {
        hl__arena *a = &s->arenas[i / HL_SLAB_CLASSES];
        hl__class *c = &a->classes[i % HL_SLAB_CLASSES];
        for (uint32_t chunk = 0; chunk < c->chunks; chunk++) {
            hl__class_vacate(a, c, chunk);
        }
    }
    while (s->tables != NULL) {
        hl__table *t = s->tables;
        s->tables = t->next;
        hl__slab_unmap(s, t, t->bytes);
    }
    pthread_mutex_destroy(&s->lock);
    hl__pages_unmap(s, s->mapped);
    return in_use;
}

hl_block *hl_slab_get_on(hl_slab *s, size_t size, int node)
{
    hl_block *b;
    hl__arena *a = hl__slab_arena(s, node);
    uint32_t cls = hl__class_of(size);
    if (cls == HL_SLAB_LARGE) {
        return hl__large_get(a, size);
    }
    return hl__arena_take(a, cls, &b, 1) != 0 ? hl__block_bear(b) : NULL;
}

hl_block *hl_slab_get(hl_slab *s, size_t size)
{
    return hl_slab_get_on(s, size, -1);
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
        hl__arena_give(&b->slab->arenas[b->arena], b->cls, &b, 1);
    }
}

int hl_block_sole(const hl_block *b)
{
    /* acquire: the holders that are gone have finished with the bytes (their release in hl__block_drop). */
    return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) == 1;
}
