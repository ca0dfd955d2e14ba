/* text.c - a stroke font and its pen (text.h).
 *
 * A glyph is a width and a path on a grid where the baseline is 0, capitals reach up to 12, small letters to 8 and
 * tails down to -4. Path: M moves, L draws a line, V and H draw a quarter of an ellipse that leaves the current point
 * vertically (V) or horizontally (H) and arrives in the other direction: "M0 6 V4 12 H8 6 V4 0 H0 6" is an O. */
#include "text.h"

#include <math.h>

enum { FIRST_GLYPH = ' ', LAST_GLYPH = '~', CAP_HEIGHT = 12, TAIL = 4, GAP = 3 };
static const double pen_radius = 0.8;

typedef struct glyph {
    double width;
    const char *path;
} glyph;

static const glyph glyphs[LAST_GLYPH - FIRST_GLYPH + 1] = {
    /* space */ {3, ""},
    /* ! */ {0, "M0 12 L0 4 M0 0 L0 0"},
    /* " */ {3, "M0 12 L0 9 M3 12 L3 9"},
    /* # */ {8, "M3 12 L1 0 M7 12 L5 0 M0 8 L8 8 M0 4 L8 4"},
    /* $ */ {8, "M8 9 V4 11 H0 8.5 V4 6 H8 3.5 V4 1 H0 3 M4 13 L4 -1"},
    /* % */ {10, "M0 9.5 V2 12 H4 9.5 V2 7 H0 9.5 M6 2.5 V8 5 H10 2.5 V8 0 H6 2.5 M9 12 L1 0"},
    /* & */ {9, "M9 0 L2 8 V4 12 H6 9 V3 6 H0 3 V3 0 H9 6"},
    /* ' */ {0, "M0 12 L0 9"},
    /* ( */ {3, "M3 13 L1 10 L0 7 L0 3 L1 0 L3 -3"},
    /* ) */ {3, "M0 13 L2 10 L3 7 L3 3 L2 0 L0 -3"},
    /* * */ {6, "M3 12 L3 6 M0 10.5 L6 7.5 M6 10.5 L0 7.5"},
    /* + */ {8, "M4 9 L4 1 M0 5 L8 5"},
    /* , */ {1, "M1 0 L0 -3"},
    /* - */ {5, "M0 5 L5 5"},
    /* . */ {0, "M0 0 L0 0"},
    /* / */ {6, "M6 13 L0 -2"},
    /* 0 */ {7, "M0 6 V3.5 12 H7 6 V3.5 0 H0 6"},
    /* 1 */ {7, "M1 9 L4 12 L4 0 M1 0 L7 0"},
    /* 2 */ {7, "M0 9 V3.5 12 H7 8.5 L6 6 L0 0 L7 0"},
    /* 3 */ {7, "M0 10 V3.5 12 H7 9 V3.5 6.5 L2.5 6.5 M3.5 6.5 H7 3.5 V3.5 0 H0 2"},
    /* 4 */ {7, "M5.5 0 L5.5 12 L0 4 L7 4"},
    /* 5 */ {7, "M6.5 12 L1 12 L0.5 7 L3.5 7.5 H7 4 V3.5 0 H0 2"},
    /* 6 */ {7, "M6 11.5 V4.5 12 H0 5 L0 4 V3.5 0 H7 4 V3.5 7.5 H0 4"},
    /* 7 */ {7, "M0 12 L7 12 L2.5 0"},
    /* 8 */ {7, "M3.5 6.5 H0.5 9 V3.5 12 H6.5 9 V3.5 6.5 H0 3 V3.5 0 H7 3 V3.5 6.5"},
    /* 9 */ {7, "M1 0.5 V2.5 0 H7 7 L7 8 V3.5 12 H0 8 V3.5 4.5 H7 8"},
    /* : */ {0, "M0 7 L0 7 M0 0 L0 0"},
    /* ; */ {1, "M1 7 L1 7 M1 0 L0 -3"},
    /* < */ {7, "M7 10 L0 5 L7 0"},
    /* = */ {8, "M0 7 L8 7 M0 3 L8 3"},
    /* > */ {7, "M0 10 L7 5 L0 0"},
    /* ? */ {7, "M0 9 V3.5 12 H7 9 L6 7 L3.5 5 L3.5 3.5 M3.5 0 L3.5 0"},
    /* @ */ {12, "M9 5 V6 8.5 H3 5 V6 1.5 H9 5 M9 8.5 L9 4 V10.5 1.5 H12 5 V6 12 H0 5 V6 -2 L9 -1.5"},
    /* A */ {10, "M0 0 L5 12 L10 0 M1.7 4 L8.3 4"},
    /* B */ {8, "M0 0 L0 12 L4 12 H7 9.5 V4 6.5 L0 6.5 M4 6.5 H8 3.5 V4 0 L0 0"},
    /* C */ {9, "M9 9.5 V5 12 H0 6 V5 0 H9 2.5"},
    /* D */ {9, "M0 0 L0 12 L4 12 H9 6 V4 0 L0 0"},
    /* E */ {7, "M7 12 L0 12 L0 0 L7 0 M0 6.5 L6 6.5"},
    /* F */ {7, "M7 12 L0 12 L0 0 M0 6.5 L6 6.5"},
    /* G */ {9, "M9 9.5 V5 12 H0 6 V5 0 H9 4 L9 5.5 L5.5 5.5"},
    /* H */ {8, "M0 0 L0 12 M8 0 L8 12 M0 6.5 L8 6.5"},
    /* I */ {0, "M0 0 L0 12"},
    /* J */ {6, "M6 12 L6 3 V3 0 H0 3"},
    /* K */ {8, "M0 0 L0 12 M8 12 L0 5 M3 7.6 L8 0"},
    /* L */ {7, "M0 12 L0 0 L7 0"},
    /* M */ {10, "M0 0 L0 12 L5 3 L10 12 L10 0"},
    /* N */ {8, "M0 0 L0 12 L8 0 L8 12"},
    /* O */ {10, "M0 6 V5 12 H10 6 V5 0 H0 6"},
    /* P */ {8, "M0 0 L0 12 L4.5 12 H8 9 V4.5 5.5 L0 5.5"},
    /* Q */ {10, "M0 6 V5 12 H10 6 V5 0 H0 6 M6 3.5 L10 -0.5"},
    /* R */ {8, "M0 0 L0 12 L4.5 12 H8 9 V4.5 5.5 L0 5.5 M4.5 5.5 L8 0"},
    /* S */ {8, "M8 9.5 V4 12 H0 9 V4 6.2 H8 3 V4 0 H0 2.5"},
    /* T */ {8, "M0 12 L8 12 M4 12 L4 0"},
    /* U */ {8, "M0 12 L0 4 V4 0 H8 4 L8 12"},
    /* V */ {10, "M0 12 L5 0 L10 12"},
    /* W */ {14, "M0 12 L3.5 0 L7 12 L10.5 0 L14 12"},
    /* X */ {8, "M0 12 L8 0 M8 12 L0 0"},
    /* Y */ {8, "M0 12 L4 6 L8 12 M4 6 L4 0"},
    /* Z */ {8, "M0 12 L8 12 L0 0 L8 0"},
    /* [ */ {3, "M3 13 L0 13 L0 -3 L3 -3"},
    /* \ */ {6, "M0 13 L6 -2"},
    /* ] */ {3, "M0 13 L3 13 L3 -3 L0 -3"},
    /* ^ */ {6, "M0 8 L3 12 L6 8"},
    /* _ */ {7, "M0 -2 L7 -2"},
    /* ` */ {2, "M0 12 L2 10"},
    /* a */ {6, "M0.3 6.3 V3 8 H6 5.3 L6 0 M6 4.7 L3 4.7 H0 2.2 V2.7 0 H6 3"},
    /* b */ {7, "M0 12 L0 0 M0 4 V3.5 8 H7 4 V3.5 0 H0 4"},
    /* c */ {6, "M6 6.3 V3.5 8 H0 4 V3.5 0 H6 1.7"},
    /* d */ {7, "M7 12 L7 0 M7 4 V3.5 8 H0 4 V3.5 0 H7 4"},
    /* e */ {7, "M0 4.2 L7 4.2 V3.5 8 H0 4 V3.8 0 H6.7 1.8"},
    /* f */ {4.5, "M4.5 12 H2 9 L2 0 M0 8 L4.5 8"},
    /* g */ {7, "M7 8 L7 -0.5 V3.5 -4 H0.3 -2.5 M7 4 V3.5 8 H0 4 V3.5 0 H7 4"},
    /* h */ {6, "M0 12 L0 0 M0 5 V3 8 H6 5 L6 0"},
    /* i */ {0, "M0 8 L0 0 M0 11.3 L0 11.3"},
    /* j */ {2, "M2 8 L2 -2 V0 -4 M2 11.3 L2 11.3"},
    /* k */ {6, "M0 12 L0 0 M6 8 L0 3 M2.2 4.8 L6 0"},
    /* l */ {2, "M0 12 L0 2 V2 0"},
    /* m */ {10, "M0 8 L0 0 M0 5.5 V2.7 8 H5 5.5 L5 0 M5 5.5 V7.7 8 H10 5.5 L10 0"},
    /* n */ {6, "M0 8 L0 0 M0 5 V3 8 H6 5 L6 0"},
    /* o */ {7, "M0 4 V3.5 8 H7 4 V3.5 0 H0 4"},
    /* p */ {7, "M0 8 L0 -4 M0 4 V3.5 8 H7 4 V3.5 0 H0 4"},
    /* q */ {7, "M7 8 L7 -4 M7 4 V3.5 8 H0 4 V3.5 0 H7 4"},
    /* r */ {4, "M0 8 L0 0 M0 4 V3.5 8 L4 8"},
    /* s */ {6, "M5.8 6.3 V3 8 H0.2 6 V3 4.2 H6 2 V3 0 H0 1.7"},
    /* t */ {4.5, "M2 11 L2 2 V4 0 L4.5 0 M0 8 L4.5 8"},
    /* u */ {6, "M0 8 L0 3 V3 0 H6 3 M6 8 L6 0"},
    /* v */ {7, "M0 8 L3.5 0 L7 8"},
    /* w */ {10, "M0 8 L2.5 0 L5 8 L7.5 0 L10 8"},
    /* x */ {6, "M0 8 L6 0 M6 8 L0 0"},
    /* y */ {7, "M0 8 L3.5 0 M7 8 L1.7 -4"},
    /* z */ {6, "M0 8 L6 8 L0 0 L6 0"},
    /* { */ {4, "M4 13 H2 10 L2 7 L0 5 L2 3 L2 0 V4 -3"},
    /* | */ {0, "M0 13 L0 -4"},
    /* } */ {4, "M0 13 H2 10 L2 7 L4 5 L2 3 L2 0 V0 -3"},
    /* ~ */ {8, "M0 4 V2 6 L6 4 H8 6"},
};

