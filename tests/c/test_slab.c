/*
 * test_slab.c - blocks of hl_slab.h without caches, on one thread.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slab_fixture.h"

#define MIB (UINT64_C(1) << 20)

static hl_slab_stats stats_of(hl_slab *s)
{
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    return stats;
}

static void test_a_new_slab_is_nearly_empty(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    assert_non_null(s);
    hl_slab_stats stats = stats_of(s);
    assert_true(stats.reserved < MIB);
    assert_int_equal(stats.limit, 0);
    assert_int_equal(stats.failures, 0);
    for (unsigned cls = 0; cls <= HL_SLAB_LARGE; cls++) {
        assert_int_equal(stats.classes[cls].size, cls < HL_SLAB_LARGE ? HL_SLAB_MIN << cls : 0);
        assert_int_equal(stats.classes[cls].total, 0);
        assert_int_equal(stats.classes[cls].in_use, 0);
        assert_int_equal(stats.classes[cls].gets, 0);
    }
    assert_int_equal(hl_slab_free(s), 0);
    assert_int_equal(hl_slab_free(NULL), 0);
}

static void test_every_size_gets_the_smallest_class_that_fits(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    for (uint64_t size = HL_SLAB_MIN; size <= HL_SLAB_MAX; size *= 2) {
        const uint64_t wanted[] = {size == HL_SLAB_MIN ? 0 : size / 2 + 1, size - 1, size};
        for (int i = 0; i < 3; i++) {
            hl_block *b = hl_slab_get(s, wanted[i]);
            assert_non_null(b);
            assert_int_equal(b->size, size);
            assert_int_equal(HL_SLAB_MIN << b->cls, size);
            assert_int_equal(b->refs, 1);
            assert_ptr_equal(b->slab, s);
            assert_int_equal((uintptr_t)hl_block_data(b) % 64, 0);
            memset(hl_block_data(b), 0xa5, b->size);
            hl_block_unref(b);
        }
    }
    assert_int_equal(hl_slab_free(s), 0);
}

/* More blocks than one chunk has, all at once: none overlaps another. */
static void test_blocks_do_not_overlap(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        uint32_t count;
    } cases[] = {{128, 40000}, {1000, 5000}, {65536, 100}, {1 << 20, 5}, {HL_SLAB_MAX, 3}, {HL_SLAB_MAX + 1, 3}};
    static hl_block *blocks[40000];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        hl_slab *s = one_node_slab(0);
        for (uint32_t i = 0; i < cases[c].count; i++) {
            blocks[i] = hl_slab_get(s, cases[c].size);
            assert_non_null(blocks[i]);
            memcpy(hl_block_data(blocks[i]), &i, sizeof i);
            memcpy(hl_block_data(blocks[i]) + blocks[i]->size - sizeof i, &i, sizeof i);
        }
        for (uint32_t i = 0; i < cases[c].count; i++) {
            assert_memory_equal(hl_block_data(blocks[i]), &i, sizeof i);
            assert_memory_equal(hl_block_data(blocks[i]) + blocks[i]->size - sizeof i, &i, sizeof i);
            assert_int_equal(blocks[i]->refs, 1);
            hl_block_unref(blocks[i]);
        }
        assert_int_equal(hl_slab_free(s), 0);
    }
}

static void test_released_blocks_are_used_again(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    hl_block *blocks[10];
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 10; i++) {
            blocks[i] = hl_slab_get(s, 500);
        }
        assert_int_equal(stats_of(s).classes[2].in_use, 10);
        for (int i = 0; i < 10; i++) {
            hl_block_unref(blocks[i]);
        }
    }
    hl_slab_class_stats stats = stats_of(s).classes[2];
    assert_int_equal(stats.size, 512);
    assert_int_equal(stats.total, 10);
    assert_int_equal(stats.in_use, 0);
    assert_int_equal(stats.gets, 500);
    hl_slab_free(s);
}

