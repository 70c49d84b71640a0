/* The inner loops of quantized products: 32 columns, or fewer, of NQ quads and NT tokens. */
#ifndef TK_DOTS_H
#define TK_DOTS_H

#include "packed.h"
#include "simd.h"

/* The upper bits of a block's vector v at their places, `which` as in `weights`. */
TK_INLINE v8u upper(const uint8_t *w, int v, int which, const int bits) {
    const int low = tk_low_bits(bits), two = tk_upper_bits(bits) == 2;
    const uint8_t *line = w + tk_q4_vector(low + (two ? which : 0));
    const uint16_t mask = two ? 0x0303 : 0x0101, shift = (uint16_t)(2 * v + (two ? 0 : which));
    return (*(const v8u *)line >> shift & mask) << (uint16_t)low;
}

/* The weights of a block's vector v, a byte each and below 64: of its first four columns (which = 0)
 * or of its last, in packed.h's order. */
TK_INLINE v8u weights(const uint8_t *w, int v, int which, const int bits) {
    const int two = tk_low_bits(bits) == 2;
    const uint16_t mask = two ? 0x0303 : 0x0f0f,
                   shift = (uint16_t)(two ? 4 * (v & 1) + 2 * which : 4 * which);
    v8u lowest = *(const v8u *)(w + tk_q4_vector(two ? v / 2 : v)) >> shift & mask;
    return tk_upper_bits(bits) ? lowest | upper(w, v, which, bits) : lowest;
}

/* Adds to dot the products of a block's vector v, eight columns of four rows a quad, whose weights
 * have fewer than 8 bits. They are below 64, which keeps the sums of `dot_fours` exact. */
TK_INLINE void dot_bits(v4i *dot, const uint8_t *w, const tk_act *a, size_t x, int v, const int bits,
                        const int NQ, const int NT) {
    size_t row = (size_t)a->cols, at = x + 8 * (size_t)v;
#if TK_FOURS
    v16uc low[4], high[4];
    for (int q = 0; q < NQ; q++) {
        low[q] = (v16uc)weights(w + q * TK_QUAD, v, 0, bits);
        high[q] = (v16uc)weights(w + q * TK_QUAD, v, 1, bits);
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
        const int odd = n & 1, which = n >> 1, shift = odd * 8 + which * 4;
        v8s rows[4];
        for (int q = 0; q < NQ; q++) {
            if (bits == 4) {
                rows[q] = (v8s)(shift < 12 ? words[q] >> shift & 15 : words[q] >> 12);
            } else {
                v8u both = weights(w + q * TK_QUAD, v, which, bits);
                rows[q] = (v8s)(odd ? both >> 8 : both & 0xff);
            }
        }
        for (int t = 0; t < NT; t++) {
            v8s pair = splat_pair(a->q + at + (size_t)t * row + 2 * (size_t)n);
            for (int q = 0; q < NQ; q++) dot[q * NT + t] += dot_pairs(rows[q], pair);
        }
    }
#endif
}

#endif
