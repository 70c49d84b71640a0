/* Products with matrices whose blocks have scales of sub-blocks (blocks.h), as matmul.c's.
 *
 * Of a sub-block, the sum of products is an integer, and so is what s makes of it: exact. It is then
 * a float, times the activations' scale, added up over the block from first to last, and times d. The
 * least values go beside it, times the sum of the activations. One order, whatever the tile. */
#include "blocks.h"
#include "dots.h"

/* Four signed bytes. */
TK_INLINE v4i bytes4(const uint8_t *p) {
    const int8_t *q = (const int8_t *)p;
    return (v4i){q[0], q[1], q[2], q[3]};
}

/* The sum of 16 activations. */
TK_INLINE int32_t sum16(const int16_t *x) {
    v8s one = {1, 1, 1, 1, 1, 1, 1, 1};
    v4i s = dot_pairs(*(const v8s_any *)x, one) + dot_pairs(*(const v8s_any *)(x + 8), one);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Adds to dot the products of `sub` columns from column `from` of a block on. 4 bits are unpacked in
 * two operations; with others it pays that the vector's number is a constant. */
TK_INLINE void part(v4i *dot, const uint8_t *w, const tk_act *a, size_t x, int from, const int sub,
                    const int bits, const int NQ, const int NT) {
    if (bits == 4) {
#pragma clang loop unroll(disable)
        for (int v = from / 8; v < (from + sub) / 8; v++) dot_bits(dot, w, a, x, v, bits, NQ, NT);
    } else {
#pragma clang loop unroll(full)
        for (int v = from / 8; v < (from + sub) / 8; v++) dot_bits(dot, w, a, x, v, bits, NQ, NT);
    }
}

/* One tile of NQ quads and NT tokens. What a form says is given as numbers, so that they can be
 * constants. */
TK_INLINE void tile(float *y, size_t ystride, const tk_tensor *tensor, const tk_form *f, int32_t quad,
                    const tk_act *a, int32_t token, const int bits, const int sub, const int has_low,
                    const int per, const int NQ, const int NT) {
    const uint8_t *w = tk_quad(tensor, quad);
    const int halves = TK_QK / sub;
    size_t blocks = (size_t)(a->cols / TK_QK), first = (size_t)token * blocks;
    size_t head = tk_form_head(f), whole = tk_form_block(f);
    v4f acc[8];
    for (int i = 0; i < NQ * NT; i++) acc[i] = splat4(0.0f);
    for (size_t b = first; b < first + blocks; b += (size_t)per, w += whole) {
        v4f sum[8], low[8];
        for (int i = 0; i < NQ * NT; i++) sum[i] = low[i] = splat4(0.0f);
        const uint8_t *lines = w + head;
        for (int k = 0; k < per; k++) {
            const uint8_t *at = lines + (size_t)(k * bits) * TK_LINE;
            size_t x = (b + (size_t)k) * TK_QK;
#pragma clang loop unroll(full)
            for (int half = 0; half < halves; half++) {
                int i = k * halves + half;
                v4i dot[8];
                int32_t sums[4] = {0, 0, 0, 0};
                if (has_low || f->offset)
                    for (int t = 0; t < NT; t++) {
                        size_t block = (size_t)t * blocks + b + (size_t)k;
                        sums[t] = halves == 1 ? a->sum[block]
                                              : sum16(a->q + block * TK_QK + 16 * (size_t)half);
                    }
                for (int q = 0; q < NQ; q++)
                    for (int t = 0; t < NT; t++) dot[q * NT + t] = splat4i(-f->offset * sums[t]);
                part(dot, at, a, x, half * sub, sub, bits, NQ, NT);
                for (int q = 0; q < NQ; q++) {
                    const uint8_t *own = w + q * TK_QUAD;
                    v4i s = splat4i(1), m = splat4i(1);
                    if (per > 1) {
                        s = bytes4(own + tk_form_scale(f, 0, i));
                        if (bits == 2) { /* Q2_K has both in a byte */
                            m = s >> 4 & 15;
                            s &= 15;
                        } else if (has_low)
                            m = bytes4(own + tk_form_scale(f, 1, i));
                    }
                    for (int t = 0; t < NT; t++) {
                        float scale = a->scale[(size_t)t * blocks + b + (size_t)k];
                        sum[q * NT + t] +=
                            __builtin_convertvector(dot[q * NT + t] * s, v4f) * splat4(scale);
                        if (has_low)
                            low[q * NT + t] +=
                                __builtin_convertvector(m, v4f) * splat4(scale * (float)sums[t]);
                    }
                }
            }
        }
        for (int q = 0; q < NQ; q++) {
            v4f d, least = splat4(0.0f);
            if (per == 1) {
                const uint16_t *small = (const uint16_t *)tk_halves(w, quad) + 4 * q;
                d = half4(small);
                if (has_low) least = half4(small + TK_LINE / 4);
            } else {
                const float *floats = (const float *)(w + q * TK_QUAD);
                d = load4(floats);
                if (has_low) least = load4(floats + TK_LINE / 4);
            }
            for (int t = 0; t < NT; t++) {
                v4f part = d * sum[q * NT + t];
                if (has_low) part -= least * low[q * NT + t];
                acc[q * NT + t] += part;
            }
        }
    }
    float *out = y + (size_t)token * ystride + 4 * (size_t)quad;
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++) store4(out + (size_t)t * ystride + 4 * q, acc[q * NT + t]);
}

