/* One step of a selective state space, which a pass back computes again. */
#ifndef TK_SCAN_H
#define TK_SCAN_H

#include "numeric.h"

/* One head's token: its state decays and takes up x b; y is what c reads out of it, and d x. */
TK_INLINE void tk_scan_token(float *state, float *y, const float *x, const float *b, const float *c,
                             float dt, float a, float d, int32_t width, int32_t size) {
    v4f decay = exp4(splat4(a * dt));
    for (int32_t p = 0; p < width; p++, state += size) {
        v4f taken = splat4(x[p] * dt), sum = splat4(0.0f);
        for (int32_t n = 0; n < size; n += 4) {
            v4f now = load4(state + n) * decay + load4(b + n) * taken;
            store4(state + n, now);
            sum += now * load4(c + n);
        }
        y[p] = sum4(sum) + d * x[p];
    }
}

/* log(1 + exp(x)), which makes any number positive. */
TK_INLINE float tk_softplus(float x) { return x > 20.0f ? x : (float)tk_log(1.0 + tk_exp((double)x)); }

#endif
