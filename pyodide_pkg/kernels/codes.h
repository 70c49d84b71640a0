/* Blocks whose weights are looked up: Q1_0, Q2_0, TQ1_0, TQ2_0, MXFP4, NVFP4 and the IQ types.
 *
 * All of them say the same: a weight is d s v, where v is one of few values, d is a float that the
 * block shares, and s is a number that a sub-block of 16 or 32 columns shares. What is stored of v
 * is a code, whose value stands in a table: of 1 to 4 bits a weight; or five of three values in a
 * byte (TQ1_0); or of four columns together a place in a grid, and their signs (IQ3_XXS, IQ3_S).
 *
 * Packed, a block of sixteen rows is a run of lines of 64 bytes, the part of each quad 16 bytes:
 *
 *   d         half a line of halves, or of upper halves of floats (MXFP4)    not of NVFP4
 *   s         [4 quads][4 sub-blocks][4 rows] bytes; floats of 8 bits in NVFP4     where there are
 *   codes     as packed.h has bits; or for 20 columns a line (TQ1_0); or places, of 16 columns a
 * line [4 quads][4 rows][4 places], their ninth bits (IQ3_S), of 128 columns a line, and signs, of
 * 32 columns a line
 *
 * A product unpacks a block of a quad into bytes once for all tokens; with one token, it looks
 * values up as it goes. */
#ifndef TK_CODES_H
#define TK_CODES_H

#include "packed.h"

enum { TK_TRITS = 100, TK_GRID = 101 };     /* instead of bits */
enum { TK_D_NONE, TK_D_HALF, TK_D_BFLOAT }; /* how d is kept */
enum { TK_S_NONE, TK_S_WHOLE, TK_S_FLOAT }; /* and s */
enum { TK_GRIDS = 6, TK_MOST_VALUES = 256, TK_TRIT_LINES = 13 };

typedef struct {
    int32_t type, bytes; /* of a block in the file */
    int32_t values, sub; /* of a block, of a sub-block */
    int32_t bits;        /* of a code; or TK_TRITS, TK_GRID */
    int32_t d, s;
    int32_t gap;       /* between values next to each other, at most */
    int32_t offset;    /* is added to values, so that none is below 0; their sum is below 256 */
    int32_t grid;      /* which table of the file format it needs, from 1 on; 0 for none */
    float unit;        /* d of the file is in so many of ours */
    uint8_t table[16]; /* of a code the value, with the offset */
} tk_code;

/* A block of a file, taken apart. */
typedef struct {
    uint16_t half;                /* d as it is kept */
    uint8_t s[16];                /* as it is kept */
    uint8_t code[TK_MOST_VALUES]; /* of grids: places of four columns, their lower 8 bits */
    uint8_t ninth[8], sign[32];   /* of grids: a bit for each place, and for each column */
} tk_coded;

/* NULL for the types that are no codes, or are unknown. */
const tk_code *tk_code_of(tk_int type);
/* A grid: of IQ3 the sizes of four columns a place, in packed.h's order; of others the codes of
 * eight. NULL until it is given. */
const uint8_t *tk_grid_of(const tk_code *c);
tk_int tk_grid_missing(tk_int type);

/* Whether d is finite; codes_read.c. */
int tk_read_codes(const tk_code *c, const uint8_t *source, tk_coded *b);

TK_INLINE size_t tk_code_lines(const tk_code *c) {
    if (c->bits == TK_TRITS) return TK_TRIT_LINES;
    if (c->bits == TK_GRID) return (size_t)(c->values / 32 * 3 + (c->type == TK_IQ3_S ? 2 : 0));
    return (size_t)(c->values / TK_QK * c->bits);
}
/* Where s begins, and the codes. */
TK_INLINE size_t tk_code_s(const tk_code *c) { return c->d ? TK_LINE / 2 : 0; }
TK_INLINE size_t tk_code_head(const tk_code *c) {
    return tk_code_s(c) + (c->s ? TK_LINE * (size_t)(c->values / c->sub / 4) : 0);
}
TK_INLINE size_t tk_code_block(const tk_code *c) {
    return tk_code_head(c) + TK_LINE * tk_code_lines(c);
}

/* As blocks.h's. */
int32_t tk_pack_codes(const tk_code *c, const tk_tensor *t, int32_t row, const uint8_t *source);
void tk_row_of_codes(const tk_code *c, const tk_tensor *t, int32_t row, float *out);
void tk_quad_of_codes(const tk_code *c, const tk_tensor *t, int32_t quad, int32_t first, float *out,
                      size_t stride);
int32_t tk_steps_of_codes(const tk_code *c, const tk_tensor *w, int32_t row, float *steps);
tk_int tk_decode_codes(const tk_code *c, tk_int source, tk_int out, tk_int n);
void tk_rows_of_codes(float *y, const tk_tensor *w, const tk_act *a, int32_t begin, int32_t end);
/* The same of four quads and one token, to y; 0 where the type is not among those
 * (matmul_codes_token.c).
 */
int32_t tk_group_of_codes(float *y, const tk_tensor *w, const tk_code *c, const tk_act *a,
                          int32_t quad, int32_t token);

/* One row's part of 32 columns: 4 bytes of each line (blocks.c). */
void tk_put_bits(uint8_t *lines, int r, const int8_t *q, int bits, int offset);

#endif