/* ---- characters ---- */

/* The code point at *text, which moves past it; 0 at the end and '?' for bytes that are not UTF-8. */
static uint32_t next_code_point(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : 0;
    uint32_t code = s[0] & (more ? 0x3fu >> more : 0xffu);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            more = 0;
            code = '?';
            break;
        }
        code = code << 6 | (s[i] & 0x3fu);
    }
    *text += s[0] ? more + 1 : 0;
    return !more && code > 0x7f ? '?' : code;
}

/* The next character as one the font has, or 0 at the end. */
static int next_char(const char **text)
{
    static const char latin1[] = " !cL?Y|S\"Ca<--R-o+23'uP.,1o>???"
                                 "?AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty";
    uint32_t code = next_code_point(text);
    while (code >= 0x300 && code < 0x370) /* accents of their own, after the letter */
        code = next_code_point(text);
    if (code >= 0xa0 && code <= 0xff)
        return latin1[code - 0xa0];
    if (code >= 0x2010 && code <= 0x2015) /* dashes */
        return '-';
    if (code == 0x2018 || code == 0x2019)
        return '\'';
    if (code == 0x201c || code == 0x201d)
        return '"';
    if (code > 0 && code < FIRST_GLYPH)
        return ' ';
    return code <= LAST_GLYPH ? (int)code : '?';
}

