/*
 * mailbox.c - the lock-free mailbox of hl_mailbox.h.
 *
 * The stack follows R. K. Treiber, "Systems Programming: Coping with Parallelism" (IBM RJ 5118, 1986); taking it whole
 * needs no counted head. The sleeping flag is one half of Dekker's handshake (E. W. Dijkstra, EWD 123, 1965): each side
 * stores its own word and then loads the other's, all four sequentially consistent.
 *
 * Invariants
 *   1. A letter is in the list that starts at `head` from the compare-and-swap that posts it to the exchange that takes
 *      it. A post relies on nothing but the value of head, which becomes its letter's next: whether that head was taken
 *      and posted anew in between makes no difference (no ABA).
 *   2. Only the consumer sets `sleeping` to 1. Whoever exchanges a 1 for 0, and nobody else, owes the consumer one
 *      wake-up.
 *   3. Of a post P and a sleep S, either S sees P's letter or P sees S's flag. In the single order of all sequentially
 *      consistent operations: had both missed, P's push would precede P's load, which precedes S's store, which
 *      precedes S's load, which precedes P's push.
 *   4. From 2 and 3: while the consumer waits with letters in its box, a wake-up is on its way.
 *
 * The same holds for a word of the caller's own beside the mailbox: store it (seq_cst), then hl_mailbox_nudge; the
 * consumer calls hl_mailbox_sleep, then loads it (seq_cst). A nudge leaves no trace of its own: it returns 0 when the
 * consumer is awake, who may sleep right after.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_mailbox.h"

_Static_assert(offsetof(hl_mailbox, head) == 0, "Go exchanges the word at offset 0");
_Static_assert(sizeof(hl_mailbox) == HL_CACHE_LINE, "a mailbox has a cache line of its own");

void hl_mailbox_init(hl_mailbox *m)
{
    *m = (hl_mailbox){0};
}

int hl_mailbox_nudge(hl_mailbox *m)
{
    /* seq_cst: the load of Dekker's handshake (invariant 3). Loading before exchanging keeps the line shared while the
     * consumer is awake, which under load is nearly always. */
    if (__atomic_load_n(&m->sleeping, __ATOMIC_SEQ_CST) == 0) {
        return 0;
    }
    /* relaxed: it only elects one waker. The letters were published by head, the wake-up itself goes through the
     * kernel. */
    return (int)__atomic_exchange_n(&m->sleeping, 0, __ATOMIC_RELAXED);
}

int hl_mailbox_post(hl_mailbox *m, hl_letter *letter)
{
    hl_letter *head = __atomic_load_n(&m->head, __ATOMIC_RELAXED); /* a guess; the compare-and-swap checks it */
    do {
        letter->next = head;
        /* seq_cst on success: its release half publishes the letter to hl_mailbox_take's acquire; the rest makes it the
         * store of Dekker's handshake, which must not be overtaken by the load in hl_mailbox_nudge (invariant 3).
         * relaxed on failure: the value is another guess, never followed. */
    } while (!__atomic_compare_exchange_n(&m->head, &head, letter, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return hl_mailbox_nudge(m);
}

hl_letter *hl_letter_reverse(hl_letter *list)
{
    hl_letter *reversed = NULL;
    while (list != NULL) {
        hl_letter *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

hl_letter *hl_mailbox_take(hl_mailbox *m)
{
    /* relaxed: an empty box publishes nothing, and coherence shows every post that happened before this call. It spares
     * an idle turn the exchange. */
    if (__atomic_load_n(&m->head, __ATOMIC_RELAXED) == NULL) {
        return NULL;
    }
    /* acquire: sees the contents of all letters in the list. Each post is a read-modify-write, so the release of an
     * older post reaches us through the younger ones. */
    return hl_letter_reverse(__atomic_exchange_n(&m->head, NULL, __ATOMIC_ACQUIRE));
}

int hl_mailbox_sleep(hl_mailbox *m)
{
    /* seq_cst, both: the consumer's half of Dekker's handshake (invariant 3). */
    __atomic_store_n(&m->sleeping, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&m->head, __ATOMIC_SEQ_CST) == NULL) {
        return 1;
    }
    hl_mailbox_awake(m);
    return 0;
}

void hl_mailbox_awake(hl_mailbox *m)
{
    /* relaxed: a poster that still reads the 1 sends a wake-up nobody needs, which is harmless; one that reads the 0
     * relies on a later take or sleep of this same thread, and those order themselves by head. */
    __atomic_store_n(&m->sleeping, 0, __ATOMIC_RELAXED);
}
