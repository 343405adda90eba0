/*
 * test_ws_utf8.c - UTF-8 validation against a decoder that does arithmetic on code points instead of ranges of bytes.
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

#include "ws_utf8.h"

enum verdict { VALID, INVALID, CUT }; /* CUT: valid so far, and some continuation would make it whole */

/* Is there a scalar value in [low, high] that needs exactly `length` bytes? */
static int some_scalar_value(uint32_t low, uint32_t high, int length)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000, 0x110000};
    if (low < first[length])
        low = first[length];
    if (high > first[length + 1] - 1)
        high = first[length + 1] - 1;
    if (low >= 0xD800 && low <= 0xDFFF)
        low = 0xE000;
    return low <= high;
}

static enum verdict naive(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t lead = p[i];
        int length = lead < 0x80             ? 1
                     : (lead & 0xE0) == 0xC0 ? 2
                     : (lead & 0xF0) == 0xE0 ? 3
                     : (lead & 0xF8) == 0xF0 ? 4
                                             : 0;
        if (length == 0)
            return INVALID;
        uint32_t bits = length == 1 ? lead : lead & (0x7Fu >> length);
        int missing = length - 1;
        for (i++; missing > 0 && i < n; i++, missing--) {
            if ((p[i] & 0xC0) != 0x80)
                return INVALID;
            bits = bits << 6 | (p[i] & 0x3Fu);
        }
        uint32_t low = bits << 6 * missing, high = low + (1u << 6 * missing) - 1; /* what it may yet become */
        if (length > 1 && !some_scalar_value(low, high, length))
            return INVALID;
        if (missing > 0)
            return CUT;
    }
    return VALID;
}

static enum verdict verdict_of(uint8_t state)
{
    return state == HL_UTF8_ACCEPT ? VALID : state == HL_UTF8_REJECT ? INVALID : CUT;
}

static void agree(const uint8_t *p, size_t n)
{
    enum verdict expected = naive(p, n);
    if (verdict_of(hl_utf8(HL_UTF8_ACCEPT, p, n)) != expected ||
        verdict_of(hl__utf8_scalar(HL_UTF8_ACCEPT, p, n)) != expected)
        fail_msg("%zu bytes %02x %02x %02x %02x... are not judged %d", n, p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0,
                 n > 3 ? p[3] : 0, expected);
}

static void agree_split(const uint8_t *p, size_t n)
{
    agree(p, n);
    enum verdict expected = naive(p, n);
    for (size_t cut = 0; cut <= n; cut++) {
        uint8_t state = hl_utf8(HL_UTF8_ACCEPT, p, cut);
        assert_int_equal(verdict_of(state), naive(p, cut));
        assert_int_equal(verdict_of(hl_utf8(state, p + cut, n - cut)), expected);
    }
}

/* The first and last bytes of all ranges in table 3-7, and their neighbours. */
static const uint8_t edges[] = {0x00, 0x61, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
enum { EDGES = sizeof edges };

static void nothing_is_valid(void **state)
{
    (void)state;
    assert_int_equal(hl_utf8(HL_UTF8_ACCEPT, NULL, 0), HL_UTF8_ACCEPT);
    assert_int_equal(hl_utf8(HL_UTF8_REJECT, (const uint8_t *)"abc", 3), HL_UTF8_REJECT);
}

static void all_pairs_of_bytes(void **state)
{
    (void)state;
    for (uint32_t pair = 0; pair < 65536; pair++) {
        uint8_t p[3] = {(uint8_t)(pair >> 8), (uint8_t)pair, 0};
        agree(p, 1);
        agree(p, 2);
        for (size_t third = 0; third < EDGES; third++) {
            p[2] = edges[third];
            agree(p, 3);
        }
    }
}

static void all_edges_in_four_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < (size_t)EDGES * EDGES * EDGES * EDGES; i++) {
        const uint8_t p[4] = {edges[i / EDGES / EDGES / EDGES], edges[i / EDGES / EDGES % EDGES],
                              edges[i / EDGES % EDGES], edges[i % EDGES]};
        agree(p, 4);
        enum verdict expected = naive(p, 4);
        for (size_t cut = 1; cut < 4; cut++)
            assert_int_equal(verdict_of(hl_utf8(hl_utf8(HL_UTF8_ACCEPT, p, cut), p + cut, 4 - cut)), expected);
    }
}

