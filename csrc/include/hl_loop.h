/*
 * hl_loop.h - the loop: two rings in shared memory and one call that turns it.
 *
 * The caller queues operations (struct hl_op) in the submission ring and calls hl_loop_enter. One turn performs them,
 * waits if asked to, receives, runs each connection's codec, fires timers, takes the mailbox, and returns with events
 * (struct hl_event) in the completion ring. There are no callbacks: whoever drives the loop, the Go runtime say,
 * crosses into C once per turn and never once per event.
 *
 * Threads   hl_loop_enter, the rings, and everything marked "owner" belong to one thread at a time: the one that drives
 *           the loop. hl_loop_reserve, hl_loop_post and hl_loop_wake may be called from any thread at any time before
 *           hl_loop_free.
 *
 * Order     Operations take effect in the order of the submission ring. Letters (hl_loop_post) take effect after the
 *           operations that were queued when hl_loop_enter began, in the order of posting. An owner who needs "posted
 *           before I queued this" to hold exchanges the mailbox's head for NULL itself and queues what it got as an
 *           HL_OP_LETTERS: then all operations on a connection take effect in the order in which they were made,
 *           whoever made them.
 *
 * Slots     Whatever has a handle: a stream, a listener, a watched descriptor, a timer. hl_loop_reserve names one;
 *           HL_OP_ATTACH, LISTEN, WATCH or TIMER brings it to life; exactly one HL_EV_CLOSED ends each slot that one of
 *           these was queued for, after which its handle is void. Operations on a void handle are dropped (and release
 *           what they carried). Events of a slot never come after its HL_EV_CLOSED.
 *
 * Streams   A stream is a connected socket with a codec. Its outgoing bytes never reorder; small ones are gathered and
 *           written with one system call per turn. Its descriptor belongs to the loop, which closes it exactly once.
 *           Above `high_water` bytes that the kernel does not take reading pauses by itself until they fall to
 *           `low_water`: a peer that sends and never reads is answered by TCP's own flow control, and no byte is lost.
 *
 * Waiting   A turn with nothing to do sleeps in the kernel, until something comes, a timer is due, or another thread
 *           wakes it: an idle loop makes no system call. With config.spin_us it first asks the kernel without sleeping,
 *           for a time that doubles, up to spin_us, while messages come that soon, and halves, down to nothing, while
 *           they do not.
 *
 *           With epoll, a turn that has received 128 KiB leaves the rest of what is ready for the next, which does not
 *           wait: bytes are handled while they are in the cache. No deadline passes before all of it was heard.
 *
 * Memory    An event's bytes stay valid until the next hl_loop_enter without flags. To keep them longer,
 *           take a reference to event.block before.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_LOOP_H
#define HL_LOOP_H

#include "hl_deflate.h"
#include "hl_mailbox.h"
#include "hl_slab.h"
#include "hl_ws.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hl_loop hl_loop;

enum { HL_BACKEND_DEFAULT = 0, HL_BACKEND_EPOLL = 1, HL_BACKEND_URING = 2 };

typedef struct hl_loop_config {
    uint32_t ring;       /* entries of each ring: a power of two from 64 to 65536; 0: 1024 */
    uint32_t batch;      /* ready descriptors taken from the kernel at a time, 1 to 4096; 0: 256 */
    uint32_t recv_size;  /* most bytes received from one stream at a time, besides a frame's header, 512 to 4 MiB; 0:
                            65536. The rest of a message that is under way may come with them, up to 1 MiB, straight
                            into its own block */
    uint32_t stage_size; /* bytes of the staging area, 4096 to 4 MiB; 0: 262144 */
    uint32_t slots;      /* most slots alive at a time, up to 2^24; 0: 1048576 */
    uint32_t high_water; /* bytes of unsent output that pause reading; 0: 1 MiB */
    uint32_t low_water;  /* bytes at which it resumes; 0: a quarter of high_water */
    uint32_t close_ms;   /* how long an orderly close waits for the peer; 0: 5000 */
    uint32_t backend;    /* HL_BACKEND_*; 0: the default, epoll */
    uint32_t one_thread; /* 1: one and the same thread makes all calls marked "owner", from the first hl_loop_enter to
                            hl_loop_free; io_uring then does less work (SINGLE_ISSUER, DEFER_TASKRUN; Linux 6.1) */
    uint32_t busy_poll_us; /* io_uring: how long a wait polls the network card's queue (NAPI) before it sleeps, up to
                            10000; 0: not at all. For latency at the cost of a processor (Linux 6.9) */
    uint32_t spin_us;    /* most microseconds that a turn with nothing to do stays awake before it sleeps, up to 1000;
                            0: it sleeps at once. See "Waiting" */
    uint32_t home;       /* 1 + the memory node that rings, caches and the like are to lie on; 0: the one that the
                            thread in question runs on */
    hl_slab *slab;       /* where blocks come from; outlives the loop */
    hl_ws_config ws;     /* limits of the WebSocket codec; max_message 0: 16 MiB; the rest has to be 0 */
} hl_loop_config;

