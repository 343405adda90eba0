/*
 * test_slab_threads.c - blocks of hl_slab.h among threads: none is lost, given twice, or seen half written.
 *
 * Assertions leave by longjmp, so threads only count what is wrong and the test's own thread judges.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "slab_fixture.h"

enum { THREADS = 4, SLOTS = 64, SIZES = 4 };

static const size_t sizes[SIZES] = {100, 128, 3000, 65536};

/* What the threads share: they exchange blocks through the slots, so that most are released by another thread than the
 * one that got them. */
typedef struct market {
    hl_slab *slab;
    hl_block *slots[SLOTS]; /* atomic */
    uint32_t rounds;
    uint32_t started; /* atomic: threads that have begun */
} market;

typedef struct trader {
    pthread_t thread;
    market *market;
    uint64_t random;
    int cached; /* gets and releases by way of a cache */
    uint32_t wrong;
} trader;

/* Every block on the market carries at both ends who it is. */
static void sign(hl_block *b)
{
    uint64_t signature = (uintptr_t)b ^ b->size;
    memcpy(hl_block_data(b), &signature, sizeof signature);
    memcpy(hl_block_data(b) + b->size - sizeof signature, &signature, sizeof signature);
}

/* Checks the signature and spoils it: a block that were handed out twice would be noticed. */
static int check_and_spoil(hl_block *b)
{
    uint64_t signature = (uintptr_t)b ^ b->size, none = 0;
    int good = memcmp(hl_block_data(b), &signature, sizeof signature) == 0 &&
               memcmp(hl_block_data(b) + b->size - sizeof signature, &signature, sizeof signature) == 0;
    memcpy(hl_block_data(b), &none, sizeof none);
    memcpy(hl_block_data(b) + b->size - sizeof none, &none, sizeof none);
    return good;
}

static void start_together(market *m)
{
    /* relaxed: nothing is published, the threads shall only overlap. */
    __atomic_fetch_add(&m->started, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&m->started, __ATOMIC_RELAXED) < THREADS) {
        sched_yield();
    }
}

static void *trade(void *arg)
{
    trader *t = arg;
    hl_slab *s = t->market->slab;
    hl_cache *cache = t->cached ? hl_cache_new(s) : NULL;
    start_together(t->market);
    for (uint32_t round = 0; round < t->market->rounds; round++) {
        uint64_t random = test_random(&t->random);
        size_t size = sizes[random % SIZES];
        hl_block *b = t->cached ? hl_cache_get(cache, size) : hl_slab_get(s, size);
        if (b == NULL || b->size < size || !hl_block_sole(b)) {
            t->wrong++;
            break;
        }
        sign(b);
        /* acq_rel: hands over the signature, and takes the other's. */
        b = __atomic_exchange_n(&t->market->slots[(random >> 32) % SLOTS], b, __ATOMIC_ACQ_REL);
        if (b == NULL) {
            continue;
        }
        t->wrong += (uint32_t)!check_and_spoil(b);
        if (t->cached) {
            hl_cache_unref(cache, b);
        } else {
            hl_block_unref(b);
        }
        if (round % 256 == 0) {
            hl_slab_stats stats; /* beside everything else */
            hl_slab_stats_read(s, &stats);
            t->wrong += stats.failures != 0;
        }
    }
    hl_cache_free(cache);
    return NULL;
}

/* All blocks of the class that exist lie on the shared stack, each once: getting as many as exist makes no new one, and
 * no two are the same. */
static void assert_stack_is_whole(hl_slab *s, uint32_t cls)
{
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    uint64_t total = stats.classes[cls].total;
    hl_block **blocks = calloc(total, sizeof(hl_block *));
    assert_non_null(blocks);
    for (uint64_t i = 0; i < total; i++) {
        blocks[i] = hl_slab_get(s, stats.classes[cls].size);
        assert_non_null(blocks[i]);
        assert_int_equal(blocks[i]->spare[0], 0);
        blocks[i]->spare[0] = 1;
    }
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.classes[cls].total, total);
    assert_int_equal(stats.classes[cls].in_use, total);
    for (uint64_t i = 0; i < total; i++) {
        blocks[i]->spare[0] = 0;
        hl_block_unref(blocks[i]);
    }
    free(blocks);
}

