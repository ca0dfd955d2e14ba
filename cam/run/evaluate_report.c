/* evaluate_report.c - what camrun evaluate tells: means as Markdown tables or JSON, and every figure as CSV. */
#include "evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_writer.h"
#include "program.h"

/* What is found of every map, as its column is called. */
static const struct column {
    const char *name;
    unsigned metric;
    bool percent; /* in the table of means */
    bool detail;  /* not there */
} columns[VALUES] = {
    [POINTING] = {"pointing", METRIC_POINTING, true, false},
    [ENERGY] = {"energy", METRIC_ENERGY, true, false},
    [DROP] = {"drop", METRIC_DROP, true, false},
    [INCREASE] = {"increase", METRIC_DROP, true, false},
    [INSERTION] = {"insertion", METRIC_INSERTION, false, false},
    [DELETION] = {"deletion", METRIC_DELETION, false, false},
    [ROAD_MOST] = {"road_most", METRIC_ROAD, false, true},
    [ROAD_LEAST] = {"road_least", METRIC_ROAD, false, true},
    [ROAD] = {"road", METRIC_ROAD, false, false},
};

static const char *const alike_names[2] = {"rank_correlation", "similarity"};

/* ---- means ---- */

/* Of the numbers that are not NaN; NaN where there is none. */
typedef struct mean {
    double sum;
    int n;
} mean;

static void add(mean *m, double value)
{
    if (!isnan(value)) {
        m->sum += value;
        m->n++;
    }
}

static double value_of(const mean *m)
{
    return m->n ? m->sum / m->n : NAN;
}

static size_t cell(const evaluation *e, int subject_index, int s)
{
    return (size_t)subject_index * (size_t)e->n_candidates + (size_t)s;
}

static double mean_value(const evaluation *e, int s, int column)
{
    mean m = {0};
    for (int i = 0; i < e->subjects.n; i++)
        add(&m, e->values[cell(e, i, s)][column]);
    return value_of(&m);
}

static double mean_alike(const evaluation *e, int s, int stage, int which)
{
    mean m = {0};
    for (int i = 0; i < e->subjects.n; i++)
        add(&m, e->alike[(size_t)stage * cell(e, e->subjects.n, 0) + cell(e, i, s)][which]);
    return value_of(&m);
}

/* Where the picture of subject i ends. */
static int picture_end(const evaluation *e, int i)
{
    int end = i + 1;
    while (end < e->subjects.n && strcmp(e->subjects.all[end].path, e->subjects.all[i].path) == 0)
        end++;
    return end;
}

static int count_pictures(const evaluation *e)
{
    int n = 0;
    for (int i = 0; i < e->subjects.n; i = picture_end(e, i))
        n++;
    return n;
}

/* Of the pictures in which several classes have boxes that are seen, the share where each class's map points at its own. */
static double all_objects(const evaluation *e, int s)
{
    mean m = {0};
    for (int i = 0, end; i < e->subjects.n; i = end) {
        end = picture_end(e, i);
        int classes = 0;
        bool all = true;
        for (int k = i; k < end; k++) {
            const double pointing = e->values[cell(e, k, s)][POINTING];
            classes += !isnan(pointing);
            all = all && (isnan(pointing) || pointing > 0.5);
        }
        if (classes > 1)
            add(&m, all);
    }
    return value_of(&m);
}

/* How often the explained class is the network's first guess. */
static double accuracy(const evaluation *e)
{
    mean m = {0};
    for (int i = 0; i < e->subjects.n; i++)
        add(&m, e->facts[i].class_index == e->facts[i].predicted);
    return value_of(&m);
}

static int count_unseen(const evaluation *e)
{
    int n = 0;
    for (int i = 0; e->o->metrics & METRIC_BOXES && i < e->subjects.n; i++)
        n += !e->facts[i].seen;
    return n;
}

static const char *layer_name(const evaluation *e, const candidate *s)
{
    return s->layer >= 0 ? e->network.net->nodes[s->layer].name : NULL;
}

/* ---- tables ---- */

/* Cells as text, to be written with columns as wide as their longest. */
typedef struct table {
    int rows, columns;
    char (*cells)[CR_NAME_SIZE]; /* (rows,columns); the first row is the heading, the first two columns are left-aligned */
} table;

static void put_cell(table *t, int row, int column, const char *text)
{
    snprintf(t->cells[row * t->columns + column], sizeof *t->cells, "%s", text);
}

static void put_value(table *t, int row, int column, double value, bool percent)
{
    char text[24] = "";
    if (!isnan(value))
        snprintf(text, sizeof text, percent ? "%.1f %%" : "%.3f", percent ? 100 * value : value);
    put_cell(t, row, column, text);
}

