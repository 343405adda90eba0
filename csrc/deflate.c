/*
 * deflate.c - permessage-deflate on one connection (RFC 7692, section 7). Sections named below are of that RFC.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "deflate.h"

#include <string.h>

/* What a sync flush ends with, an empty stored block: a sender leaves it off the end of a message, a receiver puts it
 * there again (7.2.1, 7.2.2). */
static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

enum {
    EMPTY_BLOCK = 0x00, /* an empty message: the header of a stored block, whose rest is the tail (7.2.3.6) */
    FLUSH_SPACE = 16,   /* bytes; more than what a flush ends with */
    FIRST_GUESS = 4096, /* shorter input gets room for the worst that may come of it */
    BOUNDARY = 128      /* z_stream.data_type after inflate: it stopped between two blocks and two bytes */
};

#define PIECE ((size_t)1 << 30) /* zlib counts in 32 bits */

struct hl_deflate {
    hl_deflate_pool *pool;
    hl__zstream *out; /* NULL: no past that matters */
    hl__zstream *in;
    hl_deflate_config config;
    uint8_t midway;    /* a message that is sent has been begun */
    uint8_t tail_used; /* bytes of the tail that the expander has been given for the current message */
    uint8_t in_block;  /* bytes have come since the message, or what followed a final block of it, began */
    uint8_t boundary;  /* ... and the last of them ended a block */
};

_Static_assert(sizeof(hl_deflate) <= HL_SLAB_MIN && sizeof(hl__zstream) <= HL_SLAB_MIN, "they fit the smallest block");

/* ------------------------------------------------------------------ configs */

static int within(int value, int least, int most)
{
    return value == 0 || (value >= least && value <= most);
}

int hl_deflate_config_valid(const hl_deflate_config *c)
{
    return within(c->level, 1, 9) && within(c->mem_level, 1, 9) && within(c->out_bits, 9, 15) &&
           within(c->in_bits, 8, 15) && c->out_takeover <= 1 && c->in_takeover <= 1;
}

hl_deflate_config hl__deflate_complete(const hl_deflate_config *c)
{
    hl_deflate_config full = *c;
    if (full.level == 0)
        full.level = 6;
    if (full.mem_level == 0)
        full.mem_level = 8;
    if (full.out_bits == 0)
        full.out_bits = 15;
    if (full.in_bits == 0)
        full.in_bits = 15;
    return full;
}

/* Bytes of the block that an object of n bytes gets. */
static uint64_t block_bytes(uint64_t n)
{
    uint64_t size = HL_SLAB_MIN;
    while (size < n)
        size *= 2;
    return sizeof(hl_block) + size;
}

uint64_t hl_deflate_cost(const hl_deflate_config *c)
{
    hl_deflate_config full = hl__deflate_complete(c);
    const uint64_t state = block_bytes(8192) + block_bytes(sizeof(hl__zstream)); /* zlib's is a little smaller */
    uint64_t cost = block_bytes(sizeof(hl_deflate));
    /* zconf.h, "The memory requirements for deflate are"; deflate.c there says of what they consist. */
    if (full.out_takeover)
        cost +=
            state + 2 * block_bytes(UINT64_C(2) << full.out_bits) + 2 * block_bytes(UINT64_C(256) << full.mem_level);
    if (full.in_takeover)
        cost += state + block_bytes(UINT64_C(1) << full.in_bits);
    return cost;
}

/* ------------------------------------------------------------------ connections */

hl_deflate *hl_deflate_new(hl_deflate_pool *p, const hl_deflate_config *c)
{
    hl_block *b = hl__deflate_get(hl__deflate_pool_memory(p), sizeof(hl_deflate));
    if (b == NULL)
        return NULL;
    hl_deflate *d = (hl_deflate *)hl_block_data(b);
    *d = (hl_deflate){.pool = p, .config = hl__deflate_complete(c)};
    return d;
}

