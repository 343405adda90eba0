/*
 * micro.c - what the core's parts cost, each beside what one would use instead, in one run.
 *
 * Prints for each case the median of ROUNDS interleaved rounds of both and the ratio ours/theirs (below 1: we are
 * faster). Times are of the thread that measures, on whatever else the machine is doing: quote the ratios.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_loop.h"
#include "hl_mpmc.h"
#include "hl_spsc.h"
#include "hl_timer.h"

#include <ck_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 11
#define RING 1024

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

/* One case: both functions return nanoseconds per operation. */
static void compare(const char *name, double (*ours)(void), const char *other, double (*theirs)(void))
{
    double a[ROUNDS], b[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        a[i] = ours();
        b[i] = theirs ? theirs() : 0;
    }
    double x = median(a), y = theirs ? median(b) : 0;
    if (theirs)
        printf("%-44s %9.2f ns   %-22s %9.2f ns   ratio %.2f\n", name, x, other, y, x / y);
    else
        printf("%-44s %9.2f ns\n", name, x);
    fflush(stdout);
}

/* ------------------------------------------------------------------ rings, two threads */

enum { TRANSFERS = 400000 };

static hl_spsc spsc;
static hl_mpmc mpmc;
static ck_ring_t ck;
static uint64_t spsc_entries[RING];
static hl_mpmc_cell mpmc_cells[RING];
static ck_ring_buffer_t ck_buffer[RING];

static int spsc_push(uint64_t v) { return hl_spsc_push(&spsc, v); }
static int spsc_pop(uint64_t *v) { return hl_spsc_pop(&spsc, v); }
static int mpmc_push(uint64_t v) { return hl_mpmc_push(&mpmc, v); }
static int mpmc_pop(uint64_t *v) { return hl_mpmc_pop(&mpmc, v); }
static int ck_spsc_push(uint64_t v) { return ck_ring_enqueue_spsc(&ck, ck_buffer, (void *)(uintptr_t)v); }
static int ck_spsc_pop(uint64_t *v) { return ck_ring_dequeue_spsc(&ck, ck_buffer, (void **)v); }
static int ck_mpmc_push(uint64_t v) { return ck_ring_enqueue_mpmc(&ck, ck_buffer, (void *)(uintptr_t)v); }
static int ck_mpmc_pop(uint64_t *v) { return ck_ring_dequeue_mpmc(&ck, ck_buffer, (void **)v); }

typedef struct side {
    int (*push)(uint64_t);
    int (*pop)(uint64_t *);
} side;

static void *push_all(void *arg)
{
    side *s = arg;
    for (uint64_t i = 1; i <= TRANSFERS; i++)
        while (!s->push(i))
            sched_yield();
    return NULL;
}

/* Nanoseconds per value from one thread to another. */
static double across(side s)
{
    pthread_t t;
    uint64_t v, sum = 0;
    hl_spsc_init(&spsc, spsc_entries, RING);
    hl_mpmc_init(&mpmc, mpmc_cells, RING);
    ck_ring_init(&ck, RING);
    double start = now();
    pthread_create(&t, NULL, push_all, &s);
    for (int i = 0; i < TRANSFERS; i++) {
        while (!s.pop(&v))
            sched_yield();
        sum += v;
    }
    double spent = now() - start;
    pthread_join(t, NULL);
    if (sum != (uint64_t)TRANSFERS * (TRANSFERS + 1) / 2)
        abort();
    return spent / TRANSFERS;
}

/* Nanoseconds per push and pop on one thread. */
static double alone(side s)
{
    uint64_t v, sum = 0;
    hl_spsc_init(&spsc, spsc_entries, RING);
    hl_mpmc_init(&mpmc, mpmc_cells, RING);
    ck_ring_init(&ck, RING);
    double start = now();
    for (uint64_t i = 1; i <= TRANSFERS; i++) {
        s.push(i);
        s.pop(&v);
        sum += v;
    }
    double spent = now() - start;
    if (sum != (uint64_t)TRANSFERS * (TRANSFERS + 1) / 2)
        abort();
    return spent / TRANSFERS;
}

