/*
 * Compression of messages, permessage-deflate (RFC 7692), without context takeover on either side: each message is
 * compressed by itself, so that those of the load can be compressed beforehand.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_DEFLATE_H
#define HL_BENCH_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Compresses a message (section 7.2.1). Returns it in memory of malloc, NULL without memory. */
uint8_t *deflate_message(const uint8_t *payload, size_t size, size_t *compressed_size);

/* Whether `compressed` is `payload` (section 7.2.2). */
bool deflate_same(const uint8_t *compressed, size_t n, const uint8_t *payload, size_t size);

#endif