/* ------------------------------------------------------------------ operations */

enum {
    HL_OP_ATTACH = 1, /* stream on descriptor `arg` (made non-blocking); kind: HL_CODEC_RAW; flags: HL_ONESHOT */
    HL_OP_LISTEN,     /* accept on listening socket `arg` (made non-blocking), which the loop owns from now on */
    HL_OP_WATCH,      /* readiness of descriptor `arg`, which stays the caller's; flags: HL_READABLE | HL_WRITABLE |
                         HL_TROUBLE, the last of which is reported with any of the others anyway */
    HL_OP_REWATCH,    /* other flags for a watched descriptor; 0 mutes it */
    HL_OP_TIMER,      /* fires once `len` ms from now; again: resets; arg HL_TIMER_OFF: does not fire after all, unless
                         it already has. On a watched descriptor it makes HL_EV_TIMEOUTs of that */
    HL_OP_SEND,       /* data/len: bytes, or for WebSocket one frame (kind: opcode, HL_SEND_*); see "Sending" */
    HL_OP_READ,       /* arg 0: stop reading; 1: read */
    HL_OP_UPGRADE,    /* the stream's codec becomes WebSocket and it reads again; kind: HL_WS_CLIENT and its like;
                         user: most bytes of a message, 0: config.ws.max_message; data/len (placed as for "Sending"):
                         bytes already received that belong to the WebSocket, behind a config with HL_WS_DEFLATE */
    HL_OP_DEADLINE,   /* kind: HL_DEADLINE_*; len: ms, 0 switches it off */
    HL_OP_QUIESCE,    /* deliver what the kernel holds at this moment, stop reading, answer HL_EV_QUIET. arg 1: deliver
                         only what the loop has taken from the kernel already; the rest is for whoever takes the
                         descriptor over */
    HL_OP_DRAIN,    /* HL_EV_DRAIN as soon as unsent output is at low_water or below, if it is now, too */
    HL_OP_CLOSE,    /* orderly: send what is queued, say goodbye (on a WebSocket a close frame; arg: its status code, or
                       0: the peer's own if it has closed, else 1000; one that must not be sent becomes 1000; data/len:
                       a reason in UTF-8 of at most 123 bytes), wait for the peer while bytes move, but never close_ms
                       without progress nor 12 times close_ms in all. What still arrives is discarded, so that the
                       goodbye is not cut off by a reset. arg -1 on a WebSocket: no close frame. Any other slot: ends */
    HL_OP_ABORT,      /* at once; unsent bytes are lost */
    HL_OP_LETTERS     /* data: a list of letters exchanged off the mailbox's head (see "Order") */
};

enum { HL_CODEC_RAW = 0, HL_CODEC_WS = 1 };

/* op.kind of HL_OP_UPGRADE */
enum {
    HL_WS_CLIENT = 1,   /* we are the client: what is sent is masked, with random masks (RFC 6455 5.3, 10.3) */
    HL_WS_STREAMED = 2, /* messages are delivered in pieces, as they arrive: HL_MORE */
    HL_WS_DEFLATE = 4   /* permessage-deflate was agreed upon (RFC 7692): data begins with a hl_deflate_config. Messages
                           of at least `threshold` bytes, and those of more than one frame, are sent compressed */
};

#define HL_TIMER_OFF (-1) /* op.arg of HL_OP_TIMER */

