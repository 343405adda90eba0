/*
 * core.h - the loop's own types, shared by its files and by the backends. Nothing here is public.
 *
 *   loop.c    turns                               ops.c      operations, letters
 *   event.c   the completion ring, notices        table.c    slots and handles
 *   stream.c  a stream's life                     deadline.c its deadlines
 *   input.c   what it receives                    output.c   its outgoing queue
 *   codec_*.c what its bytes mean                 listen.c   listeners, watched descriptors, timers
 *   poll_*.c  backends                            spin.c     staying awake before sleeping
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_CORE_H
#define HL_CORE_H

#include "hl_loop.h"
#include "hl_timer.h"
#include "spin.h"
#include "table.h"

#include <sys/uio.h>

typedef struct hl_slot hl_slot;
typedef struct hl_stream hl_stream;
typedef struct hl_chunk hl_chunk;

/* ------------------------------------------------------------------ slots */

enum { HL_KIND_NONE = 0, HL_KIND_STREAM, HL_KIND_LISTENER, HL_KIND_WATCH, HL_KIND_TIMER };

/* Work lists a slot can be on, each at most once. */
enum { HL_LIST_OUTPUT, HL_LIST_INPUT, HL_LIST_NOTICE, HL_LIST_BACKEND, HL_LISTS };

/* Things to tell the owner when the completion ring has room, sent in this order. */
enum {
    HL_NOTICE_ACCEPT_ERROR = 1,
    HL_NOTICE_TIMER = 2, /* the bits for HL_DEADLINE_ONCE, _READ and _WRITE follow from it: 2 << kind */
    HL_NOTICE_DRAIN = 16,
    HL_NOTICE_QUIET = 32,
    HL_NOTICE_CLOSED = 64
};

struct hl_slot {
    hl_slot_head head;
    int fd;
    uint8_t kind : 4;
    uint8_t poll_want : 4;   /* backend's: what a watch asks for */
    uint8_t listed;          /* bit per HL_LIST_* */
    uint8_t notices;         /* HL_NOTICE_* */
    uint8_t ended;           /* descriptor gone; only notices are left to send */
    uint32_t poll_mask;      /* backend's: what the kernel is asked for */
    int32_t result;          /* of HL_EV_CLOSED, or of HL_EV_ACCEPT_ERROR */
    uint32_t next[HL_LISTS]; /* index of the slot behind this one, while there is one */
    uint64_t user;
    hl_timer timer;
};

typedef struct hl_list {
    hl_slot *first, *last;
} hl_list;

/* ------------------------------------------------------------------ streams */

/* Why a stream is not reading; it reads while none is set. */
enum {
    HL_PAUSE_USER = 1,   /* HL_OP_READ 0, or HL_ONESHOT has delivered */
    HL_PAUSE_OUTPUT = 2, /* unsent output above high_water */
    HL_PAUSE_QUIET = 4,  /* quiesced */
    HL_PAUSE_END = 8,    /* the peer sends no more */
    HL_PAUSE_FAILED = 16 /* what it sends cannot be understood any more: its owner has been told that it ended */
};

enum {
    HL_OPEN = 0,
    HL_CLOSING,  /* WebSocket: our close frame is queued or sent, the peer's has not come */
    HL_FLUSHING, /* nothing more will be queued; when all is sent, the sending side is shut */
    HL_LINGERING /* shut; whatever arrives is discarded until the peer's end or the deadline */
};

/* A run of outgoing bytes. */
struct hl_chunk {
    hl_chunk *next;
    hl_block *block; /* holds `data`; one reference */
    uint8_t *data;
    uint64_t len;
    uint8_t own; /* the block is this chunk's alone and may be appended to */
    uint8_t header_len;
    uint8_t header[HL_WS_MAX_HEADER]; /* goes before data */
};

/* How far HL_OP_QUIESCE is. */
enum {
    HL_QUIESCE_NONE = 0,
    HL_QUIESCE_HOLDING, /* the backend stops receiving */
    HL_QUIESCE_LEAVING, /* likewise, and what the kernel then holds stays there */
    HL_QUIESCE_READING
};

/* Whose turn it is to end an orderly close. */
enum {
    HL_GOODBYE_NONE = 0,
    HL_GOODBYE_OWNER, /* the peer has ended, the owner is to answer: within close_ms */
    HL_GOODBYE_BOTH   /* under way: bytes that move put its end off */
};

