/*
 * hl_ws.h - a WebSocket codec (RFC 6455): bytes to messages, messages to frame headers. It knows no socket and no loop.
 *
 * Decoding is incremental and pulled: the owner points an hl_ws_input at received bytes and calls hl_ws_next until it
 * returns HL_WS_MORE. Any split of the bytes gives the same items. The bytes are unmasked in place.
 *
 *   - A message that is one frame and lies whole in the input is returned where it lies, without a copy.
 *   - Any other is put together in a block of its own, taken from the cache that is given. The block grows with
 *     the bytes that have really arrived (doubling), never with the length that a header announces.
 *   - While such a message is under way, hl_ws_room tells where its next bytes belong, so that they can be received
 *     straight into it; hl_ws_filled takes them in.
 *   - Text is validated as UTF-8 as its bytes arrive, across frames (section 8.1): a bad byte is an error at once.
 *   - With hl_ws_config.streamed nothing is put together: a message comes in pieces, each where it lies in the input,
 *     as soon as it is there. A piece may end within a character of a text.
 *   - With hl_ws_config.deflate messages may come compressed (hl_deflate.h): they are expanded as they arrive, into the
 *     message's block, which grows with what has come out, or when they are streamed into a block for each piece.
 *
 * Errors are negative and final for the stream: HL_WS_EPROTO, HL_WS_EUTF8, HL_WS_ETOOBIG, HL_WS_ENOMEM, HL_WS_EDATA.
 * hl_ws_close_code turns one into the status code that the peer should be sent.
 *
 * Everything here belongs to one thread at a time.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_WS_H
#define HL_WS_H

#include "hl_slab.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opcodes, section 5.2. */
enum {
    HL_WS_CONTINUATION = 0x0,
    HL_WS_TEXT = 0x1,
    HL_WS_BINARY = 0x2,
    HL_WS_CLOSE = 0x8,
    HL_WS_PING = 0x9,
    HL_WS_PONG = 0xA
};

/* What hl_ws_next found. */
enum {
    HL_WS_MORE = 0, /* the input is used up */
    HL_WS_ITEM = 1  /* *item is a message or a control frame; call again for the rest of the input */
};

enum {
    HL_WS_EPROTO = -1,  /* section 5 violated: 1002 */
    HL_WS_EUTF8 = -2,   /* text or close reason is not UTF-8: 1007 */
    HL_WS_ETOOBIG = -3, /* the message would exceed max_message: 1009; found in the header, before memory is taken, or
                           when one byte more has come out of what is compressed */
    HL_WS_ENOMEM = -4,  /* no block to be had: 1011 */
    HL_WS_EDATA = -5    /* the payload of a compressed message is not what it should be: 1007 (hl_deflate.h) */
};

#define HL_WS_MAX_HEADER 14
#define HL_WS_MASK_SIZE 4
#define HL_WS_MAX_CONTROL 125

typedef struct hl_ws_config {
    uint64_t max_message; /* bytes of a message, all its frames together */
    uint8_t client;       /* 0: we are the server, frames from the peer must be masked; 1: they must not be (5.1) */
    uint8_t streamed;     /* 1: messages are returned in pieces */
    struct hl_deflate *deflate; /* what expands messages, the caller's, outlives ws; NULL: none may be compressed */
} hl_ws_config;

/* The decoder's state between inputs. Embed it; fields are the codec's. At most 64 bytes: 15,000 idle ones count. */
typedef struct hl_ws {
    hl_block *message; /* the message under way; NULL while none of its bytes had to be put aside */
    hl_block *control; /* the control frame under way, likewise */
    uint64_t length;   /* bytes of the message present, control frames between its fragments not counted */
    union {
        uint64_t remaining; /* payload bytes of the current frame that have not arrived */
        struct {
            uint8_t header[HL_WS_MAX_HEADER]; /* between frames: a header that a split cut through */
            uint8_t header_len;
            uint8_t control_len; /* bytes of the control frame present */
        };
    };
    uint64_t max_message;       /* hl_ws_config */
    struct hl_deflate *deflate; /* hl_ws_config */
    uint32_t mask;              /* in memory order, rotated so that its first byte belongs to the next of the payload */
    uint8_t state : 4;
    uint8_t client : 1;     /* hl_ws_config */
    uint8_t streamed : 1;   /* hl_ws_config */
    uint8_t compressed : 1; /* the message under way */
    uint8_t frame;          /* first byte of the current frame */
    uint8_t opcode;         /* of the message under way; 0: none */
    uint8_t utf8;           /* state of the validator */
} hl_ws;

