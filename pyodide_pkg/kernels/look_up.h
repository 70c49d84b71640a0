/* Weights by their codes, sixteen at a time: the inner steps of matmul_codes.c and
 * matmul_codes_token.c. */
#ifndef TK_LOOK_UP_H
#define TK_LOOK_UP_H

#include "codes.h"
#include "simd.h"

typedef uint8_t v16b __attribute__((vector_size(16)));

/* table[index], of indices below 16. */
TK_INLINE v16b look_up(v16b table, v16b index) {
#if defined(__wasm_simd128__)
    return (v16b)wasm_i8x16_swizzle((v128_t)table, (v128_t)index);
#elif defined(__SSSE3__)
    return (v16b)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return (v16b)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#else
    v16b found;
    for (int i = 0; i < 16; i++) found[i] = table[index[i] & 15];
    return found;
#endif
}

TK_INLINE v16b table_of(const tk_code *c) {
    v16b table;
    __builtin_memcpy(&table, c->table, 16);
    return table;
}

/* Sixteen values as products read them: bytes, or where these are `wide`, 128 or more, or there is
 * no instruction for four of them, widened to 16 bits. (In two parts of less than 128, they were
 * slower.) */
typedef struct {
    v16b a, b;
} tk_values;

TK_INLINE tk_values values_of(v16b bytes, const int wide) {
    if (TK_FOURS && !wide) return (tk_values){bytes, bytes};
    v8u both = (v8u)bytes;
    return (tk_values){(v16b)(both & 0xff), (v16b)(both >> 8)};
}

/* Adds the products with the four activations at x. */
TK_INLINE v4i dot_values(v4i dot, tk_values v, const tk_act *a, size_t x, const int wide) {
#if TK_FOURS
    if (!wide) return dot_fours(dot, v.a, splat_four(a->narrow + x));
#endif
    (void)wide;
    dot += dot_pairs((v8s)v.a, splat_pair(a->q + x));
    return dot + dot_pairs((v8s)v.b, splat_pair(a->q + x + 2));
}

/* The sum of 16 activations. */
TK_INLINE int32_t sum16(const int16_t *x) {
    v8s one = {1, 1, 1, 1, 1, 1, 1, 1};
    v4i s = dot_pairs(*(const v8s_any *)x, one) + dot_pairs(*(const v8s_any *)(x + 8), one);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* d of a quad. */
TK_INLINE v4f d_of(const tk_code *c, const uint8_t *block, int32_t quad, const int kind) {
    const uint16_t *half = (const uint16_t *)tk_halves(block, quad);
    if (kind == TK_D_HALF) return half4(half) * splat4(c->unit);
    return kind == TK_D_BFLOAT ? bfloat4(half) : splat4(1.0f);
}

/* d s of sub-block i. */
TK_INLINE v4f scale_of_sub(const tk_code *c, const uint8_t *block, v4f d, int i, const int kind) {
    const uint8_t *s = block + tk_code_s(c) + TK_LINE * (size_t)(i / 4) + 4 * (size_t)(i & 3);
    if (kind == TK_S_WHOLE) {
        const int8_t *n = (const int8_t *)s;
        return d * __builtin_convertvector(((v4i){n[0], n[1], n[2], n[3]}), v4f);
    }
    if (kind == TK_S_FLOAT) {
        uint16_t halves[4];
        for (int r = 0; r < 4; r++) halves[r] = (uint16_t)(s[r] << 7);
        return half4(halves) * splat4(128.0f);
    }
    return d;
}

#endif
