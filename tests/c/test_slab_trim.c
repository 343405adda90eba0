/*
 * test_slab_trim.c - memory that a slab gives back to the kernel: when, what, and beside threads that are at work.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slab_fixture.h"

#define MIB (UINT64_C(1) << 20)

static hl_slab_stats stats_of(hl_slab *s)
{
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    return stats;
}

static int is_mapped(const void *p)
{
    unsigned char resident;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return mincore((void *)((uintptr_t)p & ~(page - 1)), page, &resident) == 0 || errno != ENOMEM;
}

static void fill(hl_block *b)
{
    memset(hl_block_data(b), (int)b->number, b->size);
}

static int is_filled(hl_block *b)
{
    const uint8_t *p = hl_block_data(b);
    return p[0] == (uint8_t)b->number && memcmp(p, p + 1, b->size - 1) == 0;
}

static void get_all(hl_slab *s, size_t size, hl_block **blocks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        blocks[i] = hl_slab_get(s, size);
        assert_non_null(blocks[i]);
        fill(blocks[i]);
    }
}

static void release_all(hl_block **blocks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        hl_block_unref(blocks[i]);
    }
}

/* Of every class: more than a chunk, and the room that was never carved goes too. What was given back is made anew. */
static void chunks_that_are_free_go(void **state)
{
    (void)state;
    static hl_block *blocks[20000];
    for (size_t size = HL_SLAB_MIN; size <= HL_SLAB_MAX; size *= 2) {
        hl_slab *s = one_node_slab(0);
        uint64_t empty = stats_of(s).reserved;
        unsigned n = (unsigned)(size < MIB ? 3 * MIB / size : 3);
        n = n < 20000 ? n : 20000;
        for (int round = 0; round < 2; round++) {
            get_all(s, size, blocks, n);
            const void *first = blocks[0], *last = blocks[n - 1];
            hl_slab_stats before = stats_of(s);
            assert_int_equal(hl_slab_trim(s), 0);
            release_all(blocks, n);
            uint64_t returned = hl_slab_trim(s);
            hl_slab_stats after = stats_of(s);
            assert_true(returned >= n * size);
            assert_int_equal(after.returned, before.returned + returned);
            assert_int_equal(after.reserved, before.reserved - returned);
            assert_in_range(after.reserved - empty, 0, MIB); /* tables stay */
            for (unsigned cls = 0; cls < HL_SLAB_CLASSES; cls++) {
                assert_int_equal(after.classes[cls].total, 0);
                assert_int_equal(after.classes[cls].in_use, 0);
            }
            assert_false(is_mapped(first));
            assert_false(is_mapped(last));
        }
        assert_int_equal(hl_slab_free(s), 0);
    }
}

/* One block in use keeps its chunk, and nothing else. */
static void a_block_in_use_keeps_its_chunk(void **state)
{
    (void)state;
    enum { COUNT = 31 * 4 }; /* of 64 KiB: four chunks */
    hl_block *blocks[COUNT];
    hl_slab *s = one_node_slab(0);
    get_all(s, 65536, blocks, COUNT);
    hl_block *kept = blocks[40];
    for (unsigned i = 0; i < COUNT; i++) {
        if (blocks[i] != kept) {
            hl_block_unref(blocks[i]);
        }
    }
    assert_int_equal(hl_slab_trim(s), 3 * 2 * MIB);
    assert_int_equal(hl_slab_trim(s), 0);
    assert_true(is_filled(kept));
    assert_false(is_mapped(blocks[0]));
    assert_true(is_mapped(blocks[31]));
    assert_int_equal(stats_of(s).classes[9].total, 31);
    assert_int_equal(stats_of(s).classes[9].in_use, 1);
    get_all(s, 65536, blocks, COUNT - 1); /* first the 30 that are left, then new chunks where the old ones were */
    for (unsigned i = 0; i < COUNT - 1; i++) {
        assert_ptr_not_equal(blocks[i], kept);
        assert_true(is_filled(blocks[i]));
    }
    assert_true(is_filled(kept));
    assert_int_equal(stats_of(s).classes[9].total, COUNT);
    release_all(blocks, COUNT - 1);
    hl_block_unref(kept);
    assert_int_equal(hl_slab_trim(s), 4 * 2 * MIB);
    assert_int_equal(hl_slab_free(s), 0);
}

/* Pages that lie wholly within the block's payload and are resident; it has n of them. */
static size_t resident_pages(hl_block *b, size_t *n)
{
    unsigned char resident[64];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)hl_block_data(b) + page - 1) & ~(page - 1);
    size_t count = 0;
    *n = (((uintptr_t)hl_block_data(b) + b->size) & ~(page - 1)) / page - from / page;
    assert_in_range(*n, 1, sizeof resident);
    assert_int_equal(mincore((void *)from, *n * page, resident), 0);
    for (size_t i = 0; i < *n; i++) {
        count += resident[i] & 1;
    }
    return count;
}

