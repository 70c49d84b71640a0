/* Keys and values as they are kept: float32, half precision, or 8 bits with a scale for each 32
 * values of a head. Three things are done with them: they are stored, keys are multiplied with a
 * query, values are mixed.
 *
 * Keys lie by groups of 32 positions, [dimension][32], so that a vector lane is a position; values
 * lie position by position, so that a lane is a dimension. Scales, in half precision, lie before what
 * they belong to: [block][32] of a group of keys, [block] of a position's values. */
#ifndef TK_KV_H
#define TK_KV_H

#include "plan.h"
#include "simd.h"

enum { TK_LANES = TK_KEY_GROUP / 4 }; /* vectors of scores in a group */

TK_INLINE int32_t tk_kv_blocks(int32_t width) { return (width + TK_QK - 1) / TK_QK; }

/* Bytes of one head's group of keys, and of one position's values. */
TK_INLINE size_t tk_kv_group(int32_t type, int32_t width) {
    size_t n = (size_t)width * TK_KEY_GROUP, blocks = (size_t)tk_kv_blocks(width);
    if (type == TK_Q8_0) return n + blocks * TK_KEY_GROUP * sizeof(uint16_t);
    return n * (type == TK_F16 ? sizeof(uint16_t) : sizeof(float));
}
TK_INLINE size_t tk_kv_row(int32_t type, int32_t width) {
    size_t n = (size_t)width, blocks = (size_t)tk_kv_blocks(width);
    if (type == TK_Q8_0) return n + blocks * sizeof(uint16_t);
    return n * (type == TK_F16 ? sizeof(uint16_t) : sizeof(float));
}

