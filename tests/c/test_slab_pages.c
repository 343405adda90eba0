/*
 * test_slab_pages.c - what kind of pages a slab's memory consists of, and what happens when there are none.
 *
 * Tests of the reserve of huge pages skip where there is none; tests/vm runs them on machines that have one.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slab_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define HUGE (2 * MIB)

static hl_slab_node_stats arena_stats(hl_slab *s)
{
    hl_slab_node_stats sum, one;
    hl_slab_node_stats_read(s, 0, &sum);
    for (uint32_t i = 1; i < hl_slab_arenas(s); i++) {
        hl_slab_node_stats_read(s, i, &one);
        sum.bytes_plain += one.bytes_plain;
        sum.bytes_transparent += one.bytes_transparent;
        sum.bytes_huge += one.bytes_huge;
    }
    return sum;
}

/* Reads the line that begins with `key` of the mapping that p lies in, from smaps (proc(5)). */
static void read_smaps(const void *p, const char *key, char *value, size_t room)
{
    char line[512];
    int inside = 0;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    *value = '\0';
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        } else if (inside && strncmp(line, key, strlen(key)) == 0) {
            snprintf(value, room, "%s", line + strlen(key));
            break;
        }
    }
    fclose(f);
}

/* One of the two-letter flags of a mapping. */
static int has_flag(const void *p, const char *flag)
{
    char flags[256];
    read_smaps(p, "VmFlags:", flags, sizeof flags);
    return strstr(flags, flag) != NULL;
}

/* Pages in the reserve that nobody has. */
static unsigned long free_huge_pages(void)
{
    unsigned long n = 0;
    FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu", &n) != 1) {
            n = 0;
        }
        fclose(f);
    }
    return n;
}

static void chunks_are_aligned_to_huge_pages(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    for (size_t size = HL_SLAB_MIN; size <= 2 * HL_SLAB_MAX; size *= 2) {
        if (size == MIB / 2 || size == MIB) {
            continue; /* a chunk is one block, less than a huge page */
        }
        hl_block *b = hl_slab_get(s, size);
        assert_int_equal((uintptr_t)b % HUGE, size > HL_SLAB_MAX ? 64 : 0); /* the first chunk is not coloured */
    }
    hl_slab_free(s);
}

/* The headers of blocks of many chunks do not meet in few sets of a cache. */
static void chunks_are_coloured(void **state)
{
    (void)state;
    enum { BLOCKS = 7 * 40, SETS = 64 }; /* 40 chunks of a class whose chunks have 7 blocks */
    uint32_t used[SETS] = {0};
    hl_slab *s = one_node_slab(0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        hl_block *b = hl_slab_get(s, 256 << 10);
        assert_non_null(b);
        hl_block_data(b)[b->size - 1] = 1;
        used[(uintptr_t)b / HL_CACHE_LINE % SETS]++;
    }
    for (unsigned i = 0; i < SETS; i++) {
        assert_in_range(used[i], 1, 3 * BLOCKS / SETS);
    }
    assert_int_equal(hl_slab_free(s), BLOCKS);
}

/* Little use is to stay small; the second chunk of a class shows that it is not little. */
static void the_first_chunk_is_plain_the_second_may_be_huge(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        unsigned per_chunk;
        int dense; /* touching some of it touches all */
    } classes[] = {{1024, 1927, 1}, {4096, 504, 1}, {8192, 254, 0}, {65536, 31, 0}, {262144, 7, 0}};
    static hl_block *blocks[2000];
    for (unsigned i = 0; i < sizeof classes / sizeof *classes; i++) {
        unsigned n = classes[i].per_chunk;
        int transparent = classes[i].dense && hl__pages_transparent();
        hl_slab *s = one_node_slab(0);
        for (unsigned j = 0; j <= n; j++) {
            blocks[j] = hl_slab_get(s, classes[i].size);
            assert_non_null(blocks[j]);
            assert_int_equal(arena_stats(s).bytes_plain, j < n || transparent ? HUGE : 2 * HUGE);
            assert_int_equal(arena_stats(s).bytes_transparent, j < n || !transparent ? 0 : HUGE);
        }
        assert_int_equal(arena_stats(s).bytes_huge, 0);
        if (hl__pages_transparent()) {
            assert_true(has_flag(blocks[0], " nh"));
            assert_false(has_flag(blocks[0], " hg"));
            assert_int_equal(has_flag(blocks[n], " hg"), transparent);
            assert_int_equal(has_flag(blocks[n], " nh"), !transparent);
        }
        for (unsigned j = 0; j <= n; j++) {
            hl_block_unref(blocks[j]);
        }
        hl_slab_trim(s);
        assert_int_equal(arena_stats(s).bytes_plain, 0);
        assert_int_equal(arena_stats(s).bytes_transparent, 0);
        assert_int_equal(hl_slab_free(s), 0);
    }
}

