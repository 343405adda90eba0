/*
 * test_cache.c - caches of hl_slab.h on one thread, and growing.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <string.h>

#include "slab_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT (256 * MIB)

typedef struct fixture {
    hl_slab *slab;
    hl_cache *cache;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.slab = one_node_slab(LIMIT);
    f.cache = f.slab != NULL ? hl_cache_new(f.slab) : NULL;
    *state = &f;
    return f.cache != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hl_cache_free(f->cache);
    return hl_slab_free(f->slab) == 0 ? 0 : -1; /* no test leaves a block behind */
}

static hl_slab_stats stats_of(const fixture *f)
{
    hl_slab_stats stats;
    hl_slab_stats_read(f->slab, &stats);
    return stats;
}

static void fill(hl_block *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hl_block_data(b)[i] = (uint8_t)(i * 31 + (i >> 8));
    }
}

static void assert_filled(hl_block *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (hl_block_data(b)[i] != (uint8_t)(i * 31 + (i >> 8))) {
            fail_msg("byte %zu of %zu was lost", i, n);
        }
    }
}

static void test_get_gives_the_class_that_fits(void **state)
{
    fixture *f = *state;
    for (uint64_t size = HL_SLAB_MIN; size <= HL_SLAB_MAX; size *= 2) {
        hl_block *b = hl_cache_get(f->cache, size);
        assert_non_null(b);
        assert_int_equal(b->size, size);
        assert_int_equal(b->refs, 1);
        memset(hl_block_data(b), 1, b->size);
        hl_cache_unref(f->cache, b);
    }
    hl_block *b = hl_cache_get(f->cache, 0);
    assert_int_equal(b->size, HL_SLAB_MIN);
    hl_cache_unref(f->cache, b);
    hl_cache_unref(f->cache, NULL);
}

static void test_cached_blocks_are_not_in_use(void **state)
{
    fixture *f = *state;
    hl_block *blocks[100];
    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = hl_cache_get(f->cache, 128);
        assert_int_equal(stats_of(f).classes[0].in_use, i + 1);
    }
    assert_in_range(stats_of(f).classes[0].total, 100, 100 + HL_CACHE_BATCH - 1);
    for (unsigned i = 0; i < 100; i++) {
        hl_cache_unref(f->cache, blocks[i]);
        assert_int_equal(stats_of(f).classes[0].in_use, 99 - i);
    }
}

/* gets is counted where the shared stack is touched: once for a batch. */
static void test_the_stack_is_touched_once_per_batch(void **state)
{
    fixture *f = *state;
    hl_block *blocks[HL_CACHE_BATCH + 1];
    for (unsigned i = 0; i < HL_CACHE_BATCH; i++) {
        blocks[i] = hl_cache_get(f->cache, 1024);
        assert_int_equal(stats_of(f).classes[3].gets, HL_CACHE_BATCH);
    }
    blocks[HL_CACHE_BATCH] = hl_cache_get(f->cache, 1024);
    assert_int_equal(stats_of(f).classes[3].gets, 2 * HL_CACHE_BATCH);
    for (unsigned i = 0; i <= HL_CACHE_BATCH; i++) {
        hl_cache_unref(f->cache, blocks[i]);
    }
    for (unsigned round = 0; round < 1000; round++) { /* all from the cache now */
        hl_cache_unref(f->cache, hl_cache_get(f->cache, 1024));
    }
    assert_int_equal(stats_of(f).classes[3].gets, 2 * HL_CACHE_BATCH);
}

static void test_a_block_with_other_references_stays(void **state)
{
    fixture *f = *state;
    hl_block *b = hl_cache_get(f->cache, 128);
    hl_block_ref(b);
    hl_cache_unref(f->cache, b);
    assert_int_equal(stats_of(f).classes[0].in_use, 1);
    assert_true(hl_block_sole(b));
    hl_block_unref(b);
    assert_int_equal(stats_of(f).classes[0].in_use, 0);
}

