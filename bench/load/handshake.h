/*
 * The client's side of the opening handshake (RFC 6455 section 4.1).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_HANDSHAKE_H
#define HL_BENCH_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The request, for printf: %s for the Host header, and %s for more headers, handshake_deflate or none. Its key is that
 * of RFC 6455 section 1.3.
 */
extern const char handshake_format[], handshake_deflate[];

/*
 * Looks at the `n` bytes of the server's answer that have come; `deflate`: the server is to compress. Returns the
 * length of the answer when it is complete and good, 0 when more has to come, -1 with *error, a static string,
 * otherwise.
 */
int handshake_answer(bool deflate, const char *data, size_t n, const char **error);

#endif
