/*
 * Messages to send and the parser of their echoes.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    FRAMES_BYTES = 256 * 1024, /* memory that messages may take, if that leaves VARIANTS_MIN of them */
    VARIANTS_MIN = 3,
    VARIANTS_MAX = 61, /* odd and prime: never in step with the number of messages in flight */
};

/* RFC 6455 section 5.2. */
enum {
    FIN = 0x80,
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
static void encode_frame(uint8_t *to, const uint8_t *payload, size_t size, uint32_t key)
{
    unsigned length_bytes = size < LENGTH_16 ? 0 : size <= UINT16_MAX ? 2 : 8;
    *to++ = FIN | BINARY;
    *to++ = (uint8_t)(MASK | (length_bytes == 0 ? size : length_bytes == 2 ? LENGTH_16 : LENGTH_64));
    for (unsigned i = length_bytes; i-- > 0;)
        *to++ = (uint8_t)((uint64_t)size >> 8 * i);
    uint8_t mask[4] = {(uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key};
    memcpy(to, mask, sizeof mask);
    to += sizeof mask;
    for (size_t i = 0; i < size; i++)
        to[i] = payload[i] ^ mask[i % 4];
}

/* Printable bytes, different at the same place of each two variants. */
static void fill(uint8_t *payload, size_t size, unsigned variant)
{
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)('!' + (variant + i * 7 + i / 89) % 89);
}

bool wire_init(wire *w, wire_protocol protocol, size_t size, bool verify)
{
    memset(w, 0, sizeof *w);
    w->protocol = protocol;
    w->verify = verify;
    w->size = size;
    w->frame_size = size + (protocol == PROTOCOL_WS ? client_header_size(size) : 0);
    size_t fit = FRAMES_BYTES / w->frame_size;
    w->variants = fit > VARIANTS_MAX ? VARIANTS_MAX : fit < VARIANTS_MIN ? VARIANTS_MIN : (unsigned)fit;
    w->frames = malloc(w->variants * w->frame_size);
    w->payloads = malloc(w->variants * size);
    if (!w->frames || !w->payloads) {
        wire_free(w);
        return false;
    }
    for (unsigned v = 0; v < w->variants; v++) {
        uint8_t *payload = w->payloads + v * size;
        fill(payload, size, v);
        if (protocol == PROTOCOL_WS)
            encode_frame(w->frames + v * w->frame_size, payload, size, 0x9e3779b9u * (v + 1));
        else
            memcpy(w->frames + v * w->frame_size, payload, size);
    }
    return true;
}

void wire_free(wire *w)
{
    free(w->frames);
    free(w->payloads);
    w->frames = w->payloads = NULL;
}

/* Takes payload. Returns false when it is not what was sent. */
static bool take(const wire *w, wire_parser *p, const uint8_t *data, size_t n)
{
    bool same = !w->verify || memcmp(w->payloads + p->variant * w->size + p->done, data, n) == 0;
    p->done += n;
    return same;
}

static void next_message(const wire *w, wire_parser *p)
{
    p->done = 0;
    p->variant = p->variant + 1 == w->variants ? 0 : p->variant + 1;
}

static const char different[] = "the reply differs from what was sent";

static int parse_tcp(const wire *w, wire_parser *p, const uint8_t *data, size_t n, const char **error)
{
    int complete = 0;
    while (n > 0) {
        size_t left = w->size - p->done;
        size_t part = n < left ? n : left;
        if (!take(w, p, data, part)) {
            *error = different;
            return -1;
        }
        data += part;
        n -= part;
        if (p->done == w->size) {
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
    if (p->header[0] & RESERVED || opcode > BINARY || (opcode == CONTINUATION) != p->in_message)
        return "the server sent a frame that is not expected";
    if (p->header[1] & MASK)
        return "the server sent a masked frame";
    uint64_t length = p->header[1] & LENGTH;
    if (length >= LENGTH_16) {
        length = 0;
        for (unsigned i = 2; i < p->header_have; i++)
            length = length << 8 | p->header[i];
    }
    if (length > w->size - p->done || (p->header[0] & FIN && length != w->size - p->done))
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

const char wire_handshake_format[] = "GET / HTTP/1.1\r\n"
                                     "Host: %s\r\n"
                                     "Upgrade: websocket\r\n"
                                     "Connection: Upgrade\r\n"
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                     "Sec-WebSocket-Version: 13\r\n\r\n";

int wire_handshake_answer(const char *data, size_t n, const char **error)
{
    static const char status[] = "HTTP/1.1 101",
                      name[] = "\r\nSec-WebSocket-Accept:", accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    const char *end = memmem(data, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    end += 4;
    if (strncmp(data, status, sizeof status - 1) != 0) {
        *error = "the server refused the WebSocket handshake";
        return -1;
    }
    for (const char *at = data; at + sizeof name - 1 < end; at++) {
        if (strncasecmp(at, name, sizeof name - 1) != 0)
            continue;
        at += sizeof name - 1;
        while (*at == ' ')
            at++;
        if (strncmp(at, accept, sizeof accept - 1) == 0)
            return (int)(end - data);
    }
    *error = "the server's handshake has no or a wrong Sec-WebSocket-Accept";
    return -1;
}