static void test_a_cache_does_not_hoard(void **state)
{
    fixture *f = *state;
    hl_block *blocks[64];
    for (uint64_t size = 65536; size <= HL_SLAB_MAX; size *= 4) {
        unsigned count = 0, again = 0;
        hl_slab *small = one_node_slab(20 * MIB);
        hl_cache *cache = hl_cache_new(small);
        while (count < 64 && (blocks[count] = hl_cache_get(cache, size)) != NULL) {
            count++;
        }
        for (unsigned i = 0; i < count; i++) {
            hl_cache_unref(cache, blocks[i]);
        }
        /* Others find all but 1 MiB, or two blocks, on the shared stack. */
        unsigned kept = size < MIB / 2 ? (unsigned)(MIB / size) : 2;
        assert_true(count > kept);
        while (again < count - kept && (blocks[again] = hl_slab_get(small, size)) != NULL) {
            again++;
        }
        assert_int_equal(again, count - kept);
        for (unsigned i = 0; i < again; i++) {
            hl_block_unref(blocks[i]);
        }
        assert_int_equal(hl_slab_free(small), 0); /* takes the cache along */
    }
    assert_int_equal(stats_of(f).failures, 0);
}

static void test_freeing_a_cache_gives_its_blocks_back(void **state)
{
    fixture *f = *state;
    hl_block *blocks[HL_CACHE_BATCH];
    hl_cache *other = hl_cache_new(f->slab);
    hl_cache_unref(other, hl_cache_get(other, 128));
    uint64_t total = stats_of(f).classes[0].total;
    assert_in_range(total, 1, HL_CACHE_BATCH);
    hl_cache_free(other);
    for (unsigned i = 0; i < total; i++) {
        blocks[i] = hl_slab_get(f->slab, 128);
    }
    assert_int_equal(stats_of(f).classes[0].total, total); /* no new one was needed */
    for (unsigned i = 0; i < total; i++) {
        hl_block_unref(blocks[i]);
    }
    assert_int_equal(stats_of(f).classes[0].in_use, 0);
    hl_cache_free(NULL);
}

static void test_the_memory_of_caches_is_counted(void **state)
{
    fixture *f = *state;
    uint64_t before = stats_of(f).reserved;
    hl_cache *caches[3];
    for (int i = 0; i < 3; i++) {
        caches[i] = hl_cache_new(f->slab);
        assert_non_null(caches[i]);
    }
    assert_in_range(stats_of(f).reserved - before, 3 * 4096, 3 * 65536);
    hl_cache_free(caches[1]); /* from the middle of the list, then its ends */
    hl_cache_free(caches[0]);
    hl_cache_free(caches[2]);
    assert_int_equal(stats_of(f).reserved, before);
}

static void test_blocks_of_another_slab_go_home(void **state)
{
    fixture *f = *state;
    hl_slab *other = one_node_slab(0);
    hl_slab_stats stats;
    hl_cache_unref(f->cache, hl_slab_get(other, 128));
    hl_slab_stats_read(other, &stats);
    assert_int_equal(stats.classes[0].in_use, 0);
    assert_int_equal(stats_of(f).classes[0].total, 0);
    assert_int_equal(hl_slab_free(other), 0);
}

static void test_large_blocks_pass_through(void **state)
{
    fixture *f = *state;
    hl_block *b = hl_cache_get(f->cache, HL_SLAB_MAX + 1);
    assert_int_equal(b->cls, HL_SLAB_LARGE);
    hl_cache_unref(f->cache, b);
    assert_int_equal(stats_of(f).classes[HL_SLAB_LARGE].in_use, 0);
}

static void test_an_exhausted_slab_refuses(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(3 * MIB);
    hl_cache *cache = hl_cache_new(s);
    hl_slab_stats stats;
    hl_block *first = hl_cache_get(cache, 128 << 10), *b;
    uint64_t count = 1;
    while ((b = hl_cache_get(cache, 128 << 10)) != NULL) {
        count++;
        assert_in_range(count, 2, 100);
    }
    assert_null(hl_cache_get(cache, HL_SLAB_MAX + 1));
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.failures, 2);
    hl_cache_unref(cache, first);
    assert_ptr_equal(hl_cache_get(cache, 128 << 10), first);
    assert_int_equal(hl_slab_free(s), count);

    s = one_node_slab(200 << 10);
    while (hl_cache_new(s) != NULL) {
    }
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.failures, 1);
    assert_true(stats.reserved <= 200 << 10);
    hl_slab_free(s);
}

/* ------------------------------------------------------------------ growing */

static void test_growing_within_the_block_changes_nothing(void **state)
{
    fixture *f = *state;
    hl_block *b = hl_cache_get(f->cache, 1000);
    assert_ptr_equal(hl_cache_grow(f->cache, b, 1000, 5), b);
    assert_ptr_equal(hl_cache_grow(f->cache, b, 1000, 1024), b);
    assert_int_equal(b->size, 1024);
    hl_cache_unref(f->cache, b);
}