static void run_market(uint32_t cached_from)
{
    static market m;
    trader traders[THREADS];
    uint64_t seed = test_seed(99);
    hl_slab_stats stats;
    m = (market){.slab = one_node_slab(0), .rounds = test_rounds(6000)};
    for (uint32_t i = 0; i < THREADS; i++) {
        traders[i] = (trader){.market = &m, .random = seed + i + 1, .cached = i >= cached_from};
        assert_int_equal(pthread_create(&traders[i].thread, NULL, trade, &traders[i]), 0);
    }
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(traders[i].thread, NULL);
        wrong += traders[i].wrong;
    }
    assert_int_equal(wrong, 0);

    uint64_t left[HL_SLAB_CLASSES] = {0};
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (m.slots[i] != NULL) {
            left[m.slots[i]->cls]++;
        }
    }
    hl_slab_stats_read(m.slab, &stats);
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        assert_int_equal(stats.classes[cls].in_use, left[cls]);
        /* At most one in each slot, and in each thread's hands, and two full batches in each cache. */
        assert_in_range(stats.classes[cls].total, 0, SLOTS + THREADS * (2 + 2 * HL_CACHE_BATCH));
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        hl_block_unref(m.slots[i]);
    }
    for (uint32_t cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        assert_stack_is_whole(m.slab, cls);
    }
    assert_int_equal(hl_slab_free(m.slab), 0);
}

static void test_trading_without_caches(void **state)
{
    (void)state;
    run_market(THREADS);
}

static void test_trading_with_caches(void **state)
{
    (void)state;
    run_market(0);
}

static void test_trading_with_and_without_caches(void **state)
{
    (void)state;
    run_market(THREADS / 2);
}

/* ------------------------------------------------------------------ the counted head */

/* The word in a block's payload that says whether somebody has it. */
static uint32_t *owned(hl_block *b)
{
    return (uint32_t *)(void *)hl_block_data(b);
}

static uint32_t own(hl_block *b)
{
    /* relaxed: an atomic only so that a block that two threads have is counted, and no data race. */
    return __atomic_exchange_n(owned(b), 1, __ATOMIC_RELAXED);
}

static void disown(hl_block *b)
{
    __atomic_store_n(owned(b), 0, __ATOMIC_RELAXED);
    hl_block_unref(b);
}

/* Takes A and B off the stack and puts A back first. Without the count in the head another thread that has read
 * "first A, then B" would succeed in making B the first, while B is ours. */
static void *provoke_aba(void *arg)
{
    trader *t = arg;
    hl_slab *s = t->market->slab;
    start_together(t->market);
    for (uint32_t round = 0; round < t->market->rounds && t->wrong == 0; round++) {
        hl_block *a = hl_slab_get(s, 128), *b = hl_slab_get(s, 128);
        t->wrong += own(a) + own(b);
        disown(a);
        disown(b);
    }
    return NULL;
}

