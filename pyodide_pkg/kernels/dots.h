/* The inner loops of quantized products: 32 columns, or fewer, of NQ quads and NT tokens. */
#ifndef TK_DOTS_H
#define TK_DOTS_H

#include "packed.h"
#include "simd.h"

/* Adds to dot the products of a block's vector v, eight columns of four rows a quad. */
TK_INLINE void dot_q4(v4i *dot, const uint8_t *w, const tk_act *a, size_t x, int v, const int NQ,
                      const int NT) {
    size_t row = (size_t)a->cols, at = x + 8 * (size_t)v;
#if TK_FOURS
    v16uc low[4], high[4];
    for (int q = 0; q < NQ; q++) {
        v8u words = *(const v8u *)(w + q * TK_QUAD + tk_q4_vector(v));
        low[q] = (v16uc)words & 15;
        high[q] = (v16uc)(words >> 4) & 15;
    }
    for (int t = 0; t < NT; t++) {
        v4i first = splat_four(a->narrow + at + (size_t)t * row),
            second = splat_four(a->narrow + at + (size_t)t * row + 4);
        for (int q = 0; q < NQ; q++) {
            v4i sum = dot_fours(dot[q * NT + t], low[q], first);
            dot[q * NT + t] = dot_fours(sum, high[q], second);
        }
    }
#else
    v8u words[4];
    for (int q = 0; q < NQ; q++) words[q] = *(const v8u *)(w + q * TK_QUAD + tk_q4_vector(v));
#pragma clang loop unroll(full)
    for (int n = 0; n < 4; n++) {
        const int shift = (n & 1) * 8 + (n >> 1) * 4;
        v8s rows[4];
        for (int q = 0; q < NQ; q++)
            rows[q] = (v8s)(shift < 12 ? words[q] >> shift & 15 : words[q] >> 12);
        for (int t = 0; t < NT; t++) {
            v8s pair = splat_pair(a->q + at + (size_t)t * row + 2 * (size_t)n);
            for (int q = 0; q < NQ; q++) dot[q * NT + t] += dot_pairs(rows[q], pair);
        }
    }
#endif
}

/* The same of a pair of columns p, in 8 bits. */
TK_INLINE void dot_q8(v4i *dot, const uint8_t *w, const tk_act *a, size_t x, int p, const int NQ,
                      const int NT) {
    v8s rows[4];
    for (int q = 0; q < NQ; q++) rows[q] = widen8((const int8_t *)w + q * TK_QUAD + tk_q8_pair(p));
    for (int t = 0; t < NT; t++) {
        v8s pair = splat_pair(a->q + x + (size_t)t * (size_t)a->cols + 2 * (size_t)p);
        for (int q = 0; q < NQ; q++) dot[q * NT + t] += dot_pairs(rows[q], pair);
    }
}

#endif