static void put_candidates(table *t, const evaluation *e)
{
    put_cell(t, 0, 0, "method");
    put_cell(t, 0, 1, "layer");
    for (int s = 0; s < e->n_candidates; s++) {
        const char *layer = layer_name(e, &e->candidates[s]);
        put_cell(t, s + 1, 0, maker_name(&e->candidates[s].maker));
        put_cell(t, s + 1, 1, layer ? layer : "");
    }
}

static int width_of(const table *t, int column)
{
    int width = 3;
    for (int row = 0; row < t->rows; row++) {
        const int length = (int)strlen(t->cells[row * t->columns + column]);
        width = length > width ? length : width;
    }
    return width;
}

static void write_table(FILE *out, const table *t)
{
    for (int row = 0; row < t->rows; row++) {
        for (int k = 0; k < t->columns; k++)
            fprintf(out, k < 2 ? "| %-*s " : "| %*s ", width_of(t, k), t->cells[row * t->columns + k]);
        fputs("|\n", out);
        for (int k = 0; row == 0 && k < t->columns; k++) {
            fputs("| ", out);
            for (int i = 0; i < width_of(t, k) - (k >= 2); i++)
                putc('-', out);
            fputs(k < 2 ? " " : ": ", out);
        }
        fputs(row == 0 ? "|\n" : "", out);
    }
}

static bool table_create(table *t, const evaluation *e, int more_columns)
{
    *t = (table){e->n_candidates + 1, 2 + more_columns, NULL};
    if (!(t->cells = calloc((size_t)t->rows * (size_t)t->columns, sizeof *t->cells)))
        return false;
    put_candidates(t, e);
    return true;
}

static bool write_means(FILE *out, const evaluation *e)
{
    table t;
    int k = 2;
    if (!table_create(&t, e, VALUES + 1))
        return false;
    for (int c = 0; c < VALUES; c++) {
        if (columns[c].detail || !(columns[c].metric & e->o->metrics))
            continue;
        put_cell(&t, 0, k, columns[c].name);
        for (int s = 0; s < e->n_candidates; s++)
            put_value(&t, s + 1, k, mean_value(e, s, c), columns[c].percent);
        k++;
        if (c != POINTING || isnan(all_objects(e, 0)))
            continue;
        put_cell(&t, 0, k, "all objects");
        for (int s = 0; s < e->n_candidates; s++)
            put_value(&t, s + 1, k, all_objects(e, s), true);
        k++;
    }
    for (int row = 1; row < t.rows; row++) /* together, as the table has fewer columns than it had room for */
        memmove(t.cells[row * k], t.cells[row * t.columns], (size_t)k * sizeof *t.cells);
    t.columns = k;
    if (k > 2) {
        putc('\n', out);
        write_table(out, &t);
    }
    free(t.cells);
    return true;
}