/* Free blocks beside one in use keep their headers and nothing else. */
static void free_blocks_of_other_chunks_are_emptied(void **state)
{
    (void)state;
    if (HL__FILLED) {
        skip(); /* what they are filled with is to stay */
    }
    enum { COUNT = 31 };
    hl_block *blocks[COUNT];
    size_t pages;
    hl_slab *s = one_node_slab(0);
    get_all(s, 65536, blocks, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(resident_pages(blocks[i], &pages) == pages);
        if (i != 7) {
            hl_block_unref(blocks[i]);
        }
    }
    assert_int_equal(hl_slab_trim(s), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        size_t resident = resident_pages(blocks[i], &pages);
        assert_int_equal(resident, i == 7 ? pages : 0);
    }
    assert_true(is_filled(blocks[7]));
    hl_block_unref(blocks[7]);
    for (unsigned i = 0; i < COUNT; i++) {
        hl_block *b = hl_slab_get(s, 65536);
        assert_int_equal(b->size, 65536);
        fill(b);
        assert_true(is_filled(b));
    }
    assert_int_equal(stats_of(s).classes[9].total, COUNT);
    assert_int_equal(hl_slab_free(s), COUNT);
}

/* The chunk that is being carved stays if a block of it is in use, and carving goes on. */
static void carving_goes_on_beside_a_block_in_use(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    hl_block *kept = hl_slab_get(s, 1000), *released = hl_slab_get(s, 1000);
    fill(kept);
    hl_block_unref(released);
    assert_int_equal(hl_slab_trim(s), 0);
    hl_block *again = hl_slab_get(s, 1000), *next = hl_slab_get(s, 1000);
    assert_ptr_equal(again, released);
    assert_ptr_equal((uint8_t *)next, (uint8_t *)again + sizeof *again + again->size);
    assert_true(is_filled(kept));
    assert_int_equal(hl_slab_free(s), 3);
}

static void what_caches_hold_is_given_back_when_asked_for(void **state)
{
    (void)state;
    hl_block *blocks[HL_CACHE_BATCH];
    hl_slab *s = one_node_slab(0);
    hl_cache *c = hl_cache_new(s);
    uint64_t empty = stats_of(s).reserved;
    for (unsigned i = 0; i < HL_CACHE_BATCH; i++) {
        blocks[i] = hl_cache_get(c, 65536);
        assert_non_null(blocks[i]);
    }
    for (unsigned i = 0; i < HL_CACHE_BATCH; i++) {
        hl_cache_unref(c, blocks[i]);
    }
    hl_cache_heed(c); /* nobody has asked */
    assert_int_equal(hl_slab_trim(s), 0);
    assert_int_equal(hl_slab_ease(s, MIB), 0); /* half of the chunk is the cache's */
    hl_cache_heed(c);
    assert_int_equal(hl_slab_trim(s), 0);
    assert_int_equal(hl_slab_ease(s, MIB - MIB / 8), 1);
    assert_int_equal(hl_slab_trim(s), 0); /* the owner has not heard of it yet */
    hl_cache_heed(c);
    assert_int_equal(hl_slab_trim(s), 2 * MIB);
    assert_in_range(stats_of(s).reserved - empty, 0, MIB);
    blocks[0] = hl_cache_get(c, 65536);
    fill(blocks[0]);
    hl_cache_unref(c, blocks[0]);
    hl_cache_heed(c); /* once for each time that it was asked */
    assert_int_equal(hl_slab_trim(s), 0);
    hl_cache_free(c);
    assert_int_equal(hl_slab_trim(s), 2 * MIB);
    assert_int_equal(hl_slab_free(s), 0);
}

static void blocks_in_use_do_not_count_as_idle(void **state)
{
    (void)state;
    hl_block *blocks[31];
    hl_slab *s = one_node_slab(0);
    assert_int_equal(hl_slab_ease(s, 0), 0);
    get_all(s, 65536, blocks, 31);
    assert_int_equal(hl_slab_ease(s, 65536), 0); /* what a chunk has left over */
    release_all(blocks, 2);
    assert_int_equal(hl_slab_ease(s, 2 * 65536), 1);
    release_all(blocks + 2, 29);
    assert_int_equal(hl_slab_free(s), 0);
}

/* Other classes can have what one has given back. */
static void a_limit_has_room_again(void **state)
{
    (void)state;
    static hl_block *blocks[16000];
    hl_slab *s = one_node_slab(9 * MIB);
    unsigned n = 0;
    while (n < 16000 && (blocks[n] = hl_slab_get(s, 512)) != NULL) {
        n++;
    }
    assert_in_range(n, 3 * 3600, 4 * 3700);
    assert_null(hl_slab_get(s, 5 * MIB));
    release_all(blocks, n);
    assert_null(hl_slab_get(s, 5 * MIB));
    hl_slab_trim(s);
    hl_block *b = hl_slab_get(s, 5 * MIB);
    assert_non_null(b);
    hl_block_unref(b);
    assert_int_equal(hl_slab_free(s), 0);
}

/* ------------------------------------------------------------------ threads */

enum { THREADS = 3, HELD = 40 };

typedef struct worker {
    pthread_t thread;
    hl_slab *slab;
    uint32_t rounds;
    uint64_t random;
    uint32_t *running; /* atomic: workers that are not done */
    uint32_t *trims;   /* atomic: times that something was given back, which they wait for */
    uint32_t wrong;
} worker;

