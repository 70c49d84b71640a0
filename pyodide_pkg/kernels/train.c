/* The life of a training run in memory: how much it takes, its first weights, where things are. */
#include "numeric.h"
#include "train.h"

enum { ALIGN = 64 };
enum { CONFIG = 11 }; /* int32 numbers that the caller sets: n_layers to quantize */

/* Memory that is dealt out twice: first to be counted, with nothing there, then to be had. */
typedef struct {
    uint8_t *base;
    uint64_t used;
} tk_arena;

static void *take(tk_arena *a, uint64_t count, uint64_t size) {
    void *at = a->base ? a->base + a->used : NULL;
    a->used += (count * size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static float *floats(tk_arena *a, uint64_t rows, int64_t cols) {
    return take(a, rows * (uint64_t)cols, sizeof(float));
}

static void take_kept(const tk_train *t, tk_arena *a, tk_kept *kept) {
    uint64_t n = (uint64_t)t->capacity;
    tk_kept k;
    k.x = floats(a, n, t->dim);
    k.norm1 = floats(a, n, t->dim);
    k.qkv = floats(a, n, t->wide);
    k.stats = floats(a, n, 2 * t->n_heads);
    k.heads = floats(a, n, t->dim);
    k.mid = floats(a, n, t->dim);
    k.norm2 = floats(a, n, t->dim);
    k.gates = floats(a, n, 2 * t->hidden);
    k.act = floats(a, n, t->hidden);
    k.root = floats(a, n, 2);
    if (kept) *kept = k;
}

/* Weights, and what their updates need. */
static void take_weights(tk_train *t, tk_arena *a) {
    t->master = floats(a, t->n_params, 1);
    t->weights = t->quantize == TK_F32 ? t->master : floats(a, t->n_params, 1);
    t->grads = floats(a, t->n_params, 1);
    t->first = floats(a, t->n_params, 1);
    t->second = floats(a, t->n_params, 1);
    t->squares = take(a, t->n_params / TK_SQUARES + 1, sizeof(double));
    t->io = take(a, TK_IO_COUNT, sizeof(double));
}

static void take_activations(tk_train *t, tk_arena *a) {
    uint64_t n = (uint64_t)t->capacity;
    t->rope = floats(a, 2 * (uint64_t)t->context, t->head_dim);
    t->kept = take(a, (uint64_t)t->n_layers, sizeof(tk_kept));
    for (int32_t l = 0; l < t->n_layers; l++) take_kept(t, a, a->base ? &t->kept[l] : NULL);
    t->ids = take(a, n, sizeof(int32_t));
    t->targets = take(a, n, sizeof(int32_t));
    t->starts = take(a, n + 1, sizeof(int32_t));
    t->nats = take(a, n, sizeof(double));
    t->logits = floats(a, TK_LOGIT_ROWS, (t->n_vocab + 3) & ~3);
    float **rows[] = {&t->x, &t->norm, &t->d_out, &t->d_mid, &t->d_in, &t->d_norm, &t->d_norm2,
                      &t->d_branch, &t->d_branch2, &t->d_heads};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) *rows[i] = floats(a, n, t->dim);
    t->root = floats(a, n, 1);
    t->d_gates = floats(a, n, 2 * t->hidden);
    t->d_act = floats(a, n, t->hidden);
    t->d_qkv = floats(a, n, t->wide);
    size_t most = tk_attention_scratch(t), muon = tk_muon_scratch(t);
    for (int32_t i = 0; i < t->threads; i++)
        t->scratch[i] = floats(a, most > muon ? most : muon, 1);
}

/* Rotations by position: frequencies base^(-2 i / head_dim), pairs side by side. */
static void fill_rope(tk_train *t, double base) {
    double step = tk_log(base) * 2.0 / (double)t->head_dim;
    for (int32_t pos = 0; pos < t->context; pos++) {
        float *row = t->rope + (ptrdiff_t)pos * 2 * t->head_dim;
        for (int32_t i = 0; i < t->head_dim / 2; i++) {
            double c, s;
            tk_cos_sin((double)pos * tk_exp(-step * (double)i), &c, &s);
            row[2 * i] = row[2 * i + 1] = (float)c;
            row[t->head_dim + 2 * i] = -(float)s;
            row[t->head_dim + 2 * i + 1] = (float)s;
        }
    }
}

/* Whether these sizes can be, and their products be counted in 64 bits. */
static int sensible(const tk_train *t) {
    const int32_t *numbers = &t->n_layers;
    for (int i = 0; i < 9; i++)
        if (numbers[i] < 1 || numbers[i] > 1 << 20) return 0;
    if (t->n_layers > 1024 || t->n_heads > 1024 || t->n_heads % t->n_kv_heads) return 0;
    if (t->n_heads * t->head_dim != t->dim || t->head_dim % 4 || t->dim % 32 || t->hidden % 32)
        return 0;
    return t->quantize == TK_F32 || t->quantize == TK_Q8_0 || t->quantize == TK_Q4_0;
}

/* A run from CONFIG int32 at `ints`, in the order of tk_train, and two doubles and the base of the
 * rotations at `reals`: norm_eps, dropout, rope base. Returns its address; 0 without memory; -1 for
 * numbers that cannot be. */
TK_EXPORT tk_int tk_train_new(tk_int ints, tk_int reals) {
    const double *real = (const double *)reals;
    tk_train sized;
    __builtin_memset(&sized, 0, sizeof sized);
    tk_move(&sized.n_layers, (const void *)ints, CONFIG * sizeof(int32_t));
    tk_train *t = &sized;
    if (!sensible(t)) return -1;
    t->threads = tk_pool_threads();
    t->norm_eps = (float)real[0];
    t->dropout = (float)real[1];
    t->kv = t->n_kv_heads * t->head_dim;
    t->wide = t->dim + 2 * t->kv;
    uint64_t layer = (uint64_t)t->dim * (uint64_t)(t->wide + t->dim + 3 * t->hidden + 2);
    uint64_t all = (uint64_t)(t->n_vocab + 1) * (uint64_t)t->dim + layer * (uint64_t)t->n_layers;
    if (all > 1 << 30) return -1;
    t->layer_params = (size_t)layer;
    t->n_params = (size_t)all;
    tk_arena arena = {NULL, 0};
    for (int pass = 0; pass < 2; pass++) {
        arena.used = 0;
        t = arena.base ? take(&arena, 1, sizeof *t) : (take(&arena, 1, sizeof *t), &sized);
        if (arena.base) *t = sized;
        take_weights(t, &arena);
        take_activations(t, &arena);
        if (pass) break;
        if (arena.used > PTRDIFF_MAX - ALIGN) return 0;
        arena.base = tk_new((size_t)arena.used);
        if (!arena.base) return 0;
    }
    fill_rope(t, real[2]);
    return (tk_int)t;
}

TK_EXPORT tk_int tk_train_free(tk_int train) {
    tk_delete((void *)train);
    return 0;
}

#ifndef TK_TRAINING
#define TK_TRAINING "not built by build_kernels.py, which knows the hash of the sources here"
#endif

/* Where the SHA-256 of the sources stands that training was compiled from: 64 characters. */
TK_EXPORT tk_int tk_train_sources(void) { return (tk_int)TK_TRAINING; }

/* Where something is: 0 weights, 1 and 2 the optimizer's averages, 3 gradients, 4 ids, 5 targets,
 * 6 starts, 7 numbers of TK_IO; 8: how many weights there are; 9: the weights as products read
 * them. */
TK_EXPORT tk_int tk_train_part(tk_int train, tk_int which) {
    const tk_train *t = (const tk_train *)train;
    const void *places[] = {t->master, t->first, t->second, t->grads, t->ids,
                            t->targets, t->starts, t->io, NULL, t->weights};
    return which == 8 ? (tk_int)t->n_params : (tk_int)places[which];
}

/* Normal numbers of one tensor (Box & Muller 1958), each from its own place in the stream. */
static void fill_normal(float *p, size_t n, double deviation, uint64_t key) {
    for (size_t i = 0; i < n; i++) {
        double c, s, unit = 0x1p-53;
        double u = (double)((tk_draw(key, 2 * i) >> 11) + 1) * unit;
        double v = (double)(tk_draw(key, 2 * i + 1) >> 11) * unit;
        tk_cos_sin(6.283185307179586 * v, &c, &s);
        p[i] = (float)(deviation * (__builtin_sqrt(-2.0 * tk_log(u)) * c));
    }
}

static void fill(float *p, size_t n, float value) {
    for (size_t i = 0; i < n; i++) p[i] = value;
}

/* First weights: gains 1; what writes to the residual stream 0, so that the network begins as its
 * embedding; other matrices normal with deviation 1 / sqrt(columns), the embedding with the one
 * given, a double at `deviation`. */
TK_EXPORT tk_int tk_train_init(tk_int train, tk_int seed_low, tk_int seed_high, tk_int deviation) {
    tk_train *t = (tk_train *)train;
    uint64_t seed = (uint64_t)(uint32_t)seed_low | (uint64_t)(uint32_t)seed_high << 32;
    size_t dim = (size_t)t->dim, hidden = (size_t)t->hidden;
    double usual = 1.0 / __builtin_sqrt((double)dim);
    tk_offsets o = tk_layer_offsets(t);
    fill_normal(t->master, (size_t)t->n_vocab * dim, *(const double *)deviation, tk_draw(seed, 0));
    for (int32_t l = 0; l < t->n_layers; l++) {
        float *p = t->master + tk_layer_at(t, l);
        fill(p, dim, 1.0f);
        fill_normal(p + o.qkv, dim * (size_t)t->wide, usual, tk_draw(seed, 2 * (uint64_t)l + 1));
        fill(p + o.output, dim * dim, 0.0f);
        fill(p + o.norm2, dim, 1.0f);
        fill_normal(p + o.gates, 2 * dim * hidden, usual, tk_draw(seed, 2 * (uint64_t)l + 2));
        fill(p + o.down, dim * hidden, 0.0f);
    }
    fill(t->master + t->n_params - dim, dim, 1.0f);
    return 0;
}