/* Rows: candidates; columns: stages. */
static bool write_stages(FILE *out, const evaluation *e, int which)
{
    table t;
    if (!table_create(&t, e, e->n_stages))
        return false;
    for (int stage = 0; stage < e->n_stages; stage++) {
        put_cell(&t, 0, 2 + stage, e->stages[stage]);
        for (int s = 0; s < e->n_candidates; s++)
            put_value(&t, s + 1, 2 + stage, mean_alike(e, s, stage, which), false);
    }
    write_table(out, &t);
    free(t.cells);
    return true;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static bool write_text(FILE *out, const evaluation *e)
{
    const int pictures = count_pictures(e), unseen = count_unseen(e), n = e->subjects.n;
    fprintf(out, "%d picture%s through %s of ", pictures, plural(pictures), e->network.net->arch);
    put_printable(out, e->o->network.weights);
    fprintf(out, ", %d class%s explained; %.1f %% of them are the network's first guess\n", n, n == 1 ? "" : "es",
            100 * accuracy(e));
    if (unseen)
        fprintf(out, "%d object%s outside of what the network sees: not counted in pointing and energy\n", unseen,
                unseen == 1 ? " lies" : "s lie");
    bool ok = write_means(out, e);
    for (int which = 0; ok && e->n_stages && which < 2; which++) {
        fprintf(out, "\n%s of the maps with those of the same network with random parameters from the top down to:\n\n",
                which == RANK_CORRELATION ? "Rank correlation" : "Structural similarity");
        ok = write_stages(out, e, which);
    }
    return ok;
}

/* ---- JSON ---- */

static void json_candidate(json_writer *j, const evaluation *e, int s)
{
    json_open(j, NULL, '{');
    json_text(j, "method", maker_name(&e->candidates[s].maker));
    json_text(j, "layer", layer_name(e, &e->candidates[s]));
    for (int c = 0; c < VALUES; c++) {
        if (columns[c].metric & e->o->metrics)
            json_double(j, columns[c].name, mean_value(e, s, c));
        if (c == POINTING && e->o->metrics & METRIC_POINTING)
            json_double(j, "all_objects", all_objects(e, s));
    }
    for (int which = 0; e->n_stages && which < 2; which++) {
        json_open(j, alike_names[which], '[');
        for (int stage = 0; stage < e->n_stages; stage++)
            json_double(j, NULL, mean_alike(e, s, stage, which));
        json_close(j, ']');
    }
    json_close(j, '}');
}

static void write_json(FILE *out, const evaluation *e)
{
    json_writer writer = {.out = out}, *j = &writer;
    json_open(j, NULL, '{');
    json_text(j, "camrun", CAMRUN_VERSION);
    json_text(j, "arch", e->network.net->arch);
    json_text(j, "weights", e->o->network.weights);
    json_text(j, "boxes", e->o->boxes);
    json_integer(j, "pictures", count_pictures(e));
    json_integer(j, "explained", e->subjects.n);
    json_integer(j, "outside", count_unseen(e));
    json_double(j, "accuracy", accuracy(e));
    json_double(j, "tolerance", e->o->tolerance);
    json_integer(j, "steps", e->o->steps);
    json_double(j, "road_noise", e->o->road_noise);
    json_integer(j, "seed", e->o->seed);
    if (e->n_stages) {
        json_open(j, "randomized_down_to", '[');
        for (int stage = 0; stage < e->n_stages; stage++)
            json_text(j, NULL, e->stages[stage]);
        json_close(j, ']');
    }
    json_open(j, "means", '[');
    for (int s = 0; s < e->n_candidates; s++)
        json_candidate(j, e, s);
    json_close(j, ']');
    json_close(j, '}');
}

bool evaluation_report(FILE *out, const evaluation *e, cr_error *err)
{
    if (!e->o->json)
        return write_text(out, e) || cr_fail(err, "out of memory for the report");
    write_json(out, e);
    return true;
}

/* ---- CSV ---- */

static void csv_text(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (const char[]){*text, '\0'}, out);
    putc('"', out);
}

static void csv_value(FILE *out, double value)
{
    if (isnan(value))
        putc(',', out);
    else
        fprintf(out, ",%.6g", value);
}

static void csv_class(FILE *out, const evaluation *e, int class_index)
{
    const char *name = cr_label(&e->network.labels, class_index);
    putc(',', out);
    if (name)
        csv_text(out, name);
    else
        fprintf(out, "%d", class_index);
}

static void csv_row(FILE *out, const evaluation *e, int i, int s)
{
    const char *layer = layer_name(e, &e->candidates[s]);
    csv_text(out, e->subjects.all[i].path);
    csv_class(out, e, e->facts[i].class_index);
    csv_class(out, e, e->facts[i].predicted);
    csv_value(out, e->facts[i].probability);
    fprintf(out, ",%s,%s", maker_name(&e->candidates[s].maker), layer ? layer : "");
    for (int c = 0; c < VALUES; c++)
        if (columns[c].metric & e->o->metrics)
            csv_value(out, e->values[cell(e, i, s)][c]);
    for (int which = 0; which < 2; which++)
        for (int stage = 0; stage < e->n_stages; stage++)
            csv_value(out, e->alike[(size_t)stage * cell(e, e->subjects.n, 0) + cell(e, i, s)][which]);
    putc('\n', out);
}

bool evaluation_write_csv(const evaluation *e, const char *path, cr_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return cr_fail(err, "out of memory for %.200s", path);
    fputs("file,class,predicted,probability,method,layer", out);
    for (int c = 0; c < VALUES; c++)
        if (columns[c].metric & e->o->metrics)
            fprintf(out, ",%s", columns[c].name);
    for (int which = 0; which < 2; which++)
        for (int stage = 0; stage < e->n_stages; stage++)
            fprintf(out, ",%s:%s", alike_names[which], e->stages[stage]);
    putc('\n', out);
    for (int i = 0; i < e->subjects.n; i++)
        for (int s = 0; s < e->n_candidates; s++)
            csv_row(out, e, i, s);
    bool ok = (fclose(out) == 0) || cr_fail(err, "out of memory for %.200s", path);
    ok = ok && cr_file_write(path, text, bytes, err);
    free(text);
    return ok;
}
