/*
 * hl_mailbox.h - a lock-free mailbox: many producers, one consumer, one wake-up for many letters.
 *
 * A letter is an intrusive node. Posting pushes it on a stack with compare-and-swap (Treiber 1986); the consumer takes
 * the whole stack with one exchange and reverses it, so letters come out in the order in which their posts took effect
 * and the ABA problem cannot arise. There is no moment in which a completed post is invisible to the next take (a
 * linked queue of the Vyukov kind has one), which is what lets a loop order its own operations against letters.
 *
 * Sleeping: the consumer calls hl_mailbox_sleep before it waits and hl_mailbox_awake after. Of all posts that fall in
 * between, exactly one is told to wake it. How (an eventfd, PostQueuedCompletionStatus) is the caller's business.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_MAILBOX_H
#define HL_MAILBOX_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hl_letter {
    struct hl_letter *next;
} hl_letter;

typedef struct hl_mailbox {
    hl_letter *head;    /* atomic; offset 0: Go tests it for NULL and exchanges it */
    uint32_t sleeping;  /* atomic */
    uint32_t reserved;
    char pad[HL_CACHE_LINE - 16];
} hl_mailbox;

/* Owner, before anyone posts. */
void hl_mailbox_init(hl_mailbox *m);

/* Posts `letter`, which must stay valid until it is taken. Returns 1 when the caller has to wake the consumer, 0 when
 * somebody else has or it is awake. Any thread. */
int hl_mailbox_post(hl_mailbox *m, hl_letter *letter);

/* As hl_mailbox_post without a letter: just asks for the consumer to be awake. Any thread. */
int hl_mailbox_nudge(hl_mailbox *m);

/* Takes all letters, oldest first, linked by next; NULL when there are none. Owner. */
hl_letter *hl_mailbox_take(hl_mailbox *m);

/* Puts a list as it was exchanged off the head (newest first) into posting order. */
hl_letter *hl_letter_reverse(hl_letter *list);

/* Announces that the consumer is about to wait. Returns 1 when it may; 0, and the announcement is taken back, when
 * there are letters. Owner. */
int hl_mailbox_sleep(hl_mailbox *m);

/* The consumer is awake again. Owner. */
void hl_mailbox_awake(hl_mailbox *m);

#ifdef __cplusplus
}
#endif
#endif /* HL_MAILBOX_H */
