/*
 * ws_utf8.h - the two halves of UTF-8 validation, for each other and for tests.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__WS_UTF8_H
#define HL__WS_UTF8_H

#include "hl_ws.h"

#define HL__UTF8_BAD SIZE_MAX
#define HL__UTF8_WORTH 24 /* bytes; fewer are done sooner without vectors */

/*
 * Validates p[0..n), which begins with a character, except for an incomplete character at the end. Returns how many
 * bytes are whole, well-formed characters, n - 3 at least; or HL__UTF8_BAD when others are among them. Returns 0 on a
 * CPU without AVX2. Any thread.
 */
size_t hl__utf8_wide(const uint8_t *p, size_t n);

/* As hl_utf8, without vectors; p is not NULL. */
uint8_t hl__utf8_scalar(uint8_t state, const uint8_t *p, size_t n);

#endif /* HL__WS_UTF8_H */
