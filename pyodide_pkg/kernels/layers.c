/* The small operations between the matrix products. */
#include "numeric.h"

/* y = x / rms(x) * w (Zhang & Sennrich 2019). */
void tk_rmsnorm(float *y, const float *x, const float *w, int32_t n, float eps) {
    v4f squares = splat4(0.0f);
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v4f v = load4(x + i);
        squares += v * v;
    }
    for (; i < n; i++) squares[i & 3] += x[i] * x[i];
    float scale = 1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4) store4(y + i, load4(x + i) * splat4(scale) * load4(w + i));
    for (; i < n; i++) y[i] = x[i] * scale * w[i];
}

/* gate = silu(gate) * up (Shazeer 2020). n is a multiple of 4, or the arrays are padded to one. */
void tk_swiglu(float *gate, const float *up, int32_t n) {
    for (int32_t i = 0; i < n; i += 4) {
        v4f g = load4(gate + i);
        store4(gate + i, g / (splat4(1.0f) + exp4(-g)) * load4(up + i));
    }
}

static void rotations(const tk_model *m, const double *freq, int32_t pos, float *cos_sin) {
    for (int32_t i = 0; i < m->rope_dim / 2; i++) {
        double c, s;
        tk_cos_sin((double)pos * freq[i], &c, &s);
        cos_sin[2 * i] = (float)c * m->attention_factor;
        cos_sin[2 * i + 1] = (float)s * m->attention_factor;
    }
}

/* The rotations of one position: cos and sin by turns, [rope_dim / 2][2]. */
void tk_rope_table(const tk_model *m, int32_t pos, float *cos_sin) {
    rotations(m, m->rope_freq, pos, cos_sin);
}

/* The same for layers with a window, where those have frequencies of their own. */
void tk_rope_table_local(const tk_model *m, int32_t pos, float *cos_sin) {
    rotations(m, m->rope_freq_local, pos, cos_sin);
}

/* Rotary position embedding (Su et al. 2021), in place on x [n_heads][head_dim]. */
void tk_rope(const tk_model *m, const float *cos_sin, float *x, int32_t n_heads) {
    int32_t half = m->rope_dim / 2;
    int32_t step = m->rope_interleaved ? 2 : 1, partner = m->rope_interleaved ? 1 : half;
    for (int32_t h = 0; h < n_heads; h++, x += m->head_dim) {
        for (int32_t i = 0; i < half; i++) {
            float *a = x + i * step, *b = a + partner;
            float c = cos_sin[2 * i], s = cos_sin[2 * i + 1], x0 = *a, x1 = *b;
            *a = x0 * c - x1 * s;
            *b = x0 * s + x1 * c;
        }
    }
}

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
