/* main.c - the camscenes program: writes a set of scenes. */
#include <limits.h>
#include <stddef.h>

#include "command_line.h"
#include "dataset.h"
#include "interrupt.h"
#include "program.h"

enum { WRITE_SET, SHOW_HELP, SHOW_VERSION };

typedef struct options {
    int task;
    int train, val, two, three; /* numbers of pictures */
    int size, seed, threads;
    double difficulty;
    bool gray;
    const char *dir;
} options;

static const char help[] =
    "camscenes draws pictures with known answers: objects of ten classes among clutter, and their boxes.\n"
    "\n"
    "  camscenes shapes                          5000 pictures to train, 1000 to validate, 200 of two\n"
    "  camscenes shapes --train 20000 --val 2000 --size 96\n"
    "\n"
    "  --train N  --val N   pictures of one object, by its class: DIR/train/heart/000005.png\n"
    "  --two N  --three N   pictures of several, all of different classes, by the first one's class\n"
    "  --size N             pixels a side, 32 to 2048                                (default: 128)\n"
    "  --seed N             another number gives other pictures                      (default: 1)\n"
    "  --difficulty 0..1    pictures range from easy ones to this: smaller objects,  (default: 1)\n"
    "                       more clutter, less contrast, noise\n"
    "  --gray               without colours          --threads N  --help  --version\n"
    "\n"
    "Classes: arrow circle crescent cross flower heart ring square star triangle. DIR must be new or\n"
    "empty; DIR/train is a folder for camtrain or torchvision's ImageFolder. DIR/boxes.csv, written last,\n"
    "has a row file,class,x0,y0,x1,y1 for each object: it lies in the pixels x0 <= x < x1, y0 <= y < y1.\n"
    "The same options give the same pictures on every machine, bit for bit.\n"
    "Exit status: 0 done; 1 a file or folder is at fault; 2 the command line is.\n";

#define FIELD(member) offsetof(options, member)

enum { MOST_PICTURES = 1000000 }; /* their names have six digits */

static const option table[] = {
    {"train", 0, set_count, FIELD(train), 0, 1, MOST_PICTURES},
    {"val", 0, set_count, FIELD(val), 0, 1, MOST_PICTURES},
    {"two", 0, set_count, FIELD(two), 0, 1, MOST_PICTURES},
    {"three", 0, set_count, FIELD(three), 0, 1, MOST_PICTURES},
    {"size", 0, set_count, FIELD(size), 0, CR_SCENE_MIN_SIZE, CR_SCENE_MAX_SIZE},
    {"seed", 0, set_count, FIELD(seed), 0, 0, INT_MAX},
    {"difficulty", 0, set_number, FIELD(difficulty), 0, 0, 1},
    {"gray", 0, set_flag, FIELD(gray), 0, 0, 0},
    {"threads", 0, set_count, FIELD(threads), 0, 1, 1024},
};

static const task_option tasks[] = {
    {"help", 'h', SHOW_HELP, true},
    {"version", 0, SHOW_VERSION, true},
};

enum { OPTIONS = sizeof table / sizeof table[0], TASKS = sizeof tasks / sizeof tasks[0] };

static bool choose_folder(options *o, const text_list *words, cr_error *err)
{
    if (!words->n)
        return cr_fail(err, "no folder given for the pictures: camscenes DIR (--help)");
    if (words->n > 1)
        return cr_fail(err, "expected one folder for the pictures, found '%.200s' and '%.200s'", words->items[0],
                       words->items[1]);
    if (!*words->items[0])
        return cr_fail(err, "expected a folder for the pictures, found an empty name");
    o->dir = words->items[0];
    return true;
}

static bool parse(options *o, int argc, char **argv, cr_error *err)
{
    static const command camscenes = {table, OPTIONS, tasks, TASKS};
    bool given[OPTIONS] = {false};
    command_line line = {.given = given, .task = WRITE_SET};
    *o = (options){.size = 128, .seed = 1, .difficulty = 1};
    bool ok = text_list_create(&line.operands, argc, err) && command_parse(&camscenes, o, &line, argc, argv, err) &&
              (line.task != WRITE_SET || choose_folder(o, &line.operands, err));
    text_list_free(&line.operands);
    o->task = line.task;
    if (!o->train && !o->val && !o->two && !o->three)
        o->train = 5000, o->val = 1000, o->two = 200;
    return ok;
}

static bool write_set(const options *o, cr_error *err)
{
    dataset set = {.dir = o->dir, .size = o->size, .seed = (uint64_t)o->seed, .difficulty = (float)o->difficulty, .gray = o->gray};
    set.count[CR_SCENE_TRAIN] = o->train;
    set.count[CR_SCENE_VAL] = o->val;
    set.count[CR_SCENE_TWO] = o->two;
    set.count[CR_SCENE_THREE] = o->three;
    if (!dataset_write(&set, err))
        return false;
    const char *before = "";
    for (int i = 0; i < CR_SCENE_SPLITS; i++)
        if (set.count[i]) {
            printf("%s%d %s", before, set.count[i], cr_scene_split_name((cr_scene_split)i));
            before = ", ";
        }
    printf(" pictures of %dx%d and their boxes written to ", o->size, o->size);
    put_printable(stdout, o->dir);
    putchar('\n');
    return true;
}

int main(int argc, char **argv)
{
    interrupt_watch();
    cr_error err = {""};
    options o;
    if (!parse(&o, argc, argv, &err))
        return complain("camscenes", &err, BAD_USAGE);
    if (o.threads)
        cr_set_threads(o.threads);
    bool ok = true;
    if (o.task == SHOW_HELP)
        fputs(help, stdout);
    else if (o.task == SHOW_VERSION)
        puts("camscenes " CAMRUN_VERSION);
    else
        ok = write_set(&o, &err);
    return finish("camscenes", ok ? DONE : BAD_INPUT, &err);
}
