/* What other architectures than llama put between products: GELU and the soft cap, from exp4 of
 * numeric.h and so with the same bits everywhere. */
#ifndef TK_GELU_H
#define TK_GELU_H

#include "numeric.h"

/* x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks & Gimpel 2016); that is
 * x / (1 + exp(-2 u)), which loses nothing where x is far below 0. */
TK_INLINE v4f gelu_tanh4(v4f x) {
    v4f u = splat4(1.59576912f) * (x + splat4(0.044715f) * (x * x * x));
    return x / (splat4(1.0f) + exp4(-u));
}

/* 1 + erf(x / sqrt 2); erfc by formula 7.1.26 of Abramowitz & Stegun, whose error is below 1.5e-7. */
TK_INLINE v4f one_and_erf4(v4f x) {
    v4i negative = x < splat4(0.0f);
    v4f z = (v4f)((v4i)x & 0x7fffffff) * splat4(0.707106781f);
    v4f t = splat4(1.0f) / (splat4(1.0f) + splat4(0.3275911f) * z);
    v4f p = splat4(1.061405429f) * t - splat4(1.453152027f);
    p = p * t + splat4(1.421413741f);
    p = p * t - splat4(0.284496736f);
    p = p * t + splat4(0.254829592f);
    v4f erfc = p * t * exp4(-(z * z));
    v4f other = splat4(2.0f) - erfc;
    return (v4f)(((v4i)erfc & negative) | ((v4i)other & ~negative));
}

/* x (1 + erf(x / sqrt 2)) / 2. */
TK_INLINE v4f gelu_erf4(v4f x) { return splat4(0.5f) * x * one_and_erf4(x); }

/* cap tanh(x / cap): Gemma 2's way to keep scores and logits small. tanh y = 1 - 2 / (exp 2y + 1). */
TK_INLINE v4f soft_cap4(v4f x, v4f cap) {
    v4f e = exp4(splat4(2.0f) * (x / cap));
    return cap * (splat4(1.0f) - splat4(2.0f) / (e + splat4(1.0f)));
}

/* What queries of a position are multiplied by (Nakanishi 2025, https://arxiv.org/abs/2501.19399). */
TK_INLINE float tk_temper(int32_t pos, int32_t length, float scale) {
    return 1.0f + (float)tk_log(1.0 + (double)((pos + 1) / length)) * scale;
}

#endif
