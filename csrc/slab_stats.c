/*
 * slab_stats.c - what a slab has done so far.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

/* Under the lock. All loads are relaxed: numbers from about the same time. */
static void read_class(const hl__arena *a, uint32_t cls, hl_slab_class_stats *out)
{
    const hl__class *c = &a->classes[cls];
    uint64_t off = __atomic_load_n(&c->returned, __ATOMIC_RELAXED);
    for (const hl_cache *cache = a->slab->caches; cache != NULL; cache = cache->next) {
        if (__atomic_load_n(&cache->arena, __ATOMIC_RELAXED) == a) {
            off += __atomic_load_n(&cache->magazines[cls].count, __ATOMIC_RELAXED);
        }
    }
    uint64_t taken = __atomic_load_n(&c->taken, __ATOMIC_RELAXED);
    out->size = hl__class_size(cls);
    out->in_use += taken > off ? taken - off : 0; /* may be overtaken while others work */
    out->total += __atomic_load_n(&c->made, __ATOMIC_RELAXED);
    out->gets += taken;
}

/* Adds an arena to `out`. Under the lock. */
static void read_classes(const hl__arena *a, hl_slab_class_stats *out)
{
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        read_class(a, cls, &out[cls]);
    }
    out[HL_SLAB_LARGE].in_use += a->large_count;
    out[HL_SLAB_LARGE].total += a->large_count;
    out[HL_SLAB_LARGE].gets += a->large_gets;
}

void hl_slab_stats_read(hl_slab *s, hl_slab_stats *out)
{
    *out = (hl_slab_stats){.limit = s->limit};
    pthread_mutex_lock(&s->lock);
    out->reserved = s->reserved;
    out->returned = s->returned;
    out->failures = __atomic_load_n(&s->failures, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < s->arena_count; i++) {
        read_classes(&s->arenas[i], out->classes);
    }
    pthread_mutex_unlock(&s->lock);
}

uint32_t hl_slab_arenas(const hl_slab *s)
{
    return s->arena_count;
}

void hl_slab_node_stats_read(hl_slab *s, uint32_t arena, hl_slab_node_stats *out)
{
    const hl__arena *a = &s->arenas[arena];
    pthread_mutex_lock(&s->lock);
    *out = (hl_slab_node_stats){
        .node = a->node,
        .fallbacks = __atomic_load_n(&a->fallbacks, __ATOMIC_RELAXED),
        .bytes_plain = a->bytes[HL__PAGES_PLAIN],
        .bytes_transparent = a->bytes[HL__PAGES_TRANSPARENT],
        .bytes_huge = a->bytes[HL__PAGES_HUGE],
    };
    read_classes(a, out->classes);
    pthread_mutex_unlock(&s->lock);
}
