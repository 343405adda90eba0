/*
 * memory.c - the slab beside malloc: where a block is released by the thread that got it, and where by another.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_slab.h"
#include "micro.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BUNCH = 64, ROUNDS_ALONE = 4000, HANDED = 2000, ROUNDS_HANDED = 100 };

static hl_slab *slab;
static hl_cache *cache, *cache_of_other;
static size_t block_size;
static void *block[HANDED];

static void get(hl_cache *c, int n)
{
    for (int i = 0; i < n; i++) {
        block[i] = c ? (void *)hl_cache_get(c, block_size) : malloc(block_size);
        if (block[i] == NULL)
            abort();
    }
}

static void release(hl_cache *c, int n)
{
    for (int i = 0; i < n; i++) {
        if (c)
            hl_cache_unref(c, block[i]);
        else
            free(block[i]);
    }
}

/* Got and released a bunch at a time, as a loop does in a turn. */
static double alone(hl_cache *c)
{
    double start = now();
    for (int r = 0; r < ROUNDS_ALONE; r++) {
        get(c, BUNCH);
        release(c, BUNCH);
    }
    return (now() - start) / (ROUNDS_ALONE * BUNCH);
}

static double slab_alone(void)
{
    return alone(cache);
}

static double malloc_alone(void)
{
    return alone(NULL);
}

/* ------------------------------------------------------------------ got here, released there */

/* The two threads take turns, and what is added up is the time that each spends on its processor: neither waiting nor
 * handing over counts. */
static pthread_barrier_t turns;

static double processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

typedef struct releaser {
    hl_cache *cache; /* NULL: free */
    double spent;
} releaser;

static void *release_all(void *arg)
{
    releaser *other = arg;
    stay_on(1);
    for (int r = 0; r < ROUNDS_HANDED; r++) {
        pthread_barrier_wait(&turns);
        double start = processor_time();
        release(other->cache, HANDED);
        other->spent += processor_time() - start;
        pthread_barrier_wait(&turns);
    }
    return NULL;
}

static double handed(hl_cache *mine, hl_cache *others)
{
    pthread_t t;
    releaser other = {.cache = others};
    double spent = 0;
    pthread_barrier_init(&turns, NULL, 2);
    pthread_create(&t, NULL, release_all, &other);
    for (int r = 0; r < ROUNDS_HANDED; r++) {
        double start = processor_time();
        get(mine, HANDED);
        spent += processor_time() - start;
        pthread_barrier_wait(&turns);
        pthread_barrier_wait(&turns);
    }
    pthread_join(t, NULL);
    pthread_barrier_destroy(&turns);
    return (spent + other.spent) / (ROUNDS_HANDED * HANDED);
}

static double slab_handed(void)
{
    return handed(cache, cache_of_other);
}

static double malloc_handed(void)
{
    return handed(NULL, NULL);
}

void compare_memory(void)
{
    char what[64];
    slab = hl_slab_new(0);
    cache = hl_cache_new(slab);
    cache_of_other = hl_cache_new(slab);
    stay_on(0);
    for (block_size = 128; block_size <= 65536; block_size *= 8) {
        snprintf(what, sizeof what, "slab, %zu bytes", block_size);
        compare((comparison){what, slab_alone, "malloc and free", malloc_alone, .target = 1.0});
        snprintf(what, sizeof what, "slab, %zu bytes, another releases", block_size);
        compare((comparison){what, slab_handed, "malloc and free", malloc_handed, .target = 0.5});
    }
    /* malloc at its best, which nobody gets unasked: it never gives memory back, and so never has to get it anew. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (block_size = 128; block_size <= 65536; block_size *= 8) {
        snprintf(what, sizeof what, "slab, %zu bytes, another releases", block_size);
        compare((comparison){what, slab_handed, "the same, never trimmed", malloc_handed, .target = 0});
    }
    hl_cache_free(cache);
    hl_cache_free(cache_of_other);
    hl_slab_free(slab);
}
