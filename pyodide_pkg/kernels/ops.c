/* The small operations between products and attention: one function each, in the order in which
 * tokens meet them. thimble/plan.py says what the numbers of each are. All may leave what they make
 * where they read, but for those that change the number of rows. */
#include "gelu.h"
#include "plan.h"

static void add_rows(float *y, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(y + i, load4(a + i) + load4(b + i));
}

/* f: what embeddings are multiplied by, or 0. */
int32_t tk_op_embed(const tk_run *r, const tk_op *op) {
    const int32_t *ids = (const int32_t *)r->at[TK_IDS];
    float *x = tk_rows(r, op->out[0]);
    size_t width = tk_width(r, op->out[0]);
    for (int32_t t = 0; t < r->rows; t++, x += width) {
        tk_row(tk_op_tensor(op, 0), ids[t], x);
        if (op->f[0] == 0.0f) continue;
        for (size_t i = 0; i < width; i += 4) store4(x + i, load4(x + i) * splat4(op->f[0]));
    }
    return 0;
}

/* The rows of a matrix that stand for the tokens' positions, or with n[0] its first for all. */
int32_t tk_op_positions(const tk_run *r, const tk_op *op) {
    size_t width = tk_width(r, op->out[0]);
    for (int32_t t = 0; t < r->rows; t++)
        tk_row(tk_op_tensor(op, 0), op->n[0] ? 0 : r->s->n_past + t,
               tk_rows(r, op->out[0]) + (size_t)t * width);
    return 0;
}

/* The rotations of each position, cos and sin by turns. tensor: doubles, radians a position; n: how
 * many pairs there are; f: what both are multiplied by. */
int32_t tk_op_rotations(const tk_run *r, const tk_op *op) {
    const double *frequencies = (const double *)(intptr_t)op->tensor[0];
    int32_t pairs = op->n[0];
    float *table = tk_rows(r, op->out[0]);
    for (int32_t t = 0; t < r->rows; t++, table += 2 * pairs)
        for (int32_t i = 0; i < pairs; i++) {
            double c, s;
            tk_cos_sin((double)(r->s->n_past + t) * frequencies[i], &c, &s);
            table[2 * i] = (float)c * op->f[0];
            table[2 * i + 1] = (float)s * op->f[0];
        }
    return 0;
}

/* y = x / rms(x) * w (Zhang & Sennrich 2019). */
static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps) {
    v4f squares = splat4(0.0f);
    for (size_t i = 0; i < n; i += 4) {
        v4f v = load4(x + i);
        squares += v * v;
    }
    v4f scale = splat4(1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += 4) store4(y + i, load4(x + i) * scale * load4(w + i));
}

/* The same without weights. */
static void rms_norm_plain(float *x, size_t n, float eps) {
    v4f squares = splat4(0.0f);
    for (size_t i = 0; i < n; i += 4) squares += load4(x + i) * load4(x + i);
    v4f scale = splat4(1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) * scale);
}

static v4f mean_of(const float *x, size_t n) {
    v4f sum = splat4(0.0f);
    for (size_t i = 0; i < n; i += 4) sum += load4(x + i);
    return splat4(sum4(sum) / (float)n);
}

/* y = (x - mean) / deviation * w + bias (Ba et al. 2016). */
static void layer_norm(float *y, const float *x, const float *w, const float *bias, size_t n,
                       float eps) {
    v4f squares = splat4(0.0f), mean = mean_of(x, n);
    for (size_t i = 0; i < n; i += 4) {
        v4f v = load4(x + i) - mean;
        squares += v * v;
    }
    v4f scale = splat4(1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += 4) {
        v4f v = (load4(x + i) - mean) * scale * load4(w + i);
        store4(y + i, bias ? v + load4(bias + i) : v);
    }
}

/* What a norm divides by: the root of the mean square, of what is centred first where `center`. */
static float scale_of(const float *x, size_t n, int32_t center, float eps) {
    v4f squares = splat4(0.0f), mean = center ? mean_of(x, n) : splat4(0.0f);
    for (size_t i = 0; i < n; i += 4) {
        v4f v = center ? load4(x + i) - mean : load4(x + i);
        squares += v * v;
    }
    return __builtin_sqrtf(sum4(squares) / (float)n + eps);
}

/* Leaves the scale [rows][1], what is divided by it, and that times the weights, plus the bias: in
 * three stages where the first two have a place. n: whether the mean is taken off; f: epsilon. */
