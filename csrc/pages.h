/*
 * pages.h - whole pages from the kernel: what the slab needs of the operating system.
 *
 * One file per system implements it. Sizes are multiples of hl__page_size. Any thread.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__PAGES_H
#define HL__PAGES_H

#include <stddef.h>

#define HL__HUGE_PAGE ((size_t)2 << 20) /* bytes */

/* What a mapping consists of. */
typedef enum hl__page_kind {
    HL__PAGES_PLAIN,       /* pages of hl__page_size, committed when they are touched */
    HL__PAGES_TRANSPARENT, /* the kernel may give huge pages where whole ones are free, now or later */
    HL__PAGES_HUGE,        /* huge pages that the administrator has reserved; committed at once */
    HL__PAGE_KINDS
} hl__page_kind;

/* Bytes of a page: a power of two. */
size_t hl__page_size(void);

/* `n` rounded up to whole pages; 0 when that exceeds what can be addressed. */
static inline size_t hl__page_round(size_t n)
{
    size_t mask = hl__page_size() - 1;
    return (n + mask < n) ? 0 : (n + mask) & ~mask;
}

/* Whether the kernel gives transparent huge pages at all. */
int hl__pages_transparent(void);

/* Zeroed pages, plain; or NULL. */
void *hl__pages_map(size_t bytes);

/*
 * Zeroed pages on memory node `node` (-1: on any) that are, if possible, of *kind, else of the next one below; *kind
 * says which. A mapping of HL__HUGE_PAGE bytes or more is aligned to that, unless address space is short. Huge pages
 * are tried when `bytes` is a multiple of HL__HUGE_PAGE only. NULL: no memory.
 */
void *hl__pages_place(size_t bytes, hl__page_kind *kind, int node);

void hl__pages_unmap(void *p, size_t bytes);

/* Gives up the contents of the whole pages within these bytes, for the kernel to use elsewhere. */
void hl__pages_discard(void *p, size_t bytes);

/* Makes a mapping of `from` bytes one of `to` bytes, without copying, perhaps elsewhere; it stays aligned, and on its
 * node. Not for huge pages. NULL: it is as it was. */
void *hl__pages_resize(void *p, size_t from, size_t to);

#endif /* HL__PAGES_H */