static void test_the_last_reference_returns_the_block(void **state)
{
    (void)state;
    const size_t sizes[] = {100, HL_SLAB_MAX + 1};
    for (int i = 0; i < 2; i++) {
        hl_slab *s = one_node_slab(0);
        hl_block *b = hl_slab_get(s, sizes[i]);
        uint32_t cls = b->cls;
        assert_true(hl_block_sole(b));
        hl_block_ref(b);
        hl_block_ref(b);
        assert_false(hl_block_sole(b));
        hl_block_unref(b);
        assert_false(hl_block_sole(b));
        hl_block_unref(b);
        assert_true(hl_block_sole(b));
        assert_int_equal(stats_of(s).classes[cls].in_use, 1);
        hl_block_unref(b);
        assert_int_equal(stats_of(s).classes[cls].in_use, 0);
        hl_block_unref(NULL);
        assert_int_equal(hl_slab_free(s), 0);
    }
}

static void test_large_blocks_have_mappings_of_their_own(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    uint64_t before = stats_of(s).reserved;
    hl_block *blocks[3];
    for (int i = 0; i < 3; i++) {
        blocks[i] = hl_slab_get(s, 10000000);
        assert_non_null(blocks[i]);
        assert_int_equal(blocks[i]->cls, HL_SLAB_LARGE);
        assert_true(blocks[i]->size >= 10000000);
        memset(hl_block_data(blocks[i]), 1, blocks[i]->size);
    }
    hl_slab_stats stats = stats_of(s);
    assert_int_equal(stats.classes[HL_SLAB_LARGE].in_use, 3);
    assert_int_equal(stats.classes[HL_SLAB_LARGE].total, 3);
    assert_int_equal(stats.classes[HL_SLAB_LARGE].gets, 3);
    assert_in_range(stats.reserved - before, 30000000, 30000000 + MIB);
    hl_block_unref(blocks[1]); /* from the middle of the list, then its ends */
    hl_block_unref(blocks[0]);
    hl_block_unref(blocks[2]);
    assert_int_equal(stats_of(s).reserved, before);
    assert_int_equal(stats_of(s).classes[HL_SLAB_LARGE].in_use, 0);
    assert_int_equal(hl_slab_free(s), 0);
}

static void test_absurd_sizes_are_refused(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, (size_t)1 << 60};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_null(hl_slab_get(s, sizes[i]));
        assert_int_equal(stats_of(s).failures, i + 1);
    }
    assert_int_equal(stats_of(s).classes[HL_SLAB_LARGE].gets, 0);
    assert_int_equal(hl_slab_free(s), 0);
}

static void test_the_limit_holds(void **state)
{
    (void)state;
    static hl_block *blocks[256];
    hl_slab *s = one_node_slab(8 * MIB);
    unsigned count = 0;
    while ((blocks[count] = hl_slab_get(s, 65536)) != NULL) {
        count++;
        assert_in_range(count, 1, 255);
    }
    hl_slab_stats stats = stats_of(s);
    assert_true(count >= 64);
    assert_true(stats.reserved <= 8 * MIB);
    assert_int_equal(stats.limit, 8 * MIB);
    assert_int_equal(stats.failures, 1);
    assert_null(hl_slab_get(s, 65536));
    assert_null(hl_slab_get(s, HL_SLAB_MAX + 1));
    assert_int_equal(stats_of(s).failures, 3);
    assert_int_equal(stats_of(s).classes[9].in_use, count);
    hl_block_unref(blocks[--count]);
    assert_non_null(blocks[count] = hl_slab_get(s, 65536)); /* what was released can be had again */
    for (unsigned i = 0; i <= count; i++) {
        hl_block_unref(blocks[i]);
    }
    assert_int_equal(hl_slab_free(s), 0);
}

static void test_the_limit_counts_large_blocks(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(12 * MIB);
    hl_block *b = hl_slab_get(s, 8 * MIB);
    assert_non_null(b);
    assert_null(hl_slab_get(s, 8 * MIB));
    hl_block_unref(b);
    b = hl_slab_get(s, 8 * MIB);
    assert_non_null(b);
    hl_block_unref(b);
    assert_int_equal(hl_slab_free(s), 0);
}

static void test_a_limit_below_the_bookkeeping_gives_no_slab(void **state)
{
    (void)state;
    assert_null(one_node_slab(1));
}

static void test_free_counts_what_was_still_in_use(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    hl_block_unref(hl_slab_get(s, 1));
    hl_slab_get(s, 1);
    hl_slab_get(s, 100000);
    hl_slab_get(s, HL_SLAB_MAX + 1);
    hl_slab_get(s, HL_SLAB_MAX + 1);
    assert_int_equal(hl_slab_free(s), 4);
}

