/*
 * micro.c - what the core's parts cost, each beside what one would use instead, in one run.
 *
 * Both are measured ROUNDS times in turns; medians are printed, with their ratio (below 1: ours is faster). What else
 * the machine does meets both alike, so quote the ratios.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "micro.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 15

static int targets, missed;

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

void stay_on(unsigned n)
{
    static cpu_set_t allowed;
    if (CPU_COUNT(&allowed) == 0)
        sched_getaffinity(0, sizeof allowed, &allowed);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0, seen = 0; cpu < CPU_SETSIZE && seen <= n; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            seen++;
        }
    }
    sched_setaffinity(0, sizeof one, &one);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static void print_figure(double ns, size_t bytes)
{
    if (bytes > 0)
        printf(" %8.1f GB/s", (double)bytes / ns);
    else
        printf(" %10.1f ns", ns);
}

void compare(comparison c)
{
    double ours[ROUNDS], theirs[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        ours[i] = c.ours();
        if (c.theirs != NULL)
            theirs[i] = c.theirs();
    }
    double a = median(ours);
    printf("%-40s", c.what);
    print_figure(a, c.bytes);
    if (c.theirs != NULL) {
        double b = median(theirs);
        printf("   %-23s", c.beside);
        print_figure(b, c.bytes);
        printf(" %6.2f", a / b);
        if (c.target > 0) {
            int met = a / b <= c.target;
            printf("   at most %.1f %s", c.target, met ? "met" : "MISSED");
            targets++;
            missed += !met;
        }
    }
    printf("\n");
    fflush(stdout);
}

void head(void)
{
    printf("%-40s %13s   %-23s %13s %6s   %s\n", "", "ours", "beside", "", "ratio", "target");
}

void foot(void)
{
    printf("targets: %d of %d met\n", targets - missed, targets);
    fflush(stdout);
}

int main(void)
{
    head();
    compare_rings();
    compare_memory();
    compare_codec();
    compare_timers();
    compare_turns();
    foot();
    return 0;
}
