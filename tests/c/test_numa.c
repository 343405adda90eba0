/*
 * test_numa.c - memory nodes: blocks lie where they were asked for, go home when they are released elsewhere, and come
 * from another node when theirs is full.
 *
 * Tests that need several nodes say so and skip where there is one; tests/vm runs them on machines with 2 and 4. The
 * others make a machine up, of nodes that the real one may lack, which is all the same to the bookkeeping.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "slab_fixture.h"
#include "test_support.h"

#include <numa.h>
#include <numaif.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static hl_slab_node_stats arena_stats(hl_slab *s, uint32_t arena)
{
    hl_slab_node_stats stats;
    hl_slab_node_stats_read(s, arena, &stats);
    return stats;
}

static hl__nodes survey(void)
{
    hl__nodes nodes;
    hl__nodes_survey(&nodes);
    return nodes;
}

static int has_nodes(const hl__nodes *m, uint32_t n)
{
    if (m->count >= n && m->node[0] >= 0) {
        return 1;
    }
    print_message("needs %u memory nodes, this machine has %u\n", n, m->count);
    return 0;
}

/* The calling thread runs on this node's processors from now on. 0: it has none. */
static int run_on(int node)
{
    return numa_run_on_node(node) == 0;
}

static void run_anywhere(void)
{
    numa_run_on_node(-1);
}

/* Pages of the block's payload that do not lie on `node`, once touched. */
static size_t strays(hl_block *b, int node)
{
    size_t page = hl__page_size(), n = (b->size + page - 1) / page, wrong = 0;
    void **pages = calloc(n, sizeof *pages);
    int *where = calloc(n, sizeof *where);
    assert_non_null(pages);
    assert_non_null(where);
    memset(hl_block_data(b), 1, b->size);
    for (size_t i = 0; i < n; i++) {
        pages[i] = hl_block_data(b) + i * page;
    }
    assert_int_equal(move_pages(0, n, pages, NULL, where, 0), 0);
    for (size_t i = 0; i < n; i++) {
        wrong += where[i] != node;
    }
    free(pages);
    free(where);
    return wrong;
}

/* ------------------------------------------------------------------ the machine */

static void the_survey_is_what_the_kernel_says(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 1)) {
        skip();
    }
    struct bitmask *allowed = numa_get_mems_allowed();
    uint32_t n = 0;
    for (int node = 0; node <= numa_max_node(); node++) {
        if (numa_bitmask_isbitset(allowed, (unsigned)node) && numa_node_size64(node, NULL) > 0) {
            assert_int_equal(m.node[n], node);
            assert_int_equal(m.nearest[node], n);
            n++;
        }
    }
    assert_int_equal(m.count, n);
    numa_bitmask_free(allowed);
    for (uint32_t place = 0; place < n; place++) {
        uint32_t seen = 1u << place;
        for (uint32_t i = 0; i + 1 < n; i++) {
            seen |= 1u << m.order[place][i];
            int closer = i == 0 ? 0 : numa_distance(m.node[place], m.node[m.order[place][i - 1]]);
            assert_true(closer <= numa_distance(m.node[place], m.node[m.order[place][i]]));
        }
        assert_int_equal(seen, (1u << n) - 1); /* each of the others once */
    }
}

static void a_thread_knows_its_node(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 1)) {
        skip();
    }
    for (uint32_t place = 0; place < m.count; place++) {
        if (run_on(m.node[place])) {
            assert_int_equal(hl__nodes_here(), m.node[place]);
        }
    }
    run_anywhere();
}

/* ------------------------------------------------------------------ real nodes */

static const size_t sizes[] = {100, 5000, 65536, 600000, HL_SLAB_MAX, HL_SLAB_MAX + 1, 20 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void blocks_lie_on_the_node_asked_for(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 1)) {
        skip();
    }
    hl_slab *s = hl_slab_new(0);
    assert_int_equal(hl_slab_arenas(s), m.count);
    for (uint32_t i = 0; i < m.count * SIZES; i++) {
        int node = m.node[i % m.count];
        hl_block *b = hl_slab_get_on(s, sizes[i / m.count], node);
        assert_non_null(b);
        assert_int_equal(hl_block_node(b), node);
        assert_int_equal(strays(b, node), 0);
        uint32_t cls = b->cls;
        assert_int_equal(arena_stats(s, i % m.count).classes[cls].in_use, 1);
        hl_block_unref(b);
        assert_int_equal(arena_stats(s, i % m.count).classes[cls].in_use, 0);
    }
    for (uint32_t arena = 0; arena < m.count; arena++) {
        assert_int_equal(arena_stats(s, arena).node, m.node[arena]);
        assert_int_equal(arena_stats(s, arena).fallbacks, 0);
    }
    assert_int_equal(hl_slab_free(s), 0);
}

