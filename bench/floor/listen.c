/*
 * Listening.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

int listen_at(const char *address, int flags)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host)
        fail(address, "not HOST:PORT");
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int err = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (err)
        fail(address, gai_strerror(err));
    int on = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
        fail(address, strerror(errno));
    freeaddrinfo(found);
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
        fail("getsockname", strerror(errno));
    printf("port %d\n", ntohs(bound.sin_port));
    fflush(stdout);
    return fd;
}