static void large_blocks_may_be_huge_and_stay_aligned(void **state)
{
    (void)state;
    hl_slab *s = one_node_slab(0);
    hl_cache *c = hl_cache_new(s);
    uint64_t size = 5 * MIB;
    hl_block *b = hl_cache_get(c, size);
    memset(hl_block_data(b), 'x', size);
    for (int i = 0; i < 6; i++) {
        /* What lies behind it keeps it from growing where it is. */
        hl_block *behind = hl_cache_get(c, size);
        b = hl_cache_grow(c, b, size, size + 3 * MIB);
        assert_non_null(b);
        assert_int_equal((uintptr_t)b % HUGE, 64);
        for (uint64_t at = 0; at < size; at += 4096) {
            assert_int_equal(hl_block_data(b)[at], 'x');
        }
        memset(hl_block_data(b) + size, 'x', b->size - size);
        size += 3 * MIB;
        if (hl__pages_transparent()) {
            assert_true(has_flag(b, " hg"));
            assert_true(arena_stats(s).bytes_transparent >= 2 * size - 3 * MIB);
            assert_int_equal(arena_stats(s).bytes_plain, 0);
        }
        hl_cache_unref(c, behind);
    }
    hl_cache_unref(c, b);
    assert_int_equal(arena_stats(s).bytes_transparent, 0);
    assert_int_equal(hl_slab_free(s), 0);
}

static void without_a_reserve_huge_pages_are_done_without(void **state)
{
    (void)state;
    if (free_huge_pages() != 0) {
        print_message("this machine has a reserve of huge pages\n");
        skip();
    }
    hl_slab *s = one_node_slab_with(&(hl_slab_config){.flags = HL_SLAB_HUGE});
    hl_block *small = hl_slab_get(s, 100), *large = hl_slab_get(s, 20 * MIB);
    assert_non_null(small);
    assert_non_null(large);
    hl_slab_node_stats stats = arena_stats(s);
    assert_int_equal(stats.bytes_huge, 0);
    assert_in_range(stats.bytes_transparent + stats.bytes_plain, 22 * MIB, 26 * MIB);
    assert_int_equal(hl_slab_free(s), 2);
}

static int has_reserve(unsigned long pages)
{
    if (free_huge_pages() >= pages) {
        return 1;
    }
    print_message("needs %lu free huge pages (vm.nr_hugepages)\n", pages);
    return 0;
}

static void the_reserve_is_used_when_asked_for(void **state)
{
    (void)state;
    if (!has_reserve(12)) {
        skip();
    }
    unsigned long before = free_huge_pages();
    hl_slab *modest = one_node_slab(0);
    hl_slab_get(modest, 100);
    assert_int_equal(free_huge_pages(), before); /* nobody has allowed it */
    hl_slab_free(modest);
    hl_slab *s = one_node_slab_with(&(hl_slab_config){.flags = HL_SLAB_HUGE});
    hl_cache *c = hl_cache_new(s);
    hl_block *b = hl_cache_get(c, 100);
    char size[64];
    memset(hl_block_data(b), 1, b->size);
    read_smaps(b, "KernelPageSize:", size, sizeof size);
    assert_int_equal(strtoul(size, NULL, 10), 2048);
    assert_int_equal(arena_stats(s).bytes_huge, HUGE);
    assert_int_equal(free_huge_pages(), before - 1);
    hl_cache_unref(c, b);
    hl_cache_heed(c);
    assert_true(hl_slab_ease(s, 0));
    hl_cache_heed(c);
    assert_int_equal(hl_slab_trim(s), HUGE);
    assert_int_equal(free_huge_pages(), before);

    hl_block *wasteful = hl_cache_get(c, 8 * MIB); /* would leave most of a huge page empty */
    assert_int_equal(free_huge_pages(), before);
    hl_cache_unref(c, wasteful);
    b = hl_cache_get(c, 16 * MIB - 4096);
    assert_int_equal(free_huge_pages(), before - 8);
    assert_int_equal(arena_stats(s).bytes_huge, 16 * MIB);
    memset(hl_block_data(b), 'x', 16 * MIB - 4096);
    hl_block *grown = hl_cache_grow(c, b, 16 * MIB - 4096, 18 * MIB - 4096);
    assert_non_null(grown); /* by a copy: huge pages do not grow */
    for (uint64_t at = 0; at < 16 * MIB - 4096; at += 4096) {
        assert_int_equal(hl_block_data(grown)[at], 'x');
    }
    hl_cache_unref(c, grown);
    assert_int_equal(free_huge_pages(), before);
    assert_int_equal(hl_slab_free(s), 0);
}

/* A reserve that is used up is no failure, and its last page no SIGBUS. */
static void a_reserve_that_is_used_up_gives_way(void **state)
{
    (void)state;
    if (!has_reserve(1)) {
        skip();
    }
    if (free_huge_pages() > 512) {
        print_message("the reserve is too large to be used up here\n");
        skip();
    }
    uint64_t reserve = free_huge_pages();
    unsigned long n = 0;
    hl_slab *s = one_node_slab_with(&(hl_slab_config){.flags = HL_SLAB_HUGE});
    while (arena_stats(s).bytes_transparent + arena_stats(s).bytes_plain == 0) {
        hl_block *b = hl_slab_get(s, 65536);
        assert_non_null(b);
        memset(hl_block_data(b), 1, b->size);
        n++;
    }
    assert_int_equal(free_huge_pages(), 0);
    assert_int_equal(arena_stats(s).bytes_huge, reserve * HUGE);
    assert_int_equal(n, reserve * 31 + 1);
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(hl_slab_free(s), n);
    assert_int_equal(free_huge_pages(), reserve);
}

