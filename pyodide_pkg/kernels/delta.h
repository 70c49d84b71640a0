/* One step of the gated delta rule, which a pass back computes again. */
#ifndef TK_DELTA_H
#define TK_DELTA_H

#include "numeric.h"
#include "scan.h"

/* A row over its length, times a factor; the length is the root of the sum of squares plus epsilon.
 * Returns one over it. */
TK_INLINE float tk_unit(float *unit, const float *x, float factor, float eps, int32_t n) {
    v4f squares = splat4(0.0f);
    for (int32_t i = 0; i < n; i += 4) squares += load4(x + i) * load4(x + i);
    float inverse = 1.0f / __builtin_sqrtf(sum4(squares) + eps);
    for (int32_t i = 0; i < n; i += 4) store4(unit + i, load4(x + i) * splat4(inverse) * splat4(factor));
    return inverse;
}

TK_INLINE float tk_sigmoid(float x) { return 1.0f / (1.0f + (float)tk_exp(-(double)x)); }

/* What is left of a state: alpha is the raw number of a head and a token, a its head's. */
TK_INLINE float tk_delta_decay(float alpha, float a) { return (float)tk_exp((double)(a * tk_softplus(alpha))); }

/* Four rows of a head's state [width][size], from where it was to where it will be, which may be the same:
 * it decays; what it has for the key k is moved towards v, by the share beta of what is missing; y is
 * what the query q reads out of it then. Four at a time, so that sums do not wait for each other; each
 * has one order. */
TK_INLINE void tk_delta_rows(float *state, const float *from, float *y, const float *q, const float *k,
                             const float *v, float decay, float beta, int32_t size) {
    float *rows[4] = {state, state + size, state + 2 * size, state + 3 * size};
    const float *were[4] = {from, from + size, from + 2 * size, from + 3 * size};
    v4f left = splat4(decay), sums[4], missing[4];
    for (int i = 0; i < 4; i++) sums[i] = splat4(0.0f);
    for (int32_t n = 0; n < size; n += 4)
        for (int i = 0; i < 4; i++) sums[i] += load4(were[i] + n) * left * load4(k + n);
    for (int i = 0; i < 4; i++) {
        missing[i] = splat4((v[i] - sum4(sums[i])) * beta);
        sums[i] = splat4(0.0f);
    }
    for (int32_t n = 0; n < size; n += 4)
        for (int i = 0; i < 4; i++) {
            v4f now = load4(were[i] + n) * left + load4(k + n) * missing[i];
            store4(rows[i] + n, now);
            sums[i] += now * load4(q + n);
        }
    for (int i = 0; i < 4; i++) y[i] = sum4(sums[i]);
}

/* Where the numbers of one head lie in a row: queries, keys [key heads][size], values [heads][width]. */
typedef struct {
    int32_t heads, width, size, key_heads;
} tk_delta_shape;

TK_INLINE tk_delta_shape tk_delta_of(const int32_t *n) { return (tk_delta_shape){n[0], n[1], n[2], n[3]}; }
TK_INLINE size_t tk_delta_query(tk_delta_shape s, int32_t head) {
    return (size_t)(head % s.key_heads) * (size_t)s.size;
}
TK_INLINE size_t tk_delta_key(tk_delta_shape s, int32_t head) {
    return (size_t)s.key_heads * (size_t)s.size + tk_delta_query(s, head);
}
TK_INLINE size_t tk_delta_value(tk_delta_shape s, int32_t head) {
    return 2 * (size_t)s.key_heads * (size_t)s.size + (size_t)head * (size_t)s.width;
}

/* One head's token: x is the row of queries, keys and values; unit: room for a key and a query, which
 * are of length 1, the query over the root of its width. Returns nothing but the state and y. */
TK_INLINE void tk_delta_token(tk_delta_shape s, float *state, const float *from, float *y, float *unit,
                              const float *x, int32_t head, float decay, float beta, float eps) {
    float *k = unit, *q = unit + s.size;
    const float *v = x + tk_delta_value(s, head);
    tk_unit(k, x + tk_delta_key(s, head), 1.0f, eps, s.size);
    tk_unit(q, x + tk_delta_query(s, head), 1.0f / __builtin_sqrtf((float)s.size), eps, s.size);
    for (int32_t p = 0; p < s.width; p += 4) {
        size_t at = (size_t)p * (size_t)s.size;
        tk_delta_rows(state + at, from + at, y + p, q, k, v + p, decay, beta, s.size);
    }
}

#endif