/*
 * Most streams are idle, and there may be many: what they need only now and then lies elsewhere or in bits. 32-bit
 * times are the low half of the loop's clock, in ms.
 */
struct hl_stream {
    hl_slot slot;
    hl_stream_stats stats; /* written by the loop with relaxed atomic stores, read by anyone */
    hl_chunk *out_last;    /* of the queue: a ring, whose first is behind the last */
    hl_block *in_block;    /* bytes received and not yet taken by the codec: in_len of them, from in_at on */
    hl_block *in_last;     /* what was received behind that: the last of a ring of blocks, with a reference to each */
    uint32_t in_at, in_len;
    uint32_t last_received, last_sent;
    uint8_t codec; /* HL_CODEC_* */
    uint8_t pauses;
    uint8_t state;
    uint8_t stalled; /* the kernel takes no more output for now */
    uint8_t in_held; /* in_block has a reference of ours */
    uint8_t oneshot : 1;
    uint8_t drain_due : 1; /* HL_EV_DRAIN is to come when output has fallen to low_water */
    uint8_t lost : 1;      /* output was lost */
    uint8_t deaf : 1;      /* the kernel takes no more output for good: it is discarded */
    uint8_t end_told : 1;  /* HL_EV_END has been sent */
    uint8_t patient : 1;   /* the peer is to close the connection, also after the goodbyes of both sides */
    uint8_t client : 1;    /* hl_ws_config, as the next is */
    uint8_t streamed : 1;
    uint8_t quiescing : 4; /* HL_QUIESCE_* */
    uint8_t goodbye : 4;   /* HL_GOODBYE_* */
    uint8_t failed;        /* what the peer has done wrong, a negated HL_WS_E*; 0: nothing */
    uint64_t max_message;  /* hl_ws_config */
    hl_deflate *deflate;   /* NULL: nothing is compressed */
    hl_block *aside; /* WebSocket: the decoder, in the middle of a frame or message; after the peer's close frame the
                        reason that it gave: its length, then its bytes */
    uint16_t close_code;        /* the peer's; 0: none came */
    int16_t in_end;             /* 1: the end has come behind what waits; negative: the error that did */
    uint32_t quiesce_left;      /* bytes still to be read before HL_EV_QUIET */
    uint32_t fed;               /* turn in which the codec last got input, low 32 bits */
    uint32_t once;              /* when HL_DEADLINE_ONCE passes; 0: never */
    uint32_t read_ms, write_ms; /* HL_DEADLINE_READ, HL_DEADLINE_WRITE; 0: off */
    union {
        struct {              /* before any goodbye */
            uint32_t ping_ms; /* HL_DEADLINE_PING; 0: off */
            uint32_t pinged;  /* when */
        };
        struct {
            uint32_t goodbye_began, close_from; /* when an orderly close began, and its present step */
        };
    };
};

_Static_assert(sizeof(hl_stream) <= 272, "15,000 idle ones count: TestIdleMemory in tests/e2e");

/* ------------------------------------------------------------------ codecs */

/*
 * What the bytes of a stream mean. input() takes bytes from in_data/in_len and makes events until they are used up, the
 * completion ring is full or the stream pauses; the rest stays for later. room()/filled() let large payloads be
 * received where they belong (hl_ws.h), in *block; room may be NULL. close() says goodbye; it returns 1 when the peer's
 * goodbye is to be awaited, 0 when there is none. Files that implement it know no backend and no descriptor.
 */
typedef struct hl_codec {
    const char *name;
    void (*input)(hl_loop *l, hl_stream *s);
    int64_t (*room)(hl_loop *l, hl_stream *s, uint8_t **where, hl_block **block);
    void (*filled)(hl_loop *l, hl_stream *s, size_t n);
    void (*send)(hl_loop *l, hl_stream *s, const hl_op *op);
    int (*close)(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len);
    void (*ping)(hl_loop *l, hl_stream *s); /* asks the peer for a sign of life; may be NULL */
    void (*fini)(hl_loop *l, hl_stream *s);
} hl_codec;

/* How many sends an HL_OP_SEND stands for. */
static inline uint64_t hl__sends(const hl_op *op)
{
    return op->user > 0 ? op->user : 1;
}

extern const hl_codec hl__codec_raw;
extern const hl_codec hl__codec_ws;
static inline const hl_codec *hl__codec(const hl_stream *s)
{
    return s->codec == HL_CODEC_WS ? &hl__codec_ws : &hl__codec_raw;
}

