/* contact.h - --sheet: all maps of one picture on one contact sheet.
 *
 * Where there are several layers they are the columns, and a row is one method's maps of one class; otherwise methods are
 * the columns, and a row is a class. */
#ifndef CAMRUN_CONTACT_H
#define CAMRUN_CONTACT_H

#include "camrun.h"
#include "options.h"

/* Zeroed: none. */
typedef struct contact {
    cr_sheet *sheet;
    int n_layers;
    float *map; /* of one layer, at the input's size */
} contact;

bool contact_begin(contact *c, const options *o, const cr_image *photo, const cr_geometry *geometry, int n_targets,
                   int n_layers, cr_error *err);
/* Adds the maps of this method of the explainer for the target-th class, which is called `title`. */
bool contact_add(contact *c, const cr_explainer *e, int target, int method, const char *title, cr_error *err);
void contact_free(contact *c);

#endif