/* To half precision, to nearest even; what is too large, or no number, becomes infinite. */
TK_INLINE uint16_t tk_to_half(float x) {
    union {
        float f;
        uint32_t u;
    } v = {x}, small;
    uint32_t sign = v.u >> 16 & 0x8000u, size = v.u & 0x7fffffffu;
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (size < 0x38800000u) { /* subnormal: the sum with a half has its digits where they belong */
        small.u = size;
        small.f += 0.5f;
        return (uint16_t)(sign | (small.u - 0x3f000000u));
    }
    return (uint16_t)(sign | (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13);
}
TK_INLINE float tk_from_half(uint16_t h) {
    uint16_t four[4] = {h, 0, 0, 0};
    return half4(four)[0];
}

/* Values of a block, n at most 32, `step` apart, to 8 bits; their scale, infinite where they are too
 * large for it. */
TK_INLINE uint16_t tk_kv_round(int8_t *out, ptrdiff_t step, const float *x, int32_t n) {
    union {
        uint32_t u;
        float f;
    } top = {0}, one;
    for (int32_t i = 0; i < n; i++) { /* ordered like the magnitudes, NaN on top */
        one.f = x[i];
        top.u = (one.u & 0x7fffffffu) > top.u ? one.u & 0x7fffffffu : top.u;
    }
    uint16_t scale = tk_to_half(top.f / 127.0f);
    float d = scale < 0x7c00u ? tk_from_half(scale) : 0.0f;
    for (int32_t i = 0; i < n; i++) {
        float q = d > 0.0f ? (x[i] * (1.0f / d) + 12582912.0f) - 12582912.0f : 0.0f;
        q = q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
        out[i * step] = (int8_t)q;
    }
    return scale;
}

/* Keeps a head's keys k and values v [width] of a position; where they lie is told of the group of
 * keys, in which the position is number `at`, and of its own values. Returns 0 where one of them is
 * too large for the type. */
TK_INLINE int32_t tk_kv_store(int32_t type, uint8_t *group, int32_t at, uint8_t *row, const float *k,
                              const float *v, int32_t width) {
    uint16_t *half_keys = (uint16_t *)group + at, *half_values = (uint16_t *)row;
    uint32_t infinite = 0;
    if (type == TK_F32) {
        for (int32_t d = 0; d < width; d++) {
            ((float *)group)[TK_KEY_GROUP * d + at] = k[d];
            ((float *)row)[d] = v[d];
        }
        return 1;
    }
    if (type == TK_F16) {
        for (int32_t d = 0; d < width; d++) {
            uint16_t one = tk_to_half(k[d]), other = tk_to_half(v[d]);
            half_keys[TK_KEY_GROUP * d] = one;
            half_values[d] = other;
            infinite |= (one & 0x7c00u) == 0x7c00u || (other & 0x7c00u) == 0x7c00u;
        }
        return !infinite;
    }
    int32_t blocks = tk_kv_blocks(width);
    int8_t *keys = (int8_t *)((uint16_t *)group + blocks * TK_KEY_GROUP) + at;
    int8_t *values = (int8_t *)(half_values + blocks);
    for (int32_t b = 0; b < blocks; b++) {
        int32_t d = b * TK_QK, n = width - d < TK_QK ? width - d : TK_QK;
        uint16_t one = tk_kv_round(keys + TK_KEY_GROUP * d, TK_KEY_GROUP, k + d, n);
        uint16_t other = tk_kv_round(values + d, 1, v + d, n);
        half_keys[TK_KEY_GROUP * b] = one;
        half_values[b] = other;
        infinite |= one >= 0x7c00u || other >= 0x7c00u;
    }
    return !infinite;
}

/* Eight signed bytes as floats. */
TK_INLINE void tk_floats8(const int8_t *p, v4f *low, v4f *high) {
    v8s wide = widen8(p);
    *low = __builtin_convertvector(__builtin_shufflevector(wide, wide, 0, 1, 2, 3), v4f);
    *high = __builtin_convertvector(__builtin_shufflevector(wide, wide, 4, 5, 6, 7), v4f);
}

/* Scores of a group of positions: sums over dimensions, in order; of 8 bits within a block first. */
TK_INLINE void tk_kv_score(int32_t type, float *out, const uint8_t *group, const float *q,
                           int32_t width, v4f scale) {
    v4f acc[TK_LANES], part[TK_LANES];
    for (int i = 0; i < TK_LANES; i++) acc[i] = splat4(0.0f);
    if (type == TK_F32) {
        const float *keys = (const float *)group;
        for (int32_t d = 0; d < width; d++, keys += TK_KEY_GROUP) {
            v4f qd = splat4(q[d]);
            for (int i = 0; i < TK_LANES; i++) acc[i] += qd * load4(keys + 4 * i);
        }
    } else if (type == TK_F16) {
        const uint16_t *keys = (const uint16_t *)group;
        for (int32_t d = 0; d < width; d++, keys += TK_KEY_GROUP) {
            v4f qd = splat4(q[d]);
            for (int i = 0; i < TK_LANES; i++) acc[i] += qd * half4(keys + 4 * i);
        }
    } else {
        const uint16_t *scales = (const uint16_t *)group;
        const int8_t *keys = (const int8_t *)(scales + tk_kv_blocks(width) * TK_KEY_GROUP);
        for (int32_t d = 0; d < width; scales += TK_KEY_GROUP) {
            int32_t end = width - d < TK_QK ? width : d + TK_QK;
            for (int i = 0; i < TK_LANES; i++) part[i] = splat4(0.0f);
            for (; d < end; d++, keys += TK_KEY_GROUP) {
                v4f qd = splat4(q[d]), low, high;
                for (int i = 0; i < TK_LANES; i += 2) {
                    tk_floats8(keys + 4 * i, &low, &high);
                    part[i] += qd * low;
                    part[i + 1] += qd * high;
                }
            }
            for (int i = 0; i < TK_LANES; i++) acc[i] += part[i] * half4(scales + 4 * i);
        }
    }
    for (int i = 0; i < TK_LANES; i++) store4(out + 4 * i, acc[i] * scale);
}

/* out[0 .. 4 lanes) += the sum over n positions, in order, of weight times value, of the dimensions
 * from d on. */
TK_INLINE void tk_kv_mix_some(const int type, float *out, const uint8_t *rows, const float *weights,
                              int32_t n, int32_t width, int32_t d, const int lanes) {
    v4f acc[12];
    size_t step = tk_kv_row(type, width);
    int32_t blocks = tk_kv_blocks(width);
    for (int j = 0; j < lanes; j++) acc[j] = load4(out + d + 4 * j);
    for (int32_t t = 0; t < n; t++, rows += step) {
        if (type == TK_Q8_0) {
            const uint16_t *scales = (const uint16_t *)rows;
            const int8_t *values = (const int8_t *)(scales + blocks) + d;
            v4f w = splat4(weights[t] * tk_from_half(scales[d / TK_QK]));
            for (int j = 0; j < lanes; j++) {
                const int8_t *v = values + 4 * j;
                v4i four = {v[0], v[1], v[2], v[3]};
                acc[j] += w * __builtin_convertvector(four, v4f);
            }
            continue;
        }
        v4f w = splat4(weights[t]);
        for (int j = 0; j < lanes; j++)
            acc[j] += w * (type == TK_F16 ? half4((const uint16_t *)rows + d + 4 * j)
                                          : load4((const float *)rows + d + 4 * j));
    }
    for (int j = 0; j < lanes; j++) store4(out + d + 4 * j, acc[j]);
}

/* out [width] += the same of all dimensions. An addition waits for the one before it: the more sums
 * go on side by side, the better. Of 8 bits those have one scale. */
TK_INLINE void tk_kv_mix(const int type, float *out, const uint8_t *rows, const float *weights,
                         int32_t n, int32_t width) {
    int32_t d = 0;
    if (width == 48 && type != TK_Q8_0)
        tk_kv_mix_some(type, out, rows, weights, n, width, 0, 12), d = 48;
    for (; d + 32 <= width; d += 32) tk_kv_mix_some(type, out, rows, weights, n, width, d, 8);
    for (; d + 16 <= width; d += 16) tk_kv_mix_some(type, out, rows, weights, n, width, d, 4);
    for (; d + 8 <= width; d += 8) tk_kv_mix_some(type, out, rows, weights, n, width, d, 2);
    for (; d < width; d += 4) tk_kv_mix_some(type, out, rows, weights, n, width, d, 1);
}

#endif
