/*
 * fault_memory.c - the core's requests for blocks, which fail once or from then on. Made by a test they are calls into
 * the core like others: they do not fail themselves, but what they call may.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault.h"

#include "hl_slab.h"

#include <errno.h>

/* REQUEST(result type, function, parameters, arguments): defines the wrapper of a function that returns NULL. */
#define REQUEST(type, function, parameters, arguments)                                                                 \
    type __real_##function parameters;                                                                                 \
    type __wrap_##function parameters;                                                                                 \
    type __wrap_##function parameters                                                                                  \
    {                                                                                                                  \
        static fault_call call = {.name = #function, .kinds = {NO_MEMORY}};                                            \
        if (fault_in_core())                                                                                           \
            return fault_at(&call) == NULL ? __real_##function arguments : NULL;                                       \
        fault_enter_core();                                                                                            \
        type result = __real_##function arguments;                                                                     \
        fault_leave_core();                                                                                            \
        return result;                                                                                                 \
    }

REQUEST(hl_block *, hl_slab_get, (hl_slab * s, size_t size), (s, size))
REQUEST(hl_block *, hl_slab_get_on, (hl_slab * s, size_t size, int node), (s, size, node))
REQUEST(hl_cache *, hl_cache_new, (hl_slab * s), (s))
REQUEST(hl_cache *, hl_cache_new_on, (hl_slab * s, int node), (s, node))
REQUEST(hl_block *, hl_cache_get, (hl_cache * c, size_t size), (c, size))
REQUEST(hl_block *, hl_cache_grow, (hl_cache * c, hl_block *b, size_t used, size_t size), (c, b, used, size))
