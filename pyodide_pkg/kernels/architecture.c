/* What other architectures do that llama does not: the features of model_config.py, a function each.
 *
 * forward.c asks for them where a model has them; a model has one when its number is not 0, or when
 * the tensor is there. To add a feature: a field of tk_model, set here, and its place in forward.c;
 * then reference.py and the table in architectures.py. */
#include "gelu.h"

/* ints: activation, layer_norm, parallel, window, sliding_window_pattern, no_rope_layer_interval;
 * floats: embed_scale, attn_logit_softcapping, final_logit_softcapping, attention_factor, base of the
 * local RoPE (0 for none). Returns 0 without memory. */
TK_EXPORT tk_int tk_model_features(tk_int model, tk_int ints, tk_int floats) {
    tk_model *m = (tk_model *)model;
    const int32_t *n = (const int32_t *)ints;
    const double *f = (const double *)floats;
    m->activation = n[0];
    m->layer_norm = n[1];
    m->parallel = n[2];
    m->window = n[3];
    m->sliding_window_pattern = n[4];
    m->no_rope_layer_interval = n[5];
    m->embed_scale = (float)f[0];
    m->attn_logit_softcapping = (float)f[1];
    m->final_logit_softcapping = (float)f[2];
    m->attention_factor = (float)f[3];
    if (f[4] == 0.0) return 1;
    m->rope_freq_local = tk_new(sizeof(double) * (size_t)(m->rope_dim / 2 + 1));
    if (!m->rope_freq_local) return 0;
    double log_base = tk_log(f[4]);
    for (int32_t i = 0; i < m->rope_dim / 2; i++)
        m->rope_freq_local[i] = tk_exp(-2.0 * (double)i / (double)m->rope_dim * log_base);
    return 1;
}

/* y = (x - mean) / deviation * w + bias (Ba et al. 2016). n is a multiple of 4. */
static void layer_norm(float *y, const float *x, const float *w, const float *bias, int32_t n,
                       float eps) {
    v4f sum = splat4(0.0f), squares = splat4(0.0f);
    for (int32_t i = 0; i < n; i += 4) sum += load4(x + i);
    v4f mean = splat4(sum4(sum) / (float)n);
    for (int32_t i = 0; i < n; i += 4) {
        v4f v = load4(x + i) - mean;
        squares += v * v;
    }
    v4f scale = splat4(1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps));
    for (int32_t i = 0; i < n; i += 4) {
        v4f v = (load4(x + i) - mean) * scale * load4(w + i);
        store4(y + i, bias ? v + load4(bias + i) : v);
    }
}

/* Rows as wide as the model; y may be x. */
void tk_normalize(const tk_model *m, float *y, const float *x, const tk_tensor *w,
                  const tk_tensor *bias, int32_t tokens) {
    const float *gain = (const float *)w->data, *b = bias ? (const float *)bias->data : NULL;
    for (int32_t t = 0; t < tokens; t++, x += m->dim, y += m->dim) {
        if (m->layer_norm)
            layer_norm(y, x, gain, b, m->dim, m->norm_eps);
        else
            tk_rmsnorm(y, x, gain, m->dim, m->norm_eps);
    }
}

/* The norm of queries or keys, in place: as wide as its weights, which are a head or all heads. */
void tk_norm_heads(const tk_model *m, float *x, const tk_tensor *w, int32_t width, int32_t tokens) {
    size_t all = (size_t)tokens * (size_t)width;
    for (size_t at = 0; at < all; at += (size_t)w->cols)
        tk_rmsnorm(x + at, x + at, (const float *)w->data, w->cols, m->norm_eps);
}

void tk_add_bias(float *y, const tk_tensor *bias, int32_t tokens) {
    const float *b = (const float *)bias->data;
    for (int32_t t = 0; t < tokens; t++, y += bias->cols)
        for (int32_t i = 0; i < bias->cols; i += 4) store4(y + i, load4(y + i) + load4(b + i));
}

/* What stands between the products of a feed-forward block, in place; `up` is NULL where nothing is
 * gated. n is a multiple of 4. */
void tk_activate(const tk_model *m, float *gate, const float *up, int32_t n) {
    if (m->activation == TK_SILU && up) {
        tk_swiglu(gate, up, n);
        return;
    }
    for (int32_t i = 0; i < n; i += 4) {
        v4f g = load4(gate + i);
        if (m->activation == TK_SILU)
            g = g / (splat4(1.0f) + exp4(-g));
        else
            g = m->activation == TK_GELU_TANH ? gelu_tanh4(g) : gelu_erf4(g);
        store4(gate + i, up ? g * load4(up + i) : g);
    }
}

/* n is a multiple of 4. */
void tk_scale_rows(float *x, float scale, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) * splat4(scale));
}

/* n is a multiple of 4. */
void tk_soft_cap(float *x, float cap, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, soft_cap4(load4(x + i), splat4(cap)));
}