/* ------------------------------------------------------------------ no memory */

/* In a child whose address space ends `room` bytes above what it has. Returns the line at which it went wrong, or 0. */
static int in_little_space(uint64_t room, int (*test)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        unsigned long pages = 0;
        FILE *f = fopen("/proc/self/statm", "r");
        int read = f != NULL ? fscanf(f, "%lu", &pages) : 0;
        struct rlimit limit = {.rlim_cur = pages * hl__page_size() + room, .rlim_max = RLIM_INFINITY};
        _exit(read != 1 || setrlimit(RLIMIT_AS, &limit) != 0 ? __LINE__ & 127 : test() & 127);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            return __LINE__;                                                                                           \
        }                                                                                                              \
    } while (0)

static int no_slab(void)
{
    CHECK(hl_slab_new(0) == NULL);
    CHECK(hl_slab_make(&(hl_slab_config){.flags = HL_SLAB_HUGE}) == NULL);
    return 0;
}

/* Gets until it is refused, of a size and by way of a cache or not; then releasing makes room again. */
static int get_until_refused(size_t size, unsigned atleast)
{
    static hl_block *blocks[1024];
    hl_slab_stats stats;
    hl_slab *s = one_node_slab(0);
    CHECK(s != NULL);
    hl_cache *c = hl_cache_new(s);
    CHECK(c != NULL);
    unsigned n = 0;
    while (n < 1024 && (blocks[n] = n % 2 == 0 ? hl_slab_get(s, size) : hl_cache_get(c, size)) != NULL) {
        memset(hl_block_data(blocks[n]), 1, blocks[n]->size);
        n++;
    }
    CHECK(n >= atleast && n < 1024);
    hl_slab_stats_read(s, &stats);
    CHECK(stats.failures == 1);
    CHECK(hl_slab_get(s, 64 * MIB) == NULL);
    hl_block *small = hl_slab_get(s, size);
    hl_block_unref(small);
    for (unsigned i = 0; i < n; i++) {
        hl_block_unref(blocks[i]);
    }
    hl_slab_trim(s);
    hl_block *b = hl_cache_get(c, 8 * MIB);
    CHECK(b != NULL);
    CHECK(hl_cache_grow(c, b, 0, 100 * MIB) == NULL);
    CHECK(hl_block_sole(b));
    hl_cache_unref(c, b);
    CHECK(hl_slab_free(s) == 0);
    return 0;
}

static int no_chunk(void)
{
    return get_until_refused(65536, 31);
}
static int no_large_block(void)
{
    return get_until_refused(5 * MIB, 2);
}

static void short_memory_is_refused(void **state)
{
    (void)state;
    const char *preload = getenv("LD_PRELOAD");
    if (HL__ASAN || HL__TSAN || (preload != NULL && strstr(preload, "valgrind") != NULL)) {
        skip(); /* they need address space themselves, and give up without it */
    }
    assert_int_equal(in_little_space(0, no_slab), 0);
    assert_int_equal(in_little_space(20 * MIB, no_chunk), 0);
    assert_int_equal(in_little_space(20 * MIB, no_large_block), 0);
}

/* ------------------------------------------------------------------ stacks */

static void *make_and_free(void *arg)
{
    (void)arg;
    hl_slab *s = hl_slab_new(0);
    hl_block *b = s != NULL ? hl_slab_get(s, 1000) : NULL;
    hl_block_unref(b);
    return hl_slab_free(s) == 0 && b != NULL ? s : NULL;
}

static void a_small_stack_will_do(void **state)
{
    (void)state;
    if (HL__ASAN || HL__TSAN) {
        skip(); /* they use more of the stack */
    }
    pthread_t thread;
    pthread_attr_t small;
    void *made = NULL;
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, 32 << 10), 0);
    assert_int_equal(pthread_create(&thread, &small, make_and_free, NULL), 0);
    pthread_join(thread, &made);
    assert_non_null(made);
    pthread_attr_destroy(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_aligned_to_huge_pages),
        cmocka_unit_test(chunks_are_coloured),
        cmocka_unit_test(the_first_chunk_is_plain_the_second_may_be_huge),
        cmocka_unit_test(large_blocks_may_be_huge_and_stay_aligned),
        cmocka_unit_test(without_a_reserve_huge_pages_are_done_without),
        cmocka_unit_test(the_reserve_is_used_when_asked_for),
        cmocka_unit_test(a_reserve_that_is_used_up_gives_way),
        cmocka_unit_test(short_memory_is_refused),
        cmocka_unit_test(a_small_stack_will_do),
    };
    return cmocka_run_group_tests_name("slab_pages", tests, NULL, NULL);
}