/* Of any form: what its inner loops need are constants. */
TK_INLINE void tile_of(float *y, size_t s, const tk_tensor *w, const tk_form *f, int32_t quad,
                       const tk_act *a, int32_t token, const int NQ, const int NT) {
    switch (f->type) {
    case TK_Q2_K: tile(y, s, w, f, quad, a, token, 2, 16, 1, 8, NQ, NT); break;
    case TK_Q3_K: tile(y, s, w, f, quad, a, token, 3, 16, 0, 8, NQ, NT); break;
    case TK_Q4_K: tile(y, s, w, f, quad, a, token, 4, 32, 1, 8, NQ, NT); break;
    case TK_Q6_K: tile(y, s, w, f, quad, a, token, 6, 16, 0, 8, NQ, NT); break;
    case TK_Q4_1: tile(y, s, w, f, quad, a, token, 4, 32, 1, 1, NQ, NT); break;
    case TK_Q5_0:
    case TK_Q5_1:
    case TK_Q5_K: /* in one, which is smaller and as fast */
        tile(y, s, w, f, quad, a, token, 5, 32, f->has_low, f->values / TK_QK, NQ, NT);
        break;
    default: __builtin_trap(); /* a form in blocks.c without its tile here */
    }
}

/* Kept out of line, so that each tile shape is compiled once. */
static void tile_4x1(float *y, size_t s, const tk_tensor *w, const tk_form *f, int32_t q,
                     const tk_act *a, int32_t t) {
    tile_of(y, s, w, f, q, a, t, 4, 1);
}
static void tile_1x1(float *y, size_t s, const tk_tensor *w, const tk_form *f, int32_t q,
                     const tk_act *a, int32_t t) {
    tile_of(y, s, w, f, q, a, t, 1, 1);
}
static void tile_2x4(float *y, size_t s, const tk_tensor *w, const tk_form *f, int32_t q,
                     const tk_act *a, int32_t t) {
    tile_of(y, s, w, f, q, a, t, 2, 4);
}
static void tile_1x4(float *y, size_t s, const tk_tensor *w, const tk_form *f, int32_t q,
                     const tk_act *a, int32_t t) {
    tile_of(y, s, w, f, q, a, t, 1, 4);
}

void tk_rows_of_blocks(float *y, const tk_tensor *w, const tk_act *a, int32_t begin, int32_t end) {
    const tk_form *f = tk_form_of(w->type);
    size_t stride = 4 * (size_t)w->quads;
    int32_t tokens = a->tokens, whole = tokens & ~3, q = begin;
    for (; q + 2 <= end && whole; q += 2)
        for (int32_t t = 0; t < whole; t += 4) tile_2x4(y, stride, w, f, q, a, t);
    for (; q < end && whole; q++)
        for (int32_t t = 0; t < whole; t += 4) tile_1x4(y, stride, w, f, q, a, t);
    for (q = begin; q + 4 <= end; q += 4)
        for (int32_t t = whole; t < tokens; t++) tile_4x1(y, stride, w, f, q, a, t);
    for (; q < end; q++)
        for (int32_t t = whole; t < tokens; t++) tile_1x1(y, stride, w, f, q, a, t);
}