static double spsc_across(void) { return across((side){spsc_push, spsc_pop}); }
static double ck_spsc_across(void) { return across((side){ck_spsc_push, ck_spsc_pop}); }
static double mpmc_across(void) { return across((side){mpmc_push, mpmc_pop}); }
static double ck_mpmc_across(void) { return across((side){ck_mpmc_push, ck_mpmc_pop}); }
static double spsc_alone(void) { return alone((side){spsc_push, spsc_pop}); }
static double ck_spsc_alone(void) { return alone((side){ck_spsc_push, ck_spsc_pop}); }
static double mpmc_alone(void) { return alone((side){mpmc_push, mpmc_pop}); }
static double ck_mpmc_alone(void) { return alone((side){ck_mpmc_push, ck_mpmc_pop}); }

/* ------------------------------------------------------------------ slab */

enum { BLOCKS = 64, BLOCK_ROUNDS = 4000 };

static hl_slab *slab;
static hl_cache *cache;
static size_t block_size;

static double slab_alone(void)
{
    hl_block *b[BLOCKS];
    double start = now();
    for (int r = 0; r < BLOCK_ROUNDS; r++) {
        for (int i = 0; i < BLOCKS; i++)
            b[i] = hl_cache_get(cache, block_size);
        for (int i = 0; i < BLOCKS; i++)
            hl_cache_unref(cache, b[i]);
    }
    return (now() - start) / (BLOCKS * BLOCK_ROUNDS);
}

static double malloc_alone(void)
{
    void *volatile b[BLOCKS];
    double start = now();
    for (int r = 0; r < BLOCK_ROUNDS; r++) {
        for (int i = 0; i < BLOCKS; i++)
            b[i] = malloc(block_size);
        for (int i = 0; i < BLOCKS; i++)
            free(b[i]);
    }
    return (now() - start) / (BLOCKS * BLOCK_ROUNDS);
}

enum { HANDED = 200000 };

static void *free_blocks(void *arg)
{
    (void)arg;
    uint64_t v;
    hl_cache *mine = hl_cache_new(slab);
    for (int i = 0; i < HANDED; i++) {
        while (!hl_spsc_pop(&spsc, &v))
            sched_yield();
        hl_cache_unref(mine, (hl_block *)(uintptr_t)v);
    }
    hl_cache_free(mine);
    return NULL;
}

static void *free_mallocs(void *arg)
{
    (void)arg;
    uint64_t v;
    for (int i = 0; i < HANDED; i++) {
        while (!hl_spsc_pop(&spsc, &v))
            sched_yield();
        free((void *)(uintptr_t)v);
    }
    return NULL;
}

/* Got here, released on another thread, through the ring that is measured above. */
static double handed(void *(*releases)(void *), int ours)
{
    pthread_t t;
    hl_spsc_init(&spsc, spsc_entries, RING);
    double start = now();
    pthread_create(&t, NULL, releases, NULL);
    for (int i = 0; i < HANDED; i++) {
        uint64_t v = (uint64_t)(uintptr_t)(ours ? (void *)hl_cache_get(cache, block_size) : malloc(block_size));
        while (!hl_spsc_push(&spsc, v))
            sched_yield();
    }
    pthread_join(t, NULL);
    return (now() - start) / HANDED;
}

static double slab_handed(void) { return handed(free_blocks, 1); }
static double malloc_handed(void) { return handed(free_mallocs, 0); }

/* ------------------------------------------------------------------ masks, UTF-8 */

static uint8_t *bytes, *copy;
static size_t length;
enum { PASSES = 2000 };

static double mask_bytes(void)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    double start = now();
    for (int i = 0; i < PASSES; i++)
        hl_ws_mask(bytes, length, mask);
    return (now() - start) / PASSES;
}

