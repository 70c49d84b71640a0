/* exp, log, sin and cos of our own, from additions and multiplications only, so that they give the
 * same bits everywhere. The float versions are for vectors of activations (relative error about
 * 1e-7), the double ones for tables and totals (about 1e-15). */
#ifndef TK_NUMERIC_H
#define TK_NUMERIC_H

#include "simd.h"

/* exp(x), four lanes; 0 below -87, and the largest finite power above 88. Cody-Waite reduction by
 * ln 2 and the minimax polynomial of the Cephes library's expf. A NaN stays a NaN. */
TK_INLINE v4f exp4(v4f x) {
    v4i keep = (x >= splat4(-87.0f)) | (x != x);
    v4i high = x > splat4(88.0f);
    x = (v4f)(((v4i)splat4(88.0f) & high) | ((v4i)x & ~high));
    x = (v4f)((v4i)x & keep);
    const v4f magic = splat4(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    v4f shifted = x * splat4(1.44269504f) + magic;
    v4f n = shifted - magic;
    v4f r = x - n * splat4(0.693359375f);
    r = r - n * splat4(-2.12194440e-4f);
    v4f p = splat4(1.9875691500e-4f);
    p = p * r + splat4(1.3981999507e-3f);
    p = p * r + splat4(8.3334519073e-3f);
    p = p * r + splat4(4.1665795894e-2f);
    p = p * r + splat4(1.6666665459e-1f);
    p = p * r + splat4(5.0000001201e-1f);
    p = (p * r) * r + r + splat4(1.0f);
    v4i power = ((v4i)shifted - (v4i)magic + 127) << 23;
    return (v4f)((v4i)(p * (v4f)power) & keep);
}

TK_INLINE double tk_exp(double x) {
    if (x < -700.0) return 0.0;
    if (x > 700.0) x = 700.0;
    double n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0;
    double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    double sum = 1.0, term = 1.0;
    for (int i = 1; i <= 14; i++) {
        term = term * r / (double)i;
        sum = sum + term;
    }
    union {
        uint64_t u;
        double d;
    } power = {(uint64_t)((int64_t)n + 1023) << 52};
    return sum * power.d;
}

/* ln(x) for finite x > 0 that is not subnormal. */
TK_INLINE double tk_log(double x) {
    union {
        double d;
        uint64_t u;
    } bits = {x};
    int64_t e = (int64_t)(bits.u >> 52) - 1023;
    bits.u = (bits.u & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
    if (bits.d > 1.4142135623730951) {
        bits.d = bits.d * 0.5;
        e += 1;
    }
    double s = (bits.d - 1.0) / (bits.d + 1.0), s2 = s * s, sum = 0.0;
    for (int i = 23; i >= 1; i -= 2) sum = sum * s2 + 1.0 / (double)i;
    return (double)e * 0.6931471805599453 + 2.0 * s * sum;
}

/* cos and sin of x radians, |x| < 2^30: reduction by pi/2 in three parts, then Taylor series. */
TK_INLINE void tk_cos_sin(double x, double *cos_out, double *sin_out) {
    double n = (x * 0.6366197723675814 + 6755399441055744.0) - 6755399441055744.0;
    double r = x - n * 0x1.921fb54400000p+0;
    r = r - n * 0x1.0b4611a600000p-34;
    r = r - n * 0x1.3198a2e037073p-69;
    double r2 = r * r, s = 0.0, c = 0.0;
    for (int i = 10; i >= 1; i--) {
        s = (1.0 + s) * (-r2 / (double)((2 * i) * (2 * i + 1)));
        c = (1.0 + c) * (-r2 / (double)((2 * i - 1) * (2 * i)));
    }
    s = r + r * s;
    c = 1.0 + c;
    switch ((int64_t)n & 3) {
    case 0:
        *cos_out = c;
        *sin_out = s;
        break;
    case 1:
        *cos_out = -s;
        *sin_out = c;
        break;
    case 2:
        *cos_out = -c;
        *sin_out = -s;
        break;
    default:
        *cos_out = s;
        *sin_out = -c;
        break;
    }
}

#endif
