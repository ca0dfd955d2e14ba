/* nearest.h - "did you mean ...?": the known words that resemble a mistyped one. */
#ifndef CAMRUN_NEAREST_H
#define CAMRUN_NEAREST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many letters must be inserted, deleted, replaced or swapped with their neighbour to turn a into b, whatever their
 * case. Only the first 63 bytes of each count. */
int cr_edit_distance(const char *a, const char *b);

/* Whether `known` resembles `typed` enough to be offered in its place: at most one edit in three letters, or it begins
 * with all of `typed`. */
bool cr_is_near(const char *typed, const char *known);

#ifdef __cplusplus
}
#endif
#endif