static double copy_bytes(void)
{
    double start = now();
    for (int i = 0; i < PASSES; i++) {
        memcpy(copy, bytes, length);
        __asm__ volatile("" ::"r"(copy) : "memory");
    }
    return (now() - start) / PASSES;
}

static double validate(void)
{
    double start = now();
    for (int i = 0; i < PASSES; i++)
        if (hl_utf8(HL_UTF8_ACCEPT, copy, length) != HL_UTF8_ACCEPT)
            abort();
    return (now() - start) / PASSES;
}

/* ------------------------------------------------------------------ timers, turns */

static hl_wheel wheel;
static hl_timer *timers;
static size_t armed;

static void arm(size_t n)
{
    hl_wheel_init(&wheel, 1000);
    memset(timers, 0, n * sizeof *timers);
    for (armed = 0; armed < n; armed++)
        hl_timer_set(&wheel, &timers[armed], 1000 + (armed * 7919) % 3600000);
}

static double set_cancel(void)
{
    static hl_timer t;
    enum { TIMES = 200000 };
    double start = now();
    for (uint64_t i = 0; i < TIMES; i++) {
        hl_timer_set(&wheel, &t, 1000 + (i * 104729) % 3600000);
        hl_timer_cancel(&wheel, &t);
    }
    return (now() - start) / TIMES;
}

static hl_loop *loop;

static double empty_turn(void)
{
    enum { TURNS = 20000 };
    double start = now();
    for (int i = 0; i < TURNS; i++)
        hl_loop_enter(loop, 0, 0);
    return (now() - start) / TURNS;
}

int main(void)
{
    slab = hl_slab_new(0);
    cache = hl_cache_new(slab);
    compare("SPSC, thread to thread", spsc_across, "ck_ring spsc", ck_spsc_across);
    compare("SPSC, one thread", spsc_alone, "ck_ring spsc", ck_spsc_alone);
    compare("MPMC, thread to thread", mpmc_across, "ck_ring mpmc", ck_mpmc_across);
    compare("MPMC, one thread", mpmc_alone, "ck_ring mpmc", ck_mpmc_alone);
    char name[64];
    for (block_size = 128; block_size <= 65536; block_size *= 8) {
        snprintf(name, sizeof name, "slab get+unref, %zu bytes", block_size);
        compare(name, slab_alone, "malloc+free", malloc_alone);
        snprintf(name, sizeof name, "  released by another thread, %zu bytes", block_size);
        compare(name, slab_handed, "malloc+free", malloc_handed);
    }
    bytes = aligned_alloc(64, 1 << 20);
    copy = aligned_alloc(64, 1 << 20);
    memset(bytes, 'x', 1 << 20);
    for (length = 64; length <= 1 << 16; length *= 16) {
        snprintf(name, sizeof name, "unmask (%s), %zu bytes", hl_ws_mask_kind(), length);
        compare(name, mask_bytes, "memcpy", copy_bytes);
    }
    length = 16384;
    memset(copy, 'x', length);
    compare("UTF-8, 16384 bytes of ASCII", validate, NULL, NULL);
    for (size_t i = 0; i + 1 < length; i += 2)
        memcpy(copy + i, "\xd0\xb6", 2);
    compare("UTF-8, 16384 bytes of Cyrillic", validate, NULL, NULL);
    timers = malloc(1000000 * sizeof *timers);
    arm(1000);
    compare("timer set+cancel, 1,000 armed", set_cancel, NULL, NULL);
    arm(1000000);
    compare("timer set+cancel, 1,000,000 armed", set_cancel, NULL, NULL);
    int error;
    loop = hl_loop_new(&(hl_loop_config){.slab = slab}, &error);
    compare("turn of an empty loop", empty_turn, NULL, NULL);
    hl_loop_free(loop);
    hl_cache_free(cache);
    hl_slab_free(slab);
    return 0;
}