/* ------------------------------------------------------------------ backends */

/*
 * Where bytes come from and go to. Completion-shaped: wait() ends in hl__stream_received, hl__stream_ended,
 * hl__accept, hl__ready; send() in hl__output_sent, hl__output_stalled or hl__output_failed, now or later. A backend
 * keeps its state in l->poll and, per slot, in poll_mask and head.mark. It knows no codec.
 */
typedef struct hl_backend {
    const char *name;
    int (*open)(hl_loop *l);
    void (*close)(hl_loop *l);
    int (*attach)(hl_loop *l, hl_slot *s, uint32_t readiness); /* stream: starts receiving; watch: HL_READABLE ... */
    int (*change)(hl_loop *l, hl_slot *s, uint32_t readiness); /* watch, listener: 0 mutes */
    void (*detach)(hl_loop *l, hl_slot *s);                    /* before the descriptor is closed or given up */
    void (*resume)(hl_loop *l, hl_stream *s);                  /* the stream reads again (pauses == 0) */
    void (*send)(hl_loop *l, hl_stream *s);                    /* output is waiting */
    int (*wait)(hl_loop *l, int timeout_ms);
    int (*hold)(hl_loop *l, hl_stream *s); /* stops receiving for a count of what the kernel holds: 1: done; 0: hl__held
                                              will be called; NULL: nothing is ever received ahead of the codec */
    void (*submit)(hl_loop *l);            /* what send() has only prepared; may be NULL */
    void (*wake)(hl_loop *l);              /* any thread */
} hl_backend;

extern const hl_backend hl__epoll;
extern const hl_backend hl__uring;

/* ------------------------------------------------------------------ the loop */

struct hl_loop {
    hl_shared shared; /* first: hl_loop_shared */
    hl_loop_config config;
    const hl_backend *backend;
    void *poll; /* the backend's */
    hl_cache *cache;
    hl_wheel wheel;
    uint64_t now;      /* ms, as of this turn */
    uint64_t received; /* bytes, in this turn */
    uint32_t behind;   /* how much of what was ready the backend has left for the next turn */
    hl_table table;
    hl_list lists[HL_LISTS];
    hl_block *recv; /* shared receive buffer: bytes lie in it until the turn ends */
    size_t recv_used;
    hl_block **pins; /* blocks that this turn's events point into; one reference each */
    uint32_t pin_count, pin_room;
    hl_block *dropped;              /* blocks let go of in this turn that its events may lie in, linked by `spare` */
    uint32_t reserve;               /* entries of the completion ring that are not to be used for the moment */
    uint64_t unsent;                /* bytes queued since all output was last flushed, and what their chunks take */
    uint8_t crowded;                /* since then a stream has come to have more than low_water of them */
    hl_chunk *chunks;               /* free ones */
    struct chunk_page *chunk_pages; /* what they were carved from */
    int backend_error;              /* why config.backend is not in use; 0: it is */
    const char *backend_step;       /* what failed */
    uint32_t features;              /* HL_FEATURE_* */
    int broken;                     /* error the backend ended with */
    uint32_t nudged;                /* atomic: hl_loop_wake was called since the last wait */
    hl_spin spin;
    hl_ws ws;                           /* the decoder of whatever stream is being fed, between its frames */
    uint8_t masks[64][HL_WS_MASK_SIZE]; /* random, for frames that a client sends; used from the end */
    uint32_t masks_left;
    hl_deflate_pool *deflate_pool; /* NULL: nobody has needed it yet */
    hl_loop_stats stats;
    hl_block *self, *rings, *pin_block; /* what this, the rings and `pins` lie in */
};

/* loop.c */
int hl__has_work(const hl_loop *l); /* there are events, or things to do that may make some: no time to wait */
/* How long a wait may go on, in ms: `asked` (< 0: without limit), but not past the next timer. */
int hl__may_wait(const hl_loop *l, int64_t asked);
int hl__called(const hl_loop *l); /* another thread has posted something, or asked for the turn to end */
void hl__clock(hl_loop *l);       /* brings `now` up to date */
static inline hl_slot *hl__slot(hl_loop *l, hl_handle h)
{
    return (hl_slot *)hl__table_get(&l->table, h);
}
static inline hl_handle hl__handle(const hl_slot *s)
{
    return hl__slot_handle(&s->head);
}
#define HL_FAR ((uint64_t)1 << 48) /* ms; nobody waits longer, and no sum overflows */
/* The time at which `ms` will have passed. One more, since `now` is cut to whole milliseconds: nothing fires early. */
static inline uint64_t hl__after(const hl_loop *l, uint64_t ms)
{
    return l->now + (ms < HL_FAR ? ms : HL_FAR) + (ms > 0);
}
/* Statistics have one writer, the loop, and readers on other threads: relaxed is all a count needs. */
#define HL_COUNT(field, n) __atomic_store_n(&(field), (field) + (n), __ATOMIC_RELAXED)