/* Whatever way the validator takes through longer text, it sees every character at every place. */
static void edges_amid_ascii_and_amid_text(void **state)
{
    (void)state;
    enum { LENGTH = 96 };
    uint8_t ascii[LENGTH], text[LENGTH];
    for (size_t i = 0; i < LENGTH; i++) {
        ascii[i] = (uint8_t)('a' + i % 26);
        text[i] = (uint8_t) "\xd0\xb9\xe2\x82\xac\xf0\x9f\x98\x80 \xd1\x8f"[i % 12];
    }
    for (size_t i = 0; i < (size_t)EDGES * EDGES * EDGES; i += 3) {
        const uint8_t p[3] = {edges[i / EDGES / EDGES], edges[i / EDGES % EDGES], edges[i % EDGES]};
        for (size_t at = 0; at + 3 <= LENGTH; at += 1 + i % 2) {
            uint8_t amid[LENGTH];
            memcpy(amid, ascii, LENGTH);
            memcpy(amid + at, p, 3);
            agree(amid, LENGTH);
            memcpy(amid, text, LENGTH);
            memcpy(amid + at, p, 3);
            agree(amid, LENGTH);
        }
    }
}

static size_t encode(uint8_t *to, uint32_t c)
{
    if (c < 0x80)
        return to[0] = (uint8_t)c, 1;
    if (c < 0x800)
        return to[0] = (uint8_t)(0xC0 | c >> 6), to[1] = (uint8_t)(0x80 | (c & 0x3F)), 2;
    size_t length = c < 0x10000 ? 3 : 4;
    to[0] = (uint8_t)((length == 3 ? 0xE0 : 0xF0) | c >> 6 * (length - 1));
    for (size_t i = 1; i < length; i++)
        to[i] = (uint8_t)(0x80 | (c >> 6 * (length - 1 - i) & 0x3F));
    return length;
}

static void every_scalar_value(void **state)
{
    (void)state;
    enum { BYTES = 0x80 + 2 * 0x780 + 3 * (0xF800 - 0x800) + 4 * 0x100000 };
    uint8_t *text = malloc(BYTES);
    assert_non_null(text);
    size_t n = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) {
            uint8_t surrogate[3];
            assert_int_equal(encode(surrogate, c), 3);
            assert_int_equal(hl_utf8(HL_UTF8_ACCEPT, surrogate, 3), HL_UTF8_REJECT);
        } else {
            n += encode(text + n, c);
        }
    }
    assert_int_equal(n, BYTES);
    assert_int_equal(naive(text, n), VALID);
    static const size_t pieces[] = {BYTES, 1, 3, 7, 31, 64, 1001};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        uint8_t s = HL_UTF8_ACCEPT;
        for (size_t at = 0; at < n; at += pieces[i])
            s = hl_utf8(s, text + at, n - at < pieces[i] ? n - at : pieces[i]);
        assert_int_equal(s, HL_UTF8_ACCEPT);
    }
    free(text);
}

/* What the vector part takes for granted about itself: it leaves the incomplete character at the end, and no more. */
static void vectors_leave_only_a_cut_character(void **state)
{
    (void)state;
#define ALL_LENGTHS "\xf0\x9f\x98\x80\xe2\x82\xac\xd0\xb9z"
    static const char text[] = ALL_LENGTHS ALL_LENGTHS ALL_LENGTHS ALL_LENGTHS ALL_LENGTHS ALL_LENGTHS ALL_LENGTHS;
    if (hl__utf8_wide((const uint8_t *)text, sizeof text - 1) == 0)
        skip(); /* no AVX2 here */
    for (size_t n = 0; n < sizeof text; n++) {
        size_t whole = n;
        while (naive((const uint8_t *)text, whole) != VALID)
            whole--;
        assert_int_equal(hl__utf8_wide((const uint8_t *)text, n), whole);
    }
}

static void damage_at_every_place(void **state)
{
    (void)state;
    static const char original[] =
        "plain words for a while, then \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80! "
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x98\x80\xf0\x9f\x98\x81\xf0\x9f\x98\x82 and words again";
    enum { LENGTH = sizeof original - 1 };
    uint8_t *text = malloc(LENGTH); /* exact: sanitizers see the first byte read beyond it */
    assert_non_null(text);
    memcpy(text, original, LENGTH);
    agree_split(text, LENGTH);
    for (size_t at = 0; at < LENGTH; at++) {
        for (size_t e = 0; e < EDGES; e++) {
            memcpy(text, original, LENGTH);
            text[at] = edges[e];
            agree(text, LENGTH);
        }
        agree_split(text, LENGTH);
    }
    for (size_t n = 0; n < LENGTH; n++) { /* cut anywhere */
        uint8_t *exact = malloc(n + 1);
        assert_non_null(exact);
        memcpy(exact + 1, original, n);
        assert_int_equal(verdict_of(hl_utf8(HL_UTF8_ACCEPT, exact + 1, n)), naive(exact + 1, n));
        free(exact);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_valid),        cmocka_unit_test(all_pairs_of_bytes),
        cmocka_unit_test(all_edges_in_four_bytes), cmocka_unit_test(edges_amid_ascii_and_amid_text),
        cmocka_unit_test(every_scalar_value),      cmocka_unit_test(vectors_leave_only_a_cut_character),
        cmocka_unit_test(damage_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
