/*
 * fault_entry.c - the core's public functions as the tests call them: what happens inside may be made to fail.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault.h"

#include "hl_loop.h"

/* INSIDE(result type, name, parameters, arguments): defines the wrapper. */
#define INSIDE(type, name, parameters, arguments)                                                                      \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        fault_enter_core();                                                                                            \
        type result = __real_##name arguments;                                                                         \
        fault_leave_core();                                                                                            \
        return result;                                                                                                 \
    }
#define INSIDE_VOID(name, parameters, arguments)                                                                       \
    void __real_##name parameters;                                                                                     \
    void __wrap_##name parameters;                                                                                     \
    void __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        fault_enter_core();                                                                                            \
        __real_##name arguments;                                                                                       \
        fault_leave_core();                                                                                            \
    }

INSIDE(hl_loop *, hl_loop_new, (const hl_loop_config *c, int *error), (c, error))
INSIDE_VOID(hl_loop_free, (hl_loop * l), (l))
INSIDE(int, hl_loop_enter, (hl_loop * l, int64_t timeout_ms, uint32_t flags), (l, timeout_ms, flags))
INSIDE(hl_handle, hl_loop_reserve, (hl_loop * l), (l))
INSIDE(int, hl_loop_post, (hl_loop * l, const hl_op *op), (l, op))
INSIDE_VOID(hl_loop_wake, (hl_loop * l), (l))
INSIDE(int, hl_fd_pollable, (int fd), (fd))
INSIDE(hl_slab *, hl_slab_make, (const hl_slab_config *c), (c))
INSIDE(hl_slab *, hl_slab_new, (uint64_t limit), (limit))
INSIDE(uint64_t, hl_slab_free, (hl_slab * s), (s))
