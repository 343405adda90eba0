/*
 * What goes over the wire: messages made once before the run, and a parser of what comes back. Both know plain TCP,
 * where a message is so many bytes, and WebSocket (RFC 6455).
 *
 * Messages come in `variants` that differ. Message n of connection c is variant (n + c) % variants, so that a reply
 * that is lost, repeated, out of order or another connection's does not have the bytes that are expected.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_WIRE_H
#define HL_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { PROTOCOL_TCP, PROTOCOL_WS } wire_protocol;

struct options;

enum { WIRE_VARIANTS_MAX = 61 }; /* odd and prime: never in step with the number of messages in flight */

/* Shared by all connections, constant after wire_init. */
typedef struct {
    wire_protocol protocol;
    bool verify;  /* compare every byte of the replies */
    bool text;    /* messages are text, not binary */
    bool deflate; /* messages are compressed */
    unsigned variants;
    uint8_t *frames;                 /* `variants` frames one after the other, ready to be sent again and again */
    uint8_t *payloads;               /* their payloads, unmasked and not compressed: what has to come back */
    size_t total;                    /* bytes of all payloads */
    size_t ends[WIRE_VARIANTS_MAX];  /* where each frame ends in `frames` */
    size_t begin[WIRE_VARIANTS_MAX]; /* where each payload begins in `payloads` */
    size_t size[WIRE_VARIANTS_MAX];  /* bytes of each payload */
} wire;

/* Where one connection is in the stream of replies. Zero, but for `variant`, at its beginning. */
typedef struct {
    unsigned variant;     /* of the message that comes next */
    unsigned header_have; /* WebSocket: bytes of the frame's header that are in `header` */
    uint8_t header[10];
    bool in_payload;     /* WebSocket: the header is complete */
    bool in_message;     /* WebSocket: a frame of the message has come, and it was not the last */
    bool compressed;     /* WebSocket: the message is */
    uint64_t frame_left; /* WebSocket: bytes of payload of this frame that are still to come */
    size_t done;         /* bytes of the message that have come, as they came */
    uint8_t *collected;  /* those of a compressed message, if they are to be compared; NULL: none */
    size_t collected_room;
} wire_parser;

/* Makes the messages that the options ask for. Returns false without memory. */
bool wire_init(wire *w, const struct options *o);
void wire_free(wire *w);
void wire_parser_free(wire_parser *p);

/* Bytes of all frames. */
static inline size_t wire_ring(const wire *w)
{
    return w->ends[w->variants - 1];
}

/* Bytes of `n` frames from variant `first` on. */
uint64_t wire_bytes(const wire *w, unsigned first, unsigned n);

/* Bytes of a message, on average. */
static inline size_t wire_mean(const wire *w)
{
    return w->total / w->variants;
}

/*
 * Takes `n` bytes that were received and returns how many messages they completed, or -1 with *error, a static string,
 * when they are not the replies that they should be.
 */
int wire_parse(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error);

#endif