/* op.flags */
enum {
    HL_READABLE = 1, /* watching; also in event.flags */
    HL_WRITABLE = 2,
    HL_TROUBLE = 4,   /* error or hang-up */
    HL_ONESHOT = 8,   /* attach: stop reading after each HL_EV_DATA until HL_OP_READ 1 */
    HL_KEEP = 16,     /* send: data lies in `block`, of which the loop takes a reference of its own: no copy */
    HL_GIVE = 32,     /* send: as HL_KEEP, but the caller's reference passes to the loop */
    HL_HEADROOM = 64, /* send: the hl_ws_header_size(len, client) bytes before data belong to this message too; they
                         and the data may be written to */
    HL_RESET = 128,   /* abort: with a reset (SO_LINGER 0) instead of FIN */
    HL_ENCODED = 256, /* send: the bytes are whole frames, encoded as a server's; if the first is compressed (RSV1),
                         without context */
    HL_MORE = 512     /* event.flags of HL_EV_MESSAGE: a piece of a message that is streamed, and not the last */
};

/* op.kind of HL_OP_SEND on a WebSocket: an opcode (HL_WS_TEXT ...), or'ed with these. On a raw stream kind is 0. */
enum {
    HL_SEND_CONTINUATION = 0x40, /* a continuation frame: the opcode bits are 0 */
    HL_SEND_PARTIAL = 0x80       /* FIN is not set: more frames of this message follow */
};

/* op.kind of HL_OP_DEADLINE and, but for the last, event.kind of HL_EV_TIMEOUT */
enum {
    HL_DEADLINE_ONCE = 0, /* once, `len` ms from now; no deadline is further away than 2^30 ms */
    HL_DEADLINE_READ = 1, /* whenever nothing was received for `len` ms, and no bytes wait in the kernel */
    HL_DEADLINE_WRITE = 2, /* whenever output has waited for `len` ms and not a byte of it was taken */
    HL_DEADLINE_PING = 3   /* no event: a WebSocket sends an empty ping whenever for `len` ms nothing was received, no
                              ping sent and no HL_DEADLINE_READ passed, unless output waits */
};

/*
 * Sending. Bytes may lie
 *   - in the staging area (hl_shared.stage), where the owner of the loop has put them since the last enter;
 *   - in a slab block (HL_KEEP or HL_GIVE with `block` set);
 *   - in a letter (hl_loop_post copies them).
 * For a WebSocket the core makes the frame header, and masks what a client sends: where it lies when nobody else can be
 * looking at it (with HL_HEADROOM, or a block that is given and has no other reference), else in a copy. With
 * HL_HEADROOM the header goes right before the payload: messages staged one after the other leave as one piece.
 */
typedef struct hl_op {
    hl_handle handle; /*  0 */
    void *data;       /*  8 */
    uint64_t len;     /* 16 */
    hl_block *block;  /* 24: with HL_KEEP or HL_GIVE */
    uint64_t user;    /* 32: comes back in HL_EV_CLOSED.user when the slot is brought to life by this operation; of
                             HL_OP_SEND with HL_ENCODED or on a raw stream: how many sends it stands for; 0: one */
    int32_t arg;      /* 40 */
    uint16_t flags;   /* 44 */
    uint8_t kind;     /* 46 */
    uint8_t code;     /* 47: HL_OP_* */
} hl_op;

/* ------------------------------------------------------------------ events */

