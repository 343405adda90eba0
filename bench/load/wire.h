/*
 * What goes over the wire: messages made once before the run, and a parser of what comes back. Both know plain TCP,
 * where a message is so many bytes, and WebSocket (RFC 6455).
 *
 * Messages come in `variants` that differ in every byte. Message n of connection c is variant (n + c) % variants, so
 * that a reply that is lost, repeated, out of order or another connection's does not have the bytes that are expected.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_WIRE_H
#define HL_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { PROTOCOL_TCP, PROTOCOL_WS } wire_protocol;

/* Shared by all connections, constant after wire_init. */
typedef struct {
    wire_protocol protocol;
    bool verify;       /* compare every byte of the replies */
    size_t size;       /* bytes of a message */
    size_t frame_size; /* the same with its header */
    unsigned variants;
    uint8_t *frames;   /* `variants` frames one after the other, ready to be sent again and again */
    uint8_t *payloads; /* their payloads, unmasked: what has to come back */
} wire;

/* Where one connection is in the stream of replies. Zero, but for `variant`, at its beginning. */
typedef struct {
    unsigned variant;     /* of the message that comes next */
    unsigned header_have; /* WebSocket: bytes of the frame's header that are in `header` */
    uint8_t header[10];
    bool in_payload;     /* WebSocket: the header is complete */
    bool in_message;     /* WebSocket: a frame of the message has come, and it was not the last */
    uint64_t frame_left; /* WebSocket: bytes of payload of this frame that are still to come */
    size_t done;         /* bytes of the message that have come */
} wire_parser;

/* Makes the messages: `size` bytes each, at least 1. Returns false without memory. */
bool wire_init(wire *w, wire_protocol protocol, size_t size, bool verify);
void wire_free(wire *w);

/*
 * Takes `n` bytes that were received and returns how many messages they completed, or -1 with *error, a static string,
 * when they are not the replies that they should be.
 */
int wire_parse(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error);

/* The opening handshake's request, for printf: one %s for the Host header. Its key is that of RFC 6455 section 1.3. */
extern const char wire_handshake_format[];

/*
 * Looks at the `n` bytes of the server's answer that have come. Returns the length of the answer when it is complete
 * and good, 0 when more has to come, -1 with *error otherwise.
 */
int wire_handshake_answer(const char *data, size_t n, const char **error);

#endif
