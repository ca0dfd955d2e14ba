/* error.c - one line of text is the whole error mechanism. */
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

bool cr_fail(cr_error *err, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return false;
}
