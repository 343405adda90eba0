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

/* Bytes of a page: a power of two. */
size_t hl__page_size(void);

/* `n` rounded up to whole pages; 0 when that exceeds what can be addressed. */
static inline size_t hl__page_round(size_t n)
{
    size_t mask = hl__page_size() - 1;
    return (n + mask < n) ? 0 : (n + mask) & ~mask;
}

/* Zeroed pages, committed when they are touched; or NULL. */
void *hl__pages_map(size_t bytes);

void hl__pages_unmap(void *p, size_t bytes);

/* Makes a mapping of `from` bytes one of `to` bytes, without copying, perhaps elsewhere. NULL: it is as it was. */
void *hl__pages_resize(void *p, size_t from, size_t to);

#endif /* HL__PAGES_H */
