/* shares.h - how threads share out the pieces of a loop: each takes the pieces of its own share in their order, and when there
 * are none left, those of the others.
 *
 * While all cores are equally fast each works on its own share alone, and reads what it wrote itself in the layer before. When
 * the machine slows one of them down, the others take over what it has not begun. Who computes a piece never shows in it. */
#ifndef CAMRUN_SHARES_H
#define CAMRUN_SHARES_H

#include <stdatomic.h>
#include <stdbool.h>

enum { CACHE_LINE = 64, MOST_SHARES = 128 };

typedef struct work_share {
    _Alignas(CACHE_LINE) atomic_int next; /* own line: others look at it only at the end */
    int pieces;
} work_share;

typedef struct work_shares {
    int n;
    work_share of[MOST_SHARES];
} work_shares;

static inline void add_share(work_shares *s, int pieces)
{
    work_share *added = &s->of[s->n++];
    atomic_init(&added->next, 0);
    added->pieces = pieces;
}

/* Takes the next piece of share `*from` or, when that has none left, of the shares behind it, which *from then is. false: all
 * were taken. A thread starts with *from = thread_index() % s->n. */
static inline bool take_piece(work_shares *s, int *from, int *piece)
{
    for (int tried = 0; tried < s->n; tried++, *from = (*from + 1) % s->n) {
        work_share *at = &s->of[*from];
        *piece = atomic_fetch_add_explicit(&at->next, 1, memory_order_relaxed);
        if (*piece < at->pieces)
            return true;
    }
    return false;
}

#endif
