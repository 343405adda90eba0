/*
 * ws_cases.h - streams of frames and what they must give, by section of RFC 6455. Tables for test_ws_decode.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef WS_CASES_H
#define WS_CASES_H

#include "hl_ws.h"

typedef struct frame {
    uint8_t first;       /* FIN, reserved bits, opcode */
    const char *payload; /* NULL: a pattern of letters, from its `skip`th on */
    size_t len;
    size_t skip;
    int raw; /* the payload is the frame, header and all */
} frame;

typedef struct expected_item {
    uint8_t opcode;
    uint16_t code;
    const char *data; /* NULL: the pattern */
    size_t len;
} expected_item;

enum { MOST = 8 }; /* frames of a stream, items of a stream */

typedef struct stream {
    const char *name;
    frame frames[MOST];
    expected_item items[MOST];
    int result;      /* HL_WS_MORE, or the error that ends it */
    size_t found_at; /* 0, or the number of bytes after which the error must be known, fed byte by byte */
    uint64_t max;    /* max_message; 0: 1 MiB */
    int from_server; /* unmasked frames to a client */
} stream;

/* clang-format off: it would make four lines of each of these */
#define WIRE(...) .frames = {__VA_ARGS__}
#define F(first, text)                                                                                                 \
    {                                                                                                                  \
        first, text, sizeof text - 1, 0, 0                                                                             \
    }
#define RAW(text)                                                                                                      \
    {                                                                                                                  \
        0xFF, text, sizeof text - 1, 0, 1                                                                              \
    }
#define PATTERN(first, skip, len)                                                                                      \
    {                                                                                                                  \
        first, NULL, len, skip, 0                                                                                      \
    }

#define GIVES(...) .items = {__VA_ARGS__}
#define I(opcode, text)                                                                                                \
    {                                                                                                                  \
        opcode, 0, text, sizeof text - 1                                                                               \
    }
#define LETTERS(opcode, len)                                                                                           \
    {                                                                                                                  \
        opcode, 0, NULL, len                                                                                           \
    }
#define CLOSED(code, text)                                                                                             \
    {                                                                                                                  \
        HL_WS_CLOSE, code, text, sizeof text - 1                                                                       \
    }

#define FAILS(error, after) .result = error, .found_at = after

#define DIGITS_50 "01234567890123456789012345678901234567890123456789"
#define DIGITS_123 DIGITS_50 DIGITS_50 "01234567890123456789012"

/* Sizes that occur in found_at: H bytes of header, masked, of a short frame. */
enum { T = HL_WS_TEXT, B = HL_WS_BINARY, C = HL_WS_CONTINUATION, PING = HL_WS_PING, PONG = HL_WS_PONG, H = 6 };
enum { FIN_T = 0x81, FIN_B = 0x82, FIN_C = 0x80, FIN_CLOSE = 0x88, FIN_PING = 0x89, FIN_PONG = 0x8A };

