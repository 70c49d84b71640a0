/* Passes over a row of logits, as long as the vocabulary: what sampling and combining share. Each
 * sum has one order: four lanes over a chunk, the lanes, then chunks in a double. */
#ifndef TK_DISTRIBUTION_H
#define TK_DISTRIBUTION_H

#include "numeric.h"

enum { CHUNK = 256 }; /* floats added up in lanes before they go into a double */

/* ln(x), four lanes; minus infinity at 0 and at subnormal numbers, and no other x below 0 comes
 * here. The exponent is split off at 1/sqrt 2, the rest is the Cephes library's logf. */
TK_INLINE v4f log4(v4f x) {
    v4i none = x < splat4(0x1p-126f);
    v4i bits = (v4i)x - 0x3f3504f3; /* the bits of 1/sqrt 2 */
    v4f e = __builtin_convertvector(bits >> 23, v4f);
    v4f m = (v4f)((bits & 0x007fffff) + 0x3f3504f3) - splat4(1.0f);
    v4f z = m * m, p = splat4(7.0376836292e-2f);
    p = p * m - splat4(1.1514610310e-1f);
    p = p * m + splat4(1.1676998740e-1f);
    p = p * m - splat4(1.2420140846e-1f);
    p = p * m + splat4(1.4249322787e-1f);
    p = p * m - splat4(1.6668057665e-1f);
    p = p * m + splat4(2.0000714765e-1f);
    p = p * m - splat4(2.4999993993e-1f);
    p = p * m + splat4(3.3333331174e-1f);
    v4f y = p * m * z + e * splat4(-2.12194440e-4f) - z * splat4(0.5f);
    v4f ln = m + y + e * splat4(0.693359375f);
    return (v4f)(((v4i)splat4(-__builtin_inff()) & none) | ((v4i)ln & ~none));
}

TK_INLINE float max_of(const float *x, int32_t n) {
    v4f m = splat4(-__builtin_inff()), m1 = m, m2 = m, m3 = m;
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        m = max4(load4(x + i), m);
        m1 = max4(load4(x + i + 4), m1);
        m2 = max4(load4(x + i + 8), m2);
        m3 = max4(load4(x + i + 12), m3);
    }
    for (; i + 4 <= n; i += 4) m = max4(load4(x + i), m);
    m = max4(max4(m, m1), max4(m2, m3));
    float top = m[0];
    for (int j = 1; j < 4; j++) top = m[j] > top ? m[j] : top;
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* The sum of one chunk, n <= CHUNK values: four lanes, then the lanes. */
TK_INLINE float chunk_sum(const float *x, int32_t n) {
    v4f sum = splat4(0.0f);
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) sum += load4(x + i);
    for (; i < n; i++) sum[i & 3] += x[i];
    return sum4(sum);
}

TK_INLINE int32_t chunk_size(int32_t n, int32_t at) { return n - at < CHUNK ? n - at : CHUNK; }

TK_INLINE double total_of(const float *x, int32_t n) {
    double total = 0.0;
    for (int32_t at = 0; at < n; at += CHUNK) total += (double)chunk_sum(x + at, chunk_size(n, at));
    return total;
}

/* w[i] = exp((x[i] - top) * scale); w has room for n rounded up to 4, x is readable that far. */
TK_INLINE void exponentials(float *w, const float *x, int32_t n, float top, float scale) {
    for (int32_t i = 0; i < n; i += 4)
        store4(w + i, exp4((load4(x + i) - splat4(top)) * splat4(scale)));
}

/* The sum of weight times distance from the top; what has no weight is left out. */
TK_INLINE double moment_of(const float *weights, const float *logits, int32_t n, float top) {
    double moment = 0.0;
    for (int32_t at = 0; at < n; at += CHUNK) {
        int32_t size = chunk_size(n, at), i = 0;
        const float *w = weights + at, *x = logits + at;
        v4f sum = splat4(0.0f);
        for (; i + 4 <= size; i += 4) {
            v4f product = load4(w + i) * (load4(x + i) - splat4(top));
            sum += (v4f)((v4i)product & (load4(w + i) > splat4(0.0f)));
        }
        for (; i < size; i++)
            if (w[i] > 0.0f) sum[i & 3] += w[i] * (x[i] - top);
        moment += (double)sum4(sum);
    }
    return moment;
}

#endif
