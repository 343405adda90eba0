/*
 * ws_mask.h - unmasking inside the core: one pass that XORs, moves if asked to, and tells ASCII from the rest.
 *
 * Masks are held here as the four bytes of the wire in memory order, loaded into a uint32_t as they lie, so that the
 * same code serves either byte order.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__WS_MASK_H
#define HL__WS_MASK_H

#include <string.h>

#include "hl_ws.h"

/*
 * Writes from[i] ^ mask[i mod 4] to to[i] for all i < n. `to` is `from` itself or does not overlap it. Returns nonzero
 * when a byte written has its top bit set, which spares ASCII text, the common case, a second pass.
 */
typedef int hl__ws_mask_fn(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask);

typedef struct hl__ws_mask_impl {
    const char *name;
    hl__ws_mask_fn *run;
} hl__ws_mask_impl;

/* The implementations that this CPU can run, best first; the last is "scalar". Returns how many. For tests. */
size_t hl__ws_mask_impls(const hl__ws_mask_impl **list);

/* The best of them. Any thread. */
hl__ws_mask_fn hl__ws_mask_wide;

/* The mask as it applies from its byte n on. */
static inline uint32_t hl__ws_mask_rotate(uint32_t mask, size_t n)
{
    unsigned bits = 8 * (n & 3);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return mask << bits | mask >> (-bits & 31);
#else
    return mask >> bits | mask << (-bits & 31);
#endif
}

static inline uint64_t hl__ws_load64(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* As hl__ws_mask_fn, eight bytes at a time. The last word is taken up before the first is written, because it overlaps
 * the one before it when n is no multiple of 8. */
static inline int hl__ws_mask_words(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    uint64_t high = 0;
    if (n < 8) {
        uint8_t bytes[4];
        memcpy(bytes, &mask, sizeof bytes);
        for (size_t i = 0; i < n; i++)
            high |= to[i] = from[i] ^ bytes[i & 3];
        return (high & 0x80) != 0;
    }
    uint64_t twice = (uint64_t)mask << 32 | mask;
    uint64_t last = (uint64_t)hl__ws_mask_rotate(mask, n) << 32 | hl__ws_mask_rotate(mask, n);
    last ^= hl__ws_load64(from + n - 8);
    for (size_t i = 0; i + 8 < n; i += 8) {
        uint64_t word = hl__ws_load64(from + i) ^ twice;
        high |= word;
        memcpy(to + i, &word, sizeof word);
    }
    memcpy(to + n - 8, &last, sizeof last);
    return ((high | last) & 0x8080808080808080u) != 0;
}

/* The way in for everyone: short runs are not worth a call. */
static inline int hl__ws_unmask(uint8_t *to, const uint8_t *from, size_t n, uint32_t mask)
{
    return n < 32 ? hl__ws_mask_words(to, from, n, mask) : hl__ws_mask_wide(to, from, n, mask);
}

#endif /* HL__WS_MASK_H */
