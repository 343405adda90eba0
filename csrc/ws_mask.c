/*
 * ws_mask.c - WebSocket masking (RFC 6455, section 5.3) with the widest instructions of the CPU it runs on.
 *
 * Every vector version works alike: it needs one vector's length at least, takes up the last vector before it writes
 * the first, and writes it last, so that no byte is left over for a slower loop.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "ws_mask.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define HAVE_AVX2 1
#endif
#ifdef __SSE2__
#define HAVE_SSE2 1
#endif
#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define HAVE_NEON 1
#endif

static int mask_scalar(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    return hl__ws_mask_words(to, from, n, mask);
}

#ifdef HAVE_AVX2
__attribute__((target("avx2"))) static int mask_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    if (n < 32)
        return hl__ws_mask_words(to, from, n, mask);
    const __m256i m = _mm256_set1_epi32((int)mask);
    __m256i last = _mm256_loadu_si256((const __m256i *)(from + n - 32));
    last = _mm256_xor_si256(last, _mm256_set1_epi32((int)hl__ws_mask_rotate(mask, n)));
    __m256i high = last;
    size_t i = 0;
    for (; i + 128 < n; i += 128) {
        __m256i a = _mm256_xor_si256(m, _mm256_loadu_si256((const __m256i *)(from + i)));
        __m256i b = _mm256_xor_si256(m, _mm256_loadu_si256((const __m256i *)(from + i + 32)));
        __m256i c = _mm256_xor_si256(m, _mm256_loadu_si256((const __m256i *)(from + i + 64)));
        __m256i d = _mm256_xor_si256(m, _mm256_loadu_si256((const __m256i *)(from + i + 96)));
        _mm256_storeu_si256((__m256i *)(to + i), a);
        _mm256_storeu_si256((__m256i *)(to + i + 32), b);
        _mm256_storeu_si256((__m256i *)(to + i + 64), c);
        _mm256_storeu_si256((__m256i *)(to + i + 96), d);
        high = _mm256_or_si256(high, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    }
    for (; i + 32 < n; i += 32) {
        __m256i a = _mm256_xor_si256(m, _mm256_loadu_si256((const __m256i *)(from + i)));
        _mm256_storeu_si256((__m256i *)(to + i), a);
        high = _mm256_or_si256(high, a);
    }
    _mm256_storeu_si256((__m256i *)(to + n - 32), last);
    return _mm256_movemask_epi8(high) != 0;
}
#endif

#ifdef HAVE_SSE2
static int mask_sse2(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    if (n < 16)
        return hl__ws_mask_words(to, from, n, mask);
    const __m128i m = _mm_set1_epi32((int)mask);
    __m128i last = _mm_loadu_si128((const __m128i *)(from + n - 16));
    last = _mm_xor_si128(last, _mm_set1_epi32((int)hl__ws_mask_rotate(mask, n)));
    __m128i high = last;
    size_t i = 0;
    for (; i + 32 < n; i += 32) {
        __m128i a = _mm_xor_si128(m, _mm_loadu_si128((const __m128i *)(from + i)));
        __m128i b = _mm_xor_si128(m, _mm_loadu_si128((const __m128i *)(from + i + 16)));
        _mm_storeu_si128((__m128i *)(to + i), a);
        _mm_storeu_si128((__m128i *)(to + i + 16), b);
        high = _mm_or_si128(high, _mm_or_si128(a, b));
    }
    if (i + 16 < n) {
        __m128i a = _mm_xor_si128(m, _mm_loadu_si128((const __m128i *)(from + i)));
        _mm_storeu_si128((__m128i *)(to + i), a);
        high = _mm_or_si128(high, a);
    }
    _mm_storeu_si128((__m128i *)(to + n - 16), last);
    return _mm_movemask_epi8(high) != 0;
}
#endif

#ifdef HAVE_NEON
static int mask_neon(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    if (n < 16)
        return hl__ws_mask_words(to, from, n, mask);
    const uint8x16_t m = vreinterpretq_u8_u32(vdupq_n_u32(mask));
    uint8x16_t last = vld1q_u8(from + n - 16);
    last = veorq_u8(last, vreinterpretq_u8_u32(vdupq_n_u32(hl__ws_mask_rotate(mask, n))));
    uint8x16_t high = last;
    size_t i = 0;
    for (; i + 32 < n; i += 32) {
        uint8x16_t a = veorq_u8(m, vld1q_u8(from + i));
        uint8x16_t b = veorq_u8(m, vld1q_u8(from + i + 16));
        vst1q_u8(to + i, a);
        vst1q_u8(to + i + 16, b);
        high = vorrq_u8(high, vorrq_u8(a, b));
    }
    if (i + 16 < n) {
        uint8x16_t a = veorq_u8(m, vld1q_u8(from + i));
        vst1q_u8(to + i, a);
        high = vorrq_u8(high, a);
    }
    vst1q_u8(to + n - 16, last);
    return vmaxvq_u8(high) >= 0x80;
}
#endif

/* Best first. Only the first entry can be missing on a CPU that this file was compiled for. */
static const hl__ws_mask_impl implementations[] = {
#ifdef HAVE_AVX2
    {"avx2", mask_avx2},
#endif
#ifdef HAVE_SSE2
    {"sse2", mask_sse2},
#endif
#ifdef HAVE_NEON
    {"neon", mask_neon},
#endif
    {"scalar", mask_scalar},
};

size_t hl__ws_mask_impls(const hl__ws_mask_impl **list)
{
    size_t missing = 0;
#ifdef HAVE_AVX2
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2"))
        missing = 1;
#endif
    *list = implementations + missing;
    return sizeof implementations / sizeof *implementations - missing;
}

static const hl__ws_mask_impl *chosen; /* NULL until the first use; then never changes */

static const hl__ws_mask_impl *choose(void)
{
    /* Relaxed will do: both the pointer's values and what they point at are constants of the program, so nothing is
     * published with them; threads that race here store the same value. */
    const hl__ws_mask_impl *best = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (__builtin_expect(!best, 0)) {
        hl__ws_mask_impls(&best);
        __atomic_store_n(&chosen, best, __ATOMIC_RELAXED);
    }
    return best;
}

int hl__ws_mask_wide(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    return choose()->run(to, from, n, mask);
}

const char *hl_ws_mask_kind(void)
{
    return choose()->name;
}

void hl_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4])
{
    uint32_t word;
    memcpy(&word, mask, sizeof word);
    hl__ws_unmask(p, p, n, word);
}

void hl_ws_mask_scalar(uint8_t *p, size_t n, const uint8_t mask[4])
{
    for (size_t i = 0; i < n; i++)
        p[i] ^= mask[i & 3];
}
