/*
 * What the floors have in common: a listener, and giving up.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_LISTEN_H
#define HL_BENCH_LISTEN_H

/* Says what failed, and why, on standard error, and ends the process. */
_Noreturn void fail(const char *what, const char *why);

/*
 * Listens at HOST:PORT and prints "port N"; an empty host is any address, port 0 a free one. Returns the listening
 * socket, with `flags` of socket(2), like SOCK_NONBLOCK. Ends the process when it cannot.
 */
int listen_at(const char *address, int flags);

#endif
