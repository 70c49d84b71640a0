/* Where the products find the weights of a quantized matrix: a block of 32 columns of one group.
 *
 *   Q8_0   16 float scales, of the group's rows; then 8 lines: of four columns,
 *          [4 quads][2 pairs of columns][4 rows][2] bytes
 *   Q4_0   16 scales in half precision; then 4 lines: of eight columns, [4 quads][4 rows][4] bytes:
 *          byte j holds the weights (plus 8) of columns order[j] and, in its high nibble, four
 *          columns further
 *
 * A line is 64 bytes, as long as a processor's, and a tile of four quads uses up one after the
 * other: read in any other order, a matrix that no cache holds came half as fast. The order of
 * Q4_0's columns, 0 2 1 3, lets both ways of multiplying read the same bytes: four columns at a
 * time in 8 bits, and pairs of neighbours in 16 bits (bytes 0 and 2, bytes 1 and 3).
 *
 * The types of blocks.h have 2, 3, 4, 5 or 6 bits a weight, in as many lines, those of codes.h 1 to
 * 4. Of 4 bits they lie as those of Q4_0. Otherwise the lowest 4 bits (2 of 2 and 3 bits) lie so
 * first, and the upper ones behind them:
 *
 *   1 bit            a line for 32 columns: bit n of a byte belongs to columns 4 n to 4 n + 3
 *   2 bits, lowest   a line for 16 columns: each half of a byte has two, as a byte has of 4 bits
 *   1 bit, upper     a line for 32 columns: bit 2 v of a byte belongs to its low half in line v,
 *                    bit 2 v + 1 to its high half
 *   2 bits, upper    two lines for 32 columns, bits 2 v and 2 v + 1: of the low halves, of the high
 *
 * Offsets are from where `tk_quad` says that a quad's block begins. */
#ifndef TK_PACKED_H
#define TK_PACKED_H

#include "thimble.h"

enum { TK_LINE = 64 };
enum { TK_QUAD = TK_LINE / 4 }; /* a quad's part of a line, and its four scales */
enum { TK_Q4_HEAD = TK_LINE / 2 }; /* scales of a group in half precision */
enum { TK_Q8_BLOCK = TK_LINE * 9, TK_Q4_BLOCK = TK_Q4_HEAD + TK_LINE * 4 };

/* Numbers in half precision are half a line, eight bytes a quad: they lie that much nearer to the
 * group's beginning than the quad's part of a line, of a block at `block`. */
TK_INLINE uint8_t *tk_halves(const uint8_t *block, int32_t quad) {
    return (uint8_t *)block - TK_QUAD / 2 * (size_t)(quad & 3);
}

/* Where pair p of a block's columns lies: eight bytes, two to a row. */
TK_INLINE size_t tk_q8_pair(int p) {
    return TK_LINE + TK_LINE * (size_t)(p >> 1) + 8 * (size_t)(p & 1);
}

/* Where line v of a block's bits lies, from the first one on: sixteen bytes, four to a row; of 4 bits
 * columns 8 v to 8 v + 7. */
TK_INLINE size_t tk_q4_vector(int v) { return TK_LINE * (size_t)v; }

/* The column whose weight is in the low half of a row's byte i; the high half is four further. */
TK_INLINE int tk_q4_column(int i) { return i / 4 * 8 + ((i & 1) << 1 | (i >> 1 & 1)); }

/* How many of a weight's bits are the lowest ones, and how many the upper; not of 8. */
TK_INLINE int tk_low_bits(int bits) { return bits < 4 ? 2 : 4; }
TK_INLINE int tk_upper_bits(int bits) { return bits - tk_low_bits(bits); }

#endif
