/*
 * ws_utf8.c - incremental UTF-8 validation (RFC 3629; the well-formed sequences are table 3-7 of the Unicode Standard).
 *
 * A state says which bytes may come next. It matters only where a piece begins or ends within a character. Between
 * these, ASCII is skipped by the word, longer stretches of anything else go to ws_utf8_wide.c, and short ones are
 * checked a character at a time.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <string.h>

#include "ws_utf8.h"

/* States beside HL_UTF8_ACCEPT and HL_UTF8_REJECT. */
enum {
    LAST = 2, /* one continuation byte is missing */
    LAST_2,
    LAST_3,
    AFTER_E0, /* the second byte has a narrower range after these leads, to keep out overlong forms, */
    AFTER_ED, /* surrogates, */
    AFTER_F0,
    AFTER_F4 /* and what lies above U+10FFFF */
};

/* The bytes that each state takes, low to low + span, and where they lead. */
static const struct {
    uint8_t low, span, next;
} continuation[] = {
    [LAST] = {0x80, 0x3F, HL_UTF8_ACCEPT}, [LAST_2] = {0x80, 0x3F, LAST},   [LAST_3] = {0x80, 0x3F, LAST_2},
    [AFTER_E0] = {0xA0, 0x1F, LAST},       [AFTER_ED] = {0x80, 0x1F, LAST}, [AFTER_F0] = {0x90, 0x2F, LAST_2},
    [AFTER_F4] = {0x80, 0x0F, LAST_2},
};

static uint8_t after_lead(uint8_t lead)
{
    if (lead < 0x80)
        return HL_UTF8_ACCEPT;
    if (lead < 0xC2) /* a continuation byte, or an overlong form of ASCII */
        return HL_UTF8_REJECT;
    if (lead < 0xE0)
        return LAST;
    if (lead < 0xF0)
        return lead == 0xE0 ? AFTER_E0 : lead == 0xED ? AFTER_ED : LAST_2;
    if (lead < 0xF5)
        return lead == 0xF0 ? AFTER_F0 : lead == 0xF4 ? AFTER_F4 : LAST_3;
    return HL_UTF8_REJECT;
}

static uint8_t step(uint8_t state, uint8_t byte)
{
    if (state == HL_UTF8_ACCEPT)
        return after_lead(byte);
    return (uint8_t)(byte - continuation[state].low) <= continuation[state].span ? continuation[state].next
                                                                                 : HL_UTF8_REJECT;
}

static int ascii(const uint8_t *p, size_t words)
{
    uint64_t all = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, p + 8 * i, sizeof word);
        all |= word;
    }
    return (all & 0x8080808080808080u) == 0;
}

static int is_continuation(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Length of the character at p, of which four bytes may be read; 0 when it is ill-formed. */
static size_t character(const uint8_t *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xE0)
        return p[0] >= 0xC2 && is_continuation(p[1]) ? 2 : 0;
    uint8_t second = after_lead(p[0]);
    if (second == HL_UTF8_REJECT || step(second, p[1]) == HL_UTF8_REJECT || !is_continuation(p[2]))
        return 0;
    if (p[0] < 0xF0)
        return 3;
    return is_continuation(p[3]) ? 4 : 0;
}

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 32 && ascii(p, 4))
        p += 32;
    while (end - p >= 8 && ascii(p, 1))
        p += 8;
    return p;
}

uint8_t hl__utf8_scalar(uint8_t state, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    while (state > HL_UTF8_REJECT && p < end)
        state = step(state, *p++);
    if (state != HL_UTF8_ACCEPT)
        return state;
    for (p = skip_ascii(p, end); end - p >= 8; p = skip_ascii(p, end)) {
        for (const uint8_t *stop = p + 5; p < stop;) { /* four bytes may be read at each p < stop */
            size_t length = character(p);
            if (length == 0)
                return HL_UTF8_REJECT;
            p += length;
        }
    }
    while (p < end && state != HL_UTF8_REJECT)
        state = step(state, *p++);
    return state;
}

uint8_t hl_utf8(uint8_t state, const uint8_t *p, size_t n)
{
    if (n == 0) /* and p may be NULL */
        return state;
    const uint8_t *end = p + n;
    while (state > HL_UTF8_REJECT && p < end)
        state = step(state, *p++);
    if (state != HL_UTF8_ACCEPT)
        return state;
    p = skip_ascii(p, end);
    if (end - p >= HL__UTF8_WORTH) {
        size_t good = hl__utf8_wide(p, (size_t)(end - p));
        if (good == HL__UTF8_BAD)
            return HL_UTF8_REJECT;
        p += good;
    }
    return hl__utf8_scalar(HL_UTF8_ACCEPT, p, (size_t)(end - p));
}
