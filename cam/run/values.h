/* values.h - readers of options' values that several commands have, with the type of the field. */
#ifndef CAMRUN_VALUES_H
#define CAMRUN_VALUES_H

#include "colormap.h"
#include "command_line.h"
#include "methods.h"

enum { MOST_METHODS = 32 };

/* No method twice. */
typedef struct method_list {
    int n;
    const cr_method *items[MOST_METHODS];
} method_list;

/* Indices of filters, channels. */
typedef struct index_list {
    int n;
    int items[4096];
} index_list;

/* Whether all are below `count`, which is how many `what` has. */
bool index_list_check(const index_list *list, int count, const char *name, const char *what, cr_error *err);

/* Where it is empty, the first `most` of `count`. */
void index_list_default(index_list *list, int count, int most);

bool add_indices(void *field, const char *text, const option *o, cr_error *err);  /* index_list: as 0-7,45 */
bool add_methods(void *field, const char *text, const option *o, cr_error *err);  /* method_list: names with commas */
bool set_colormap(void *field, const char *text, const option *o, cr_error *err); /* const cr_colormap * */
bool set_fraction(void *field, const char *text, const option *o, cr_error *err); /* float, from 0 to 1 */

#endif