/* event.c */
int hl__grow_pins(hl_loop *l); /* -ENOMEM */
/* Events that still fit, each with up to two pins; 0 also when memory for pins is short. */
static inline uint32_t hl__room(hl_loop *l)
{
    if (l->pin_room - l->pin_count < 4 && hl__grow_pins(l) < 0)
        return 0;
    const hl_ring *cq = &l->shared.cq;
    /* acquire: entries up to head have been read before we overwrite them */
    uint32_t room = cq->mask + 1 - (cq->tail - __atomic_load_n(&cq->head, __ATOMIC_ACQUIRE));
    return room > l->reserve ? room - l->reserve : 0;
}
/* The next entry, cleared; only while hl__room > 0. */
static inline hl_event *hl__event(hl_loop *l, hl_slot *s, uint8_t type)
{
    hl_ring *cq = &l->shared.cq;
    hl_event *e = (hl_event *)cq->entries + (cq->tail & cq->mask);
    *e = (hl_event){.handle = hl__handle(s), .type = type};
    /* relaxed: the ring is read after hl_loop_enter has returned, on the same thread */
    __atomic_store_n(&cq->tail, cq->tail + 1, __ATOMIC_RELAXED);
    HL_COUNT(l->stats.events, 1);
    return e;
}
/* Takes the reference over until the turn ends. */
static inline void hl__pin(hl_loop *l, hl_block *b)
{
    l->pins[l->pin_count++] = b;
}
/* The same for a block that is let go of at any time, whether or not there is room for pins. */
void hl__drop(hl_loop *l, hl_block *b);
void hl__unpin_all(hl_loop *l);
void hl__notice(hl_loop *l, hl_slot *s, uint8_t notice);
void hl__send_notices(hl_loop *l);
void hl__list_add(hl_loop *l, hl_slot *s, int list);
hl_slot *hl__list_take(hl_loop *l, int list);
/* Room for at least `want` bytes in the receive buffer, at *where; the bytes are valid as long as this turn's events.
 * Returns the bytes available, 0 when memory is short. */
size_t hl__recv_room(hl_loop *l, size_t want, uint8_t **where);

/* ops.c */
void hl__run_ops(hl_loop *l); /* those in the submission ring */
void hl__read_letters(hl_loop *l, hl_letter *first);

/* listen.c */
void hl__listen(hl_loop *l, hl_slot *s, const hl_op *op);
void hl__watch(hl_loop *l, hl_slot *s, const hl_op *op);
void hl__rewatch(hl_loop *l, hl_slot *s, uint32_t readiness);
void hl__timer(hl_loop *l, hl_slot *s, const hl_op *op);
void hl__listener_timer(hl_loop *l, hl_slot *s); /* the pause of a listener is over */
/* Accepts what is waiting, as far as there is room. */
void hl__accept(hl_loop *l, hl_slot *s);
/* For backends that accept by themselves. `fd` is a new connection; error a negative errno. */
void hl__accepted(hl_loop *l, hl_slot *s, int fd);
void hl__accept_failed(hl_loop *l, hl_slot *s, int error);
void hl__ready(hl_loop *l, hl_slot *s, uint16_t flags);
/* Ends any slot: lets go of its descriptor (closing it unless it is only watched) and notices HL_EV_CLOSED. */
void hl__end(hl_loop *l, hl_slot *s, int32_t result);

/* stream.c */
int hl__set_nonblocking(int fd); /* negative errno */
void hl__attach(hl_loop *l, hl_stream *s, const hl_op *op);
void hl__upgrade(hl_loop *l, hl_stream *s, const hl_op *op);
/* Orderly close; abort is hl__end. */
void hl__stream_close(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len);
void hl__stream_finish(hl_loop *l, hl_stream *s);            /* nothing more to queue: flush, shut, linger, end */
void hl__stream_flushed(hl_loop *l, hl_stream *s);           /* output has become empty */
void hl__output_failed(hl_loop *l, hl_stream *s, int error); /* sending has ended, receiving may go on */
void hl__stream_release(hl_loop *l, hl_stream *s);           /* gives back all it holds */