static void a_thread_gets_memory_of_its_node(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 1)) {
        skip();
    }
    hl_slab *s = hl_slab_new(0);
    hl_cache *c = hl_cache_new(s);
    for (uint32_t i = 0; i < m.count * SIZES; i++) {
        int node = m.node[i % m.count]; /* the cache moves from node to node */
        if (!run_on(node)) {
            continue;
        }
        hl_block *shared = hl_slab_get(s, sizes[i / m.count]), *cached = hl_cache_get(c, sizes[i / m.count]);
        assert_int_equal(hl_block_node(shared), node);
        assert_int_equal(strays(shared, node), 0);
        assert_int_equal(hl_block_node(cached), node);
        assert_int_equal(strays(cached, node), 0);
        hl_block_unref(shared);
        hl_cache_unref(c, cached);
        hl_block *none = hl_slab_get_on(s, 100, 1000); /* no such node */
        assert_int_equal(hl_block_node(none), node);
        hl_block_unref(none);
        hl_cache_free(c);
        c = hl_cache_new(s); /* else it would serve the next node from what it has */
    }
    hl_cache_free(c);
    run_anywhere();
    assert_int_equal(hl_slab_free(s), 0);
}

/* A cache whose thread has moved serves what it has, then from the new node, and keeps nothing of the old one. */
static void a_cache_follows_its_thread(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 2)) {
        skip();
    }
    hl_block *blocks[HL_CACHE_BATCH];
    hl_slab *s = hl_slab_new(0);
    assert_true(run_on(m.node[0]));
    hl_cache *c = hl_cache_new(s);
    for (unsigned i = 0; i < HL_CACHE_BATCH; i++) {
        blocks[i] = hl_cache_get(c, 1000);
        assert_int_equal(hl_block_node(blocks[i]), m.node[0]);
    }
    hl_cache_unref(c, hl_cache_get(c, 128)); /* something of another class stays in it */
    assert_true(run_on(m.node[1]));
    hl_block *there = hl_cache_get(c, 1000);
    assert_int_equal(hl_block_node(there), m.node[1]);
    for (unsigned i = 0; i < HL_CACHE_BATCH; i++) {
        hl_cache_unref(c, blocks[i]); /* to node 0's arena, not into the cache */
    }
    hl_block *again = hl_cache_get(c, 1000), *other = hl_cache_get(c, 128);
    assert_int_equal(hl_block_node(again), m.node[1]);
    assert_int_equal(hl_block_node(other), m.node[1]);
    for (unsigned cls = 0; cls < HL_SLAB_CLASSES; cls++) {
        assert_int_equal(arena_stats(s, 0).classes[cls].in_use, 0);
    }
    assert_int_equal(arena_stats(s, 1).classes[3].in_use, 2);
    hl_cache_unref(c, there);
    hl_cache_unref(c, again);
    hl_cache_unref(c, other);
    hl_cache_free(c);
    run_anywhere();
    hl_slab_trim(s);
    assert_int_equal(arena_stats(s, 0).bytes_plain, 0);
    assert_int_equal(arena_stats(s, 1).bytes_plain, 0);
    assert_int_equal(hl_slab_free(s), 0);
}

/* One that was made for a node stays there, whoever uses it. */
static void a_cache_may_stay_on_its_node(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 2)) {
        skip();
    }
    hl_slab *s = hl_slab_new(0);
    for (uint32_t i = 0; i < m.count; i++) {
        hl_cache *c = hl_cache_new_on(s, m.node[i]);
        for (uint32_t j = 0; j < m.count; j++) {
            run_on(m.node[j]);
            hl_block *b = hl_cache_get(c, 100), *large = hl_cache_get(c, 5 * MIB), *other = hl_slab_get(s, 100);
            assert_int_equal(hl_block_node(b), m.node[i]);
            assert_int_equal(hl_block_node(large), m.node[i]);
            hl_cache_unref(c, b);
            hl_cache_unref(c, large);
            hl_cache_unref(c, other);
        }
        hl_cache_free(c);
    }
    run_anywhere();
    assert_int_equal(hl_slab_free(s), 0);
}

typedef struct releaser {
    hl_slab *slab;
    hl_block *blocks[2];
    int node;
    int ran; /* on that node */
} releaser;

