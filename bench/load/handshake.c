/*
 * The opening handshake's text.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "handshake.h"

#include <string.h>
#include <strings.h>

const char handshake_format[] = "GET / HTTP/1.1\r\n"
                                "Host: %s\r\n"
                                "Upgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                "Sec-WebSocket-Version: 13\r\n"
                                "%s\r\n";

const char handshake_deflate[] = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; "
                                 "server_no_context_takeover\r\n";

/* Whether the server does what handshake_deflate asks for. */
static bool agreed(const char *data, const char *end)
{
    static const char name[] = "\r\nSec-WebSocket-Extensions:";
    for (const char *at = data; at + sizeof name - 1 < end; at++) {
        if (strncasecmp(at, name, sizeof name - 1) != 0)
            continue;
        at += sizeof name - 1;
        size_t line = (size_t)((const char *)memchr(at, '\r', (size_t)(end - at)) - at);
        return memmem(at, line, "permessage-deflate", 18) && memmem(at, line, "server_no_context_takeover", 26);
    }
    return false;
}

int handshake_answer(bool deflate, const char *data, size_t n, const char **error)
{
    static const char status[] = "HTTP/1.1 101",
                      name[] = "\r\nSec-WebSocket-Accept:", accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    const char *end = memmem(data, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    end += 4;
    if (strncmp(data, status, sizeof status - 1) != 0) {
        *error = "the server refused the WebSocket handshake";
        return -1;
    }
    if (deflate && !agreed(data, end)) {
        *error = "the server does not compress each message by itself";
        return -1;
    }
    for (const char *at = data; at + sizeof name - 1 < end; at++) {
        if (strncasecmp(at, name, sizeof name - 1) != 0)
            continue;
        at += sizeof name - 1;
        while (*at == ' ')
            at++;
        if (strncmp(at, accept, sizeof accept - 1) == 0)
            return (int)(end - data);
    }
    *error = "the server's handshake has no or a wrong Sec-WebSocket-Accept";
    return -1;
}
