/* One update: the norm of all gradients, clipping, AdamW and Muon. And weights rounded to an
 * encoding, for models that are to be quantized.
 *
 * Sources: Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon),
 * https://kellerjordan.github.io/posts/muon/, with weight decay as in Liu et al. 2025; Bengio et al.
 * 2013 (straight-through gradients). */
#include "train.h"

enum { MATRICES = 7 }; /* of a layer: query, key, value, output, gate, up, down */
enum { ROUNDS = 5, BLOCK = 48 };

typedef struct {
    size_t at; /* from the layer's first weight */
    int32_t rows, cols;
} tk_matrix;

static tk_matrix matrix(const tk_train *t, int32_t which) {
    tk_offsets o = tk_layer_offsets(t);
    size_t dim = (size_t)t->dim, kv = (size_t)t->kv;
    switch (which) {
    case 0:
        return (tk_matrix){o.qkv, t->dim, t->dim};
    case 1:
        return (tk_matrix){o.qkv + dim * dim, t->kv, t->dim};
    case 2:
        return (tk_matrix){o.qkv + dim * (dim + kv), t->kv, t->dim};
    case 3:
        return (tk_matrix){o.output, t->dim, t->dim};
    case 4:
        return (tk_matrix){o.gates, t->hidden, t->dim};
    case 5:
        return (tk_matrix){o.gates + dim * (size_t)t->hidden, t->hidden, t->dim};
    default:
        return (tk_matrix){o.down, t->dim, t->hidden};
    }
}

