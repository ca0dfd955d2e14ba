/* program.c - see program.h. */
#include "program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

int complain(const char *program, const cr_error *err, int status)
{
    fprintf(stderr, "%s: ", program);
    put_printable(stderr, err->text);
    putc('\n', stderr);
    return status;
}

int finish(const char *program, int status, cr_error *err)
{
    if ((status == DONE || status == SOME_FAILED) && (fflush(stdout) != 0 || ferror(stdout))) {
        cr_fail(err, "cannot write to standard output: %s", strerror(errno));
        status = BAD_INPUT;
    }
    return status == DONE ? DONE : complain(program, err, status);
}

void put_printable(FILE *out, const char *text)
{
    for (; *text; text++)
        putc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, out);
}

bool check_isa(cr_error *err)
{
    const char *isa = getenv("CAMRUN_ISA");
    return !isa || strcmp(isa, cr_isa()) == 0 ||
           cr_fail(err, "CAMRUN_ISA: expected the kernels of this build and machine, found '%.40s'; the best here are %s",
                   isa, cr_isa());
}

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

size_t peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss;
#else
    return (size_t)usage.ru_maxrss * 1024;
#endif
}
