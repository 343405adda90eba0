/*
 * deflate_peer.h - the other side of permessage-deflate for tests: zlib, as RFC 7692 says it to the letter.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef DEFLATE_PEER_H
#define DEFLATE_PEER_H

#include <zlib.h>

#include "ws_stream.h"

static inline void peer_deflate_open(z_stream *z, int level, int bits, int mem_level)
{
    memset(z, 0, sizeof *z);
    REQUIRE(deflateInit2(z, level, Z_DEFLATED, -bits, mem_level, Z_DEFAULT_STRATEGY) == Z_OK);
}

static inline void peer_inflate_open(z_stream *z, int bits)
{
    memset(z, 0, sizeof *z);
    REQUIRE(inflateInit2(z, -bits) == Z_OK);
}

/* Compresses one fragment (7.2.1): the last one's sync flush goes without its tail. */
static inline bytes peer_deflate(z_stream *z, const void *p, size_t n, int fin)
{
    bytes b = {0};
    size_t most = n + n / 8 + 64;
    z->next_in = (Bytef *)(uintptr_t)p;
    z->avail_in = (uInt)n;
    z->next_out = bytes_extend(&b, most);
    z->avail_out = (uInt)most;
    deflate(z, Z_SYNC_FLUSH);
    b.len = most - z->avail_out;
    if (b.len == 0 && fin) { /* zlib has nothing to flush behind a flush: an empty block (7.2.3.6) */
        bytes_add(&b, "", 1);
    } else if (fin) {
        REQUIRE(b.len >= 4 && memcmp(b.data + b.len - 4, "\0\0\xff\xff", 4) == 0);
        b.len -= 4;
    }
    return b;
}

/* Expands a piece of a message (7.2.2) behind *to; the last gets the tail back, and has to end between two blocks. */
static inline void peer_inflate(z_stream *z, const void *p, size_t n, int fin, bytes *to)
{
    bytes piece = {0};
    uint8_t got[4096];
    bytes_add(&piece, p, n);
    if (fin)
        bytes_add(&piece, "\0\0\xff\xff", 4);
    z->next_in = piece.data;
    z->avail_in = (uInt)piece.len;
    int boundary = 0;
    do {
        z->next_out = got;
        z->avail_out = sizeof got;
        int r = inflate(z, Z_SYNC_FLUSH);
        REQUIRE(r == Z_OK || r == Z_BUF_ERROR);
        boundary = r == Z_OK ? z->data_type & 128 : boundary;
        bytes_add(to, got, sizeof got - z->avail_out);
    } while (z->avail_out == 0 || z->avail_in > 0);
    REQUIRE(!fin || boundary);
    bytes_free(&piece);
}

#endif /* DEFLATE_PEER_H */
