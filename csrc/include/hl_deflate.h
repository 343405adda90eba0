/*
 * hl_deflate.h - permessage-deflate (RFC 7692) on one connection: payloads of messages to compressed ones and back. It
 * knows neither frames nor sockets. Sections named below are of RFC 7692.
 *
 * Compression is zlib's, and so are its limits: a window of 8 bits can be expanded but not produced, since zlib has no
 * raw deflate stream with one. An endpoint that has to answer for its own output ("server_max_window_bits=8" on a
 * server) declines.
 *
 * Memory. A compressor takes about 2^(out_bits + 2) + 2^(mem_level + 9) bytes, 268 KB by default, an expander about
 * 2^in_bits, 41 KB. All of it comes from the slab, by way of the pool's cache, and is counted there.
 *   - A connection takes neither before its first compressed message.
 *   - With context takeover (7.1.1) it keeps each from then on: later messages refer to earlier ones.
 *   - Without, it borrows one from the pool for the time of a message. The pool keeps a few that are idle, whatever
 *     their parameters, and lets go of the one that was used longest ago.
 *
 * Errors are negative, those of hl_ws.h: HL_WS_EDATA, HL_WS_ETOOBIG, HL_WS_ENOMEM. After one the object is good for
 * nothing but hl_deflate_free.
 *
 * A pool, its cache and the connections that were made from it belong to one thread at a time.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_DEFLATE_H
#define HL_DEFLATE_H

#include "hl_ws.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hl_deflate hl_deflate;
typedef struct hl_deflate_pool hl_deflate_pool;

/* What two endpoints have agreed upon (7.1), and how we compress. */
typedef struct hl_deflate_config {
    int8_t level;         /* zlib's: 1 (fast) to 9 (small); 0: 6 */
    int8_t mem_level;     /* zlib's: 1 to 9; 0: 8 */
    uint8_t out_bits;     /* of the window of what we send: 9 to 15; 0: 15 */
    uint8_t in_bits;      /* of the window of what we receive: 8 to 15; 0: 15. Larger than agreed upon works as well */
    uint8_t out_takeover; /* 1: our messages may refer to earlier ones */
    uint8_t in_takeover;  /* 1: the peer's may */
    uint32_t threshold;   /* bytes; whoever sends leaves shorter messages of one frame as they are. Nothing here looks
                             at it */
} hl_deflate_config;

/* 1 when all is within the bounds above. */
int hl_deflate_config_valid(const hl_deflate_config *c);

/*
 * Bytes of the slab that a connection with this config takes at most between messages: what context takeover makes it
 * keep, and a little for itself. (With zlib; zlib-ng in its place may take twice as much.) Any thread.
 */
uint64_t hl_deflate_cost(const hl_deflate_config *c);

/* ------------------------------------------------------------------ pool and connection */

/* A pool that keeps up to `idle` compressors and as many expanders for the next who needs one. `cache` outlives it.
 * NULL: no memory. */
hl_deflate_pool *hl_deflate_pool_new(hl_cache *cache, uint32_t idle);

/* Gives back everything. All connections have been freed before. NULL is allowed. */
void hl_deflate_pool_free(hl_deflate_pool *p);

/* Gives back what is idle. */
void hl_deflate_pool_trim(hl_deflate_pool *p);

/* A connection with a valid config, of which it keeps a copy. NULL: no memory. */
hl_deflate *hl_deflate_new(hl_deflate_pool *p, const hl_deflate_config *c);

/* At any time, also in the middle of a message. NULL is allowed. */
void hl_deflate_free(hl_deflate *d);

const hl_deflate_config *hl_deflate_config_of(const hl_deflate *d);

/* ------------------------------------------------------------------ sending */

/* Bytes that are being put together. */
typedef struct hl_deflate_out {
    hl_block *block; /* NULL, or the caller's sole reference to a block; it may become another as it grows */
    size_t len;      /* of its first bytes, which stay as they are; what comes goes behind them */
} hl_deflate_out;

/*
 * Compresses one fragment of a message, n bytes at p, which is its last when `fin`, and appends what is the payload of
 * its frame to *out (7.2.1). Every fragment can be expanded as soon as it has arrived. 0 or HL_WS_ENOMEM; *out is the
 * caller's in either case.
 */
int hl_deflate_compress(hl_deflate *d, const uint8_t *p, size_t n, int fin, hl_deflate_out *out);

/* 1 while a message has been begun and its last fragment has not been compressed. */
int hl_deflate_midway(const hl_deflate *d);

/*
 * The next message will not refer to earlier ones: to be called between messages, when the peer has been sent one that
 * was compressed elsewhere (hl_deflate_once), which has moved its window and not ours. Gives our compressor back.
 */
void hl_deflate_forget(hl_deflate *d);

/*
 * Compresses one whole message without any context, for any number of peers whose window for what we send is at least
 * c->out_bits: *out gets a block of `slab` with `headroom` bytes free at its start, then the payload; out->len counts
 * both. 0 or HL_WS_ENOMEM, and then out->block is NULL. Any thread.
 */
int hl_deflate_once(hl_slab *slab, const hl_deflate_config *c, const uint8_t *p, size_t n, size_t headroom,
                    hl_deflate_out *out);

/* ------------------------------------------------------------------ receiving */

/* What hl_deflate_expand found. */
enum {
    HL_DEFLATE_DONE = 0, /* the input is used up, and all that it stands for is out */
    HL_DEFLATE_ROOM = 1  /* the room is used up: give more, call again with what is left of the input, same `fin` */
};

/* Both ends of an expansion; advanced as it goes. */
typedef struct hl_deflate_io {
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t out_len; /* 0: no byte may come out any more; if one does, the message is HL_WS_ETOOBIG */
} hl_deflate_io;

/*
 * Expands a piece of a message's payload, frame headers left out, as it has arrived, into room of the caller's; `fin`
 * says that it is the last (7.2.2). However small the pieces and the room, the bytes are the same. Memory is the
 * caller's to bound: it gives room as far as its limit goes, and then none.
 *
 * HL_WS_EDATA: not a deflate stream, one that refers to what is beyond the window, or one that stops within a block.
 * (zlib sees what came out of the same call, too: a peer that breaks its word about its window is not always caught.)
 * Blocks with BFINAL set (7.2.3.4) are as good as others, and a message without a byte of payload is empty.
 */
int hl_deflate_expand(hl_deflate *d, hl_deflate_io *io, int fin);

#ifdef __cplusplus
}
#endif
#endif /* HL_DEFLATE_H */
