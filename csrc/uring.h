/*
 * uring.h - what the files of the io_uring backend share: uring_setup_linux.c opens and closes a ring,
 * uring_request_linux.c asks the kernel for things, poll_uring_linux.c deals with what comes of it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__URING_H
#define HL__URING_H

#include "core.h"

#include <liburing.h>
#include <sys/socket.h>

#define HL__BUFFERS 128u      /* provided to the kernel at a time; a power of two */
#define HL__BUFFER_MAX 65536u /* bytes of one */
#define HL__GROUP 0           /* of the provided buffers */
#define HL__IOVS 64
#define HL__GATHERS 256u        /* sends of more than one piece that one submission can carry */
#define HL__STRAIGHTS 256u      /* receives straight into messages at a time */
#define HL__STRAIGHT_MIN 16384u /* bytes of room in a message that are worth one */

/* What a request is for: the tag in bits 24 to 31 of its user data, which the index of a handle does not use. */
enum { TAG_RECV = 1, TAG_STRAIGHT, TAG_SEND, TAG_WRITABLE, TAG_ACCEPT, TAG_WATCH, TAG_WAKE, TAG_CANCEL };

/* Of completions that are nobody's business. */
#define HL__NOBODYS ((uint64_t)TAG_CANCEL << 24)

static inline uint8_t hl__tag_of(uint64_t user_data)
{
    return (uint8_t)(user_data >> 24);
}

static inline hl_handle hl__handle_of(uint64_t user_data)
{
    return user_data & ~((uint64_t)0xff << 24);
}

/* hl_slot.poll_mask: requests under way; of a straight receive, its number from bit 16 on. BULK: the last message was a
 * large one, and so may be the next. */
enum {
    RECEIVING = 1,
    SENDING = 2,
    AWAITING_SPACE = 4,
    ACCEPTING = 8,
    WATCHING = 16,
    CANCELLING = 32,
    STRAIGHT = 64,
    BULK = 128
};

/* What a message of several pieces needs until it is submitted. */
typedef struct hl__gather {
    struct msghdr header;
    struct iovec iov[HL__IOVS];
} hl__gather;

/* A receive straight into a message under way. The kernel may write to the block until the request has completed,
 * whatever becomes of the stream. */
typedef struct hl__straight {
    hl_handle stream;
    hl_block *block; /* one reference; NULL: unused */
    struct iovec where;
} hl__straight;

typedef struct hl__uring_state {
    struct io_uring ring;
    struct io_uring_buf_ring *provided;
    hl_block *block;         /* holds this */
    hl_block *gathers_block; /* holds `gathers` */
    hl__gather *gathers;
    uint32_t gathers_used;
    uint32_t submissions; /* counts them; a slot's mark tells when it last prepared a request */
    uint32_t buffer_size;
    uint32_t missing_count;
    uint32_t unused_count;
    int enabled; /* by the thread that drives the loop, to which it belongs from then on */
    int starved; /* memory is so short that the kernel has no buffer at all */
    int wake_fd;
    int woken;                      /* in this wait */
    int broken;                     /* why nothing can be submitted any more; 0: it can */
    uint16_t missing[HL__BUFFERS];  /* buffers that the kernel has used and not got back */
    uint16_t unused[HL__STRAIGHTS]; /* straights */
    hl_block *buffers[HL__BUFFERS]; /* provided ones */
    hl__straight straights[HL__STRAIGHTS];
    struct io_uring_sqe nowhere; /* what is prepared when it is broken */
} hl__uring_state;

/* uring_setup_linux.c */
int hl__uring_open(hl_loop *l); /* backend.open and .close */
void hl__uring_close(hl_loop *l);
/* Gives the kernel blocks in the place of those that it has filled. What memory is short for is tried again later. */
void hl__uring_replenish(hl_loop *l);
/* Takes the buffer of a completion out of the ring; its reference is the caller's. */
hl_block *hl__uring_buffer(hl__uring_state *p, const struct io_uring_cqe *cqe);

/* uring_request_linux.c. What cannot be prepared or handed over, however often it is tried, breaks the ring. */
int hl__uring_enable(hl_loop *l);           /* before the first system call; negative: the ring is broken */
void hl__uring_submit(hl_loop *l);          /* hands over all that is prepared */
void hl__uring_entered(hl__uring_state *p); /* after each io_uring_enter */
uint64_t hl__uring_data(const hl_slot *s, uint8_t tag);
uint64_t hl__uring_receive_data(const hl_slot *s); /* of the stream's receive that is under way */
void hl__uring_receive(hl_loop *l, hl_stream *s);
void hl__uring_cancel_receive(hl_loop *l, hl_stream *s);
void hl__uring_send(hl_loop *l, hl_stream *s);
void hl__uring_await_space(hl_loop *l, hl_stream *s); /* the kernel takes no more output for now */
void hl__uring_accept(hl_loop *l, hl_slot *s);
void hl__uring_watch(hl_loop *l, hl_slot *s);
void hl__uring_await_wake(hl_loop *l);
void hl__uring_cancel(hl_loop *l, uint64_t user_data);

#endif /* HL__URING_H */