static void *release_there(void *arg)
{
    releaser *r = arg;
    r->ran = run_on(r->node);
    hl_cache *c = hl_cache_new(r->slab);
    hl_cache_unref(c, r->blocks[0]);
    hl_block_unref(r->blocks[1]);
    hl_cache_free(c);
    return NULL;
}

static void blocks_released_by_a_thread_elsewhere_go_home(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 2)) {
        skip();
    }
    hl_slab *s = hl_slab_new(0);
    for (uint32_t home = 0; home < m.count; home++) {
        pthread_t thread;
        releaser r = {.slab = s, .node = m.node[(home + 1) % m.count]};
        r.blocks[0] = hl_slab_get_on(s, 3000, m.node[home]);
        r.blocks[1] = hl_slab_get_on(s, 3000, m.node[home]);
        assert_int_equal(pthread_create(&thread, NULL, release_there, &r), 0);
        pthread_join(thread, NULL);
        assert_true(r.ran);
        assert_ptr_equal(hl_slab_get_on(s, 3000, m.node[home]), r.blocks[1]);
        assert_ptr_equal(hl_slab_get_on(s, 3000, m.node[home]), r.blocks[0]);
        assert_int_equal(arena_stats(s, home).classes[5].total, 2);
    }
    assert_int_equal(hl_slab_free(s), 2 * m.count);
}

/* A node that is full: the kernel takes pages of another, nobody is killed, and the slab tells. */
static void a_full_node_gives_way_and_says_so(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 2)) {
        skip();
    }
    int node = m.node[m.count - 1];
    if (numa_node_size64(node, NULL) > (long long)(1024 * MIB)) {
        print_message("node %d is too large to be filled here\n", node);
        skip();
    }
    enum { MOST = 4096 };
    static hl_block *blocks[MOST];
    hl_slab *s = hl_slab_new(0);
    unsigned n = 0, elsewhere = 0;
    while (elsewhere < 64 && n < MOST) {
        hl_block *b = hl_slab_get_on(s, 256 << 10, node);
        assert_non_null(b);
        memset(hl_block_data(b), 1, b->size);
        elsewhere += hl_block_node(b) != node;
        blocks[n++] = b;
    }
    assert_int_equal(elsewhere, 64);
    assert_int_equal(arena_stats(s, m.count - 1).fallbacks, elsewhere);
    assert_int_equal(arena_stats(s, m.count - 1).classes[11].in_use, n); /* at home there all the same */
    for (unsigned i = 0; i < n; i++) {
        int where;
        void *page = blocks[i];
        assert_int_equal(move_pages(0, 1, &page, NULL, &where, 0), 0);
        assert_int_equal(where, hl_block_node(blocks[i]));
        hl_block_unref(blocks[i]);
    }
    hl_slab_trim(s);
    hl_block *b = hl_slab_get_on(s, 256 << 10, node); /* there is room again */
    assert_int_equal(hl_block_node(b), node);
    hl_block_unref(b);
    assert_int_equal(hl_slab_free(s), 0);
}

/* Reserved huge pages, too, come from the node asked for as long as it has any. */
static void huge_pages_lie_on_the_node_asked_for(void **state)
{
    (void)state;
    hl__nodes m = survey();
    if (!has_nodes(&m, 1)) {
        skip();
    }
    unsigned used = 0;
    hl_slab *s = hl_slab_make(&(hl_slab_config){.flags = HL_SLAB_HUGE});
    for (uint32_t arena = 0; arena < m.count; arena++) {
        char name[128];
        unsigned long reserve = 0;
        snprintf(name, sizeof name, "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/free_hugepages",
                 m.node[arena]);
        FILE *f = fopen(name, "r");
        int known = f != NULL && fscanf(f, "%lu", &reserve) == 1;
        if (f != NULL) {
            fclose(f);
        }
        for (unsigned long i = 0; known && i < 31 * reserve; i++) { /* 31 blocks to a page */
            hl_block *b = hl_slab_get_on(s, 65536, m.node[arena]);
            assert_int_equal(strays(b, m.node[arena]), 0);
            assert_int_equal(hl_block_node(b), m.node[arena]);
            used++;
        }
        assert_int_equal(arena_stats(s, arena).bytes_huge, reserve * HL__HUGE_PAGE);
        assert_int_equal(arena_stats(s, arena).bytes_plain + arena_stats(s, arena).bytes_transparent, 0);
    }
    assert_int_equal(hl_slab_free(s), used);
    if (used == 0) {
        print_message("needs free huge pages (vm.nr_hugepages)\n");
        skip();
    }
}