/* ---- the pen ---- */

typedef struct segment {
    double x0, y0, x1, y1;
} segment;

enum { MAX_SEGMENTS = 96, ARC_SEGMENTS = 6 };

/* The number at *at, which moves past it. Not strtod, to which "3.5" is 3 in some locales. */
static double take_number(const char **at)
{
    const char *s = *at;
    double sign = 1, number = 0, place = 1;
    while (*s == ' ')
        s++;
    if (*s == '-') {
        sign = -1;
        s++;
    }
    for (; *s >= '0' && *s <= '9'; s++)
        number = number * 10 + (*s - '0');
    if (*s == '.') {
        for (s++; *s >= '0' && *s <= '9'; s++)
            number += (*s - '0') * (place /= 10);
    }
    *at = s;
    return sign * number;
}

/* A glyph as line segments on its grid; returns how many. */
static int flatten(const glyph *g, segment segments[MAX_SEGMENTS])
{
    const double quarter = acos(0);
    int n = 0;
    double x = 0, y = 0;
    for (const char *at = g->path; *at;) {
        char command = *at++;
        double to_x = take_number(&at), to_y = take_number(&at), from_x = x, from_y = y;
        int pieces = command == 'M' ? 0 : command == 'L' ? 1 : ARC_SEGMENTS;
        for (int i = 1; i <= pieces && n < MAX_SEGMENTS; i++) {
            double angle = quarter * i / pieces, along_x = 1, along_y = 1;
            if (pieces > 1) {
                along_x = command == 'V' ? 1 - cos(angle) : sin(angle);
                along_y = command == 'V' ? sin(angle) : 1 - cos(angle);
            }
            double next_x = from_x + (to_x - from_x) * along_x, next_y = from_y + (to_y - from_y) * along_y;
            segments[n++] = (segment){x, y, next_x, next_y};
            x = next_x;
            y = next_y;
        }
        x = to_x;
        y = to_y;
        while (*at == ' ')
            at++;
    }
    return n;
}

