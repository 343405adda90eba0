/*
 * ws_inflate.h - the payload of messages that came compressed, for ws_decode.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__WS_INFLATE_H
#define HL__WS_INFLATE_H

#include "hl_ws.h"

/*
 * Takes the first n bytes of the input, which belong to the current data frame, or as many of them as make a piece of
 * a message that is streamed; the message's last are among them when `last`. Consumes input and counts ws->remaining
 * down. Results as of hl_ws_next; an error is the caller's to keep.
 */
int hl__ws_inflate(hl_ws *ws, hl_cache *cache, hl_ws_input *in, size_t n, int last, hl_ws_item *item);

#endif /* HL__WS_INFLATE_H */
