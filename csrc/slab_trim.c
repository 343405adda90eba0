/*
 * slab_trim.c - memory that nobody uses goes back to the kernel.
 *
 * A class's whole stack is taken off, which makes its blocks ours: nobody else can pop one, or reach its memory
 * (invariant 3 of slab.c). Those of chunks that are free to the last block are dropped with the chunk, the others lose
 * the whole pages within them, which the kernel replaces when they are touched, and are pushed again. Meanwhile the
 * class looks empty to others; one that wants to grow it waits for the lock and looks again.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

static uint32_t below(const hl__class *c, uint32_t number)
{
    return hl_stack_below(hl__class_link, c, number);
}

/* Ends the carving of a chunk of which all blocks so far are free, and counts the room that remains as free blocks. */
static void close_fresh(hl__class *c)
{
    /* relaxed, all three: the chunk's last change was made under the lock, which we hold, and a carving that we miss or
     * that makes us fail concerns no block that we have. */
    uint64_t fresh = __atomic_load_n(&c->fresh, __ATOMIC_RELAXED);
    uint32_t carved = (uint32_t)fresh;
    if (carved == c->capacity) {
        return;
    }
    hl__chunk *k = hl__chunk_at(c, (uint32_t)(fresh >> 32));
    if (k->free == carved && __atomic_compare_exchange_n(&c->fresh, &fresh, fresh - carved + c->capacity, 0,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        k->free = c->capacity;
    }
}

/*
 * Gives up the whole pages within a free block whose chunk stays because of others. Its header stays. Only where pages
 * are plain, and not where poison.h has filled them.
 */
static void give_up(const hl__class *c, const hl__chunk *k, uint32_t number)
{
    if (!HL__FILLED && k->kind == HL__PAGES_PLAIN) {
        uint8_t *b = k->base + hl__place_of(c, number) * c->stride;
        hl__pages_discard(b + sizeof(hl_block), c->stride - sizeof(hl_block));
    }
}

/* Pushes the blocks of the run from `first` whose chunks stay. Returns how many there were of others. */
static uint32_t put_back(hl__class *c, uint32_t first)
{
    uint32_t kept = 0, last = 0, dropped = 0;
    for (uint32_t number = first, next; number != 0; number = next) {
        next = below(c, number);
        const hl__chunk *k = hl__chunk_of(c, number);
        if (k->free == c->capacity) {
            dropped++;
            continue;
        }
        give_up(c, k, number);
        if (last != 0) {
            hl_stack_join(hl__class_link, c, last, number);
        } else {
            kept = number;
        }
        last = number;
    }
    if (last != 0) {
        hl_stack_push(&c->stack, hl__class_link, c, kept, last);
    }
    return dropped;
}

/* Under the lock. */
static void trim(hl__arena *a, hl__class *c)
{
    uint32_t first = hl_stack_take(&c->stack);
    if (first == 0) {
        return;
    }
    for (uint32_t number = first; number != 0; number = below(c, number)) {
        hl__chunk_of(c, number)->free++;
    }
    close_fresh(c);
    __atomic_fetch_sub(&c->made, put_back(c, first), __ATOMIC_RELAXED); /* relaxed: statistics */
    for (uint32_t index = 0; index < c->chunks; index++) {
        hl__chunk *k = hl__chunk_at(c, index);
        if (k->free == c->capacity) {
            hl__class_vacate(a, c, index);
        }
        k->free = 0;
    }
}

int hl_slab_ease(hl_slab *s, uint64_t floor)
{
    uint64_t spare = 0;
    for (uint32_t i = 0; i < s->arena_count * HL_SLAB_CLASSES; i++) {
        const hl__class *c = &s->arenas[i / HL_SLAB_CLASSES].classes[i % HL_SLAB_CLASSES];
        /* relaxed, all: an estimate. */
        uint64_t returned = __atomic_load_n(&c->returned, __ATOMIC_RELAXED);
        uint64_t out = (__atomic_load_n(&c->taken, __ATOMIC_RELAXED) - returned) * c->stride;
        uint64_t mapped = __atomic_load_n(&c->mapped, __ATOMIC_RELAXED) * c->bytes;
        spare += mapped > out ? mapped - out : 0;
    }
    if (spare <= floor) {
        return 0;
    }
    __atomic_fetch_add(&s->eased, 1, __ATOMIC_RELAXED); /* relaxed: see hl_cache_heed */
    return 1;
}

uint64_t hl_slab_trim(hl_slab *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t before = s->reserved;
    for (uint32_t i = 0; i < s->arena_count * HL_SLAB_CLASSES; i++) {
        hl__arena *a = &s->arenas[i / HL_SLAB_CLASSES];
        trim(a, &a->classes[i % HL_SLAB_CLASSES]);
    }
    uint64_t returned = before - s->reserved;
    s->returned += returned;
    pthread_mutex_unlock(&s->lock);
    return returned;
}
