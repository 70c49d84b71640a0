/* Training of low rank: a matrix stays as it is, and what is learned is two thin ones beside it.
 *
 * Products read W = W0 + scale B A (Hu et al. 2021), so a training step is the one of train_step.c;
 * the gradients of A and B follow from that of W, and AdamW moves them. Work is divided by matrices,
 * and what is done by parts can be done again, so that neither threads nor their end change a bit.
 *
 * This file is not among those whose hash is `tk_train_sources`: runs that adapt nothing do not
 * depend on it. Its own is `tk_lora_sources`. */
#include "numeric.h"
#include "train.h"

/* One matrix that is adapted. */
typedef struct {
    size_t at;         /* among the network's weights */
    size_t base;       /* among the kept ones */
    size_t a, b;       /* A [rank][cols] and B [rows][rank], among what is learned */
    int32_t rows, cols;
} tk_lora_matrix;

typedef struct {
    tk_train *train;
    int32_t rank, count;
    double scale; /* alpha by rank */
    tk_lora_matrix *matrices;
    float *base;  /* the matrices as they were */
    size_t n;     /* numbers that are learned */
    float *values, *grads, *first, *second; /* [n] */
} tk_lora;

TK_EXPORT tk_int tk_lora_free(tk_int lora) {
    tk_lora *l = (tk_lora *)lora;
    if (!l) return 0;
    void *parts[] = {l->matrices, l->base, l->values, l->grads, l->first, l->second};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_delete(parts[i]);
    tk_delete(l);
    return 0;
}

/* Where everything lies; how many numbers the matrices have. */
static size_t lay_out(tk_lora *l, const int32_t *table) {
    size_t base = 0;
    for (int32_t i = 0; i < l->count; i++, table += 3) {
        tk_lora_matrix *m = &l->matrices[i];
        size_t rank = (size_t)l->rank, rows = (size_t)table[1], cols = (size_t)table[2];
        m->at = (size_t)table[0];
        m->rows = table[1];
        m->cols = table[2];
        m->base = base;
        m->a = l->n;
        m->b = m->a + rank * cols;
        l->n = m->b + rows * rank;
        base += rows * cols;
    }
    return base;
}

/* Adapts matrices of a training run that has its weights and rounds none: `count` times where one
 * begins among the weights, its rows and columns, int32 at `table`; `scale`: where a double lies.
 * Returns an address, or 0 without the memory. */
TK_EXPORT tk_int tk_lora_new(tk_int train, tk_int rank, tk_int scale, tk_int table, tk_int count) {
    tk_lora *l = tk_new(sizeof *l);
    if (!l) return 0;
    l->train = (tk_train *)train;
    l->rank = (int32_t)rank;
    l->scale = *(const double *)scale;
    l->count = (int32_t)count;
    l->matrices = tk_new((size_t)count * sizeof(tk_lora_matrix));
    size_t kept = l->matrices ? lay_out(l, (const int32_t *)table) : 0;
    size_t bytes = l->n * sizeof(float);
    if (!l->matrices || !(l->base = tk_new(kept * sizeof(float))) ||
        !(l->values = tk_new(bytes)) || !(l->grads = tk_new(bytes)) ||
        !(l->first = tk_new(bytes)) || !(l->second = tk_new(bytes))) {
        tk_lora_free((tk_int)l);
        return 0;
    }
    for (int32_t i = 0; i < l->count; i++) {
        const tk_lora_matrix *m = &l->matrices[i];
        tk_move(l->base + m->base, l->train->master + m->at,
                (size_t)m->rows * (size_t)m->cols * sizeof(float));
    }
    return (tk_int)l;
}

/* Where something is: 0 what is learned, 1 and 2 its averages, 3 its gradients; 8: how many numbers
 * it has. As in `tk_train_part`. */
TK_EXPORT tk_int tk_lora_part(tk_int lora, tk_int which) {
    const tk_lora *l = (const tk_lora *)lora;
    const void *places[] = {l->values, l->first, l->second, l->grads};
    return which == 8 ? (tk_int)l->n : (tk_int)places[which];
}

/* Normal numbers of deviation 1 / sqrt(columns) (Box & Muller 1958), each from its own place in the
 * stream. */
static void fill_normal(float *p, int32_t rank, int32_t cols, uint64_t key) {
    double deviation = 1.0 / __builtin_sqrt((double)cols), unit = 0x1p-53;
    for (size_t i = 0; i < (size_t)rank * (size_t)cols; i++) {
        double c, s;
        double u = (double)((tk_draw(key, 2 * i) >> 11) + 1) * unit;
        double v = (double)(tk_draw(key, 2 * i + 1) >> 11) * unit;
        tk_cos_sin(6.283185307179586 * v, &c, &s);
        p[i] = (float)(deviation * (__builtin_sqrt(-2.0 * tk_log(u)) * c));
    }
}

/* First values: A by chance, B zeros, so that training begins with the model as it is. */
TK_EXPORT tk_int tk_lora_init(tk_int lora, tk_int seed_low, tk_int seed_high) {
    tk_lora *l = (tk_lora *)lora;
    uint64_t seed = (uint64_t)(uint32_t)seed_low | (uint64_t)(uint32_t)seed_high << 32;
    __builtin_memset(l->values, 0, l->n * sizeof(float));
    for (int32_t i = 0; i < l->count; i++)
        fill_normal(l->values + l->matrices[i].a, l->rank, l->matrices[i].cols,
                    tk_draw(seed, (uint64_t)i));
    return 0;
}

