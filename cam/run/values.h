/* values.h - readers of options' values that several commands have, with the type of the field. */
#ifndef CAMRUN_VALUES_H
#define CAMRUN_VALUES_H

#include "colormap.h"
#include "command_line.h"
#include "methods.h"

/* No method twice. */
typedef struct method_list {
    int n;
    const cr_method *items[32];
} method_list;

bool add_methods(void *field, const char *text, const option *o, cr_error *err);  /* method_list: names with commas */
bool set_colormap(void *field, const char *text, const option *o, cr_error *err); /* const cr_colormap * */
bool set_fraction(void *field, const char *text, const option *o, cr_error *err); /* float, from 0 to 1 */

#endif
