/*
 * Compressing, by zlib.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, MEMORY_LEVEL = 8 };

static const uint8_t tail[4] = {0, 0, 0xff, 0xff}; /* ends each message, and is not sent */

uint8_t *deflate_message(const uint8_t *payload, size_t size, size_t *compressed_size)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    size_t room = deflateBound(&z, size) + 16; /* for the flush */
    uint8_t *to = malloc(room);
    if (to) {
        z.next_in = (uint8_t *)(uintptr_t)payload; /* zlib does not write there */
        z.avail_in = (uInt)size;
        z.next_out = to;
        z.avail_out = (uInt)room;
        deflate(&z, Z_SYNC_FLUSH);
        *compressed_size = room - z.avail_out - sizeof tail;
    }
    deflateEnd(&z);
    return to;
}

/* Feeds some more to zlib, comparing what comes out. */
static bool feed(z_stream *z, const uint8_t *data, size_t n, const uint8_t **payload, const uint8_t *end)
{
    uint8_t out[16 * 1024];
    z->next_in = (uint8_t *)(uintptr_t)data;
    z->avail_in = (uInt)n;
    do {
        z->next_out = out;
        z->avail_out = sizeof out;
        int err = inflate(z, Z_SYNC_FLUSH);
        size_t got = sizeof out - z->avail_out;
        if ((err != Z_OK && err != Z_BUF_ERROR) || got > (size_t)(end - *payload) || memcmp(out, *payload, got) != 0)
            return false;
        *payload += got;
    } while (z->avail_out == 0);
    return z->avail_in == 0;
}

bool deflate_same(const uint8_t *compressed, size_t n, const uint8_t *payload, size_t size)
{
    z_stream z = {0};
    if (inflateInit2(&z, -WINDOW_BITS) != Z_OK)
        return false;
    const uint8_t *end = payload + size;
    bool same = feed(&z, compressed, n, &payload, end) && feed(&z, tail, sizeof tail, &payload, end) && payload == end;
    inflateEnd(&z);
    return same;
}
