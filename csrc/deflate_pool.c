/*
 * deflate_pool.c - zlib's streams: their memory, and those that are idle.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "deflate.h"

#include <string.h>

/* ------------------------------------------------------------------ memory */

hl_block *hl__deflate_get(hl__deflate_memory *m, size_t size)
{
    return m->cache != NULL ? hl_cache_get(m->cache, size) : hl_slab_get(m->slab, size);
}

void hl__deflate_unref(hl__deflate_memory *m, hl_block *b)
{
    if (m->cache != NULL)
        hl_cache_unref(m->cache, b);
    else
        hl_block_unref(b);
}

hl_block *hl__deflate_grow(hl__deflate_memory *m, hl_block *b, size_t used, size_t size)
{
    if (m->cache != NULL)
        return hl_cache_grow(m->cache, b, used, size);
    hl_block *grown = hl_slab_get(m->slab, size);
    if (grown != NULL) {
        memcpy(hl_block_data(grown), hl_block_data(b), used);
        hl_block_unref(b);
    }
    return grown;
}

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    hl_block *b = hl__deflate_get(opaque, (size_t)items * size);
    return b != NULL ? hl_block_data(b) : Z_NULL;
}

static void zlib_free(voidpf opaque, voidpf p)
{
    hl__deflate_unref(opaque, (hl_block *)p - 1); /* the bytes of a block follow its header at once */
}

/* ------------------------------------------------------------------ streams */

hl__stream_kind hl__compressor_kind(const hl_deflate_config *c)
{
    return (hl__stream_kind){.bits = c->out_bits, .level = c->level, .mem_level = c->mem_level};
}

hl__stream_kind hl__expander_kind(const hl_deflate_config *c)
{
    return (hl__stream_kind){.expands = 1, .bits = c->in_bits};
}

hl__zstream *hl__zstream_new(hl__deflate_memory *m, hl__stream_kind kind)
{
    hl_block *b = hl__deflate_get(m, sizeof(hl__zstream));
    if (b == NULL)
        return NULL;
    hl__zstream *s = (hl__zstream *)hl_block_data(b);
    *s = (hl__zstream){.z = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = m}, .kind = kind};
    /* Negative bits: raw deflate, without the header and the checksum of zlib's own format. */
    int r = kind.expands ? inflateInit2(&s->z, -kind.bits)
                         : deflateInit2(&s->z, kind.level, Z_DEFLATED, -kind.bits, kind.mem_level, Z_DEFAULT_STRATEGY);
    if (r == Z_OK)
        return s;
    hl__deflate_unref(m, b);
    return NULL;
}

void hl__zstream_free(hl__deflate_memory *m, hl__zstream *s)
{
    if (s->kind.expands)
        inflateEnd(&s->z);
    else
        deflateEnd(&s->z); /* Z_DATA_ERROR within a message; it is freed all the same */
    hl__deflate_unref(m, (hl_block *)s - 1);
}

/* ------------------------------------------------------------------ the pool */

/* Idle streams, the one that came last at the end. */
typedef struct shelf {
    hl__zstream **streams;
    uint32_t count;
} shelf;

struct hl_deflate_pool {
    hl__deflate_memory memory;
    uint32_t idle; /* most streams on a shelf */
    shelf shelves[2];
};

hl_deflate_pool *hl_deflate_pool_new(hl_cache *cache, uint32_t idle)
{
    hl_block *b = hl_cache_get(cache, sizeof(hl_deflate_pool) + 2 * idle * sizeof(hl__zstream *));
    if (b == NULL)
        return NULL;
    hl_deflate_pool *p = (hl_deflate_pool *)hl_block_data(b);
    hl__zstream **streams = (hl__zstream **)(p + 1);
    *p = (hl_deflate_pool){
        .memory = {.slab = b->slab, .cache = cache},
        .idle = idle,
        .shelves = {{.streams = streams}, {.streams = streams + idle}},
    };
    return p;
}

void hl_deflate_pool_trim(hl_deflate_pool *p)
{
    for (shelf *f = p->shelves; f < p->shelves + 2; f++)
        while (f->count > 0)
            hl__zstream_free(&p->memory, f->streams[--f->count]);
}

void hl_deflate_pool_free(hl_deflate_pool *p)
{
    if (p == NULL)
        return;
    hl_deflate_pool_trim(p);
    hl_cache_unref(p->memory.cache, (hl_block *)p - 1);
}

hl__deflate_memory *hl__deflate_pool_memory(hl_deflate_pool *p)
{
    return &p->memory;
}

static void take_off(shelf *f, uint32_t i)
{
    f->count--;
    memmove(f->streams + i, f->streams + i + 1, (f->count - i) * sizeof *f->streams);
}

hl__zstream *hl__deflate_borrow(hl_deflate_pool *p, hl__stream_kind kind)
{
    shelf *f = &p->shelves[kind.expands];
    for (uint32_t i = f->count; i-- > 0;) {
        hl__zstream *s = f->streams[i];
        if (memcmp(&s->kind, &kind, sizeof kind) == 0) {
            take_off(f, i);
            return s;
        }
    }
    return hl__zstream_new(&p->memory, kind);
}

void hl__deflate_return(hl_deflate_pool *p, hl__zstream *s)
{
    shelf *f = &p->shelves[s->kind.expands];
    if (p->idle == 0) {
        hl__zstream_free(&p->memory, s);
        return;
    }
    if (f->count == p->idle) {
        hl__zstream_free(&p->memory, f->streams[0]);
        take_off(f, 0);
    }
    if (s->kind.expands)
        inflateReset(&s->z);
    else
        deflateReset(&s->z);
    f->streams[f->count++] = s;
}
