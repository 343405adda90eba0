/*
 * codec.c - what is done to every byte of a message: unmasking beside memcpy, checking UTF-8.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_ws.h"
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES = 2000, MOST = 65536 };

static uint8_t *bytes, *copy;
static size_t length;

static double unmask(void)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    double start = now();
    for (int i = 0; i < PASSES; i++)
        hl_ws_mask(bytes, length, mask);
    return (now() - start) / PASSES;
}

static double copy_bytes(void)
{
    double start = now();
    for (int i = 0; i < PASSES; i++) {
        memcpy(copy, bytes, length);
        __asm__ volatile("" ::"r"(copy) : "memory");
    }
    return (now() - start) / PASSES;
}

static double check_text(void)
{
    double start = now();
    for (int i = 0; i < PASSES; i++)
        if (hl_utf8(HL_UTF8_ACCEPT, copy, length) != HL_UTF8_ACCEPT)
            abort();
    return (now() - start) / PASSES;
}

void compare_codec(void)
{
    static const char cyrillic[] = "\xd0\xb6", chinese[] = "\xe4\xb8\xad";
    char what[64];
    bytes = aligned_alloc(64, MOST);
    copy = aligned_alloc(64, MOST);
    if (bytes == NULL || copy == NULL)
        abort();
    memset(bytes, 'x', MOST);
    for (length = 64; length <= MOST; length *= 4) {
        snprintf(what, sizeof what, "unmasking, %zu bytes (%s)", length, hl_ws_mask_kind());
        compare((comparison){what, unmask, "memcpy", copy_bytes, .target = length == 16384 ? 2.0 : 0, .bytes = length});
    }
    length = 16384;
    memset(bytes, 'x', length);
    memset(copy, 'x', length);
    compare((comparison){"UTF-8, 16384 bytes of ASCII", check_text, "memcpy", copy_bytes, .bytes = length});
    for (size_t i = 0; i + 2 <= length; i += 2)
        memcpy(bytes + i, cyrillic, 2);
    memcpy(copy, bytes, length);
    compare((comparison){"UTF-8, 16384 bytes of Cyrillic", check_text, "memcpy", copy_bytes, .bytes = length});
    length -= length % 3;
    for (size_t i = 0; i < length; i += 3)
        memcpy(bytes + i, chinese, 3);
    memcpy(copy, bytes, length);
    compare((comparison){"UTF-8, 16383 bytes of Chinese", check_text, "memcpy", copy_bytes, .bytes = length});
    free(bytes);
    free(copy);
}