enum {
    HL_EV_ACCEPT = 1, /* result: a connected socket, non-blocking, close-on-exec, the receiver's; data/len: sockaddr */
    HL_EV_ACCEPT_ERROR, /* result: -EMFILE and its like; accepting pauses for 100 ms, the queue in the kernel waits */
    HL_EV_DATA,         /* raw codec: data/len, in block */
    HL_EV_MESSAGE,      /* WebSocket: a whole message; kind: HL_WS_TEXT or HL_WS_BINARY; flags: HL_MORE */
    HL_EV_PONG,         /* WebSocket: a pong with a payload, which answers a ping of the owner's */
    HL_EV_END,          /* the peer sends no more; it may still read. The owner sends what it still has to and answers
                         with HL_OP_CLOSE. flags: on a WebSocket the status code of the peer's close frame, 1005 when
                         that had none, 1006 when the stream ended without one or broke the protocol; in the latter
                         case HL_OP_CLOSE tells the peer so, whatever its arguments. An owner that has not answered a
                         WebSocket's end within close_ms is taken to have answered with HL_OP_CLOSE 0 */
    HL_EV_READY,        /* watched descriptor; flags: HL_READABLE | HL_WRITABLE | HL_TROUBLE. Level-triggered */
    HL_EV_TIMEOUT,      /* timer fired, or kind: the deadline that passed */
    HL_EV_DRAIN,        /* unsent output has fallen to low_water after it had reached high_water or HL_OP_DRAIN asked,
                           or was lost */
    HL_EV_QUIET,        /* answer to HL_OP_QUIESCE; a stream that has ended meanwhile sends HL_EV_CLOSED instead */
    HL_EV_CLOSED        /* the slot's last event; result: 0, or the error that ended it; user: as given at birth;
                           kind: 1 when unsent bytes were lost; WebSocket: flags: the status code as RFC 6455 7.1.5
                           has it (1005: close frame without one, 1006: no close frame), data/len: the reason */
};

typedef struct hl_event {
    hl_handle handle; /*  0 */
    void *data;       /*  8 */
    uint64_t len;     /* 16 */
    hl_block *block;  /* 24: what data lies in; NULL when it is not to be kept */
    uint64_t user;    /* 32 */
    int32_t result;   /* 40 */
    uint16_t flags;   /* 44 */
    uint8_t kind;     /* 46 */
    uint8_t type;     /* 47: HL_EV_* */
} hl_event;

/* ------------------------------------------------------------------ shared memory */

/* One direction: a ring of a power of two of entries. The producer writes entries and then tail, the consumer reads
 * entries and then writes head; both only grow, modulo 2^32. */
typedef struct hl_ring {
    uint32_t head; /* atomic; written by the consumer */
    char pad0[HL_CACHE_LINE - 4];
    uint32_t tail; /* atomic; written by the producer */
    char pad1[HL_CACHE_LINE - 4];
    uint32_t mask; /* entries - 1 */
    uint32_t reserved;
    void *entries;
    char pad2[HL_CACHE_LINE - 16];
} hl_ring;

typedef struct hl_shared {
    hl_ring sq; /* hl_op: owner to loop */
    hl_ring cq; /* hl_event: loop to owner */
    hl_mailbox mailbox;
    hl_block *stage;     /* block that outgoing bytes may be put into ... */
    uint64_t stage_used; /* ... from here on; the owner advances it, the loop starts it anew */
} hl_shared;

/* What the owner and others may read of a stream at any time, with relaxed 64-bit loads. The address stays valid until
 * hl_loop_free; after HL_EV_CLOSED it may speak of another stream. */
#define HL_LETTER_COST 128 /* bytes; what a letter is reckoned to hold besides its payload */
typedef struct hl_stream_stats {
    uint64_t queued;          /* bytes waiting to be sent */
    uint64_t received;        /* bytes */
    uint64_t sent;            /* bytes */
    uint64_t frames_received; /* WebSocket: messages and control frames; raw: pieces delivered */
    uint64_t frames_sent;     /* WebSocket: frames, control frames included; raw: sends */
    uint64_t posted; /* bytes of HL_OP_SEND that came by letter and have been taken up, and HL_LETTER_COST for each */
} hl_stream_stats;

typedef struct hl_loop_stats {
    uint64_t turns;         /* hl_loop_enter without flags */
    uint64_t flushes;       /* ... with HL_ENTER_FLUSH or HL_ENTER_PERFORM */
    uint64_t ops;           /* performed */
    uint64_t events;        /* put into the completion ring */
    uint64_t messages;      /* of these, whole WebSocket messages: HL_EV_MESSAGE without HL_MORE */
    uint64_t stale_ops;     /* operations dropped because their handle was void */
    uint64_t stale_events;  /* kernel events dropped for the same reason */
    uint64_t letters;       /* taken from the mailbox */
    uint64_t waits;         /* turns that asked the kernel with a timeout other than 0 */
    uint64_t spins;         /* turns that stayed awake for a while first */
    uint64_t spin_hits;     /* ... and found something to do */
    uint64_t wakeups;       /* times another thread had to wake the loop */
    uint64_t accepted;      /* connections */
    uint64_t accept_pauses; /* times accepting paused for want of descriptors or memory */
    uint64_t read_pauses;   /* times high_water paused a stream */
    uint64_t slots;         /* alive now */
    uint64_t nomem;         /* streams ended, or operations refused, because a block could not be had */
} hl_loop_stats;

