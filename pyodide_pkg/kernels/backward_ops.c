/* What flows back through the small operations, in the order of ops.c. */
#include "backward.h"
#include "gelu.h"

static void add_to(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) + load4(y + i));
}

static size_t count(const tk_back *b, int32_t buffer) {
    return (size_t)b->r->rows * tk_width(b->r, buffer);
}

/* dx += (g - mean g, where the mean is taken off, - x^ mean(g x^)) / scale, of one row; g is dy times
 * the weights, x^ what is divided by the scale. */
static void norm_row(float *dx, const float *dy, const float *x, const float *w, size_t n, float eps,
                     int32_t center) {
    v4f sum = splat4(0.0f), squares = sum, gs = sum, dots = sum;
    float inverse_n = 1.0f / (float)n;
    for (size_t i = 0; center && i < n; i += 4) sum += load4(x + i);
    v4f mean = splat4(sum4(sum) / (float)n);
    for (size_t i = 0; i < n; i += 4) {
        v4f v = load4(x + i) - mean, g = w ? load4(dy + i) * load4(w + i) : load4(dy + i);
        squares += v * v;
        gs += g;
        dots += g * v;
    }
    float scale = 1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps);
    v4f s = splat4(scale), along = splat4(sum4(dots) * inverse_n * scale * scale);
    v4f less = splat4(center ? sum4(gs) * inverse_n : 0.0f);
    for (size_t i = 0; i < n; i += 4) {
        v4f v = load4(x + i) - mean, g = w ? load4(dy + i) * load4(w + i) : load4(dy + i);
        store4(dx + i, load4(dx + i) + s * (g - less - v * along));
    }
}

int32_t tk_back_norm(const tk_back *b, const tk_op *op) {
    size_t n = tk_width(b->r, op->out[2]), all = count(b, op->out[2]);
    for (size_t at = 0; at < all; at += n)
        norm_row(tk_grads(b, op->in[0]) + at, tk_grads(b, op->out[2]) + at,
                 tk_rows(b->r, op->in[0]) + at, tk_op_vector(op, 0), n, op->f[0], op->n[0]);
    return TK_DONE;
}

int32_t tk_back_head_norm(const tk_back *b, const tk_op *op) {
    const tk_tensor *w = tk_op_tensor(op, 0);
    size_t n = (size_t)(w ? w->cols : op->n[0]), all = count(b, op->out[0]);
    for (size_t at = 0; at < all; at += n)
        norm_row(tk_grads(b, op->in[0]) + at, tk_grads(b, op->out[0]) + at,
                 tk_rows(b->r, op->in[0]) + at, tk_op_vector(op, 0), n, op->f[0], 0);
    return TK_DONE;
}

int32_t tk_back_temper(const tk_back *b, const tk_op *op) {
    size_t n = tk_width(b->r, op->out[0]);
    const float *dy = tk_grads(b, op->out[0]);
    float *dx = tk_grads(b, op->in[0]);
    for (int32_t t = 0; t < b->r->rows; t++, dx += n, dy += n) {
        v4f factor = splat4(tk_temper(t, op->n[0], op->f[0]));
        for (size_t i = 0; i < n; i += 4) store4(dx + i, load4(dx + i) + load4(dy + i) * factor);
    }
    return TK_DONE;
}

int32_t tk_back_halves(const tk_back *b, const tk_op *op) {
    float *dx = tk_grads(b, op->in[0]);
    size_t width = (size_t)op->n[1];
    for (int side = 0; side < 2; side++) {
        const float *dy = tk_grads(b, op->out[side]);
        for (int32_t i = 0; i < b->r->rows * op->n[0]; i++)
            add_to(dx + (2 * (size_t)i + (size_t)side) * width, dy + (size_t)i * width, width);
    }
    return TK_DONE;
}

/* A rotation back. */
int32_t tk_back_rope(const tk_back *b, const tk_op *op) {
    const float *table = tk_rows(b->r, op->in[1]), *dy = tk_grads(b, op->out[0]);
    float *dx = tk_grads(b, op->in[0]);
    int32_t heads = op->n[0], width = op->n[1], half = op->n[2] / 2, interleaved = op->n[3];
    int32_t step = interleaved ? 2 : 1, partner = interleaved ? 1 : half;
    for (int32_t t = 0; t < b->r->rows; t++, table += 2 * half)
        for (int32_t h = 0; h < heads; h++, dx += width, dy += width) {
            for (int32_t i = 0; i < half; i++) {
                int32_t at = i * step;
                float c = table[2 * i], s = table[2 * i + 1], d0 = dy[at], d1 = dy[at + partner];
                dx[at] += d0 * c + d1 * s;
                dx[at + partner] += d1 * c - d0 * s;
            }
            for (int32_t i = 2 * half; i < width; i++) dx[i] += dy[i];
        }
    return TK_DONE;
}

/* The function's value, and its slope to *slope. */
TK_INLINE v4f activated(v4f x, v4f *slope, const int32_t function) {
    const v4f one = splat4(1.0f);
    if (function == TK_GELU_ERF) {
        v4f whole = one_and_erf4(x), half = splat4(0.5f);
        *slope = half * whole + splat4(0.398942280f) * x * exp4(-(half * (x * x)));
        return half * x * whole;
    }
    v4f z = x, dz = one; /* x / (1 + exp(-z)), and the slope of z */
    if (function == TK_GELU_TANH) {
        z = splat4(1.59576912f) * (x + splat4(0.044715f) * (x * x * x));
        dz = splat4(1.59576912f) * (one + splat4(0.134145f) * (x * x));
    }
    v4f share = one / (one + exp4(-z));
    if (function == TK_SIGMOID) {
        *slope = share * (one - share);
        return share;
    }
    *slope = share + x * (share * (one - share)) * dz;
    return x * share;
}

