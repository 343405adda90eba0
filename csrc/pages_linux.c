/*
 * pages_linux.c - pages by mmap(2), munmap(2), mremap(2), madvise(2).
 *
 * Huge pages: the kernel's Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include "pages.h"

#include "nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of <linux/mman.h>, for older headers. */
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

size_t hl__page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int hl__pages_transparent(void)
{
    char modes[64];
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n;
    do {
        n = read(fd, modes, sizeof modes - 1);
    } while (n < 0 && errno == EINTR);
    close(fd);
    modes[n > 0 ? n : 0] = '\0';
    return n > 0 && strstr(modes, "[never]") == NULL;
}

static void *map(size_t bytes, int flags)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *hl__pages_map(size_t bytes)
{
    return map(bytes, 0);
}

static int is_aligned(const void *p)
{
    return ((uintptr_t)p & (HL__HUGE_PAGE - 1)) == 0;
}

/* Pages that begin at a multiple of HL__HUGE_PAGE, by mapping too much and giving back what lies around them. */
static void *map_aligned(size_t bytes, int flags)
{
    char *p = map(bytes, flags);
    if (p == NULL || is_aligned(p)) {
        return p; /* as kernels since 6.7 do it by themselves */
    }
    char *wide = bytes <= SIZE_MAX - HL__HUGE_PAGE ? map(bytes + HL__HUGE_PAGE, flags) : NULL;
    if (wide == NULL) {
        return p;
    }
    munmap(p, bytes);
    size_t before = HL__HUGE_PAGE - ((uintptr_t)wide & (HL__HUGE_PAGE - 1));
    munmap(wide, before); /* `wide` may be aligned: then all that is too much lies before */
    p = wide + before;
    if (before != HL__HUGE_PAGE) {
        munmap(p + bytes, HL__HUGE_PAGE - before);
    }
    return p;
}

/*
 * Pages out of the administrator's reserve. They are committed here and now: the reserve is not divided by nodes and
 * cpusets, so a page that turns out not to be had later would end the process with SIGBUS (hugetlbpage.rst).
 */
static void *map_huge(size_t bytes, int node)
{
    void *p = map(bytes, MAP_HUGETLB | MAP_HUGE_2MB);
    if (p == NULL) {
        return NULL;
    }
    if (node >= 0) {
        hl__nodes_prefer(p, bytes, node);
    }
    /* EINVAL: before Linux 5.14 there is no such advice; mmap has reserved the pages, which must do. */
    if (madvise(p, bytes, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
        munmap(p, bytes);
        return NULL;
    }
    return p;
}

void *hl__pages_place(size_t bytes, hl__page_kind *kind, int node)
{
    if (*kind == HL__PAGES_HUGE) {
        void *p = bytes % HL__HUGE_PAGE == 0 ? map_huge(bytes, node) : NULL;
        if (p != NULL) {
            return p;
        }
        *kind = HL__PAGES_TRANSPARENT;
    }
    int small = bytes < HL__HUGE_PAGE;
    void *p = small ? map(bytes, 0) : map_aligned(bytes, 0);
    if (p == NULL) {
        return NULL;
    }
    if (node >= 0) {
        hl__nodes_prefer(p, bytes, node);
    }
    if (*kind == HL__PAGES_TRANSPARENT && (small || madvise(p, bytes, MADV_HUGEPAGE) != 0)) {
        *kind = HL__PAGES_PLAIN;
    } else if (*kind == HL__PAGES_PLAIN && !small) {
        /* Where huge pages are given unasked, touching the first byte would commit all 2 MiB. */
        (void)madvise(p, bytes, MADV_NOHUGEPAGE);
    }
    return p;
}

void hl__pages_unmap(void *p, size_t bytes)
{
    munmap(p, bytes);
}

void hl__pages_discard(void *p, size_t bytes)
{
    uintptr_t mask = hl__page_size() - 1;
    uintptr_t from = ((uintptr_t)p + mask) & ~mask, to = ((uintptr_t)p + bytes) & ~mask;
    if (from < to) {
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
}

void *hl__pages_resize(void *p, size_t from, size_t to)
{
    void *moved = mremap(p, from, to, 0);
    if (moved == MAP_FAILED && to >= HL__HUGE_PAGE) {
        void *there = map_aligned(to, MAP_NORESERVE); /* holds an aligned place free, which the move takes */
        if (there != NULL) {
            moved = mremap(p, from, to, MREMAP_MAYMOVE | MREMAP_FIXED, there);
            if (moved == MAP_FAILED) {
                munmap(there, to);
            }
        }
    }
    if (moved == MAP_FAILED) {
        moved = mremap(p, from, to, MREMAP_MAYMOVE);
    }
    return moved == MAP_FAILED ? NULL : moved;
}
