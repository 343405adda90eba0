/*
 * Reading the command line.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: load -a HOST:PORT [options] tcp|ws\n"
                            "  -a HOST:PORT  the echo server\n"
                            "  -c N          connections [1]\n"
                            "  -s BYTES      size of a message [64]\n"
                            "  -f N          messages in flight on each connection [1]\n"
                            "  -d SECONDS    how long to measure [3]\n"
                            "  -n MESSAGES   measure that many messages instead\n"
                            "  -w SECONDS    warm-up before [0.5]\n"
                            "  -p PID        also measure the CPU time of the server with this process id\n"
                            "  -v            compare every byte that comes back\n"
                            "It prints one line of key=value. Exit status: 0, 1 when a connection fails or a reply is "
                            "wrong, 2 for bad usage.\n";

static _Noreturn void bad(const char *what, const char *value)
{
    fprintf(stderr, "load: %s: %s\n%s", what, value, usage);
    exit(2);
}

/* A whole number from `low` to `high`. */
static uint64_t whole(const char *text, const char *option, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < low || value > high)
        bad(option, text);
    return value;
}

/* A number of seconds, from `low` to a day. */
static double seconds(const char *text, const char *option, double low)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= 86400))
        bad(option, text);
    return value;
}

void options_read(options *o, int argc, char **argv)
{
    *o = (options){.connections = 1, .in_flight = 1, .size = 64, .seconds = 3, .warm_up = 0.5};
    for (int option; (option = getopt(argc, argv, "+:a:c:s:f:d:n:w:p:v")) != -1;) {
        switch (option) {
        case 'a': o->address = optarg; break;
        case 'c': o->connections = (unsigned)whole(optarg, "-c", 1, 1000000); break;
        case 's': o->size = whole(optarg, "-s", 1, 1u << 30); break;
        case 'f': o->in_flight = (unsigned)whole(optarg, "-f", 1, 65536); break;
        case 'd': o->seconds = seconds(optarg, "-d", 0.01); break;
        case 'n': o->messages = whole(optarg, "-n", 1, UINT64_MAX); break;
        case 'w': o->warm_up = seconds(optarg, "-w", 0); break;
        case 'p': o->server = (pid_t)whole(optarg, "-p", 1, 1 << 30); break;
        case 'v': o->verify = true; break;
        default: bad("bad option", argv[optind - 1]);
        }
    }
    if (o->messages)
        o->seconds = 0;
    if (!o->address)
        bad("missing", "-a HOST:PORT");
    if (optind + 1 != argc)
        bad("missing", "the protocol, as the last argument");
    if (strcmp(argv[optind], "ws") == 0)
        o->protocol = PROTOCOL_WS;
    else if (strcmp(argv[optind], "tcp") == 0)
        o->protocol = PROTOCOL_TCP;
    else
        bad("unknown protocol", argv[optind]);
}
