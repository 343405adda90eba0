/*
 * Messages to send and the parser of their echoes.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "deflate.h"
#include "options.h"

enum {
    FRAMES_BYTES = 256 * 1024, /* memory that messages of one size may take, if that leaves VARIANTS_MIN of them */
    VARIANTS_MIN = 3,
    STRIDE = 23, /* between the sizes of two messages that follow each other, if they are of many */
};

/* RFC 6455 section 5.2. */
enum {
    FIN = 0x80,
    COMPRESSED = 0x40, /* RFC 7692 section 6 */
    RESERVED = 0x70,
    OPCODE = 0x0f,
    CONTINUATION = 0,
    TEXT = 1,
    BINARY = 2,
    CLOSE = 8,
    MASK = 0x80,
    LENGTH = 0x7f,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
};

/* Bytes of the header of a client's frame. */
static size_t client_header_size(size_t size)
{
    return 2 + (size < LENGTH_16 ? 0 : size <= UINT16_MAX ? 2 : 8) + 4;
}

/* Writes a client's frame, masked (RFC 6455 section 5.3). */
static void encode_frame(uint8_t *to, uint8_t first, const uint8_t *payload, size_t size, uint32_t key)
{
    unsigned length_bytes = size < LENGTH_16 ? 0 : size <= UINT16_MAX ? 2 : 8;
    *to++ = first;
    *to++ = (uint8_t)(MASK | (length_bytes == 0 ? size : length_bytes == 2 ? LENGTH_16 : LENGTH_64));
    for (unsigned i = length_bytes; i-- > 0;)
        *to++ = (uint8_t)((uint64_t)size >> 8 * i);
    uint8_t mask[4] = {(uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key};
    memcpy(to, mask, sizeof mask);
    to += sizeof mask;
    for (size_t i = 0; i < size; i++)
        to[i] = payload[i] ^ mask[i % 4];
}

/* Decides how many variants there are, and how long each is: sizes of a range are spread evenly over its powers. */
static void choose_sizes(wire *w, const options *o)
{
    size_t fit = FRAMES_BYTES / (o->largest + 14);
    w->variants = fit < VARIANTS_MIN ? VARIANTS_MIN : fit < WIRE_VARIANTS_MAX ? (unsigned)fit : WIRE_VARIANTS_MAX;
    if (o->smallest < o->largest)
        w->variants = WIRE_VARIANTS_MAX;
    for (unsigned v = 0; v < w->variants; v++) {
        double place = (double)(v * STRIDE % w->variants) / (w->variants - 1);
        double size = (double)o->smallest * pow((double)o->largest / (double)o->smallest, place);
        w->size[v] = o->smallest < o->largest ? (size_t)llround(size) : o->largest;
        w->begin[v] = w->total;
        w->total += w->size[v];
    }
}

/* Adds variant `v` to the frames, which have room for it at the end of the others. */
static bool add_frame(wire *w, unsigned v)
{
    uint8_t *payload = w->payloads + w->begin[v], *compressed = NULL;
    size_t size = w->size[v], at = v > 0 ? w->ends[v - 1] : 0;
    if (w->protocol == PROTOCOL_TCP) {
        memcpy(w->frames + at, payload, size);
        w->ends[v] = at + size;
        return true;
    }
    uint8_t first = (uint8_t)(FIN | (w->text ? TEXT : BINARY));
    if (w->deflate) {
        size_t packed;
        compressed = deflate_message(payload, size, &packed);
        if (!compressed)
            return false;
        if (packed < size) { /* otherwise it goes as it is, as anyone would do it */
            payload = compressed;
            size = packed;
            first |= COMPRESSED;
        }
    }
    encode_frame(w->frames + at, first, payload, size, 0x9e3779b9u * (v + 1));
    w->ends[v] = at + client_header_size(size) + size;
    free(compressed);
    return true;
}

bool wire_init(wire *w, const options *o)
{
    memset(w, 0, sizeof *w);
    w->protocol = o->protocol;
    w->verify = o->verify;
    w->text = o->kind != PAYLOAD_BINARY;
    w->deflate = o->deflate;
    choose_sizes(w, o);
    w->payloads = malloc(w->total);
    w->frames = malloc(w->total + w->variants * client_header_size(o->largest));
    bool good = w->payloads && w->frames;
    for (unsigned v = 0; good && v < w->variants; v++) {
        payload_fill(o->kind, w->payloads + w->begin[v], w->size[v], v);
        good = add_frame(w, v);
    }
    if (!good)
        wire_free(w);
    return good;
}

void wire_free(wire *w)
{
    free(w->frames);
    free(w->payloads);
    w->frames = w->payloads = NULL;
}

void wire_parser_free(wire_parser *p)
{
    free(p->collected);
    p->collected = NULL;
}

uint64_t wire_bytes(const wire *w, unsigned first, unsigned n)
{
    unsigned last = first + n % w->variants; /* one behind the last, if it does not wrap */
    size_t ring = wire_ring(w), from = first > 0 ? w->ends[first - 1] : 0;
    size_t to = last == 0 ? 0 : last <= w->variants ? w->ends[last - 1] : ring + w->ends[last - w->variants - 1];
    return (uint64_t)(n / w->variants) * ring + (to - from);
}

/* Keeps a part of a compressed message. Returns false without memory. */
static bool collect(wire_parser *p, const uint8_t *data, size_t n)
{
    if (p->done + n > p->collected_room) {
        size_t room = 2 * (p->done + n);
        uint8_t *more = realloc(p->collected, room);
        if (!more)
            return false;
        p->collected = more;
        p->collected_room = room;
    }
    memcpy(p->collected + p->done, data, n);
    return true;
}

/* Takes payload. Returns false when it is not what was sent. */
static bool take(const wire *w, wire_parser *p, const uint8_t *data, size_t n)
{
    bool same = true;
    if (w->verify && n > 0)
        same = p->compressed ? collect(p, data, n) : memcmp(w->payloads + w->begin[p->variant] + p->done, data, n) == 0;
    p->done += n;
    return same;
}

/* Whether the message that has come to its end is what was sent, as far as take could not tell. */
static bool complete_message(const wire *w, const wire_parser *p)
{
    return !p->compressed || !w->verify ||
           deflate_same(p->collected, p->done, w->payloads + w->begin[p->variant], w->size[p->variant]);
}

static void next_message(const wire *w, wire_parser *p)
{
    p->done = 0;
    p->compressed = false;
    p->variant = p->variant + 1 == w->variants ? 0 : p->variant + 1;
}

static const char different[] = "the reply differs from what was sent";

static int parse_tcp(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error)
{
    int complete = 0;
    while (n > 0) {
        size_t left = w->size[p->variant] - p->done;
        size_t part = n < left ? n : left;
        if (!take(w, p, data, part)) {
            *error = different;
            return -1;
        }
        data += part;
        n -= part;
        if (p->done == w->size[p->variant]) {
            next_message(w, p);
            complete++;
        }
    }
    return complete;
}

/* Bytes of a server's header, known from its first two. */
static unsigned header_size(const uint8_t *header)
{
    unsigned length = header[1] & LENGTH;
    return length < LENGTH_16 ? 2 : length == LENGTH_16 ? 4 : 10;
}

/* Judges a complete header and notes the length of its payload. */
static const char *begin_frame(const wire *w, wire_parser *p)
{
    unsigned opcode = p->header[0] & OPCODE;
    if (opcode == CLOSE)
        return "the server closes the connection";
    bool compressed = w->deflate && !p->in_message && p->header[0] & COMPRESSED;
    if (p->header[0] & (compressed ? RESERVED & ~COMPRESSED : RESERVED) || opcode > BINARY ||
        (opcode == CONTINUATION) != p->in_message)
        return "the server sent a frame that is not expected";
    if (w->verify && opcode != CONTINUATION && (opcode == TEXT) != w->text)
        return w->text ? "text came back as binary" : "binary came back as text";
    if (p->header[1] & MASK)
        return "the server sent a masked frame";
    uint64_t length = p->header[1] & LENGTH;
    if (length >= LENGTH_16) {
        length = 0;
        for (unsigned i = 2; i < p->header_have; i++)
            length = length << 8 | p->header[i];
    }
    if (!p->in_message)
        p->compressed = compressed;
    uint64_t left = w->size[p->variant] - p->done;
    if (!p->compressed && (length > left || (p->header[0] & FIN && length != left)))
        return "the reply is not as long as what was sent";
    p->frame_left = length;
    p->in_payload = true;
    p->in_message = !(p->header[0] & FIN);
    return NULL;
}

static int parse_ws(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error)
{
    int complete = 0;
    while (n > 0) {
        if (!p->in_payload) {
            p->header[p->header_have++] = *data++;
            n--;
            if (p->header_have < 2 || p->header_have < header_size(p->header))
                continue;
            if ((*error = begin_frame(w, p)))
                return -1; /* otherwise go on even when nothing is left: an empty frame is complete now */
        }
        size_t part = n < p->frame_left ? n : (size_t)p->frame_left;
        if (!take(w, p, data, part)) {
            *error = different;
            return -1;
        }
        data += part;
        n -= part;
        p->frame_left -= part;
        if (p->frame_left > 0)
            continue;
        if (p->header[0] & FIN) {
            if (!complete_message(w, p)) {
                *error = different;
                return -1;
            }
            next_message(w, p);
            complete++;
        }
        p->header_have = 0;
        p->in_payload = false;
    }
    return complete;
}

int wire_parse(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error)
{
    return w->protocol == PROTOCOL_WS ? parse_ws(w, p, data, n, error) : parse_tcp(w, p, data, n, error);
}