typedef struct hl_ws_input {
    uint8_t *data; /* advanced by hl_ws_next */
    size_t len;
} hl_ws_input;

typedef struct hl_ws_item {
    uint8_t opcode; /* HL_WS_TEXT, HL_WS_BINARY, HL_WS_CLOSE, HL_WS_PING, HL_WS_PONG */
    uint8_t more;   /* 1: a piece of a message that is streamed, not the last. Only the last may be empty */
    uint16_t code;  /* of a close: the peer's status code, or 1005 when it sent none (7.1.5); else 0 */
    uint8_t *data;  /* payload; of a close: the reason; never NULL */
    size_t len;
    hl_block *block; /* NULL: data lies in the input. Else the caller owns this reference to the block data lies in */
} hl_ws_item;

/* *config is copied. */
void hl_ws_init(hl_ws *ws, const hl_ws_config *config);

/* Releases a message under way. */
void hl_ws_fini(hl_ws *ws, hl_cache *cache);

/*
 * Consumes input up to the end of the next item. HL_WS_ITEM, HL_WS_MORE or an error, which every later call repeats.
 * After a close frame whatever follows is ignored (section 5.5.1): the input is consumed and HL_WS_MORE returned.
 */
int hl_ws_next(hl_ws *ws, hl_cache *cache, hl_ws_input *in, hl_ws_item *item);

/* 1 between messages, when no byte of a frame has come: one that is made anew does as well. */
int hl_ws_idle(const hl_ws *ws);

/*
 * When the payload of a data frame is under way in a block of its own and enough of it is missing to make it worth
 * while, returns how many bytes may be received straight to *where (the block is grown first if it is nearly full;
 * never more than the frame still lacks), else 0: then receive elsewhere and call hl_ws_next. A negative result is an
 * error, as of hl_ws_next. What was received is then reported with hl_ws_filled, before any other call.
 */
int64_t hl_ws_room(hl_ws *ws, hl_cache *cache, uint8_t **where);

/* `n` bytes, at most what hl_ws_room returned, have been written to where it pointed. Results as of hl_ws_next. */
int hl_ws_filled(hl_ws *ws, hl_cache *cache, size_t n, hl_ws_item *item);

/* The status code for an error of this file, 1000 for 0. */
uint16_t hl_ws_close_code(int error);

/* 1 when a peer may send `code` in a close frame (7.4: 1000-1003, 1007-1014, 3000-4999). */
int hl_ws_code_valid(uint16_t code);

/* Bytes of the header of a frame with `len` bytes of payload: 2, 4 or 10, and 4 more when masked. */
static inline size_t hl_ws_header_size(uint64_t len, int masked)
{
    return (len < 126 ? 2u : len < 65536 ? 4u : 10u) + (masked ? 4u : 0u);
}

/* Writes the header of one whole (FIN) or partial frame at `to`, which has hl_ws_header_size bytes of room. `mask` is
 * NULL for a server's frame. Returns its size. */
size_t hl_ws_header_write(uint8_t *to, uint8_t opcode, int fin, uint64_t len, const uint8_t mask[4]);

/*
 * XORs p[0..n) with the mask, mask[0] first (section 5.3), in place, with the widest instructions the CPU has (AVX2,
 * SSE2 or NEON; chosen once). hl_ws_mask_scalar is the reference that it is tested against.
 */
void hl_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4]);
void hl_ws_mask_scalar(uint8_t *p, size_t n, const uint8_t mask[4]);
/* Name of the implementation in use: "avx2", "sse2", "neon" or "scalar". */
const char *hl_ws_mask_kind(void);

/*
 * Incremental UTF-8 validation (RFC 3629; Unicode table 3-7: no surrogates, nothing overlong, nothing above U+10FFFF).
 * Start with HL_UTF8_ACCEPT; feed pieces; HL_UTF8_REJECT is final; a text is valid when the last state is ACCEPT.
 */
#define HL_UTF8_ACCEPT 0
#define HL_UTF8_REJECT 1
uint8_t hl_utf8(uint8_t state, const uint8_t *p, size_t n);

#ifdef __cplusplus
}
#endif
#endif /* HL_WS_H */
