/*
 * deflate.h - zlib's streams, for deflate.c and deflate_pool.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__DEFLATE_H
#define HL__DEFLATE_H

#include "hl_deflate.h"

#define ZLIB_CONST /* next_in is a const pointer */
#include <zlib.h>

/* Where blocks come from: the cache of the thread, or the slab for want of one. */
typedef struct hl__deflate_memory {
    hl_slab *slab;
    hl_cache *cache; /* NULL: none */
} hl__deflate_memory;

hl_block *hl__deflate_get(hl__deflate_memory *m, size_t size);
void hl__deflate_unref(hl__deflate_memory *m, hl_block *b);
/* As hl_cache_grow. */
hl_block *hl__deflate_grow(hl__deflate_memory *m, hl_block *b, size_t used, size_t size);

/* What tells one kind of stream from another. Of expanders only the window matters. */
typedef struct hl__stream_kind {
    uint8_t expands;
    uint8_t bits;
    int8_t level;
    int8_t mem_level;
} hl__stream_kind;

/* A raw deflate stream of zlib's, in a block of its own. */
typedef struct hl__zstream {
    z_stream z;
    hl__stream_kind kind;
} hl__zstream;

/* The config with its defaults filled in. */
hl_deflate_config hl__deflate_complete(const hl_deflate_config *c);
hl__stream_kind hl__compressor_kind(const hl_deflate_config *c);
hl__stream_kind hl__expander_kind(const hl_deflate_config *c);

/* A new stream, or NULL: no memory. `m` outlives it. */
hl__zstream *hl__zstream_new(hl__deflate_memory *m, hl__stream_kind kind);
void hl__zstream_free(hl__deflate_memory *m, hl__zstream *s);

/* A stream without a past, an idle one if there is one of this kind; NULL: no memory. */
hl__zstream *hl__deflate_borrow(hl_deflate_pool *p, hl__stream_kind kind);
void hl__deflate_return(hl_deflate_pool *p, hl__zstream *s);

hl__deflate_memory *hl__deflate_pool_memory(hl_deflate_pool *p);

#endif /* HL__DEFLATE_H */
