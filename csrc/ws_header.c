/*
 * ws_header.c - WebSocket frame headers to send (RFC 6455, section 5.2) and close codes (section 7.4).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <string.h>

#include "hl_ws.h"

static void put_big_endian(uint8_t *to, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        to[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

size_t hl_ws_header_write(uint8_t *to, uint8_t opcode, int fin, uint64_t len, const uint8_t mask[4])
{
    size_t size = hl_ws_header_size(len, mask != NULL);
    uint8_t masked = mask ? 0x80 : 0;
    to[0] = (uint8_t)((fin ? 0x80 : 0) | (opcode & 0x0F));
    if (len < 126) {
        to[1] = masked | (uint8_t)len;
    } else if (len < 65536) {
        to[1] = masked | 126;
        put_big_endian(to + 2, len, 2);
    } else {
        to[1] = masked | 127;
        put_big_endian(to + 2, len, 8);
    }
    if (mask)
        memcpy(to + size - 4, mask, 4);
    return size;
}

uint16_t hl_ws_close_code(int error)
{
    switch (error) {
    case 0: return 1000;
    case HL_WS_EPROTO: return 1002;
    case HL_WS_EUTF8:
    case HL_WS_EDATA: return 1007;
    case HL_WS_ETOOBIG: return 1009;
    default: return 1011;
    }
}

int hl_ws_code_valid(uint16_t code)
{
    /* 1004 is reserved; 1005, 1006 and 1015 never go over the wire (7.4.1); 1012 to 1014 are IANA's additions. */
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
