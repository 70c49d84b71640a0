/* Blocks with more than one scale, or with a least value: Q4_1, Q5_0, Q5_1 and the K types.
 *
 * All of them say the same: a weight is d s q - low m, where q is a small integer, s and m are small
 * integers that a sub-block of 16 or 32 columns shares, and d and low are floats that the whole block
 * shares. The old types have blocks of 32 with s = m = 1. A form says which of this a type has;
 * `tk_unpack` takes a block of a file apart.
 *
 * Packed, a block of sixteen rows is a run of lines of 64 bytes, the part of each quad 16 bytes:
 *
 *   d             1 line of floats, or half a line of halves in blocks of 32
 *   low           the same                                  where there is one
 *   s, then m     [4 quads][4 sub-blocks][4 rows] bytes     in blocks of 256; of Q2_K both in one
 *   q             per 32 columns as many lines as q has bits, as packed.h has them */
#ifndef TK_BLOCKS_H
#define TK_BLOCKS_H

#include "packed.h"

typedef struct {
    int32_t type, bytes;   /* of a block in the file */
    int32_t values, sub;   /* of a block, of a sub-block */
    int32_t bits, offset;  /* q is stored in so many bits, the offset added */
    int32_t has_low;
} tk_form;

typedef struct {
    float d, low;
    uint16_t halves[2];          /* the same in half precision */
    int8_t scale[16], least[16]; /* s and m of each sub-block */
    int8_t q[256];               /* without the offset */
} tk_block;

/* NULL for the types that need no form, or are unknown. */
const tk_form *tk_form_of(tk_int type);

/* Whether d and low are finite. */
int tk_unpack(const tk_form *form, const uint8_t *source, tk_block *block);

TK_INLINE int tk_in_halves(const tk_form *f) { return f->values == TK_QK; }
TK_INLINE size_t tk_form_line(const tk_form *f) { return tk_in_halves(f) ? TK_LINE / 2 : TK_LINE; }
/* Lines of s; m has as many, unless it lies in the same bytes, above s. */
TK_INLINE size_t tk_scale_lines(const tk_form *f) {
    return tk_in_halves(f) ? 0 : (size_t)(f->values / f->sub / 4);
}
TK_INLINE int tk_in_nibbles(const tk_form *f) { return f->type == TK_Q2_K; }
TK_INLINE size_t tk_form_head(const tk_form *f) {
    size_t kinds = f->has_low && !tk_in_nibbles(f) ? 2 : 1;
    return tk_form_line(f) * (size_t)(1 + f->has_low) + TK_LINE * tk_scale_lines(f) * kinds;
}
TK_INLINE size_t tk_form_block(const tk_form *f) {
    return tk_form_head(f) + (size_t)(f->values / TK_QK) * (size_t)f->bits * TK_LINE;
}

/* Where row 0 of a quad has s (which = 0) or m (which = 1) of sub-block i. */
TK_INLINE size_t tk_form_scale(const tk_form *f, int which, int i) {
    size_t lines = (size_t)(1 + f->has_low) + (size_t)which * tk_scale_lines(f);
    return TK_LINE * (lines + (size_t)(i / 4)) + 4 * (size_t)(i & 3);
}

/* Packs blocks of a row; the first column whose block is not finite, or -1. */
int32_t tk_pack_blocks(const tk_form *form, const tk_tensor *t, int32_t row, const uint8_t *source);
/* And back: a row as floats. */
void tk_row_of_blocks(const tk_form *form, const tk_tensor *t, int32_t row, float *out);

/* How far apart the numbers of a row are, for each 32 columns; returns how many there are. */
int32_t tk_steps_of_blocks(const tk_form *form, const tk_tensor *w, int32_t row, float *steps);

/* The quads in [begin, end) of a product: matmul.c's `rows` for these types (matmul_blocks.c). */
void tk_rows_of_blocks(float *y, const tk_tensor *w, const tk_act *a, int32_t begin, int32_t end);

#endif