static void give_back(hl_deflate *d, hl__zstream **s)
{
    if (*s != NULL)
        hl__deflate_return(d->pool, *s);
    *s = NULL;
}

void hl_deflate_free(hl_deflate *d)
{
    if (d == NULL)
        return;
    give_back(d, &d->out);
    give_back(d, &d->in);
    hl__deflate_unref(hl__deflate_pool_memory(d->pool), (hl_block *)d - 1);
}

const hl_deflate_config *hl_deflate_config_of(const hl_deflate *d)
{
    return &d->config;
}

/* ------------------------------------------------------------------ sending, 7.2.1 */

/* Sees to it that *out has space for `more` bytes behind those that it has. */
static int make_room(hl__deflate_memory *m, hl_deflate_out *out, size_t more)
{
    hl_block *b;
    if (out->block == NULL)
        b = hl__deflate_get(m, out->len + more);
    else if (out->len + more <= out->block->size)
        return 0;
    else
        b = hl__deflate_grow(m, out->block, out->len, out->len + more);
    if (b == NULL)
        return HL_WS_ENOMEM;
    out->block = b;
    return 0;
}

/* Runs zlib until it has taken its input and, with a flush, has said all. */
static int run(hl__deflate_memory *m, z_stream *z, int flush, hl_deflate_out *out)
{
    do {
        int error = make_room(m, out, FLUSH_SPACE);
        if (error)
            return error;
        size_t room = out->block->size - out->len;
        z->next_out = hl_block_data(out->block) + out->len;
        z->avail_out = (uInt)(room < PIECE ? room : PIECE);
        room = z->avail_out;
        deflate(z, flush); /* Z_OK, or Z_BUF_ERROR when nothing was left to do */
        out->len += room - z->avail_out;
        if (z->avail_out == 0 && make_room(m, out, out->len) < 0) /* doubles */
            return HL_WS_ENOMEM;
    } while (z->avail_out == 0);
    return 0;
}

static int compress_fragment(hl__deflate_memory *m, z_stream *z, const uint8_t *p, size_t n, int fin,
                             hl_deflate_out *out)
{
    size_t guess = n <= FIRST_GUESS ? deflateBound(z, n) : n / 4;
    int error = make_room(m, out, guess + FLUSH_SPACE);
    if (error)
        return error;
    if (n == 0) { /* the flush before it has left the stream at a byte's boundary */
        if (fin)
            hl_block_data(out->block)[out->len++] = EMPTY_BLOCK;
        return 0;
    }
    while (n > 0 && !error) {
        size_t piece = n < PIECE ? n : PIECE;
        z->next_in = p;
        z->avail_in = (uInt)piece;
        p += piece;
        n -= piece;
        error = run(m, z, n > 0 ? Z_NO_FLUSH : Z_SYNC_FLUSH, out);
    }
    if (fin && !error)
        out->len -= sizeof tail;
    return error;
}

int hl_deflate_compress(hl_deflate *d, const uint8_t *p, size_t n, int fin, hl_deflate_out *out)
{
    if (d->out == NULL)
        d->out = hl__deflate_borrow(d->pool, hl__compressor_kind(&d->config));
    if (d->out == NULL)
        return HL_WS_ENOMEM;
    int error = compress_fragment(hl__deflate_pool_memory(d->pool), &d->out->z, p, n, fin, out);
    d->midway = !fin;
    if (fin && !d->config.out_takeover)
        give_back(d, &d->out);
    return error;
}

int hl_deflate_midway(const hl_deflate *d)
{
    return d->midway;
}

void hl_deflate_forget(hl_deflate *d)
{
    give_back(d, &d->out);
}