int32_t tk_op_norm(const tk_run *r, const tk_op *op, int32_t from, int32_t to) {
    const float *w = tk_op_vector(op, 0), *bias = tk_op_vector(op, 1);
    size_t n = tk_width(r, op->out[2]);
    int32_t center = op->n[0];
    for (int32_t t = 0; t < r->rows; t++) {
        size_t row = (size_t)t * n;
        const float *x = tk_rows(r, op->in[0]) + row;
        float *y = tk_rows(r, op->out[2]) + row;
        if (!r->at[op->out[0]]) {
            if (center)
                layer_norm(y, x, w, bias, n, op->f[0]);
            else
                rms_norm(y, x, w, n, op->f[0]);
            continue;
        }
        float *scale = tk_rows(r, op->out[0]) + t, *normed = tk_rows(r, op->out[1]) + row;
        if (from == 0) *scale = scale_of(x, n, center, op->f[0]);
        if (from <= 1 && to > 1) {
            v4f mean = center ? mean_of(x, n) : splat4(0.0f), inverse = splat4(1.0f / *scale);
            for (size_t i = 0; i < n; i += 4) {
                v4f v = center ? load4(x + i) - mean : load4(x + i);
                store4(normed + i, v * inverse);
            }
        }
        if (to <= 2) continue;
        for (size_t i = 0; i < n; i += 4) {
            v4f v = load4(normed + i) * load4(w + i);
            store4(y + i, bias ? v + load4(bias + i) : v);
        }
    }
    return 0;
}

static float *same_or_copied(const tk_run *r, const tk_op *op) {
    float *y = tk_rows(r, op->out[0]);
    const float *x = tk_rows(r, op->in[0]);
    if (x != y) tk_move(y, x, (size_t)r->rows * tk_width(r, op->in[0]) * sizeof(float));
    return y;
}

/* The norm of queries or keys: as wide as its weights, which are a head or all heads, or without any
 * as n says. f: epsilon. */
int32_t tk_op_head_norm(const tk_run *r, const tk_op *op) {
    const tk_tensor *w = tk_op_tensor(op, 0);
    float *x = same_or_copied(r, op);
    size_t all = (size_t)r->rows * tk_width(r, op->out[0]), width = (size_t)(w ? w->cols : op->n[0]);
    for (size_t at = 0; at < all; at += width)
        if (w)
            rms_norm(x + at, x + at, (const float *)w->data, width, op->f[0]);
        else
            rms_norm_plain(x + at, width, op->f[0]);
    return 0;
}

/* Queries grow with their position. n: after how many positions once more; f: by how much. */
int32_t tk_op_temper(const tk_run *r, const tk_op *op) {
    const float *x = tk_rows(r, op->in[0]);
    float *y = tk_rows(r, op->out[0]);
    size_t width = tk_width(r, op->out[0]);
    for (int32_t t = 0; t < r->rows; t++, x += width, y += width) {
        v4f factor = splat4(tk_temper(r->s->n_past + t, op->n[0], op->f[0]));
        for (size_t i = 0; i < width; i += 4) store4(y + i, load4(x + i) * factor);
    }
    return 0;
}

/* The first half of each head's values, and the second. n: heads, values of a half. */
int32_t tk_op_halves(const tk_run *r, const tk_op *op) {
    const float *x = tk_rows(r, op->in[0]);
    float *first = tk_rows(r, op->out[0]), *second = tk_rows(r, op->out[1]);
    size_t width = (size_t)op->n[1];
    for (int32_t i = 0; i < r->rows * op->n[0]; i++, x += 2 * width, first += width, second += width) {
        tk_move(first, x, width * sizeof(float));
        tk_move(second, x + width, width * sizeof(float));
    }
    return 0;
}

/* Rotary position embedding (Su et al. 2021) by the table in[1]. n: heads, values of a head, values
 * of it that turn, whether pairs lie side by side. */
int32_t tk_op_rope(const tk_run *r, const tk_op *op) {
    float *x = same_or_copied(r, op);
    const float *table = tk_rows(r, op->in[1]);
    int32_t heads = op->n[0], width = op->n[1], half = op->n[2] / 2, interleaved = op->n[3];
    int32_t step = interleaved ? 2 : 1, partner = interleaved ? 1 : half;
    for (int32_t t = 0; t < r->rows; t++, table += 2 * half)
        for (int32_t h = 0; h < heads; h++, x += width)
            for (int32_t i = 0; i < half; i++) {
                float *a = x + i * step, *b = a + partner;
                float c = table[2 * i], s = table[2 * i + 1], x0 = *a, x1 = *b;
                *a = x0 * c - x1 * s;
                *b = x0 * s + x1 * c;
            }
    return 0;
}