TK_INLINE void activate(float *d_gate, float *d_up, const float *dy, const float *gate, const float *up,
                        size_t n, const int32_t function) {
    for (size_t i = 0; i < n; i += 4) {
        v4f slope, d = load4(dy + i), y = activated(load4(gate + i), &slope, function);
        if (up) {
            store4(d_up + i, load4(d_up + i) + d * y);
            d *= load4(up + i);
        }
        store4(d_gate + i, load4(d_gate + i) + d * slope);
    }
}

int32_t tk_back_activate(const tk_back *b, const tk_op *op) {
    const float *gate = tk_rows(b->r, op->in[0]), *up = tk_rows(b->r, op->in[1]);
    const float *dy = tk_grads(b, op->out[0]);
    float *d_gate = tk_grads(b, op->in[0]), *d_up = tk_grads(b, op->in[1]);
    size_t n = count(b, op->out[0]);
    switch (op->n[0]) {
    case TK_SILU: activate(d_gate, d_up, dy, gate, up, n, TK_SILU); break;
    case TK_GELU_TANH: activate(d_gate, d_up, dy, gate, up, n, TK_GELU_TANH); break;
    case TK_GELU_ERF: activate(d_gate, d_up, dy, gate, up, n, TK_GELU_ERF); break;
    case TK_SIGMOID: activate(d_gate, d_up, dy, gate, up, n, TK_SIGMOID); break;
    default: return TK_UNKNOWN;
    }
    return TK_DONE;
}

int32_t tk_back_add(const tk_back *b, const tk_op *op) {
    size_t n = count(b, op->out[0]);
    for (int i = 0; i < 2; i++) {
        float *dx = tk_grads(b, op->in[i]);
        if (dx) add_to(dx, tk_grads(b, op->out[0]), n);
    }
    return TK_DONE;
}

int32_t tk_back_last(const tk_back *b, const tk_op *op) {
    size_t before = (size_t)(b->r->tokens - b->r->wanted) * tk_width(b->r, op->in[0]);
    add_to(tk_grads(b, op->in[0]) + before, tk_grads(b, op->out[0]), count(b, op->out[0]));
    return TK_DONE;
}

/* Each position has the same part of a mean. */
int32_t tk_back_pool(const tk_back *b, const tk_op *op) {
    size_t n = tk_width(b->r, op->out[0]);
    const float *dy = tk_grads(b, op->out[0]);
    float *dx = tk_grads(b, op->in[0]);
    int32_t tokens = op->n[0] ? 1 : b->r->tokens; /* the first row alone, or the mean of all */
    v4f part = splat4((float)(1.0 / (double)tokens));
    for (int32_t t = 0; t < tokens; t++, dx += n)
        for (size_t i = 0; i < n; i += 4) store4(dx + i, load4(dx + i) + load4(dy + i) * part);
    return TK_DONE;
}

/* Where it left its values in the place of those that it read, so it does with gradients. */
int32_t tk_back_soft_cap(const tk_back *b, const tk_op *op) {
    const float *y = tk_rows(b->r, op->out[0]), *dy = tk_grads(b, op->out[0]);
    float *dx = tk_grads(b, op->in[0]);
    size_t n = count(b, op->out[0]);
    for (size_t i = 0; i < n; i += 4) {
        v4f part = load4(y + i) / splat4(op->f[0]);
        v4f d = load4(dy + i) * (splat4(1.0f) - part * part);
        store4(dx + i, dx == dy ? d : load4(dx + i) + d);
    }
    return TK_DONE;
}

/* The same holds here. */
int32_t tk_back_scale(const tk_back *b, const tk_op *op) {
    const float *dy = tk_grads(b, op->out[0]);
    float *dx = tk_grads(b, op->in[0]);
    size_t n = count(b, op->out[0]);
    for (size_t i = 0; i < n; i += 4) {
        v4f d = load4(dy + i) * splat4(op->f[0]);
        store4(dx + i, dx == dy ? d : load4(dx + i) + d);
    }
    return TK_DONE;
}

int32_t tk_back_multiply(const tk_back *b, const tk_op *op) {
    const float *dy = tk_grads(b, op->out[0]);
    size_t n = count(b, op->out[0]);
    for (int side = 0; side < 2; side++) {
        float *dx = tk_grads(b, op->in[side]);
        const float *other = tk_rows(b->r, op->in[1 - side]);
        for (size_t i = 0; i < n; i += 4)
            store4(dx + i, load4(dx + i) + load4(dy + i) * load4(other + i));
    }
    return TK_DONE;
}

/* Each value went into its own position's sum and into those of the next ones, first to last. */
int32_t tk_back_short_conv(const tk_back *b, const tk_op *op) {
    const tk_tensor *weights = tk_op_tensor(op, 0);
    size_t width = tk_width(b->r, op->in[0]);
    int32_t taps = op->n[0];
    for (int32_t t = 0; t < b->r->rows; t++) {
        float *dx = tk_grads(b, op->in[0]) + (size_t)t * width;
        const float *dy = tk_grads(b, op->out[0]) + (size_t)t * width;
        int32_t later = b->r->rows - t < taps ? b->r->rows - t : taps;
        for (int32_t q = 0; q < weights->quads; q++) {
            const float *w = (const float *)tk_quad(weights, q);
            v4f sum = load4(dx + 4 * q);
            for (int32_t i = 0; i < later; i++)
                sum += load4(dy + (size_t)i * width + 4 * q) * load4(w + 16 * (taps - 1 - i));
            store4(dx + 4 * q, sum);
        }
    }
    return TK_DONE;
}
