/*
 * has_io_uring.c - tells scripts whether a loop gets io_uring here: exits with 0, or with 1 after the reason why not.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    int error = -ENOMEM;
    const char *step = "memory";
    hl_slab *slab = hl_slab_new(0);
    hl_loop *l = slab ? hl_loop_new(&(hl_loop_config){.slab = slab, .backend = HL_BACKEND_URING}, &error) : NULL;
    int reason = l ? hl_loop_backend_error(l, &step) : error;
    if (reason != 0)
        printf("%s: %s\n", step, strerror(-reason));
    if (l != NULL)
        hl_loop_free(l);
    if (slab != NULL)
        hl_slab_free(slab);
    return reason != 0;
}