/* ------------------------------------------------------------------ functions */

/*
 * A loop, or NULL with *error set (-EINVAL: the config is out of the bounds above). When the backend asked for is not
 * to be had (a container may forbid io_uring, a kernel lack it), the loop falls back to epoll: see
 * hl_loop_backend_error.
 */
hl_loop *hl_loop_new(const hl_loop_config *config, int *error);

/* Closes every descriptor the loop owns and frees everything but the slab. Owner; nobody may use the loop after. */
void hl_loop_free(hl_loop *l);

hl_shared *hl_loop_shared(hl_loop *l);

/* "epoll" or "io_uring". */
const char *hl_loop_backend(const hl_loop *l);

/* Why the backend asked for could not be had, as a negative errno value (-ENOSYS: not built in); 0 when it could.
 * `step`, which may be NULL, gets what failed ("io_uring_setup", say), a constant, or NULL. */
int hl_loop_backend_error(const hl_loop *l, const char **step);

/* What the backend makes use of, HL_FEATURE_*: parts that a config asked for and the kernel lacks are missing. */
enum {
    HL_FEATURE_ONE_THREAD = 1, /* hl_loop_config.one_thread */
    HL_FEATURE_BUSY_POLL = 2   /* hl_loop_config.busy_poll_us */
};
uint32_t hl_loop_features(const hl_loop *l);

/* flags of hl_loop_enter */
enum {
    HL_ENTER_FLUSH = 1,  /* only perform the queued operations and send: no event appears, events and stage bytes
                            already there stay valid, the staging area starts anew, and what streams still hold is what
                            the kernel would not take. For an owner that needs room in it mid-turn */
    HL_ENTER_PERFORM = 2 /* the same without sending, for an owner that only needs room in the submission ring: what a
                            stream is given in a turn still leaves as one piece. The staging area goes on. It does send
                            when output of 4 MiB waits, or of more than low_water for one stream that the kernel has not
                            stalled; else that is left to the next hl_loop_enter with another flag or none */
};

/*
 * One turn. timeout_ms: how long to wait when nothing is ready: 0 not at all, < 0 without limit. Returns the number of
 * events in the completion ring, or a negative error (-EBADF after the backend broke, which is final). It returns
 * early, possibly with no event, when another thread wakes the loop. Entries left in the completion ring are kept; the
 * loop then has less room. Owner.
 */
int hl_loop_enter(hl_loop *l, int64_t timeout_ms, uint32_t flags);

/* Names a free slot. 0 when config.slots are in use or memory is short. A slot that is reserved and not wanted after
 * all is given back with hl_loop_cancel. Any thread. */
hl_handle hl_loop_reserve(hl_loop *l);
void hl_loop_cancel(hl_loop *l, hl_handle h);

/*
 * Posts a copy of *op to the loop's mailbox and wakes the loop if it sleeps. For HL_OP_SEND without HL_KEEP or HL_GIVE,
 * and for the reason of HL_OP_CLOSE, the op->len bytes at op->data are copied before it returns. -ENOMEM, -EINVAL.
 * Any thread.
 */
int hl_loop_post(hl_loop *l, const hl_op *op);

/* Makes the current or the next waiting hl_loop_enter return. Any thread. */
void hl_loop_wake(hl_loop *l);

/* NULL when h is out of range. Any thread. */
const hl_stream_stats *hl_loop_stream_stats(hl_loop *l, hl_handle h);

/* A snapshot. Owner, or any thread that accepts numbers from different moments. */
void hl_loop_stats_read(hl_loop *l, hl_loop_stats *out);

/* 0 when readiness of fd can be watched, else -EBADF, or -EPERM for what is always ready (regular files, directories).
 * Any thread. */
int hl_fd_pollable(int fd);

#ifdef __cplusplus
}
#endif
#endif /* HL_LOOP_H */
