/*
 * uring.h - what the two files of the io_uring backend share: uring_setup_linux.c, which opens and closes a ring, and
 * poll_uring_linux.c, which works with it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL__URING_H
#define HL__URING_H

#include "core.h"

#include <liburing.h>
#include <sys/socket.h>

#define HL__BUFFERS 256u      /* provided to the kernel at a time; a power of two */
#define HL__BUFFER_MAX 32768u /* bytes of one */
#define HL__GROUP 0           /* of the provided buffers */
#define HL__IOVS 64
#define HL__GATHERS 256u /* sends of more than one piece that one submission can carry */
#define HL__STRAIGHTS 256u

/* What a request is for: the tag in bits 24 to 31 of its user data, which the index of a handle does not use. */
enum { TAG_RECV = 1, TAG_STRAIGHT, TAG_SEND, TAG_WRITABLE, TAG_ACCEPT, TAG_WATCH, TAG_WAKE, TAG_CANCEL };

static inline uint8_t hl__tag_of(uint64_t user_data)
{
    return (uint8_t)(user_data >> 24);
}

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
    uint32_t idle_count;
    int enabled; /* the thread that drives the loop has begun to use it */
    int wake_fd;
    int woken;  /* in this wait */
    int broken; /* why nothing can be submitted any more; 0: it can */
    uint16_t missing[HL__BUFFERS];   /* buffers that the kernel has used and not got back */
    uint16_t idle[HL__STRAIGHTS];    /* unused ones */
    hl_block *buffers[HL__BUFFERS];  /* provided ones */
    hl__straight straights[HL__STRAIGHTS];
    struct io_uring_sqe nowhere; /* what is prepared when it is broken */
} hl__uring_state;

/* backend.open and .close */
int hl__uring_open(hl_loop *l);
void hl__uring_close(hl_loop *l);

/* Gives the kernel blocks in the place of those that it has filled. What memory is short for is tried again later. */
void hl__uring_replenish(hl_loop *l);
/* Takes the buffer of a completion out of the ring; its reference is the caller's. */
hl_block *hl__uring_buffer(hl__uring_state *p, const struct io_uring_cqe *cqe);

#endif /* HL__URING_H */
