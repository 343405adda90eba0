/*
 * test_ws_mask.c - every implementation of masking that this CPU can run against the scalar reference.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "ws_mask.h"

enum { LONGEST = 300, ALIGNMENTS = 32 };

static const uint8_t key[4] = {0x37, 0xFA, 0x21, 0x3D};

static uint8_t noise(size_t i)
{
    return (uint8_t)((i + 1) * 2654435761u >> 13);
}

static uint32_t load(const uint8_t mask[4])
{
    uint32_t word;
    memcpy(&word, mask, sizeof word);
    return word;
}

static pthread_barrier_t start;

static void *mask_twice(void *buffer)
{
    pthread_barrier_wait(&start);
    hl_ws_mask(buffer, LONGEST, key);
    hl_ws_mask(buffer, LONGEST, key);
    return NULL;
}

/* Must be the first test: threads race for the first use, which chooses the implementation. */
static void the_first_use_may_be_raced_for(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    static uint8_t buffers[THREADS][LONGEST], zero[LONGEST];
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mask_twice, buffers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_memory_equal(buffers[i], zero, LONGEST);
    }
    pthread_barrier_destroy(&start);
}

static void the_reference_is_the_definition(void **state)
{
    (void)state;
    uint8_t hello[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58}; /* section 5.7 */
    hl_ws_mask_scalar(hello, sizeof hello, key);
    assert_memory_equal(hello, "Hello", 5);
    hl_ws_mask(hello, sizeof hello, key);
    assert_memory_equal(hello, "\x7f\x9f\x4d\x51\x58", 5);
}

/* In place and on the way elsewhere, at an alignment, in memory that ends with the last byte. */
static void check(const hl__ws_mask_impl *impl, size_t n, size_t align, uint32_t mask)
{
    uint8_t *in_place = aligned_alloc(32, 32 * ((align + n) / 32 + 1)), *source = malloc(n + 1), *copy = malloc(n + 1);
    uint8_t expected[LONGEST], wire[4];
    assert_true(in_place && source && copy);
    memcpy(wire, &mask, sizeof wire);
    for (size_t i = 0; i < n; i++)
        in_place[align + i] = source[i] = expected[i] = noise(i + n);
    hl_ws_mask_scalar(expected, n, wire);
    int high = 0;
    for (size_t i = 0; i < n; i++)
        high |= expected[i] & 0x80;
    int got_in_place = impl->run(in_place + align, in_place + align, n, mask);
    copy[n] = 0x5A;
    int got_copied = impl->run(copy, source, n, mask);
    if (memcmp(in_place + align, expected, n) != 0 || memcmp(copy, expected, n) != 0)
        fail_msg("%s: wrong bytes, n %zu, alignment %zu", impl->name, n, align);
    if (!got_in_place != !high || !got_copied != !high)
        fail_msg("%s: wrong about the top bits, n %zu, alignment %zu", impl->name, n, align);
    assert_int_equal(copy[n], 0x5A);
    free(in_place);
    free(source);
    free(copy);
}

static void all_lengths_alignments_and_rotations(void **state)
{
    (void)state;
    const hl__ws_mask_impl *list;
    size_t count = hl__ws_mask_impls(&list);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < LONGEST; n++)
            for (size_t align = 0; align < ALIGNMENTS; align++)
                for (size_t turn = 0; turn < 4; turn++)
                    check(&list[i], n, align, hl__ws_mask_rotate(load(key), turn));
}

/* Nothing beyond the ends is read or written: exact allocations for the sanitizers, both ends watched. */
static void ends_are_respected(void **state)
{
    (void)state;
    const hl__ws_mask_impl *list;
    size_t count = hl__ws_mask_impls(&list);
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < LONGEST; n++) {
            uint8_t *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memset(exact, 0, n);
            list[i].run(exact, exact, n, load(key));
            for (size_t k = 0; k < n; k++)
                assert_true(exact[k] == key[k & 3]);
            free(exact);

            uint8_t framed[LONGEST + 64];
            memset(framed, 0xEE, sizeof framed);
            list[i].run(framed + 32, framed + 32, n, load(key));
            for (size_t k = 0; k < 32; k++)
                assert_true(framed[k] == 0xEE && framed[32 + n + k] == 0xEE);
        }
    }
}

/* One byte beyond ASCII is seen wherever it stands, and ASCII is seen to be that. */
static void top_bits_are_seen_everywhere(void **state)
{
    (void)state;
    const hl__ws_mask_impl *list;
    size_t count = hl__ws_mask_impls(&list);
    static const uint8_t ascii_key[4] = {1, 2, 3, 4};
    uint8_t text[LONGEST];
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 1; n < LONGEST; n++) {
            memset(text, 'a', n);
            assert_int_equal(list[i].run(text, text, n, load(ascii_key)), 0);
            for (size_t bad = 0; bad < n; bad++) {
                memset(text, 'a', n);
                text[bad] = 0x80;
                assert_int_not_equal(list[i].run(text, text, n, load(ascii_key)), 0);
            }
        }
    }
}

static void rotation_follows_the_bytes(void **state)
{
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        uint32_t turned = hl__ws_mask_rotate(load(key), n);
        uint8_t got[4];
        memcpy(got, &turned, 4);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(got[i], key[(n + i) & 3]);
    }
}

/* What users call, over pieces with the mask turned between them, is the same as all at once. */
static void pieces_make_the_whole(void **state)
{
    (void)state;
    uint8_t whole[LONGEST], pieces[LONGEST], turned[4];
    for (size_t cut = 0; cut <= LONGEST; cut++) {
        for (size_t i = 0; i < LONGEST; i++)
            whole[i] = pieces[i] = noise(i);
        hl_ws_mask(whole, LONGEST, key);
        hl_ws_mask(pieces, cut, key);
        for (size_t i = 0; i < 4; i++)
            turned[i] = key[(cut + i) & 3];
        hl_ws_mask(pieces + cut, LONGEST - cut, turned);
        assert_memory_equal(whole, pieces, LONGEST);
    }
}

static void the_best_is_in_use(void **state)
{
    (void)state;
    const hl__ws_mask_impl *list;
    size_t count = hl__ws_mask_impls(&list);
    assert_true(count >= 1);
    assert_string_equal(list[count - 1].name, "scalar");
    assert_string_equal(hl_ws_mask_kind(), list[0].name);
#if defined(__x86_64__)
    assert_string_equal(list[0].name, __builtin_cpu_supports("avx2") ? "avx2" : "sse2");
#elif defined(__aarch64__)
    assert_string_equal(list[0].name, "neon");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_use_may_be_raced_for),
        cmocka_unit_test(the_reference_is_the_definition),
        cmocka_unit_test(all_lengths_alignments_and_rotations),
        cmocka_unit_test(ends_are_respected),
        cmocka_unit_test(top_bits_are_seen_everywhere),
        cmocka_unit_test(rotation_follows_the_bytes),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(the_best_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
