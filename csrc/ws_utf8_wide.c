/*
 * ws_utf8_wide.c - UTF-8 validation, 32 bytes at a time.
 *
 * After J. Keiser and D. Lemire, "Validating UTF-8 in less than one instruction per byte" (Software: Practice and
 * Experience 51, 2021). Nearly every error shows in two neighbouring bytes, and there in three nibbles: both of the
 * first byte and the high one of the second. Each kind of error has a bit; a table per nibble tells which errors that
 * nibble allows; an error is there when all three allow it. What two bytes cannot tell is whether a continuation byte
 * after a continuation byte is in its place: it must be when, and only when, the byte two before leads three or more,
 * or the one three before leads four.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "ws_utf8.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

/* Errors in two bytes. "Tail" is a continuation byte, 80 to BF. */
enum {
    LEAD_ALONE = 0x01, /* a lead, then no tail */
    TAIL_ALONE = 0x02, /* ASCII, then a tail */
    OVERLONG_2 = 0x04, /* C0 or C1, then a tail */
    OVERLONG_3 = 0x08, /* E0, then 80 to 9F */
    SURROGATE = 0x10,  /* ED, then A0 to BF */
    TOO_LARGE = 0x20,  /* F4 or more, then 90 to BF */
    OUT_OF_4 = 0x40,   /* F0 (overlong) or F5 and more (too large), then 80 to 8F */
    TAIL_TAIL = 0x80   /* two tails: an error unless a lead before them asks for it */
};

enum {
    ANY_LOW = LEAD_ALONE | TAIL_ALONE | TAIL_TAIL, /* do not depend on the first byte's low nibble */
    ANY_TAIL = TAIL_ALONE | OVERLONG_2 | TAIL_TAIL /* do not depend on which tail the second byte is */
};

/* clang-format off */
static const uint8_t first_high[16] = {
    TAIL_ALONE, TAIL_ALONE, TAIL_ALONE, TAIL_ALONE, TAIL_ALONE, TAIL_ALONE, TAIL_ALONE, TAIL_ALONE,
    TAIL_TAIL, TAIL_TAIL, TAIL_TAIL, TAIL_TAIL,
    LEAD_ALONE | OVERLONG_2,
    LEAD_ALONE,
    LEAD_ALONE | OVERLONG_3 | SURROGATE,
    LEAD_ALONE | TOO_LARGE | OUT_OF_4,
};
static const uint8_t first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | OUT_OF_4,
    ANY_LOW | OVERLONG_2,
    ANY_LOW,
    ANY_LOW,
    ANY_LOW | TOO_LARGE,
    ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4,
    ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4,
    ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4,
    ANY_LOW | TOO_LARGE | OUT_OF_4 | SURROGATE,
    ANY_LOW | TOO_LARGE | OUT_OF_4, ANY_LOW | TOO_LARGE | OUT_OF_4,
};
static const uint8_t second_high[16] = {
    LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE,
    ANY_TAIL | OVERLONG_3 | OUT_OF_4,
    ANY_TAIL | OVERLONG_3 | TOO_LARGE,
    ANY_TAIL | SURROGATE | TOO_LARGE,
    ANY_TAIL | SURROGATE | TOO_LARGE,
    LEAD_ALONE, LEAD_ALONE, LEAD_ALONE, LEAD_ALONE,
};
/* clang-format on */

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i table(const uint8_t entries[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)entries));
}

AVX2 static inline __m256i high_nibbles(__m256i bytes)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
}

/* The errors of 32 bytes, of which `now` is the block and `before` the one before it. */
AVX2 static inline __m256i errors(__m256i now, __m256i before)
{
    const __m256i across = _mm256_permute2x128_si256(before, now, 0x21); /* the halves between which bytes move */
    const __m256i back1 = _mm256_alignr_epi8(now, across, 15);
    const __m256i back2 = _mm256_alignr_epi8(now, across, 14);
    const __m256i back3 = _mm256_alignr_epi8(now, across, 13);
    __m256i pairs = _mm256_shuffle_epi8(table(first_high), high_nibbles(back1));
    pairs =
        _mm256_and_si256(pairs, _mm256_shuffle_epi8(table(first_low), _mm256_and_si256(back1, _mm256_set1_epi8(0x0F))));
    pairs = _mm256_and_si256(pairs, _mm256_shuffle_epi8(table(second_high), high_nibbles(now)));
    /* Saturating subtraction leaves the top bit set for E0 and more, and F0 and more. */
    const __m256i third = _mm256_subs_epu8(back2, _mm256_set1_epi8(0xE0 - 0x80));
    const __m256i fourth = _mm256_subs_epu8(back3, _mm256_set1_epi8(0xF0 - 0x80));
    const __m256i asked_for = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)TAIL_TAIL));
    return _mm256_xor_si256(pairs, asked_for);
}

/* n less the bytes of an incomplete character at the end: a lead among the last three that asks for more than is there.
 * What such a byte is in other respects is judged by others. */
static size_t without_cut_end(const uint8_t *p, size_t n)
{
    static const uint8_t cut_when_at_least[] = {0, 0xC0, 0xE0, 0xF0}; /* 1, 2, 3 bytes before the end */
    for (size_t back = 1; back <= 3 && back <= n; back++)
        if (p[n - back] >= cut_when_at_least[back])
            return n - back;
    return n;
}

AVX2 static size_t wide_avx2(const uint8_t *p, size_t n)
{
    __m256i before = _mm256_setzero_si256(), bad = _mm256_setzero_si256();
    size_t i = 0;
    n = without_cut_end(p, n);
    for (; i + 32 <= n; i += 32) {
        const __m256i now = _mm256_loadu_si256((const __m256i *)(p + i));
        bad = _mm256_or_si256(bad, errors(now, before));
        before = now;
    }
    uint8_t rest[32] = {0}; /* followed by ASCII, so that a lead alone shows even in the very last byte */
    memcpy(rest, p + i, n - i);
    bad = _mm256_or_si256(bad, errors(_mm256_loadu_si256((const __m256i *)rest), before));
    return _mm256_testz_si256(bad, bad) ? n : HL__UTF8_BAD;
}
#endif

size_t hl__utf8_wide(const uint8_t *p, size_t n)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init(); /* returns at once after the first time */
    if (__builtin_cpu_supports("avx2"))
        return wide_avx2(p, n);
#endif
    (void)p;
    (void)n;
    return 0;
}
