/* boxes.h - where the objects are: a CSV file of bounding boxes, as camscenes writes it.
 *
 *   file,class,x0,y0,x1,y1
 *   val/heart/000005.png,heart,12,40,57,90
 *
 * The first line names the columns: these six in any order, others beside them are passed over. file is relative to the CSV
 * file's folder; class is a name or an index; the box holds the photograph's pixels x0 <= x < x1, y0 <= y < y1. Values may be
 * quoted ("a ""b"", c.png"), lines end in LF or CRLF. */
#ifndef CAMRUN_BOXES_H
#define CAMRUN_BOXES_H

#include "classes.h"
#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_box {
    char *file; /* its path, with the CSV file's folder */
    int class_index;
    cr_rect rect; /* not empty */
    int line;     /* in the CSV file, from 1 */
} cr_box;

/* Zeroed: none. */
typedef struct cr_boxes {
    int n;
    cr_box *rows; /* in the file's order */
} cr_boxes;

/* False, with path and line in the message, where something is wrong; there is at least one box where it is true. */
bool cr_boxes_read(cr_boxes *boxes, const char *path, const cr_labels *labels, int classes, cr_error *err);
void cr_boxes_free(cr_boxes *boxes);

#ifdef __cplusplus
}
#endif
#endif
