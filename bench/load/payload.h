/*
 * What messages hold.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_PAYLOAD_H
#define HL_BENCH_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    PAYLOAD_BINARY, /* printable bytes, sent as binary; two variants differ in every byte */
    PAYLOAD_ASCII,  /* the same, sent as text */
    PAYLOAD_UTF8,   /* characters of one, two, three and four bytes in turns, sent as text */
    PAYLOAD_JSON,   /* records of a feed, sent as text: what compression is made for */
} payload_kind;

/* Writes `size` bytes of variant number `variant`. */
void payload_fill(payload_kind kind, uint8_t *to, size_t size, unsigned variant);

#endif