/* deadline.c */
void hl__goodbye(hl_loop *l, hl_stream *s, uint8_t whose); /* an orderly close begins: HL_GOODBYE_* */
void hl__deadline(hl_loop *l, hl_stream *s, const hl_op *op);
void hl__rearm(hl_loop *l, hl_stream *s);
void hl__stream_timer(hl_loop *l, hl_stream *s);

/* input.c */
void hl__pause(hl_stream *s, uint8_t why);
void hl__resume(hl_loop *l, hl_stream *s, uint8_t why);
/* Runs the codec over input that waits (HL_LIST_INPUT). */
void hl__stream_input(hl_loop *l, hl_stream *s);
static inline uint8_t *hl__in_data(const hl_stream *s)
{
    return hl_block_data(s->in_block) + s->in_at;
}
static inline int hl__input_waits(const hl_stream *s)
{
    return s->in_len > 0 || s->in_last != NULL;
}
/* Where a backend may put what it receives next: up to two pieces; returns how many, 0 when memory is short (the stream
 * has then been ended). *direct is the length of the first piece when it belongs to the codec, else 0. */
int hl__stream_where(hl_loop *l, hl_stream *s, struct iovec iov[2], size_t *direct);
/* The same for a backend that receives into *block for as long as it takes: room for at least `least` bytes of a
 * message under way, or a length of 0 (also when memory is short: the stream has then been ended). */
struct iovec hl__stream_straight(hl_loop *l, hl_stream *s, size_t least, hl_block **block);
/* `n` bytes have been put there. */
void hl__stream_received(hl_loop *l, hl_stream *s, const struct iovec *iov, size_t direct, size_t n);
/* The same for bytes that came in a block of their own, a reference to which is taken over. They may come at any time:
 * what the codec does not take yet waits, and so does the end. */
void hl__stream_took(hl_loop *l, hl_stream *s, hl_block *block, uint8_t *data, size_t n);
/* end: 0: the peer sends no more; else a negative errno. */
void hl__stream_finished(hl_loop *l, hl_stream *s, int end);
void hl__stream_ended(hl_loop *l, hl_stream *s);              /* the peer sends no more */
void hl__receive_failed(hl_loop *l, hl_stream *s, int error); /* negative errno */
void hl__stream_empty(hl_loop *l, hl_stream *s);              /* nothing more to receive at this moment */
void hl__quiesce(hl_loop *l, hl_stream *s, int leave);
static inline int hl__holding(const hl_stream *s)
{
    return s->quiescing == HL_QUIESCE_HOLDING || s->quiescing == HL_QUIESCE_LEAVING;
}
void hl__held(hl_loop *l, hl_stream *s); /* what hold() was asked for is done */
/* Puts the bytes of an operation, and behind them input that waits, where the codec will take them. */
int hl__prepend_input(hl_loop *l, hl_stream *s, const hl_op *op);
void hl__drop_input(hl_loop *l, hl_stream *s);

/* output.c */
/* Queues len bytes at data in block (which gets a reference), after header_len bytes of header. -ENOMEM: not queued. */
int hl__output_add(hl_loop *l, hl_stream *s, hl_block *block, uint8_t *data, uint64_t len, const uint8_t *header,
                   uint8_t header_len);
/* Queues a copy of a few bytes (at most HL_SLAB_MIN). */
int hl__output_copy(hl_loop *l, hl_stream *s, const void *data, size_t len);
int hl__output_gather(hl_stream *s, struct iovec *iov, int max); /* the queue's start as an iovec; returns its count */
void hl__output_sent(hl_loop *l, hl_stream *s, size_t n);
void hl__output_stalled(hl_loop *l, hl_stream *s);
void hl__output_drop(hl_loop *l, hl_stream *s);
void hl__output_flush_all(hl_loop *l);
int hl__output_abounds(const hl_loop *l); /* so much waits for that to be called that it should not be put off */
void hl__output_await_drain(hl_loop *l, hl_stream *s);
void hl__output_fini(hl_loop *l); /* frees what no queue uses any more, after all streams have ended */
void hl__stage_restart(hl_loop *l);

#endif /* HL_CORE_H */
