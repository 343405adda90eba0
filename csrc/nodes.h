/*
 * nodes.h - memory nodes: which there are, which is near, and where pages lie.
 *
 * One file per system implements it. A node has the kernel's number; -1 means "not known", which is what everything
 * says on a machine without NUMA in its kernel, in a container that forbids it, and in a build with HL_NO_NUMA. Any
 * thread.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__NODES_H
#define HL__NODES_H

#include <stddef.h>
#include <stdint.h>

#define HL__NODES_MAX 64u /* nodes with higher numbers are served by the first */

/* The nodes that this process may take memory from. */
typedef struct hl__nodes {
    uint32_t count;              /* at least 1 */
    int16_t node[HL__NODES_MAX]; /* their numbers, ascending; the only one is -1 when it is not known */
    uint8_t
        nearest[HL__NODES_MAX]; /* by any node's number: the place above of itself, or of the nearest that is there */
    uint8_t order[HL__NODES_MAX][HL__NODES_MAX]; /* by place: those of the others, the nearest first; count - 1 */
} hl__nodes;

void hl__nodes_survey(hl__nodes *out);

/* The node of the processor that the calling thread runs on. */
int hl__nodes_here(void);

/* Wants the pages of the mapping at p, none of which has been touched, to lie on `node`. Where it is full, the kernel
 * takes them from another. */
void hl__nodes_prefer(void *p, size_t bytes, int node);

/* Where the n pages at `pages` lie, which have been touched; -1 for those that nobody tells. */
void hl__nodes_where(void **pages, int *nodes, uint32_t n);

#endif /* HL__NODES_H */
