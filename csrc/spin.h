/*
 * spin.h - staying awake for a moment before sleeping.
 *
 * A sleep and the wake-up that ends it cost a thread switch each, several microseconds that a message which comes right
 * behind the last one need not wait. So, when config.spin_us allows it, a loop with nothing to do asks its backend
 * without sleeping until its budget is used up. The budget follows what that would have gained, as KVM's halt polling
 * does (Linux, Documentation/virt/kvm/halt-polling.rst): whenever something came within spin_us of having nothing to do
 * it doubles, up to spin_us; whenever nothing did it halves, down to 0. A loop that is idle, or gets messages more
 * rarely, thus soon goes to sleep at once and burns nothing.
 *
 * Owner's thread, all of it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_SPIN_H
#define HL_SPIN_H

#include <stdint.h>

#define HL_SPIN_MAX 1000 /* us; most that config.spin_us may be: a loop takes letters and timers once in that time */

typedef struct hl_spin {
    uint64_t began;  /* us, monotonic: when there was nothing left to do */
    uint32_t budget; /* us; 0: it sleeps at once */
} hl_spin;

struct hl_loop;

void hl__spin_init(struct hl_loop *l);

/* To be called when there is nothing to do. 1: something has come to do, 0: it is time to sleep; negative: the backend
 * broke. */
int hl__spin(struct hl_loop *l);

/* To be called after the sleep that followed. found: it ended because there was something to do. */
void hl__spin_learn(struct hl_loop *l, int found);

#endif /* HL_SPIN_H */
