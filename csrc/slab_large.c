/*
 * slab_large.c - blocks larger than any class: a mapping each.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab.h"

enum { OVERHEAD = sizeof(hl__large) + sizeof(hl_block) };

/* Bytes to map for a payload of `size`; 0 when nothing can be that large. */
static size_t mapping_for(size_t size)
{
    return size > SIZE_MAX - OVERHEAD ? 0 : hl__page_round(size + OVERHEAD);
}

/* Reserved huge pages where rounding up to them wastes an eighth at most, which *mapped is then rounded up to. */
static hl__page_kind kind_for(const hl_slab *s, size_t *mapped)
{
    size_t mask = HL__HUGE_PAGE - 1, round = (*mapped + mask) & ~mask;
    if ((s->flags & HL_SLAB_HUGE) == 0 || round < *mapped || round - *mapped > round / 8) {
        return HL__PAGES_TRANSPARENT;
    }
    *mapped = round;
    return HL__PAGES_HUGE;
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

static hl__large *map_large(hl__arena *a, size_t size)
{
    size_t mapped = mapping_for(size);
    hl__page_kind kind = kind_for(a->slab, &mapped);
    hl__large *l = hl__arena_map(a, mapped, &kind);
    if (l != NULL) {
        l->mapped = mapped;
        l->kind = kind;
        link_large(a->slab, l);
        a->large_count++;
        a->large_gets++;
    }
    return l;
}

hl_block *hl__large_get(hl__arena *a, size_t size)
{
    hl_slab *s = a->slab;
    pthread_mutex_lock(&s->lock);
    hl__large *l = map_large(a, size); /* on a full node, the kernel takes pages of another by itself */
    pthread_mutex_unlock(&s->lock);
    if (l == NULL) {
        hl__slab_count_failure(s);
        return NULL;
    }
    hl_block *b = (hl_block *)(l + 1);
    *b = (hl_block){.refs = 1, .cls = HL_SLAB_LARGE, .size = l->mapped - OVERHEAD, .slab = s, .arena = a->index};
    hl__arena_locate(a, &b, 1);
    return b;
}

void hl__large_free(hl_block *b)
{
    hl_slab *s = b->slab;
    hl__arena *a = &s->arenas[b->arena];
    hl__large *l = hl__large_of(b);
    pthread_mutex_lock(&s->lock);
    unlink_large(l);
    a->large_count--;
    hl__arena_unmap(a, l, l->mapped, l->kind);
    pthread_mutex_unlock(&s->lock);
}

hl_block *hl__large_grow(hl_block *b, size_t size)
{
    hl_slab *s = b->slab;
    hl__arena *a = &s->arenas[b->arena];
    hl__large *l = hl__large_of(b);
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
        a->bytes[moved->kind] += more;
    }
    pthread_mutex_unlock(&s->lock);
    if (moved == NULL) {
        hl__slab_count_failure(s);
        return NULL;
    }
    b = (hl_block *)(moved + 1);
    b->size = mapped - OVERHEAD;
    return b;
}
