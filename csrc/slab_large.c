/*
 * slab_large.c - blocks larger than any class: a mapping each.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

#include "pages.h"

enum { OVERHEAD = sizeof(hl__large) + sizeof(hl_block) };

static hl__large *large_of(hl_block *b)
{
    return (hl__large *)b - 1;
}

/* Bytes to map for a payload of `size`; 0 when nothing can be that large. */
static size_t mapping_for(size_t size)
{
    return size > SIZE_MAX - OVERHEAD ? 0 : hl__page_round(size + OVERHEAD);
}

/* Under the lock. */
static void link_large(hl_slab *s, hl__large *l)
{
    l->next = s->large;
    l->prev_next = &s->large;
    if (l->next != NULL) {
        l->next->prev_next = &l->next;
    }
    s->large = l;
}

/* Under the lock. */
static void unlink_large(hl__large *l)
{
    *l->prev_next = l->next;
    if (l->next != NULL) {
        l->next->prev_next = l->prev_next;
    }
}

static void count_failure(hl_slab *s)
{
    __atomic_fetch_add(&s->failures, 1, __ATOMIC_RELAXED); /* relaxed: statistics */
}

hl_block *hl__large_get(hl_slab *s, size_t size)
{
    size_t mapped = mapping_for(size);
    pthread_mutex_lock(&s->lock);
    hl__large *l = hl__slab_map(s, mapped);
    if (l != NULL) {
        l->mapped = mapped;
        link_large(s, l);
        s->large_count++;
        s->large_gets++;
    }
    pthread_mutex_unlock(&s->lock);
    if (l == NULL) {
        count_failure(s);
        return NULL;
    }
    hl_block *b = (hl_block *)(l + 1);
    *b = (hl_block){.refs = 1, .cls = HL_SLAB_LARGE, .size = mapped - OVERHEAD, .slab = s};
    return b;
}

void hl__large_free(hl_block *b)
{
    hl_slab *s = b->slab;
    hl__large *l = large_of(b);
    pthread_mutex_lock(&s->lock);
    unlink_large(l);
    s->large_count--;
    hl__slab_unmap(s, l, l->mapped);
    pthread_mutex_unlock(&s->lock);
}

hl_block *hl__large_grow(hl_block *b, size_t size)
{
    hl_slab *s = b->slab;
    hl__large *l = large_of(b);
    size_t mapped = mapping_for(size);
    pthread_mutex_lock(&s->lock);
    hl__large *moved = NULL;
    uint64_t more = mapped - l->mapped; /* size exceeds b->size, so this is positive unless mapped is 0 */
    if (mapped != 0 && (s->limit == 0 || more <= s->limit - s->reserved)) {
        unlink_large(l); /* its neighbours point at it, and it may move */
        moved = hl__pages_resize(l, l->mapped, mapped);
        link_large(s, moved != NULL ? moved : l);
    }
    if (moved != NULL) {
        moved->mapped = mapped;
        s->reserved += more;
    }
    pthread_mutex_unlock(&s->lock);
    if (moved == NULL) {
        count_failure(s);
        return NULL;
    }
    b = (hl_block *)(moved + 1);
    b->size = mapped - OVERHEAD;
    return b;
}