/* ------------------------------------------------------------------ machines made up */

/* Of `count` nodes that are as near to each other as their numbers are. */
static hl_slab *slab_of_nodes(uint32_t count, uint64_t limit)
{
    hl__nodes m = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        m.node[i] = (int16_t)i;
        m.nearest[i] = (uint8_t)i;
        for (uint32_t step = 1, n = 0; step < count; step++) {
            if (i >= step) {
                m.order[i][n++] = (uint8_t)(i - step);
            }
            if (i + step < count) {
                m.order[i][n++] = (uint8_t)(i + step);
            }
        }
    }
    return hl__slab_make_for(&(hl_slab_config){.limit = limit}, &m);
}

static void blocks_return_to_their_arena(void **state)
{
    (void)state;
    hl_slab *s = slab_of_nodes(4, 0);
    hl_cache *c = hl_cache_new(s);
    for (int node = 0; node < 4; node++) {
        hl_block *a = hl_slab_get_on(s, 500, node), *b = hl_slab_get_on(s, 500, node);
        assert_int_equal(a->arena, node);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[2].in_use, 2);
        hl_block_unref(a);
        hl_cache_unref(c, b); /* whichever node this thread is on: the cache may keep that node's only */
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[2].in_use, 0);
        hl_block *large = hl_slab_get_on(s, 5 * MIB, node);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[HL_SLAB_LARGE].in_use, 1);
        hl_cache_unref(c, large);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[HL_SLAB_LARGE].in_use, 0);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[HL_SLAB_LARGE].gets, 1);
    }
    hl_cache_free(c);
    for (int node = 0; node < 4; node++) { /* as many as there were, and no new one */
        assert_int_equal(hl_slab_get_on(s, 500, node)->arena, node);
        assert_int_equal(hl_slab_get_on(s, 500, node)->arena, node);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[2].total, 2);
    }
    assert_int_equal(hl_slab_free(s), 8);
}

/* When the limit leaves no room for a node, the blocks that others have free are as good; the nearest other first. */
static void the_limit_makes_arenas_share(void **state)
{
    (void)state;
    hl_slab *s = slab_of_nodes(4, 5 * MIB);
    static hl_block *blocks[62];
    uint64_t made = 0;
    for (int node = 0; node < 4; node += 3) { /* nodes 0 and 3 have a chunk each: there is no room for more */
        for (unsigned i = 0; i < 31; i++) {
            blocks[made] = hl_slab_get_on(s, 65536, node);
            assert_int_equal(blocks[made]->arena, node);
            made++;
        }
    }
    assert_null(hl_slab_get_on(s, 65536, 1));
    for (unsigned i = 0; i < 31; i += 30) {
        hl_block_unref(blocks[i]);
        hl_block_unref(blocks[i + 31]);
    }
    uint64_t before[4];
    for (uint32_t i = 0; i < 4; i++) {
        before[i] = arena_stats(s, i).fallbacks;
    }
    const int asked[] = {1, 2, 2, 1}, got[] = {0, 3, 3, 0};
    for (unsigned i = 0; i < 4; i++) {
        hl_block *b = hl_slab_get_on(s, 65536, asked[i]);
        assert_non_null(b);
        assert_int_equal(b->arena, got[i]);
    }
    assert_null(hl_slab_get_on(s, 65536, 1));
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(arena_stats(s, i).fallbacks - before[i], i == 1 || i == 2 ? 2 : 0);
    }
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.failures, 2);
    assert_int_equal(stats.classes[9].in_use, made);
    assert_int_equal(hl_slab_free(s), made);
}

static void sums_are_those_of_the_arenas(void **state)
{
    (void)state;
    hl_slab *s = slab_of_nodes(3, 0);
    hl_slab_stats stats;
    for (int node = 0; node < 3; node++) {
        for (int i = 0; i <= node; i++) {
            hl_slab_get_on(s, 1000, node);
        }
        hl_slab_get_on(s, 6 * MIB, node);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[3].in_use, node + 1);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[3].total, node + 1);
        assert_int_equal(arena_stats(s, (uint32_t)node).classes[3].gets, node + 1);
        assert_int_equal(arena_stats(s, (uint32_t)node).node, node);
    }
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.classes[3].in_use, 6);
    assert_int_equal(stats.classes[3].total, 6);
    assert_int_equal(stats.classes[3].gets, 6);
    assert_int_equal(stats.classes[HL_SLAB_LARGE].in_use, 3);
    assert_int_equal(hl_slab_free(s), 9);
}

