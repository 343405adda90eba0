/*
 * nodes_linux.c - memory nodes by libnuma, get_mempolicy(2), mbind(2), move_pages(2) and getcpu(2).
 *
 * Placement is MPOL_PREFERRED. MPOL_BIND would keep its word on a node that is full by having the kernel kill the
 * process (mbind(2), set_mempolicy(2)), and nothing here may do that; so a full node gives way to another, and the slab
 * asks afterwards where the pages came to lie.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "nodes.h"

#ifndef HL_NO_NUMA

#include <numa.h>
#include <numaif.h>
#include <sched.h>

enum { KERNEL_NODES = 1024, WORD = 8 * sizeof(unsigned long) }; /* as many as Linux can be built for */

/* Whether a place in nearest or order is better taken by node a than by node b, seen from `from`. */
static int is_nearer(int from, int a, int b)
{
    return numa_distance(from, a) < numa_distance(from, b);
}

static void survey_order(hl__nodes *m, uint32_t place)
{
    uint8_t *order = m->order[place];
    uint32_t n = 0;
    for (uint32_t other = 0; other < m->count; other++) {
        if (other == place) {
            continue;
        }
        uint32_t at = n++;
        for (; at > 0 && is_nearer(m->node[place], m->node[other], m->node[order[at - 1]]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = (uint8_t)other;
    }
}

void hl__nodes_survey(hl__nodes *out)
{
    unsigned long allowed[KERNEL_NODES / WORD + 1] = {0};
    *out = (hl__nodes){.count = 1, .node = {-1}};
    if (numa_available() < 0 || get_mempolicy(NULL, allowed, KERNEL_NODES + 1, NULL, MPOL_F_MEMS_ALLOWED) != 0) {
        return;
    }
    uint32_t count = 0;
    for (uint32_t node = 0; node < HL__NODES_MAX; node++) {
        if ((allowed[node / WORD] >> node % WORD & 1) != 0 && numa_node_size64((int)node, NULL) > 0) {
            out->node[count++] = (int16_t)node;
        }
    }
    if (count == 0) {
        return;
    }
    out->count = count;
    for (uint32_t node = 0; node < HL__NODES_MAX && (int)node <= numa_max_node(); node++) {
        for (uint32_t place = 1; place < count; place++) {
            if (is_nearer((int)node, out->node[place], out->node[out->nearest[node]])) {
                out->nearest[node] = (uint8_t)place;
            }
        }
    }
    for (uint32_t place = 0; place < count; place++) {
        survey_order(out, place);
    }
}

int hl__nodes_here(void)
{
    unsigned cpu, node;
    return getcpu(&cpu, &node) == 0 ? (int)node : -1;
}

void hl__nodes_prefer(void *p, size_t bytes, int node)
{
    unsigned long mask[HL__NODES_MAX / WORD] = {0};
    mask[(unsigned)node / WORD] = 1ul << (unsigned)node % WORD;
    /* One more than there are bits: the kernel counts from one. It is a wish, so a refusal is no failure. */
    (void)mbind(p, bytes, MPOL_PREFERRED, mask, HL__NODES_MAX + 1, 0);
}

void hl__nodes_where(void **pages, int *nodes, uint32_t n)
{
    int known = move_pages(0, n, pages, NULL, nodes, 0) == 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!known || nodes[i] < 0) { /* a negative errno stands for a page that it cannot tell */
            nodes[i] = -1;
        }
    }
}

#else

void hl__nodes_survey(hl__nodes *out)
{
    *out = (hl__nodes){.count = 1, .node = {-1}};
}

int hl__nodes_here(void)
{
    return -1;
}

void hl__nodes_prefer(void *p, size_t bytes, int node)
{
    (void)p;
    (void)bytes;
    (void)node;
}

void hl__nodes_where(void **pages, int *nodes, uint32_t n)
{
    (void)pages;
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = -1;
    }
}

#endif /* HL_NO_NUMA */