/* n: which function; in[1]: what its value is multiplied with, if anything (Shazeer 2020). */
int32_t tk_op_activate(const tk_run *r, const tk_op *op) {
    const float *gate = tk_rows(r, op->in[0]), *up = tk_rows(r, op->in[1]);
    float *y = tk_rows(r, op->out[0]);
    size_t n = (size_t)r->rows * tk_width(r, op->out[0]);
    if (op->n[0] == TK_SILU && up) {
        for (size_t i = 0; i < n; i += 4) {
            v4f g = load4(gate + i);
            store4(y + i, g / (splat4(1.0f) + exp4(-g)) * load4(up + i));
        }
        return 0;
    }
    for (size_t i = 0; i < n; i += 4) {
        v4f g = load4(gate + i);
        switch (op->n[0]) {
        case TK_SILU: g = g / (splat4(1.0f) + exp4(-g)); break;
        case TK_GELU_TANH: g = gelu_tanh4(g); break;
        case TK_GELU_ERF: g = gelu_erf4(g); break;
        case TK_SIGMOID: g = splat4(1.0f) / (splat4(1.0f) + exp4(-g)); break;
        }
        store4(y + i, up ? g * load4(up + i) : g);
    }
    return 0;
}

int32_t tk_op_add(const tk_run *r, const tk_op *op) {
    add_rows(tk_rows(r, op->out[0]), tk_rows(r, op->in[0]), tk_rows(r, op->in[1]),
             (size_t)r->rows * tk_width(r, op->out[0]));
    return 0;
}

int32_t tk_op_multiply(const tk_run *r, const tk_op *op) {
    const float *a = tk_rows(r, op->in[0]), *b = tk_rows(r, op->in[1]);
    float *y = tk_rows(r, op->out[0]);
    size_t n = (size_t)r->rows * tk_width(r, op->out[0]);
    for (size_t i = 0; i < n; i += 4) store4(y + i, load4(a + i) * load4(b + i));
    return 0;
}

/* The rows of the positions whose logits are wanted: the last ones. */
int32_t tk_op_last(const tk_run *r, const tk_op *op) {
    size_t width = tk_width(r, op->out[0]);
    tk_move(tk_rows(r, op->out[0]),
            tk_rows(r, op->in[0]) + (size_t)(r->tokens - r->wanted) * width,
            (size_t)r->wanted * width * sizeof(float));
    return 0;
}

/* The mean of all tokens' rows, in one; each sum is in double precision, first to last. */
int32_t tk_op_pool(const tk_run *r, const tk_op *op) {
    size_t width = tk_width(r, op->out[0]);
    if (op->n[0]) {
        tk_move(tk_rows(r, op->out[0]), tk_rows(r, op->in[0]), width * sizeof(float));
        return 0;
    }
    for (size_t i = 0; i < width; i++) {
        const float *x = tk_rows(r, op->in[0]) + i;
        double sum = 0.0;
        for (int32_t t = 0; t < r->tokens; t++, x += width) sum += (double)*x;
        tk_rows(r, op->out[0])[i] = (float)(sum / (double)r->tokens);
    }
    return 0;
}

/* f: the cap. */
int32_t tk_op_soft_cap(const tk_run *r, const tk_op *op) {
    const float *x = tk_rows(r, op->in[0]);
    float *y = tk_rows(r, op->out[0]);
    size_t n = (size_t)r->rows * tk_width(r, op->out[0]);
    for (size_t i = 0; i < n; i += 4) store4(y + i, soft_cap4(load4(x + i), splat4(op->f[0])));
    return 0;
}

/* f: the factor. */
int32_t tk_op_scale(const tk_run *r, const tk_op *op) {
    const float *x = tk_rows(r, op->in[0]);
    float *y = tk_rows(r, op->out[0]);
    size_t n = (size_t)r->rows * tk_width(r, op->out[0]);
    for (size_t i = 0; i < n; i += 4) store4(y + i, load4(x + i) * splat4(op->f[0]));
    return 0;
}

int32_t tk_op_check(const tk_run *r, const tk_op *op) {
    size_t n = (size_t)r->rows * tk_width(r, op->in[0]);
    return tk_finite(tk_rows(r, op->in[0]), n) ? 0 : TK_NOT_FINITE;
}

/* What `rotations` multiplies positions with: out double [pairs]; numbers: the base, and what
 * positions are divided by, doubles. */
TK_EXPORT tk_int tk_rope_frequencies(tk_int out, tk_int pairs, tk_int numbers) {
    const double *f = (const double *)numbers;
    double log_base = tk_log(f[0]);
    for (tk_int i = 0; i < pairs; i++)
        ((double *)out)[i] = tk_exp(-2.0 * (double)i / (double)(2 * pairs) * log_base) / f[1];
    return 0;
}

/* Divides each pair's frequency by its factor, a float. */
TK_EXPORT tk_int tk_rope_divide(tk_int frequencies, tk_int pairs, tk_int factors) {
    for (tk_int i = 0; i < pairs; i++) {
        double *f = (double *)frequencies + i;
        *f = *f / (double)((const float *)factors)[i];
    }
    return 0;
}
