/* nearest.c - the edit distance behind "did you mean ...?" (Damerau-Levenshtein in its restricted form: no letter is
 * edited twice). */
#include "nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 63 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

int cr_edit_distance(const char *a, const char *b)
{
    int na = (int)strnlen(a, LONGEST), nb = (int)strnlen(b, LONGEST);
    int d[LONGEST + 1][LONGEST + 1]; /* d[i][j]: from the first i letters of a to the first j of b */
    for (int i = 0; i <= na; i++)
        for (int j = 0; j <= nb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int replaced = d[i - 1][j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            d[i][j] = smaller(replaced, 1 + smaller(d[i - 1][j], d[i][j - 1]));
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                d[i][j] = smaller(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[na][nb];
}

bool cr_is_near(const char *typed, const char *known)
{
    size_t length = strlen(typed);
    if (length == 0)
        return false;
    return strncasecmp(typed, known, length) == 0 || 3 * cr_edit_distance(typed, known) <= (int)strnlen(typed, LONGEST);
}