static const stream streams[] = {
    /* 5.7: the RFC's own examples, to the byte. */
    {"hello, masked", WIRE(RAW("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")), GIVES(I(T, "Hello"))},
    {"hello, unmasked", WIRE(RAW("\x81\x05Hello")), GIVES(I(T, "Hello")), .from_server = 1},
    {"hello in fragments", WIRE(RAW("\x01\x03Hel\x80\x02lo")), GIVES(I(T, "Hello")), .from_server = 1},
    {"masked pong", WIRE(RAW("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")), GIVES(I(PONG, "Hello"))},

    /* 5.6: data. */
    {"empty text", WIRE(F(FIN_T, "")), GIVES(I(T, ""))},
    {"empty binary", WIRE(F(FIN_B, "")), GIVES(I(B, ""))},
    {"binary that is not text", WIRE(F(FIN_B, "\x00\xff\x80\x7f\xed\xa0")), GIVES(I(B, "\x00\xff\x80\x7f\xed\xa0"))},
    {"several messages", WIRE(F(FIN_T, "one"), F(FIN_B, "two"), F(FIN_T, ""), F(FIN_T, "three and some more of it")),
     GIVES(I(T, "one"), I(B, "two"), I(T, ""), I(T, "three and some more of it"))},
    {"messages from a server", WIRE(F(FIN_T, "one"), F(FIN_B, "two"), F(FIN_PING, "p"), F(FIN_T, "\xd0\xb9")),
     GIVES(I(T, "one"), I(B, "two"), I(PING, "p"), I(T, "\xd0\xb9")), .from_server = 1},
    {"a header and no more yet", WIRE(F(FIN_T, "a"), RAW("\x82\x85\x01\x02\x03\x04")), GIVES(I(T, "a"))},
    {"part of a header yet", WIRE(F(FIN_T, "a"), RAW("\x82\xff\x00")), GIVES(I(T, "a"))},

    /* 5.2: the three forms of the length. */
    {"length 125", WIRE(PATTERN(FIN_T, 0, 125), F(FIN_T, "next")), GIVES(LETTERS(T, 125), I(T, "next"))},
    {"length 126", WIRE(PATTERN(FIN_T, 0, 126), F(FIN_T, "next")), GIVES(LETTERS(T, 126), I(T, "next"))},
    {"length 127", WIRE(PATTERN(FIN_B, 0, 127), F(FIN_T, "next")), GIVES(LETTERS(B, 127), I(T, "next"))},
    {"length 4096", WIRE(PATTERN(FIN_T, 0, 4096), F(FIN_T, "next")), GIVES(LETTERS(T, 4096), I(T, "next"))},
    {"length 65535", WIRE(PATTERN(FIN_T, 0, 65535), F(FIN_T, "next")), GIVES(LETTERS(T, 65535), I(T, "next"))},
    {"length 65536", WIRE(PATTERN(FIN_B, 0, 65536), F(FIN_T, "next")), GIVES(LETTERS(B, 65536), I(T, "next"))},
    {"length 200000", WIRE(PATTERN(FIN_T, 0, 200000), F(FIN_T, "next")), GIVES(LETTERS(T, 200000), I(T, "next"))},
    {"length 70000 from a server", WIRE(PATTERN(FIN_T, 0, 70000), F(FIN_T, "next")),
     GIVES(LETTERS(T, 70000), I(T, "next")), .from_server = 1},

    /* 5.4: fragments. */
    {"two fragments", WIRE(F(T, "Hel"), F(FIN_C, "lo")), GIVES(I(T, "Hello"))},
    {"empty fragments around", WIRE(F(B, ""), F(C, ""), F(C, "Hello"), F(C, ""), F(FIN_C, "")), GIVES(I(B, "Hello"))},
    {"only empty fragments", WIRE(F(T, ""), F(C, ""), F(FIN_C, ""), F(FIN_T, "x")), GIVES(I(T, ""), I(T, "x"))},
    {"all of it in the last fragment", WIRE(F(T, ""), F(FIN_C, "Hello")), GIVES(I(T, "Hello"))},
    {"one byte each", WIRE(F(T, "a"), F(C, "b"), F(C, "c"), F(FIN_C, "d"), F(FIN_B, "e")),
     GIVES(I(T, "abcd"), I(B, "e"))},
    {"large fragments",
     WIRE(PATTERN(T, 0, 5000), PATTERN(C, 5000, 70000), PATTERN(C, 75000, 1), PATTERN(FIN_C, 75001, 9999),
          F(FIN_T, "next")),
     GIVES(LETTERS(T, 85000), I(T, "next"))},
    {"two fragmented messages", WIRE(F(T, "He"), F(FIN_C, "llo"), F(B, "Wor"), F(FIN_C, "ld")),
     GIVES(I(T, "Hello"), I(B, "World"))},

    /* 5.4, 5.5: control frames between fragments. */
    {"ping between fragments", WIRE(F(T, "Hel"), F(FIN_PING, "?"), F(FIN_C, "lo")), GIVES(I(PING, "?"), I(T, "Hello"))},
    {"control frames everywhere",
     WIRE(F(FIN_PING, "1"), F(B, "Hel"), F(FIN_PING, ""), F(C, ""), F(FIN_PONG, "22"), F(FIN_C, "lo"),
          F(FIN_PING, DIGITS_123)),
     GIVES(I(PING, "1"), I(PING, ""), I(PONG, "22"), I(B, "Hello"), I(PING, DIGITS_123))},
    {"longest ping", WIRE(PATTERN(FIN_PING, 0, 125), F(FIN_T, "x")), GIVES(LETTERS(PING, 125), I(T, "x"))},
    {"ping within a character", WIRE(F(T, "\xd0"), F(FIN_PING, "\xff\xfe"), F(FIN_C, "\xb9")),
     GIVES(I(PING, "\xff\xfe"), I(T, "\xd0\xb9"))},
    {"close between fragments", WIRE(F(T, "Hel"), F(FIN_CLOSE, "\x03\xe8"), F(FIN_C, "lo")), GIVES(CLOSED(1000, ""))},

    /* 5.5.1, 7.4: close. The codes are tested one by one elsewhere. */
    {"close without a code", WIRE(F(FIN_CLOSE, "")), GIVES(CLOSED(1005, ""))},
    {"close with a code", WIRE(F(FIN_CLOSE, "\x03\xe9")), GIVES(CLOSED(1001, ""))},
    {"close with a reason",
     WIRE(F(FIN_CLOSE, "\x0b\xb8"
                       "because \xe2\x82\xac")),
     GIVES(CLOSED(3000, "because \xe2\x82\xac"))},
    {"close with the longest reason", WIRE(F(FIN_T, "x"), F(FIN_CLOSE, "\x13\x87" DIGITS_123)),
     GIVES(I(T, "x"), CLOSED(4999, DIGITS_123))},
    {"nothing counts after close", WIRE(F(FIN_CLOSE, "\x03\xe8"), F(FIN_T, "late"), RAW("\xff\xff"), F(FIN_CLOSE, "")),
     GIVES(CLOSED(1000, ""))},
    {"close with half a code", WIRE(F(FIN_CLOSE, "\x03")), FAILS(HL_WS_EPROTO, H + 1)},
    {"close with a bad reason",
     WIRE(F(FIN_CLOSE, "\x03\xe8"
                       "ab\xff")),
     FAILS(HL_WS_EUTF8, H + 5)},
    {"close with a cut reason",
     WIRE(F(FIN_CLOSE, "\x03\xe8"
                       "ab\xe2\x82")),
     FAILS(HL_WS_EUTF8, H + 6)},
    {"close with a bad code and a bad reason", WIRE(F(FIN_CLOSE, "\x03\xed\xff")), FAILS(HL_WS_EPROTO, H + 3)},

    /* 5.2: reserved bits and opcodes. Known with the second byte. */
    {"RSV1", WIRE(F(FIN_T, "ok"), F(0xC1, "no")), GIVES(I(T, "ok")), FAILS(HL_WS_EPROTO, H + 2 + 2)},
    {"RSV2", WIRE(F(0xA2, "")), FAILS(HL_WS_EPROTO, 2)},
    {"RSV3", WIRE(F(0x99, "no")), FAILS(HL_WS_EPROTO, 2)},
    {"RSV1 on a continuation", WIRE(F(T, "a"), F(0xC0, "b")), FAILS(HL_WS_EPROTO, H + 1 + 2)},
    {"opcode 3", WIRE(F(0x83, "no")), FAILS(HL_WS_EPROTO, 2)},
    {"opcode 7", WIRE(F(0x87, "")), FAILS(HL_WS_EPROTO, 2)},
    {"opcode 11", WIRE(F(0x8B, "")), FAILS(HL_WS_EPROTO, 2)},
    {"opcode 15", WIRE(F(0x8F, "no")), FAILS(HL_WS_EPROTO, 2)},

    /* 5.1: masking by role. */
    {"unmasked to a server", WIRE(RAW("\x81\x05Hello")), FAILS(HL_WS_EPROTO, 2)},
    {"unmasked ping to a server", WIRE(RAW("\x89\x00")), FAILS(HL_WS_EPROTO, 2)},
    {"masked to a client", WIRE(RAW("\x81\x85\x37\xfa\x21\x3d\x7f")), FAILS(HL_WS_EPROTO, 2), .from_server = 1},

    /* 5.2: lengths that are not minimal, or negative. */
    {"125 in two bytes", WIRE(RAW("\x82\xfe\x00\x7dmask")), FAILS(HL_WS_EPROTO, 8)},
    {"0 in two bytes", WIRE(RAW("\x82\x7e\x00\x00")), FAILS(HL_WS_EPROTO, 4), .from_server = 1},
    {"65535 in eight bytes", WIRE(RAW("\x82\xff\0\0\0\0\0\0\xff\xffmask")), FAILS(HL_WS_EPROTO, 14)},
    {"1 in eight bytes", WIRE(RAW("\x82\x7f\0\0\0\0\0\0\0\x01x")), FAILS(HL_WS_EPROTO, 10), .from_server = 1},
    {"2^63", WIRE(RAW("\x82\xff\x80\0\0\0\0\0\0\0mask")), FAILS(HL_WS_EPROTO, 14), .max = UINT64_MAX},
    {"2^64-1", WIRE(RAW("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask")), FAILS(HL_WS_EPROTO, 14), .max = UINT64_MAX},
    {"2^63-1, allowed", WIRE(RAW("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask and a beginning")), .max = UINT64_MAX},

    /* 5.5: control frames are whole and short. */
    {"ping in fragments", WIRE(F(0x09, "a"), F(FIN_C, "b")), FAILS(HL_WS_EPROTO, 2)},
    {"close without FIN", WIRE(F(0x08, "")), FAILS(HL_WS_EPROTO, 2)},
    {"ping of 126", WIRE(PATTERN(FIN_PING, 0, 126)), FAILS(HL_WS_EPROTO, 2)},
    {"pong of 65536", WIRE(PATTERN(FIN_PONG, 0, 65536)), FAILS(HL_WS_EPROTO, 2)},

    /* 5.4: the order of fragments. */
    {"continuation of nothing", WIRE(F(FIN_C, "lo")), FAILS(HL_WS_EPROTO, 2)},
    {"continuation of a whole message", WIRE(F(FIN_T, "Hel"), F(FIN_C, "lo")), GIVES(I(T, "Hel")),
     FAILS(HL_WS_EPROTO, H + 3 + 2)},
    {"text within a message", WIRE(F(T, "Hel"), F(FIN_T, "lo")), FAILS(HL_WS_EPROTO, H + 3 + 2)},
    {"binary within a message", WIRE(F(B, ""), F(B, "lo")), FAILS(HL_WS_EPROTO, H + 2)},
    {"text after a ping within a message", WIRE(F(T, "Hel"), F(FIN_PING, ""), F(FIN_T, "lo")), GIVES(I(PING, "")),
     FAILS(HL_WS_EPROTO, H + 3 + H + 2)},

    /* 10.4: the limit, over all fragments, told by the header. */
    {"just within the limit", WIRE(F(FIN_T, "12345678")), GIVES(I(T, "12345678")), .max = 8},
    {"beyond the limit", WIRE(F(FIN_T, "123456789")), FAILS(HL_WS_ETOOBIG, H), .max = 8},
    {"fragments within the limit",
     WIRE(F(T, "123"), F(FIN_PING, "longer than eight"), F(C, "45"), F(FIN_C, "678"), F(FIN_B, "12345678")),
     GIVES(I(PING, "longer than eight"), I(T, "12345678"), I(B, "12345678")), .max = 8},
    {"fragments beyond the limit", WIRE(F(T, "123"), F(C, "45"), F(FIN_C, "6789")),
     FAILS(HL_WS_ETOOBIG, H + 3 + H + 2 + H), .max = 8},
    {"10 GB announced", WIRE(RAW("\x82\xff\0\0\0\x02\x54\x0b\xe4\0mask")), FAILS(HL_WS_ETOOBIG, 14)},
    {"2^63-1 after a fragment", WIRE(F(B, "x"), RAW("\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask")),
     FAILS(HL_WS_ETOOBIG, H + 1 + 14), .max = 0x7FFFFFFFFFFFFFFF},

    /* 8.1: UTF-8, known at the byte that spoils it. */
    {"text in four lengths", WIRE(F(FIN_T, "a\xd0\xb9\xe2\x82\xac\xf0\x9f\x98\x80")),
     GIVES(I(T, "a\xd0\xb9\xe2\x82\xac\xf0\x9f\x98\x80"))},
    {"a character over four frames", WIRE(F(T, "\xf0"), F(C, "\x9f"), F(C, "\x98"), F(FIN_C, "\x80")),
     GIVES(I(T, "\xf0\x9f\x98\x80"))},
    {"bad byte amid", WIRE(F(FIN_T, "abcdefgh\xff, and much more")), FAILS(HL_WS_EUTF8, H + 9)},
    {"surrogate", WIRE(F(FIN_T, "ab\xed\xa0\x80, and more")), FAILS(HL_WS_EUTF8, H + 4)},
    {"overlong slash", WIRE(F(FIN_T, "ab\xc0\xaf, and more")), FAILS(HL_WS_EUTF8, H + 3)},
    {"above U+10FFFF", WIRE(F(FIN_T, "ab\xf4\x90\x80\x80, and more")), FAILS(HL_WS_EUTF8, H + 4)},
    {"bad byte in a continuation", WIRE(F(T, "ab\xe2"), F(C, "\x82"), F(C, "\x20\x41\x42"), F(FIN_C, "")),
     FAILS(HL_WS_EUTF8, H + 3 + H + 1 + H + 1)},
    {"cut at the message's end", WIRE(F(FIN_T, "ab\xe2\x82"), F(FIN_T, "c")), FAILS(HL_WS_EUTF8, H + 4)},
    {"cut at the last fragment's end", WIRE(F(T, "ab\xe2"), F(FIN_C, "\x82")), FAILS(HL_WS_EUTF8, H + 3 + H + 1)},
    {"cut, then an empty last fragment", WIRE(F(T, "ab\xe2"), F(FIN_C, "")), FAILS(HL_WS_EUTF8, H + 3 + H)},
    {"nothing carried over", WIRE(F(FIN_T, "\xd0\xb9"), F(B, "\xd0"), F(FIN_C, "\xff"), F(FIN_T, "\xd0\xb9")),
     GIVES(I(T, "\xd0\xb9"), I(B, "\xd0\xff"), I(T, "\xd0\xb9"))},
};
/* clang-format on */

#endif /* WS_CASES_H */