int hl_deflate_once(hl_slab *slab, const hl_deflate_config *c, const uint8_t *p, size_t n, size_t headroom,
                    hl_deflate_out *out)
{
    hl__deflate_memory m = {.slab = slab};
    hl_deflate_config full = hl__deflate_complete(c);
    *out = (hl_deflate_out){.len = headroom};
    hl__zstream *s = hl__zstream_new(&m, hl__compressor_kind(&full));
    if (s == NULL)
        return HL_WS_ENOMEM;
    int error = compress_fragment(&m, &s->z, p, n, 1, out);
    hl__zstream_free(&m, s);
    if (error) {
        hl_block_unref(out->block);
        out->block = NULL;
        return error;
    }
    hl_block *fitting = hl_slab_get(slab, out->len); /* it may be kept for long, and the guess was large */
    if (fitting != NULL) {
        memcpy(hl_block_data(fitting) + headroom, hl_block_data(out->block) + headroom, out->len - headroom);
        hl_block_unref(out->block);
        out->block = fitting;
    }
    return 0;
}

/* ------------------------------------------------------------------ receiving, 7.2.2 */

/* Points zlib to the next bytes that it is to take: of the input, or of the tail behind it. Returns how many. */
static size_t next_input(hl_deflate *d, const hl_deflate_io *io, int fin)
{
    z_stream *z = &d->in->z;
    const uint8_t *from = io->in;
    size_t n = io->in_len;
    if (n == 0 && fin && d->in_block) {
        from = tail + d->tail_used;
        n = sizeof tail - d->tail_used;
    }
    z->next_in = from;
    z->avail_in = (uInt)(n < PIECE ? n : PIECE);
    return z->avail_in;
}

/* Runs zlib once. Returns its result. */
static int step(hl_deflate *d, hl_deflate_io *io, int fin)
{
    z_stream *z = &d->in->z;
    uint8_t one; /* byte of room: what comes out of a message that is full */
    size_t given = next_input(d, io, fin);
    size_t room = io->out_len < PIECE ? io->out_len : PIECE;
    int of_tail = io->in_len == 0;
    if (given > 0)
        d->in_block = 1;
    z->next_out = room > 0 ? io->out : &one;
    z->avail_out = room > 0 ? (uInt)room : 1;
    int r = inflate(z, Z_SYNC_FLUSH);
    if (r != Z_BUF_ERROR) /* then nothing has happened, and zlib does not say again where it stands */
        d->boundary = z->data_type == BOUNDARY;
    size_t taken = given - z->avail_in;
    if (of_tail) {
        d->tail_used += (uint8_t)taken;
    } else {
        io->in += taken;
        io->in_len -= taken;
    }
    if (room > 0) {
        size_t made = room - z->avail_out;
        io->out += made;
        io->out_len -= made;
    }
    return r;
}

/* The message has come to its end. */
static int end_message(hl_deflate *d)
{
    int whole = d->in_block ? d->boundary : d->tail_used % sizeof tail == 0;
    d->tail_used = 0;
    d->in_block = 0;
    if (whole && !d->config.in_takeover)
        give_back(d, &d->in);
    return whole ? HL_DEFLATE_DONE : HL_WS_EDATA;
}

int hl_deflate_expand(hl_deflate *d, hl_deflate_io *io, int fin)
{
    if (d->in == NULL)
        d->in = hl__deflate_borrow(d->pool, hl__expander_kind(&d->config));
    if (d->in == NULL)
        return HL_WS_ENOMEM;
    for (;;) {
        int limited = io->out_len == 0;
        int r = step(d, io, fin);
        int full = d->in->z.avail_out == 0;
        if (full && limited)
            return HL_WS_ETOOBIG;
        if (r == Z_STREAM_END) { /* a final block (7.2.3.4): another may follow, with the same window */
            inflateResetKeep(&d->in->z);
            d->in_block = 0;
        } else if (r != Z_OK && r != Z_BUF_ERROR) {
            return r == Z_MEM_ERROR ? HL_WS_ENOMEM : HL_WS_EDATA;
        }
        if (full)
            return HL_DEFLATE_ROOM;
        if (io->in_len == 0 && (!fin || !d->in_block || d->tail_used == sizeof tail))
            return fin ? end_message(d) : HL_DEFLATE_DONE;
    }
}
