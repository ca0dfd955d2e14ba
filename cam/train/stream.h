/* stream.h - reproducible random numbers: each purpose has a stream of its own, so that what one of them draws never changes
 * what another gets. */
#ifndef CAMRUN_TRAIN_STREAM_H
#define CAMRUN_TRAIN_STREAM_H

#include <stddef.h>
#include <stdint.h>

typedef struct stream {
    uint64_t state;
} stream;

/* What random numbers are for. */
typedef enum purpose { FOR_WEIGHTS, FOR_SPLIT, FOR_ORDER, FOR_VIEW, FOR_DROPOUT } purpose;

/* The stream for one purpose; a and b tell its streams apart: an epoch, an index. */
stream stream_of(uint64_t seed, purpose what, uint64_t a, uint64_t b);

uint64_t draw_bits(stream *s);
double draw_unit(stream *s);               /* uniform in [0,1), a multiple of 2^-53 */
int draw_below(stream *s, int n);          /* uniform in 0 .. n-1; n > 0 */
double draw_normal(stream *s);             /* mean 0, variance 1 */
void shuffle(int *items, int n, stream *s); /* every order equally likely */

#endif
