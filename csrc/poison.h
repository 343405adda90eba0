/*
 * poison.h - what tells a block that is used after it was given back.
 *
 * -DHL_POISON       free blocks are filled with HL__POISON_BYTE; one that has been written to meanwhile stops the
 *                   process when it is handed out again.
 * AddressSanitizer  the payload of free blocks is poisoned: any access is reported where it happens.
 * either, or TSan   a reference that is taken away once too often, or added to a free block, stops the process.
 *
 * All of it compiles to nothing in a release build, which never aborts.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__POISON_H
#define HL__POISON_H

#include "hl_slab.h"

/* gcc says it with macros, clang with __has_feature. */
#ifdef __SANITIZE_ADDRESS__
#define HL__ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define HL__TSAN 1
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(HL__ASAN)
#define HL__ASAN 1
#endif
#if __has_feature(thread_sanitizer) && !defined(HL__TSAN)
#define HL__TSAN 1
#endif
#endif
#ifndef HL__ASAN
#define HL__ASAN 0
#endif
#ifndef HL__TSAN
#define HL__TSAN 0
#endif

#if HL__ASAN
#include <sanitizer/asan_interface.h>
#endif

#if defined(HL_POISON) || HL__ASAN || HL__TSAN
#define HL__CHECKED 1
#include <stdio.h>
#include <stdlib.h>
#else
#define HL__CHECKED 0
#endif

#ifdef HL_POISON
#define HL__FILLED 1 /* the contents of free blocks matter */
#include <string.h>
#else
#define HL__FILLED 0
#endif

#define HL__POISON_BYTE 0xdb

/* Stops a checked build when `ok` is false. */
static inline void hl__check(int ok, const char *what)
{
#if HL__CHECKED
    if (!ok) {
        fprintf(stderr, "hioload: %s\n", what);
        abort();
    }
#else
    (void)ok;
    (void)what;
#endif
}

/* Any access to the n bytes at p is wrong from now on. */
static inline void hl__forbid(void *p, size_t n)
{
#if HL__ASAN
    __asan_poison_memory_region(p, n);
#else
    (void)p;
    (void)n;
#endif
}

/* Access is right again. Also before an unmap: the next mapping at that address inherits the shadow. */
static inline void hl__permit(void *p, size_t n)
{
#if HL__ASAN
    __asan_unpoison_memory_region(p, n);
#else
    (void)p;
    (void)n;
#endif
}

/* A block becomes free. Its last user calls this before anybody else can reach it. */
static inline void hl__block_bury(hl_block *b)
{
#ifdef HL_POISON
    memset(hl_block_data(b), HL__POISON_BYTE, b->size);
#endif
    hl__forbid(hl_block_data(b), b->size);
}

/* A free block is handed out. */
static inline void hl__block_raise(hl_block *b)
{
    hl__permit(hl_block_data(b), b->size);
#ifdef HL_POISON
    const uint8_t *p = hl_block_data(b);
    /* All bytes equal the first exactly when the block equals itself shifted by one. */
    hl__check(p[0] == HL__POISON_BYTE && memcmp(p, p + 1, b->size - 1) == 0, "a free block was written to");
#endif
}

#endif /* HL__POISON_H */