static void merge_part(void *argument, int32_t part, int32_t parts) {
    const tk_lora *l = argument;
    v4f scale = splat4((float)l->scale);
    for (int32_t i = part; i < l->count; i += parts) {
        const tk_lora_matrix *m = &l->matrices[i];
        float *w = l->train->master + m->at;
        const float *base = l->base + m->base;
        tk_gemm(l->train->scratch[part], w, m->cols, by_rows(l->values + m->b, l->rank),
                by_rows(l->values + m->a, m->cols), m->rows, m->cols, l->rank, 0);
        for (size_t j = 0; j < (size_t)m->rows * (size_t)m->cols; j += 4)
            store4(w + j, load4(base + j) + scale * load4(w + j));
    }
}

/* Makes the weights that products read: W0 + scale B A. To be called when A and B have changed. */
TK_EXPORT tk_int tk_lora_merge(tk_int lora) {
    tk_lora *l = (tk_lora *)lora;
    if (tk_pool_threads() > l->train->threads) return -1;
    tk_parallel(merge_part, l);
    return 0;
}

/* dA = scale B^T dW, dB = scale dW A^T. */
static void project_part(void *argument, int32_t part, int32_t parts) {
    const tk_lora *l = argument;
    v4f scale = splat4((float)l->scale);
    float *scratch = l->train->scratch[part];
    for (int32_t i = part; i < l->count; i += parts) {
        const tk_lora_matrix *m = &l->matrices[i];
        const float *dw = l->train->grads + m->at;
        size_t end = m->b + (size_t)m->rows * (size_t)l->rank;
        tk_gemm(scratch, l->grads + m->a, m->cols, turned(l->values + m->b, l->rank),
                by_rows(dw, m->cols), l->rank, m->cols, m->rows, 0);
        tk_gemm(scratch, l->grads + m->b, l->rank, by_rows(dw, m->cols),
                turned(l->values + m->a, m->cols), m->rows, l->rank, m->cols, 0);
        for (size_t j = m->a; j < end; j += 4)
            store4(l->grads + j, scale * load4(l->grads + j));
    }
}

/* The gradients of A and B from those of the weights. */
TK_EXPORT tk_int tk_lora_project(tk_int lora) {
    tk_lora *l = (tk_lora *)lora;
    if (tk_pool_threads() > l->train->threads) return -1;
    tk_parallel(project_part, l);
    return 0;
}

static double gradient_norm(const tk_lora *l) {
    double lanes[4] = {0.0, 0.0, 0.0, 0.0};
    for (size_t i = 0; i < l->n; i += 4)
        for (size_t j = 0; j < 4; j++)
            lanes[j] += (double)l->grads[i + j] * (double)l->grads[i + j];
    return __builtin_sqrt((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

/* AdamW (Loshchilov & Hutter 2019), as train_update.c has it. */
static void adam(tk_lora *l, float clip) {
    const double *io = l->train->io;
    v4f b1 = splat4((float)io[TK_IO_ADAM_BETA1]), b2 = splat4((float)io[TK_IO_ADAM_BETA2]);
    v4f c1 = splat4((float)(1.0 - io[TK_IO_ADAM_BETA1]));
    v4f c2 = splat4((float)(1.0 - io[TK_IO_ADAM_BETA2]));
    v4f grow1 = splat4((float)io[TK_IO_ADAM_GROW1]), grow2 = splat4((float)io[TK_IO_ADAM_GROW2]);
    v4f rate = splat4((float)io[TK_IO_ADAM_RATE]), tiny = splat4(1e-8f);
    v4f keep = splat4((float)(1.0 - io[TK_IO_ADAM_RATE] * io[TK_IO_ADAM_DECAY]));
    for (size_t i = 0; i < l->n; i += 4) {
        v4f g = load4(l->grads + i) * splat4(clip);
        v4f m = load4(l->first + i) * b1 + g * c1;
        v4f v = load4(l->second + i) * b2 + g * g * c2;
        v4f root = __builtin_elementwise_sqrt(v * grow2) + tiny;
        store4(l->first + i, m);
        store4(l->second + i, v);
        store4(l->values + i, load4(l->values + i) * keep - rate * (m * grow1 / root));
    }
}

/* Moves A and B by the gradients that `tk_lora_project` left, and sets those of the weights to 0.
 * Numbers go where `tk_train_update` has them. Returns 0; 1, with all as it was, where a gradient is
 * not finite. */
TK_EXPORT tk_int tk_lora_update(tk_int lora) {
    tk_lora *l = (tk_lora *)lora;
    tk_train *t = l->train;
    double norm = gradient_norm(l), clip = t->io[TK_IO_CLIP];
    t->io[TK_IO_NORM] = norm;
    int finite = norm - norm == 0.0;
    if (finite) adam(l, norm > clip ? (float)(clip / (norm + 1e-6)) : 1.0f);
    __builtin_memset(t->grads, 0, t->n_params * sizeof(float));
    return !finite;
}

#ifndef TK_ADAPTING
#define TK_ADAPTING "not built by build_kernels.py, which knows the hash of the sources here"
#endif

/* Where the SHA-256 of this file stands: 64 characters. */
TK_EXPORT tk_int tk_lora_sources(void) { return (tk_int)TK_ADAPTING; }
