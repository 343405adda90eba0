/*
 * slab_fixture.h - slabs on machines that tests make up.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef SLAB_FIXTURE_H
#define SLAB_FIXTURE_H

#include "slab.h"

/* A slab of one arena, wherever its threads run: what most tests count on. */
static inline hl_slab *one_node_slab_with(const hl_slab_config *config)
{
    return hl__slab_make_for(config, &(hl__nodes){.count = 1, .node = {-1}});
}

static inline hl_slab *one_node_slab(uint64_t limit)
{
    return one_node_slab_with(&(hl_slab_config){.limit = limit});
}

#endif /* SLAB_FIXTURE_H */