static void test_a_block_is_never_given_twice(void **state)
{
    (void)state;
#ifdef HL_POISON
    skip(); /* the mark of a free block would be taken for a write to it */
#endif
    static market m;
    trader traders[THREADS];
    hl_block *blocks[2 * THREADS];
    m = (market){.slab = one_node_slab(0), .rounds = test_rounds(250000)};
    for (uint32_t i = 0; i < 2 * THREADS; i++) {
        blocks[i] = hl_slab_get(m.slab, 128);
    }
    for (uint32_t i = 0; i < 2 * THREADS; i++) {
        disown(blocks[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        traders[i] = (trader){.market = &m};
        assert_int_equal(pthread_create(&traders[i].thread, NULL, provoke_aba, &traders[i]), 0);
    }
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(traders[i].thread, NULL);
        wrong += traders[i].wrong;
    }
    assert_int_equal(wrong, 0);
    assert_stack_is_whole(m.slab, 0);
    assert_int_equal(hl_slab_free(m.slab), 0);
}

/* ------------------------------------------------------------------ growth */

enum { EACH = 300 };

typedef struct hoarder {
    pthread_t thread;
    market *market;
    hl_block *blocks[EACH];
} hoarder;

static void *hoard(void *arg)
{
    hoarder *h = arg;
    start_together(h->market);
    for (uint32_t i = 0; i < EACH; i++) {
        h->blocks[i] = hl_slab_get(h->market->slab, 32768); /* 63 to a chunk: many chunks, all asked for at once */
        if (h->blocks[i] != NULL) {
            sign(h->blocks[i]);
        }
    }
    return NULL;
}

static void test_growing_from_all_threads_at_once(void **state)
{
    (void)state;
    static market m;
    static hoarder hoarders[THREADS];
    hl_slab_stats stats;
    m = (market){.slab = one_node_slab(0)};
    for (uint32_t i = 0; i < THREADS; i++) {
        hoarders[i].market = &m;
        assert_int_equal(pthread_create(&hoarders[i].thread, NULL, hoard, &hoarders[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(hoarders[i].thread, NULL);
    }
    hl_slab_stats_read(m.slab, &stats);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.classes[8].in_use, THREADS * EACH);
    assert_int_equal(stats.classes[8].total, THREADS * EACH);
    /* No chunk more than needed: 20 of 63 blocks each. */
    assert_in_range(stats.reserved, 20u << 21, 21u << 21);
    for (uint32_t i = 0; i < THREADS; i++) {
        for (uint32_t j = 0; j < EACH; j++) {
            assert_non_null(hoarders[i].blocks[j]);
            assert_true(check_and_spoil(hoarders[i].blocks[j]));
            hl_block_unref(hoarders[i].blocks[j]);
        }
    }
    assert_int_equal(hl_slab_free(m.slab), 0);
}

/* ------------------------------------------------------------------ shared blocks */

typedef struct sharer {
    pthread_t thread;
    market *market;
    uint32_t index;
    uint64_t sum;
} sharer;

/* Slot i holds a block that every thread has one reference to. Each adds and drops another, reads, and drops its own;
 * whoever is the last spoils it. */
static void *share(void *arg)
{
    sharer *h = arg;
    start_together(h->market);
    for (uint32_t i = 0; i < SLOTS; i++) {
        hl_block *b = h->market->slots[i];
        hl_block_ref(b);
        h->sum += hl_block_data(b)[h->index];
        hl_block_unref(b);
        if (hl_block_sole(b)) {
            memset(hl_block_data(b), 0xff, b->size); /* nobody reads any more */
        }
        hl_block_unref(b);
    }
    return NULL;
}

static void test_the_last_of_many_holders_releases(void **state)
{
    (void)state;
    static market m;
    sharer sharers[THREADS];
    uint32_t rounds = test_rounds(50);
    m = (market){.slab = one_node_slab(0)};
    for (uint32_t round = 0; round < rounds; round++) {
        m.started = 0;
        for (uint32_t i = 0; i < SLOTS; i++) {
            m.slots[i] = hl_slab_get(m.slab, i % 2 == 0 ? 100 : i == 1 ? HL_SLAB_MAX + 1 : 5000);
            assert_non_null(m.slots[i]);
            memset(hl_block_data(m.slots[i]), 1, THREADS);
            for (uint32_t t = 1; t < THREADS; t++) {
                hl_block_ref(m.slots[i]);
            }
        }
        for (uint32_t t = 0; t < THREADS; t++) {
            sharers[t] = (sharer){.market = &m, .index = t};
            assert_int_equal(pthread_create(&sharers[t].thread, NULL, share, &sharers[t]), 0);
        }
        for (uint32_t t = 0; t < THREADS; t++) {
            pthread_join(sharers[t].thread, NULL);
            assert_int_equal(sharers[t].sum, SLOTS);
        }
    }
    hl_slab_stats stats;
    hl_slab_stats_read(m.slab, &stats);
    assert_int_equal(stats.classes[0].total, SLOTS / 2);
    assert_int_equal(hl_slab_free(m.slab), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trading_without_caches),
        cmocka_unit_test(test_trading_with_caches),
        cmocka_unit_test(test_trading_with_and_without_caches),
        cmocka_unit_test(test_a_block_is_never_given_twice),
        cmocka_unit_test(test_growing_from_all_threads_at_once),
        cmocka_unit_test(test_the_last_of_many_holders_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
