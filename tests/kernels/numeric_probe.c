/* The functions of numeric.h, gelu.h and kv.h, reachable from a test. */
#include "../../pyodide_pkg/kernels/gelu.h"
#include "../../pyodide_pkg/kernels/kv.h"

TK_EXPORT void probe_half(const float *x, uint16_t *y, long n) {
    for (long i = 0; i < n; i++) y[i] = tk_to_half(x[i]);
}

/* The scales of blocks of 32, in y; their values, rounded, in q. */
TK_EXPORT void probe_round(const float *x, int8_t *q, uint16_t *y, long blocks) {
    for (long b = 0; b < blocks; b++) y[b] = tk_kv_round(q + 32 * b, 1, x + 32 * b, 32);
}

TK_EXPORT void probe_exp4(const float *x, float *y, long n) {
    for (long i = 0; i < n; i += 4) store4(y + i, exp4(load4(x + i)));
}

TK_EXPORT void probe_double(const double *x, double *y, long n, int which) {
    for (long i = 0; i < n; i++) {
        double c, s;
        switch (which) {
        case 0: y[i] = tk_exp(x[i]); break;
        case 1: y[i] = tk_log(x[i]); break;
        default:
            tk_cos_sin(x[i], &c, &s);
            y[i] = which == 2 ? c : s;
        }
    }
}

TK_EXPORT void probe_gelu(const float *x, float *y, long n, int which, float cap) {
    for (long i = 0; i < n; i += 4) {
        v4f v = load4(x + i);
        v4f found = which == 2 ? soft_cap4(v, splat4(cap)) : which ? gelu_erf4(v) : gelu_tanh4(v);
        store4(y + i, found);
    }
}
