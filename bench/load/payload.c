/*
 * Making payloads.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "payload.h"

#include <stdio.h>
#include <string.h>

static void fill_ascii(uint8_t *to, size_t size, unsigned variant)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)('!' + (variant + i * 7 + i / 89) % 89);
}

/* Writes a code point in `bytes` bytes (RFC 3629 section 3). */
static void encode(uint8_t *to, uint32_t point, unsigned bytes)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (unsigned i = bytes - 1; i > 0; i--, point >>= 6)
        to[i] = (uint8_t)(0x80 | (point & 0x3f));
    to[0] = (uint8_t)(lead[bytes] | point);
}

static void fill_utf8(uint8_t *to, size_t size, unsigned variant)
{
    size_t at = 0;
    for (unsigned n = variant; at < size; n++) {
        unsigned bytes = n % 4 + 1;
        if (bytes > size - at)
            bytes = 1;
        switch (bytes) {
        case 1: to[at] = (uint8_t)('!' + n % 89); break;
        case 2: encode(to + at, 0x400 + n % 256, 2); break;    /* Cyrillic */
        case 3: encode(to + at, 0x4e00 + n % 20000, 3); break; /* Chinese */
        default: encode(to + at, 0x1f300 + n % 512, 4); break; /* pictures */
        }
        at += bytes;
    }
}

/* The last record is cut off; nobody parses it. */
static void fill_json(uint8_t *to, size_t size, unsigned variant)
{
    uint32_t random = 0x9e3779b9u * (variant + 1);
    for (size_t at = 0; at < size;) {
        char record[128];
        random = random * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        int n = snprintf(record, sizeof record,
                         "{\"id\":%u,\"symbol\":\"%c%c%c\",\"price\":%u.%02u,\"quantity\":%u,\"side\":\"%s\"},",
                         random >> 8, 'A' + random % 26, 'A' + random / 26 % 26, 'A' + random / 676 % 26, random >> 20,
                         random >> 10 & 63, random >> 24, random & 0x10000 ? "buy" : "sell");
        size_t part = (size_t)n < size - at ? (size_t)n : size - at;
        memcpy(to + at, record, part);
        at += part;
    }
}

void payload_fill(payload_kind kind, uint8_t *to, size_t size, unsigned variant)
{
    switch (kind) {
    case PAYLOAD_UTF8: fill_utf8(to, size, variant); break;
    case PAYLOAD_JSON: fill_json(to, size, variant); break;
    default: fill_ascii(to, size, variant); break;
    }
}
