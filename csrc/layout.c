/*
 * layout.c - pins the layout of what other languages lay their own structs over. Changing one of these lines means
 * changing types.go, slab.go and layout.go with it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_loop.h"

#define AT(type, field, offset) \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " does not lie at " #offset)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), "sizeof(" #type ") is not " #size)

AT(hl_op, handle, 0);
AT(hl_op, data, 8);
AT(hl_op, len, 16);
AT(hl_op, block, 24);
AT(hl_op, user, 32);
AT(hl_op, arg, 40);
AT(hl_op, flags, 44);
AT(hl_op, kind, 46);
AT(hl_op, code, 47);
SIZE(hl_op, 48);

AT(hl_event, handle, 0);
AT(hl_event, data, 8);
AT(hl_event, len, 16);
AT(hl_event, block, 24);
AT(hl_event, user, 32);
AT(hl_event, result, 40);
AT(hl_event, flags, 44);
AT(hl_event, kind, 46);
AT(hl_event, type, 47);
SIZE(hl_event, 48);

AT(hl_ring, head, 0);
AT(hl_ring, tail, HL_CACHE_LINE);
AT(hl_ring, mask, 2 * HL_CACHE_LINE);
AT(hl_ring, entries, 2 * HL_CACHE_LINE + 8);
SIZE(hl_ring, 3 * HL_CACHE_LINE);

AT(hl_mailbox, head, 0);
SIZE(hl_mailbox, HL_CACHE_LINE);

AT(hl_shared, sq, 0);
AT(hl_shared, cq, 3 * HL_CACHE_LINE);
AT(hl_shared, mailbox, 6 * HL_CACHE_LINE);
AT(hl_shared, stage, 7 * HL_CACHE_LINE);
AT(hl_shared, stage_used, 7 * HL_CACHE_LINE + 8);
SIZE(hl_shared, 7 * HL_CACHE_LINE + 16);

SIZE(hl_stream_stats, 6 * 8);
SIZE(hl_loop_stats, 17 * 8);

AT(hl_block, refs, 0);
AT(hl_block, size, 8);
AT(hl_block, node, 30);
SIZE(hl_block, 64);
