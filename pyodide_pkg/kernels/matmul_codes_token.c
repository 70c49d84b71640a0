/* Products of one token with matrices whose weights are looked up (codes.h): as matmul_codes.c
 * computes them, to the bit, but what is looked up goes into the products at once. */
#include "look_up.h"

enum { NQ = 4 };

/* Sixteen codes of so many bits: columns 4 n to 4 n + 3 of 32. */
TK_INLINE v16b codes_at(const uint8_t *lines, int n, const int bits) {
    const uint16_t which = n & 1;
    if (bits == 1) return (v16b)(*(const v8u *)lines >> (uint16_t)n & 0x0101);
    if (bits == 4)
        return (v16b)(*(const v8u *)(lines + TK_LINE * (n / 2)) >> (uint16_t)(4 * which) & 0x0f0f);
    uint16_t shift = (uint16_t)(4 * (n / 2 & 1) + 2 * which);
    v8u low = *(const v8u *)(lines + TK_LINE * (n / 4)) >> shift & 0x0303;
    if (bits == 2) return (v16b)low;
    return (v16b)(low | (*(const v8u *)(lines + TK_LINE * 2) >> (uint16_t)n & 0x0101) << 2);
}

/* Four quads. What a type says is given as numbers, so that they can be constants. */
TK_INLINE void product(float *y, const uint8_t *block, const tk_code *c, const tk_act *a, size_t x,
                       const int bits, const int values, const int sub, const int d, const int s,
                       const int wide) {
    const size_t head = tk_code_head(c), whole = tk_code_block(c), end = x + (size_t)a->cols;
    const v16b table = table_of(c);
    v4f acc[NQ];
    for (int q = 0; q < NQ; q++) acc[q] = splat4(0.0f);
    for (; x < end; block += whole) {
        v4f dq[NQ];
        for (int q = 0; q < NQ; q++) dq[q] = d_of(c, block + q * TK_QUAD, q, d);
        const uint8_t *lines = block + head;
        for (int k = 0; k < values / TK_QK; k++, lines += TK_LINE * bits) {
#pragma clang loop unroll(full)
            for (int half = 0; half < TK_QK / sub; half++, x += (size_t)sub) {
                int32_t sum = sub == TK_QK ? a->sum[x / TK_QK] : sum16(a->q + x);
                v4i dot[NQ];
                for (int q = 0; q < NQ; q++) dot[q] = splat4i(-c->offset * sum);
#pragma clang loop unroll(full)
                for (int n = 0; n < sub / 4; n++)
                    for (int q = 0; q < NQ; q++) {
                        v16b code = codes_at(lines + q * TK_QUAD, half * sub / 4 + n, bits);
                        tk_values own = values_of(look_up(table, code), wide);
                        dot[q] = dot_values(dot[q], own, a, x + 4 * (size_t)n, wide);
                    }
                v4f scale = splat4(a->scale[x / TK_QK]);
                for (int q = 0; q < NQ; q++) {
                    v4f ds = scale_of_sub(c, block + q * TK_QUAD, dq[q], k * TK_QK / sub + half, s);
                    acc[q] += ds * (__builtin_convertvector(dot[q], v4f) * scale);
                }
            }
        }
    }
    for (int q = 0; q < NQ; q++) store4(y + 4 * q, acc[q]);
}

int32_t tk_group_of_codes(float *y, const tk_tensor *w, const tk_code *c, const tk_act *a,
                          int32_t quad, int32_t token) {
    const uint8_t *block = tk_quad(w, quad);
    size_t x = (size_t)token * (size_t)a->cols;
    switch (c->type) {
    case TK_Q1_0: product(y, block, c, a, x, 1, 128, 32, TK_D_HALF, TK_S_NONE, 0); return 1;
    case TK_Q2_0: product(y, block, c, a, x, 2, 64, 32, TK_D_HALF, TK_S_NONE, 0); return 1;
    case TK_TQ2_0: product(y, block, c, a, x, 2, 256, 32, TK_D_HALF, TK_S_NONE, 0); return 1;
    case TK_IQ4_NL: product(y, block, c, a, x, 4, 32, 32, TK_D_HALF, TK_S_NONE, 1); return 1;
    case TK_IQ4_XS: product(y, block, c, a, x, 4, 256, 32, TK_D_HALF, TK_S_WHOLE, 1); return 1;
    case TK_MXFP4: product(y, block, c, a, x, 4, 32, 32, TK_D_BFLOAT, TK_S_NONE, 0); return 1;
    case TK_NVFP4: product(y, block, c, a, x, 4, 64, 16, TK_D_NONE, TK_S_FLOAT, 0); return 1;
    case TK_IQ2_XXS:
    case TK_IQ1_S: product(y, block, c, a, x, 3, 256, 32, TK_D_HALF, TK_S_WHOLE, 0); return 1;
    case TK_IQ2_XS:
    case TK_IQ2_S:
    case TK_IQ1_M: product(y, block, c, a, x, 3, 256, 16, TK_D_HALF, TK_S_WHOLE, 0); return 1;
    default: return 0;
    }
}