/* Holds some blocks, signed, and exchanges one after the other for a new one. */
static void *work(void *arg)
{
    static const size_t sizes[] = {100, 1000, 3000, 20000};
    worker *w = arg;
    hl_cache *cache = hl_cache_new(w->slab);
    hl_block *held[HELD] = {0};
    /* relaxed: only whether to go on */
    for (uint32_t round = 0; round < w->rounds || __atomic_load_n(w->trims, __ATOMIC_RELAXED) == 0; round++) {
        uint64_t random = test_random(&w->random);
        hl_block **b = &held[random % HELD];
        int cached = (random >> 20 & 1) != 0;
        uint64_t signature;
        if (*b != NULL) {
            memcpy(&signature, hl_block_data(*b) + (*b)->size - sizeof signature, sizeof signature);
            w->wrong += signature != (uintptr_t)*b || !hl_block_sole(*b);
            if (cached) {
                hl_cache_unref(cache, *b);
            } else {
                hl_block_unref(*b);
            }
            *b = NULL;
        }
        if (round % 1024 >= 512) {
            hl_cache_heed(cache); /* and let use drop, so that there is something to give back */
            continue;
        }
        size_t size = (random >> 32) % 256 == 0 ? 600000 : sizes[random >> 40 & 3];
        *b = cached ? hl_cache_get(cache, size) : hl_slab_get(w->slab, size);
        if (*b == NULL) {
            w->wrong++;
            continue;
        }
        signature = (uintptr_t)*b;
        memcpy(hl_block_data(*b) + (*b)->size - sizeof signature, &signature, sizeof signature);
    }
    for (unsigned i = 0; i < HELD; i++) {
        hl_cache_unref(cache, held[i]);
    }
    hl_cache_free(cache);
    __atomic_fetch_sub(w->running, 1, __ATOMIC_RELEASE); /* release: nothing; the join orders */
    return NULL;
}

/* No get fails or sees another's block while memory goes to and fro. */
static void trimming_beside_threads(void **state)
{
    (void)state;
    worker workers[THREADS];
    uint64_t seed = test_seed(3);
    uint32_t running = THREADS, trims = 0, wrong = 0;
    hl_slab *s = one_node_slab(0);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] =
            (worker){.slab = s, .rounds = test_rounds(30000), .random = seed + i, .running = &running, .trims = &trims};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    while (__atomic_load_n(&running, __ATOMIC_RELAXED) != 0) { /* relaxed: only whether to go on */
        hl_slab_ease(s, 0);
        if (hl_slab_trim(s) != 0)
            __atomic_fetch_add(&trims, 1, __ATOMIC_RELAXED); /* relaxed: as above */
        sched_yield();
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
    }
    assert_int_equal(wrong, 0);
    hl_slab_stats stats = stats_of(s);
    assert_int_equal(stats.failures, 0);
    hl_slab_trim(s);
    for (unsigned cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        assert_int_equal(stats.classes[cls].in_use, 0);
        assert_int_equal(stats_of(s).classes[cls].total, 0);
    }
    assert_int_equal(hl_slab_free(s), 0);
}

static void *exchange(void *arg)
{
    worker *w = arg;
    for (uint32_t round = 0; round < w->rounds; round++) {
        hl_block *b = hl_slab_get(w->slab, 500);
        w->wrong += b == NULL;
        hl_block_unref(b);
    }
    __atomic_fetch_sub(w->running, 1, __ATOMIC_RELEASE); /* release: nothing; the join orders */
    return NULL;
}

/* While the trimmer holds all free blocks for a moment, and the limit lets nobody make new ones, who asks for one waits
 * for him instead of being refused. */
static void trimming_refuses_nobody(void **state)
{
    (void)state;
    worker workers[THREADS];
    uint32_t running = THREADS;
    hl_slab *s = one_node_slab(3 * MIB + (MIB >> 1)); /* one chunk */
    hl_block *kept = hl_slab_get(s, 500);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.slab = s, .rounds = test_rounds(20000), .running = &running};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, exchange, &workers[i]), 0);
    }
    while (__atomic_load_n(&running, __ATOMIC_RELAXED) != 0) {
        hl_slab_trim(s);
        sched_yield();
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    assert_int_equal(stats_of(s).failures, 0);
    hl_block_unref(kept);
    assert_int_equal(hl_slab_free(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_that_are_free_go),
        cmocka_unit_test(a_block_in_use_keeps_its_chunk),
        cmocka_unit_test(free_blocks_of_other_chunks_are_emptied),
        cmocka_unit_test(carving_goes_on_beside_a_block_in_use),
        cmocka_unit_test(what_caches_hold_is_given_back_when_asked_for),
        cmocka_unit_test(blocks_in_use_do_not_count_as_idle),
        cmocka_unit_test(a_limit_has_room_again),
        cmocka_unit_test(trimming_beside_threads),
        cmocka_unit_test(trimming_refuses_nobody),
    };
    return cmocka_run_group_tests_name("slab_trim", tests, NULL, NULL);
}
