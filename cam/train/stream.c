/* stream.c - see stream.h. */
#include "stream.h"

#include <math.h>

#include "random.h"

uint64_t draw_bits(stream *s)
{
    s->state += RANDOM_STEP;
    return random_mix(s->state);
}

stream stream_of(uint64_t seed, purpose what, uint64_t a, uint64_t b)
{
    const uint64_t words[] = {(uint64_t)what, a, b};
    stream s = {seed};
    for (int i = 0; i < 3; i++)
        s.state = draw_bits(&s) ^ words[i]; /* each word goes through a mix of its own */
    s.state = draw_bits(&s);
    return s;
}

double draw_unit(stream *s)
{
    return random_unit(draw_bits(s));
}

int draw_below(stream *s, int n)
{
    /* The largest multiple of n, past which remainders would not be equally likely. */
    const uint64_t range = (uint64_t)n, limit = UINT64_MAX - UINT64_MAX % range;
    uint64_t bits;
    do
        bits = draw_bits(s);
    while (bits >= limit);
    return (int)(bits % range);
}

/* Box and Muller, 1958: the radius and the angle of a point in the plane; of its two coordinates one is used. */
double draw_normal(stream *s)
{
    double radius = sqrt(-2 * log(1 - draw_unit(s))), angle = 4 * acos(0) * draw_unit(s);
    return radius * cos(angle);
}

void shuffle(int *items, int n, stream *s)
{
    for (int i = n - 1; i > 0; i--) {
        int k = draw_below(s, i + 1), item = items[i];
        items[i] = items[k];
        items[k] = item;
    }
}