/* Sums of squares of TK_SQUARES gradients at a time, in double, four lanes each. */
static void squares_part(void *argument, int32_t part, int32_t parts) {
    tk_train *t = argument;
    int32_t blocks = (int32_t)((t->n_params + TK_SQUARES - 1) / TK_SQUARES);
    for (int32_t b = tk_share(blocks, 1, part, parts); b < tk_share(blocks, 1, part + 1, parts);
         b++) {
        size_t first = (size_t)b * TK_SQUARES, last = first + TK_SQUARES;
        if (last > t->n_params) last = t->n_params;
        double lanes[4] = {0.0, 0.0, 0.0, 0.0};
        for (size_t i = first; i < last; i += 4)
            for (size_t j = 0; j < 4; j++)
                lanes[j] += (double)t->grads[i + j] * (double)t->grads[i + j];
        t->squares[b] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
}

static double gradient_norm(tk_train *t) {
    size_t blocks = (t->n_params + TK_SQUARES - 1) / TK_SQUARES;
    double sum = 0.0;
    tk_parallel(squares_part, t);
    for (size_t b = 0; b < blocks; b++) sum += t->squares[b];
    return __builtin_sqrt(sum);
}

typedef struct {
    tk_train *t;
    float clip; /* what gradients are multiplied by */
} tk_update;

static void adam(const tk_update *u, size_t first, size_t last, double decay) {
    tk_train *t = u->t;
    const double *io = t->io;
    v4f b1 = splat4((float)io[TK_IO_ADAM_BETA1]), b2 = splat4((float)io[TK_IO_ADAM_BETA2]);
    v4f c1 = splat4((float)(1.0 - io[TK_IO_ADAM_BETA1]));
    v4f c2 = splat4((float)(1.0 - io[TK_IO_ADAM_BETA2]));
    v4f grow1 = splat4((float)io[TK_IO_ADAM_GROW1]), grow2 = splat4((float)io[TK_IO_ADAM_GROW2]);
    v4f rate = splat4((float)io[TK_IO_ADAM_RATE]), tiny = splat4(1e-8f);
    v4f keep = splat4((float)(1.0 - io[TK_IO_ADAM_RATE] * decay));
    for (size_t i = first; i < last; i += 4) {
        v4f g = load4(t->grads + i) * splat4(u->clip);
        v4f m = load4(t->first + i) * b1 + g * c1;
        v4f v = load4(t->second + i) * b2 + g * g * c2;
        v4f root = __builtin_elementwise_sqrt(v * grow2) + tiny;
        store4(t->first + i, m);
        store4(t->second + i, v);
        store4(t->master + i, load4(t->master + i) * keep - rate * (m * grow1 / root));
    }
}

/* What is no layer's matrix: the embedding and the gains of norms, which do not decay. */
static void adam_part(void *argument, int32_t part, int32_t parts) {
    const tk_update *u = argument;
    const tk_train *t = u->t;
    tk_offsets o = tk_layer_offsets(t);
    int32_t embedding = t->n_vocab * t->dim;
    adam(u, (size_t)tk_share(embedding, 16, part, parts),
         (size_t)tk_share(embedding, 16, part + 1, parts), 0.0);
    for (int32_t l = tk_share(t->n_layers, 1, part, parts);
         l < tk_share(t->n_layers, 1, part + 1, parts); l++) {
        size_t at = tk_layer_at(t, l), dim = (size_t)t->dim;
        adam(u, at + o.norm1, at + o.norm1 + dim, 0.0);
        adam(u, at + o.norm2, at + o.norm2 + dim, 0.0);
        if (t->muon) continue;
        adam(u, at + o.qkv, at + o.norm2, t->io[TK_IO_ADAM_DECAY]);
        adam(u, at + o.gates, at + o.end, t->io[TK_IO_ADAM_DECAY]);
    }
    if (part == 0) adam(u, t->n_params - (size_t)t->dim, t->n_params, 0.0);
}

/* Floats for one matrix: two of its size, and two squares of its shorter side. */
size_t tk_muon_scratch(const tk_train *t) {
    if (!t->muon) return 0;
    size_t dim = (size_t)t->dim, hidden = (size_t)t->hidden;
    size_t side = dim < hidden ? dim : hidden, size = dim * (dim > hidden ? dim : hidden);
    side = dim > side ? dim : side;
    return tk_gemm_scratch() + 2 * size + 2 * side * side;
}

/* y [n][n] = a a^T, which is symmetric to the bit: what is above the diagonal's blocks is copied. */
static void gram(float *scratch, float *y, const float *a, int32_t n, int32_t k) {
    for (int32_t i = 0; i < n; i += BLOCK) {
        int32_t rows = n - i < BLOCK ? n - i : BLOCK;
        tk_gemm(scratch, y + (ptrdiff_t)i * n, n, by_rows(a + (ptrdiff_t)i * k, k), turned(a, k),
                rows, i + rows, k, 0);
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = i + 1; j < n; j++) y[(ptrdiff_t)i * n + j] = y[(ptrdiff_t)j * n + i];
}

/* Newton-Schulz: x [n][k] with n <= k gets singular values near 1. Returns where the result is, x
 * or other. */
static float *orthogonalize(float *scratch, float *x, float *other, float *y, float *z, int32_t n,
                            int32_t k) {
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    ptrdiff_t size = (ptrdiff_t)n * k, square = (ptrdiff_t)n * n;
    for (int round = 0; round < ROUNDS; round++) {
        gram(scratch, y, x, n, k);
        gram(scratch, z, y, n, n); /* y is symmetric */
        for (ptrdiff_t i = 0; i < square; i++) z[i] = y[i] * b + z[i] * c;
        for (ptrdiff_t i = 0; i < size; i++) other[i] = x[i] * a;
        tk_gemm(scratch, other, k, by_rows(z, n), by_rows(x, k), n, k, n, 1);
        float *last = x;
        x = other;
        other = last;
    }
    return x;
}

/* Moves one matrix. Its momentum is where AdamW has its first average. */
static void muon(const tk_update *u, float *scratch, int32_t layer, int32_t which) {
    tk_train *t = u->t;
    tk_matrix w = matrix(t, which);
    size_t at = tk_layer_at(t, layer) + w.at, size = (size_t)w.rows * (size_t)w.cols;
    int tall = w.rows > w.cols;
    int32_t n = tall ? w.cols : w.rows, k = tall ? w.rows : w.cols;
    float *x = scratch + tk_gemm_scratch(), *other = x + size, *y = other + size;
    float *z = y + (size_t)n * (size_t)n;
    float beta = (float)t->io[TK_IO_MUON_MOMENTUM];
    float rest = (float)(1.0 - t->io[TK_IO_MUON_MOMENTUM]);
    double squares = 0.0;
    for (int32_t i = 0; i < w.rows; i++) {
        for (int32_t j = 0; j < w.cols; j++) {
            size_t p = (size_t)i * (size_t)w.cols + (size_t)j;
            float g = t->grads[at + p] * u->clip;
            float m = t->first[at + p] + (g - t->first[at + p]) * rest;
            float ahead = g + (m - g) * beta; /* Nesterov: one step further */
            t->first[at + p] = m;
            x[tall ? (size_t)j * (size_t)w.rows + (size_t)i : p] = ahead;
            squares += (double)ahead * (double)ahead;
        }
    }
    float shrink = (float)(1.0 / (__builtin_sqrt(squares) + 1e-7));
    for (size_t p = 0; p < size; p++) x[p] = x[p] * shrink;
    const float *found = orthogonalize(scratch, x, other, y, z, n, k);
    double ratio = (double)w.rows / (double)w.cols;
    float move = (float)(t->io[TK_IO_MUON_RATE] * __builtin_sqrt(ratio > 1.0 ? ratio : 1.0));
    float keep = (float)(1.0 - t->io[TK_IO_MUON_RATE] * t->io[TK_IO_MUON_DECAY]);
    for (int32_t i = 0; i < w.rows; i++) {
        for (int32_t j = 0; j < w.cols; j++) {
            size_t p = (size_t)i * (size_t)w.cols + (size_t)j;
            float d = found[tall ? (size_t)j * (size_t)w.rows + (size_t)i : p];
            t->master[at + p] = t->master[at + p] * keep - move * d;
        }
    }
}

/* Matrices go round the parts: those of one kind cost the same. */
static void muon_part(void *argument, int32_t part, int32_t parts) {
    const tk_update *u = argument;
    int32_t count = u->t->n_layers * MATRICES;
    for (int32_t i = part; i < count; i += parts)
        muon(u, u->t->scratch[part], i % u->t->n_layers, i / u->t->n_layers);
}

/* Moves the weights by the gradients, which are set to 0. Returns 0; 1, with the weights as they
 * were, where a gradient is not finite. */
TK_EXPORT tk_int tk_train_update(tk_int train) {
    tk_train *t = (tk_train *)train;
    if (tk_pool_threads() > t->threads) return -1;
    double norm = gradient_norm(t), clip = t->io[TK_IO_CLIP];
    t->io[TK_IO_NORM] = norm;
    int finite = norm - norm == 0.0;
    if (finite) {
        tk_update u = {t, norm > clip ? (float)(clip / (norm + 1e-6)) : 1.0f};
        tk_parallel(adam_part, &u);
        if (t->muon) tk_parallel(muon_part, &u);
    }
    __builtin_memset(t->grads, 0, t->n_params * sizeof(float));
    return !finite;
}

tk_int tk_quantize(tk_int type, tk_int src, tk_int dst, tk_int n);

/* There and back, a block at a time. */
static void rounded(const tk_train *t, size_t first, size_t last) {
    uint8_t block[TK_QK * 4];
    for (size_t i = first; i < last; i += TK_QK) {
        tk_quantize(t->quantize, (tk_int)(t->master + i), (tk_int)block, TK_QK);
        tk_dequantize(t->quantize, (tk_int)block, (tk_int)(t->weights + i), TK_QK);
    }
}

static void round_part(void *argument, int32_t part, int32_t parts) {
    const tk_train *t = argument;
    int32_t embedding = t->n_vocab * t->dim;
    tk_offsets o = tk_layer_offsets(t);
    rounded(t, (size_t)tk_share(embedding, TK_QK, part, parts),
            (size_t)tk_share(embedding, TK_QK, part + 1, parts));
    for (int32_t l = tk_share(t->n_layers, 1, part, parts);
         l < tk_share(t->n_layers, 1, part + 1, parts); l++) {
        size_t at = tk_layer_at(t, l), gain = (size_t)t->dim * sizeof(float);
        rounded(t, at + o.qkv, at + o.norm2);
        rounded(t, at + o.gates, at + o.end);
        tk_move(t->weights + at + o.norm1, t->master + at + o.norm1, gain);
        tk_move(t->weights + at + o.norm2, t->master + at + o.norm2, gain);
    }
    size_t last = t->n_params - (size_t)t->dim;
    if (part == 0) tk_move(t->weights + last, t->master + last, (size_t)t->dim * sizeof(float));
}

/* Makes the weights that products read: rounded to the encoding, or with `exact` as they are. To be
 * called when weights have changed. */
TK_EXPORT tk_int tk_train_settle(tk_int train, tk_int exact) {
    tk_train *t = (tk_train *)train;
    if (t->weights == t->master) return 0;
    if (exact)
        tk_move(t->weights, t->master, t->n_params * sizeof(float));
    else
        tk_parallel(round_part, t);
    return 0;
}
