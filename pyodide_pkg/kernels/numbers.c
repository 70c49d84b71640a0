/* What is asked of rows of floats as a whole. */
#include "thimble.h"

/* 1 if no value is infinite or NaN. */
int32_t tk_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        union {
            float f;
            uint32_t u;
        } v = {x[i]};
        bad |= (v.u & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

int32_t tk_same_bits(const float *a, const float *b, size_t n) {
    const uint32_t *x = (const uint32_t *)(const void *)a, *y = (const uint32_t *)(const void *)b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i]) return 0;
    return 1;
}