/* ------------------------------------------------------------------ threads */

enum { THREADS = 4, SLOTS = 64, NODES = 3 };

typedef struct market {
    hl_slab *slab;
    hl_block *slots[SLOTS]; /* atomic */
    uint32_t rounds;
} market;

typedef struct trader {
    pthread_t thread;
    market *market;
    uint64_t random;
    uint32_t wrong;
} trader;

/* Gets from a random node, signs, exchanges with the others, releases what it gets for it. */
static void *trade(void *arg)
{
    trader *t = arg;
    hl_cache *cache = hl_cache_new(t->market->slab);
    for (uint32_t round = 0; round < t->market->rounds; round++) {
        static const size_t few[] = {100, 1000, 20000};
        uint64_t random = test_random(&t->random), signature;
        size_t size = few[random % 3];
        int node = (int)(random >> 8 & 3) - 1;
        hl_block *b = node < 0 ? hl_cache_get(cache, size) : hl_slab_get_on(t->market->slab, size, node);
        if (b == NULL || (node >= 0 && b->arena != node)) {
            t->wrong++;
            break;
        }
        signature = (uintptr_t)b;
        memcpy(hl_block_data(b) + b->size - sizeof signature, &signature, sizeof signature);
        /* acq_rel: hands over the signature, and takes the other's. */
        b = __atomic_exchange_n(&t->market->slots[(random >> 32) % SLOTS], b, __ATOMIC_ACQ_REL);
        if (b == NULL) {
            continue;
        }
        memcpy(&signature, hl_block_data(b) + b->size - sizeof signature, sizeof signature);
        t->wrong += signature != (uintptr_t)b;
        if ((random >> 16 & 1) != 0) {
            hl_cache_unref(cache, b);
        } else {
            hl_block_unref(b);
        }
        if (round % 1000 == 999) {
            hl_slab_trim(t->market->slab);
        }
    }
    hl_cache_free(cache);
    return NULL;
}

/* Every block comes back to the arena that made it, once. */
static void trading_among_arenas(void **state)
{
    (void)state;
    static market m;
    trader traders[THREADS];
    uint64_t seed = test_seed(5);
    m = (market){.slab = slab_of_nodes(NODES, 0), .rounds = test_rounds(20000)};
    for (uint32_t i = 0; i < THREADS; i++) {
        traders[i] = (trader){.market = &m, .random = seed + i};
        assert_int_equal(pthread_create(&traders[i].thread, NULL, trade, &traders[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(traders[i].thread, NULL);
        assert_int_equal(traders[i].wrong, 0);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        hl_block_unref(m.slots[i]);
    }
    for (uint32_t i = 0; i < NODES * HL_SLAB_CLASSES; i++) {
        uint32_t arena = i % NODES, cls = i / NODES;
        hl_slab_class_stats class = arena_stats(m.slab, arena).classes[cls];
        assert_int_equal(class.in_use, 0);
        for (uint64_t n = 0; n < class.total; n++) {
            hl_block *b = hl_slab_get_on(m.slab, HL_SLAB_MIN << cls, (int)arena);
            assert_int_equal(b->arena, arena);
            assert_int_equal(b->spare[0], 0);
            b->spare[0] = 1; /* would be seen again, if it were there twice */
        }
        assert_int_equal(arena_stats(m.slab, arena).classes[cls].total, class.total);
    }
    hl_slab_free(m.slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_survey_is_what_the_kernel_says),
        cmocka_unit_test(a_thread_knows_its_node),
        cmocka_unit_test(blocks_lie_on_the_node_asked_for),
        cmocka_unit_test(a_thread_gets_memory_of_its_node),
        cmocka_unit_test(a_cache_follows_its_thread),
        cmocka_unit_test(a_cache_may_stay_on_its_node),
        cmocka_unit_test(blocks_released_by_a_thread_elsewhere_go_home),
        cmocka_unit_test(a_full_node_gives_way_and_says_so),
        cmocka_unit_test(huge_pages_lie_on_the_node_asked_for),
        cmocka_unit_test(blocks_return_to_their_arena),
        cmocka_unit_test(the_limit_makes_arenas_share),
        cmocka_unit_test(sums_are_those_of_the_arenas),
        cmocka_unit_test(trading_among_arenas),
    };
    return cmocka_run_group_tests_name("numa", tests, NULL, NULL);
}
