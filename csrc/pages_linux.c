/*
 * pages_linux.c - pages by mmap(2), munmap(2), mremap(2).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

size_t hl__page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *hl__pages_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void hl__pages_unmap(void *p, size_t bytes)
{
    munmap(p, bytes);
}

void *hl__pages_resize(void *p, size_t from, size_t to)
{
    void *moved = mremap(p, from, to, MREMAP_MAYMOVE);
    return moved == MAP_FAILED ? NULL : moved;
}