/* Getting one block of a class must not make the rest of its chunk resident. */
static void test_untouched_memory_is_not_resident(void **state)
{
    (void)state;
#ifdef HL_POISON
    skip(); /* filling free blocks touches them */
#endif
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    hl_slab *s = one_node_slab(0);
    hl_block *b = hl_slab_get(s, 65536);
    uintptr_t first = ((uintptr_t)hl_block_data(b) + page - 1) & ~(page - 1);
    unsigned char resident[(2 << 20) / 4096];
    size_t pages = (MIB - page) / page;
    assert_int_equal(mincore((void *)first, pages * page, resident), 0);
    size_t count = 0;
    for (size_t i = 0; i < pages; i++) {
        count += resident[i] & 1;
    }
    assert_int_equal(count, 0);
    hl_block_unref(b);
    hl_slab_free(s);
}

static void test_many_slabs_live_side_by_side(void **state)
{
    (void)state;
    hl_slab *a = one_node_slab(0), *b = one_node_slab(0);
    hl_block *of_a = hl_slab_get(a, 200), *of_b = hl_slab_get(b, 200);
    assert_ptr_equal(of_a->slab, a);
    assert_ptr_equal(of_b->slab, b);
    hl_block_unref(of_a);
    assert_int_equal(stats_of(a).classes[1].in_use, 0);
    assert_int_equal(stats_of(b).classes[1].in_use, 1);
    assert_int_equal(hl_slab_free(a), 0);
    assert_int_equal(hl_slab_free(b), 1);
}

/* ------------------------------------------------------------------ misuse */

/* Runs the misuse in a child, for a checked build ends it. Returns its wait status. */
static int in_child(void (*misuse)(hl_slab *))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr); /* the report of a sanitizer is expected here, and not interesting */
        hl_slab *s = one_node_slab(0);
        misuse(s);
        hl_slab_free(s);
        _exit(0);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void release_twice(hl_slab *s)
{
    hl_block *b = hl_slab_get(s, 1);
    hl_block_unref(b);
    hl_block_unref(b);
}

static void reference_when_free(hl_slab *s)
{
    hl_block *b = hl_slab_get(s, 1);
    hl_block_unref(b);
    hl_block_ref(b);
}

static void write_when_free(hl_slab *s)
{
    hl_block *b = hl_slab_get(s, 1);
    hl_block_unref(b);
    *(volatile uint8_t *)(hl_block_data(b) + 77) = 1;
    hl_slab_get(s, 1);
}

static void test_misuse_stops_checked_builds_only(void **state)
{
    (void)state;
    assert_int_equal(in_child(release_twice) != 0, HL__CHECKED);
    assert_int_equal(in_child(reference_when_free) != 0, HL__CHECKED);
#ifdef HL_POISON
    assert_int_not_equal(in_child(write_when_free), 0);
#else
    assert_int_equal(in_child(write_when_free) != 0, HL__ASAN);
#endif
}

static void test_free_blocks_are_poisoned(void **state)
{
    (void)state;
#ifdef HL_POISON
    hl_slab *s = one_node_slab(0);
    hl_block *b = hl_slab_get(s, 1000);
    memset(hl_block_data(b), 1, b->size);
    hl_block_unref(b);
    hl__permit(hl_block_data(b), b->size);
    for (uint64_t i = 0; i < b->size; i++) {
        assert_int_equal(hl_block_data(b)[i], HL__POISON_BYTE);
    }
    hl_slab_free(s);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_slab_is_nearly_empty),
        cmocka_unit_test(test_every_size_gets_the_smallest_class_that_fits),
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_released_blocks_are_used_again),
        cmocka_unit_test(test_the_last_reference_returns_the_block),
        cmocka_unit_test(test_large_blocks_have_mappings_of_their_own),
        cmocka_unit_test(test_absurd_sizes_are_refused),
        cmocka_unit_test(test_the_limit_holds),
        cmocka_unit_test(test_the_limit_counts_large_blocks),
        cmocka_unit_test(test_a_limit_below_the_bookkeeping_gives_no_slab),
        cmocka_unit_test(test_free_counts_what_was_still_in_use),
        cmocka_unit_test(test_untouched_memory_is_not_resident),
        cmocka_unit_test(test_many_slabs_live_side_by_side),
        cmocka_unit_test(test_misuse_stops_checked_builds_only),
        cmocka_unit_test(test_free_blocks_are_poisoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