static void test_growing_keeps_the_bytes(void **state)
{
    fixture *f = *state;
    hl_block *b = hl_cache_get(f->cache, 1), *neighbour = NULL;
    size_t used = b->size;
    fill(b, used);
    while (used < 20 * MIB) { /* through all classes, and twice as a large block */
        size_t size = 2 * used;
        b = hl_cache_grow(f->cache, b, used, size);
        assert_non_null(b);
        assert_true(b->size >= size);
        assert_int_equal(b->refs, 1);
        assert_filled(b, used);
        fill(b, b->size);
        used = b->size;
        if (b->cls == HL_SLAB_LARGE && neighbour == NULL) {
            neighbour = hl_cache_get(f->cache, HL_SLAB_MAX + 1); /* moving must keep the list of large ones whole */
        }
    }
    hl_slab_stats stats = stats_of(f);
    for (unsigned cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        assert_int_equal(stats.classes[cls].in_use, 0);
    }
    assert_int_equal(stats.classes[HL_SLAB_LARGE].in_use, 2);
    hl_cache_unref(f->cache, neighbour);
    hl_cache_unref(f->cache, b);
}

static void test_growth_is_accounted(void **state)
{
    fixture *f = *state;
    uint64_t before = stats_of(f).reserved;
    hl_block *b = hl_cache_get(f->cache, 5 * MIB);
    b = hl_cache_grow(f->cache, b, 0, 30 * MIB);
    assert_in_range(stats_of(f).reserved - before, 30 * MIB, 31 * MIB);
    hl_cache_unref(f->cache, b);
    assert_int_equal(stats_of(f).reserved, before);
}

static void test_growth_that_fails_leaves_the_block(void **state)
{
    fixture *f = *state;
    const size_t from[] = {1000, 5 * MIB};
    const size_t to[] = {LIMIT, SIZE_MAX, SIZE_MAX - 4096};
    for (int i = 0; i < 2; i++) {
        hl_block *b = hl_cache_get(f->cache, from[i]);
        uint64_t size = b->size;
        uint64_t reserved = stats_of(f).reserved;
        fill(b, from[i]);
        for (int j = 0; j < 3; j++) {
            assert_null(hl_cache_grow(f->cache, b, from[i], to[j]));
            assert_int_equal(b->size, size);
            assert_true(hl_block_sole(b));
            assert_filled(b, from[i]);
        }
        assert_int_equal(stats_of(f).reserved, reserved);
        hl_cache_unref(f->cache, b);
    }
    assert_int_equal(stats_of(f).failures, 6);
}

static void test_growing_a_block_of_another_slab(void **state)
{
    fixture *f = *state;
    hl_slab *other = one_node_slab(0);
    hl_block *b = hl_cache_grow(f->cache, hl_slab_get(other, 128), 0, 129);
    assert_ptr_equal(b->slab, f->slab);
    hl_cache_unref(f->cache, b);
    b = hl_cache_grow(f->cache, hl_slab_get(other, 5 * MIB), 0, LIMIT); /* by its own slab's limit */
    assert_non_null(b);
    assert_ptr_equal(b->slab, other);
    hl_cache_unref(f->cache, b);
    assert_int_equal(hl_slab_free(other), 0);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(test_get_gives_the_class_that_fits),
        WITH_CACHE(test_cached_blocks_are_not_in_use),
        WITH_CACHE(test_the_stack_is_touched_once_per_batch),
        WITH_CACHE(test_a_block_with_other_references_stays),
        WITH_CACHE(test_a_cache_does_not_hoard),
        WITH_CACHE(test_freeing_a_cache_gives_its_blocks_back),
        WITH_CACHE(test_the_memory_of_caches_is_counted),
        WITH_CACHE(test_blocks_of_another_slab_go_home),
        WITH_CACHE(test_large_blocks_pass_through),
        WITH_CACHE(test_an_exhausted_slab_refuses),
        WITH_CACHE(test_growing_within_the_block_changes_nothing),
        WITH_CACHE(test_growing_keeps_the_bytes),
        WITH_CACHE(test_growth_is_accounted),
        WITH_CACHE(test_growth_that_fails_leaves_the_block),
        WITH_CACHE(test_growing_a_block_of_another_slab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
