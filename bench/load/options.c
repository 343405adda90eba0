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

static const char usage[] =
    "usage: load -a HOST:PORT [options] tcp|ws\n"
    "  -a HOST:PORT  the server\n"
    "  -c N          connections [1]\n"
    "  -s BYTES      size of a message, or LEAST-MOST, a range of sizes [64]\n"
    "  -f N          messages in flight on each connection [1]\n"
    "  -t KIND       what is in messages: binary, ascii, utf8 or json [binary]\n"
    "  -z            compress messages (ws)\n"
    "  -m MODE       what to do [closed]\n"
    "                  closed   send a message for each that comes back\n"
    "                  fanout   send on the first connection what the server passes on to all\n"
    "                  connect  open connections, for one message each\n"
    "                  idle     open connections, for one message each, print open=N, and hold them until input ends\n"
    "  -r RATE       mode rate: send so many messages a second, at times that do not depend on the server\n"
    "  -d SECONDS    how long to measure [3]\n"
    "  -n MESSAGES   measure that many messages instead\n"
    "  -w SECONDS    warm-up before [0.5]\n"
    "  -p PID        also measure the CPU time of the server with this process id\n"
    "  -v            compare every byte that comes back\n"
    "It prints one line of key=value. Exit status: 0, 1 when a connection fails or a reply is wrong, 2 for bad "
    "usage.\n";

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

/* Reads BYTES or LEAST-MOST. */
static void sizes(options *o, char *text)
{
    enum { MOST = 1 << 30 };
    char *dash = strchr(text, '-');
    if (!dash) {
        o->smallest = o->largest = whole(text, "-s", 1, MOST);
        return;
    }
    *dash = 0;
    o->smallest = whole(text, "-s", 1, MOST);
    o->largest = whole(dash + 1, "-s", o->smallest, MOST);
}

static payload_kind kind_of(const char *name)
{
    static const char *const names[] = {
        [PAYLOAD_BINARY] = "binary", [PAYLOAD_ASCII] = "ascii", [PAYLOAD_UTF8] = "utf8", [PAYLOAD_JSON] = "json"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (payload_kind)i;
    bad("-t", name);
}

static const mode *mode_of(const char *name)
{
    static const mode *const modes[] = {&mode_closed, &mode_fanout, &mode_connect, &mode_idle};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(name, modes[i]->name) == 0)
            return modes[i];
    bad("-m", name);
}

/* Says what does not go together. */
static void check(const options *o)
{
    if (!o->address)
        bad("missing", "-a HOST:PORT");
    if (o->in_flight > 1 && !o->mode->pipelined)
        bad("not with -f", o->mode->name);
    if (o->deflate && o->protocol != PROTOCOL_WS)
        bad("only with ws", "-z");
}

void options_read(options *o, int argc, char **argv)
{
    *o = (options){.mode = &mode_closed, .connections = 1, .in_flight = 1, .seconds = 3, .warm_up = 0.5};
    o->smallest = o->largest = 64;
    for (int option; (option = getopt(argc, argv, "+:a:c:s:f:t:zm:r:d:n:w:p:v")) != -1;) {
        switch (option) {
        case 'a': o->address = optarg; break;
        case 'c': o->connections = (unsigned)whole(optarg, "-c", 1, 1000000); break;
        case 's': sizes(o, optarg); break;
        case 'f': o->in_flight = (unsigned)whole(optarg, "-f", 1, 65536); break;
        case 't': o->kind = kind_of(optarg); break;
        case 'z': o->deflate = true; break;
        case 'm': o->mode = mode_of(optarg); break;
        case 'r': o->rate = (double)whole(optarg, "-r", 1, 1000000000); break;
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
    if (o->rate > 0 && o->mode != &mode_closed)
        bad("not with -r", o->mode->name);
    if (o->rate > 0)
        o->mode = &mode_rate;
    if (optind + 1 != argc)
        bad("missing", "the protocol, as the last argument");
    if (strcmp(argv[optind], "ws") == 0)
        o->protocol = PROTOCOL_WS;
    else if (strcmp(argv[optind], "tcp") == 0)
        o->protocol = PROTOCOL_TCP;
    else
        bad("unknown protocol", argv[optind]);
    check(o);
}