static double distance(double x, double y, const segment *s)
{
    double dx = s->x1 - s->x0, dy = s->y1 - s->y0, length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? ((x - s->x0) * dx + (y - s->y0) * dy) / length2 : 0;
    t = fmin(fmax(t, 0), 1);
    return hypot(x - s->x0 - t * dx, y - s->y0 - t * dy);
}

/* left, baseline: in pixels; unit: pixels per grid unit. */
static void draw_glyph(cr_image *image, const glyph *g, double left, double baseline, double unit, uint32_t color)
{
    segment segments[MAX_SEGMENTS];
    int n = flatten(g, segments);
    double radius = fmax(pen_radius * unit, 0.6);
    int x0 = (int)fmax(floor(left - radius), 0);
    int x1 = (int)fmin(ceil(left + g->width * unit + radius), image->w);
    int y0 = (int)fmax(floor(baseline - (CAP_HEIGHT + 1) * unit - radius), 0);
    int y1 = (int)fmin(ceil(baseline + TAIL * unit + radius), image->h);
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            double nearest = INFINITY;
            for (int i = 0; i < n; i++)
                nearest = fmin(nearest, distance((x + 0.5 - left) / unit, (baseline - y - 0.5) / unit, &segments[i]));
            double ink = fmin(fmax(radius + 0.5 - nearest * unit, 0), 1);
            unsigned char *rgb = image->rgb + 3 * ((size_t)y * (size_t)image->w + (size_t)x);
            for (int c = 0; c < 3; c++) {
                double pen = color >> (16 - 8 * c) & 0xff;
                rgb[c] = (unsigned char)lround(rgb[c] + ink * (pen - rgb[c]));
            }
        }
    }
}

/* ---- lines ---- */

double cr_text_width(const char *text, double size)
{
    double width = -GAP;
    for (int c = next_char(&text); c; c = next_char(&text))
        width += glyphs[c - FIRST_GLYPH].width + GAP;
    return fmax(width, 0) * size / CAP_HEIGHT;
}

void cr_text_draw(cr_image *image, double x, double y, double size, uint32_t color, const char *text)
{
    double unit = size / CAP_HEIGHT;
    for (int c = next_char(&text); c && x < image->w; c = next_char(&text)) {
        const glyph *g = &glyphs[c - FIRST_GLYPH];
        draw_glyph(image, g, x, y, unit, color);
        x += (g->width + GAP) * unit;
    }
}
