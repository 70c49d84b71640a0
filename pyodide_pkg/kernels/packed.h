/* Where the products find the weights of a quantized matrix: a block of 32 columns of one group.
 *
 *   16 float scales, of the group's rows
 *   Q8_0   8 lines: of four columns, [4 quads][2 pairs of columns][4 rows][2] bytes
 *   Q4_0   4 lines: of eight columns, [4 quads][4 rows][4] bytes: byte j holds the weights (plus 8)
 *          of columns order[j] and, in its high nibble, four columns further
 *
 * A line is 64 bytes, as long as a processor's, and a tile of four quads uses up one after the
 * other: read in any other order, a matrix that no cache holds came half as fast. The order of
 * Q4_0's columns, 0 2 1 3, lets both ways of multiplying read the same bytes: four columns at a
 * time in 8 bits, and pairs of neighbours in 16 bits (bytes 0 and 2, bytes 1 and 3).
 *
 * Offsets are from the quad's first scale, which `tk_quad` finds. */
#ifndef TK_PACKED_H
#define TK_PACKED_H

#include "thimble.h"

enum { TK_LINE = 64 };
enum { TK_QUAD = TK_LINE / 4 }; /* a quad's part of a line, and its four scales */
enum { TK_Q8_BLOCK = TK_LINE * 9, TK_Q4_BLOCK = TK_LINE * 5 };

/* Where pair p of a block's columns lies: eight bytes, two to a row. */
TK_INLINE size_t tk_q8_pair(int p) {
    return TK_LINE + TK_LINE * (size_t)(p >> 1) + 8 * (size_t)(p & 1);
}

/* Where columns 8 v to 8 v + 7 lie: sixteen bytes, four to a row. */
TK_INLINE size_t tk_q4_vector(int v) { return TK_LINE + TK_LINE * (size_t)v; }

#endif
