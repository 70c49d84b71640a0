/* Training: what its files share.
 *
 * A step is one or more micro-steps, each forward and backward over some thousand tokens, and one
 * update. Tokens lie in segments, pieces of text that do not see each other. Work is divided by
 * what it writes, never along a sum, so that the number of threads changes no bit. */
#ifndef TK_TRAIN_H
#define TK_TRAIN_H

#include "simd.h"

/* A matrix where it lies: element (i, j) at p[i row + j col]. */
typedef struct {
    const float *p;
    ptrdiff_t row, col;
} tk_view;

TK_INLINE tk_view by_rows(const float *p, ptrdiff_t row) { return (tk_view){p, row, 1}; }
TK_INLINE tk_view turned(const float *p, ptrdiff_t row) { return (tk_view){p, 1, row}; }

enum { TK_LOGIT_ROWS = 512 }; /* tokens whose logits are there at once */
enum { TK_QUERIES = 48 };     /* that attend at once; sums over queries go in these blocks */
enum { TK_SQUARES = 4096 };   /* gradients whose squares are added up together */

/* Numbers with a fraction that the caller and the kernels exchange; `Io` in network.py. */
enum {
    TK_IO_SCALE, /* in: of the gradients, 1 / tokens of the step */
    TK_IO_CLIP,
    TK_IO_ADAM_RATE,
    TK_IO_ADAM_BETA1,
    TK_IO_ADAM_BETA2,
    TK_IO_ADAM_GROW1, /* 1 / (1 - beta1^step) */
    TK_IO_ADAM_GROW2,
    TK_IO_ADAM_DECAY,
    TK_IO_MUON_RATE,
    TK_IO_MUON_MOMENTUM,
    TK_IO_MUON_DECAY,
    TK_IO_NATS, /* out: the sum of the targets' negative log-likelihoods */
    TK_IO_NORM, /* out: of all gradients, before clipping */
    TK_IO_COUNT
};

/* What one layer keeps of the forward pass for the backward one; T tokens. */
typedef struct {
    float *x;     /* [T][dim] what came in */
    float *norm1; /* [T][dim] */
    float *qkv;   /* [T][dim + 2 kv]: queries and keys are rotated */
    float *stats; /* [T][n_heads][2]: the greatest score, and 1 / the sum of exponentials */
    float *heads; /* [T][dim]: what attention gives */
    float *mid;   /* [T][dim]: x and attention's part */
    float *norm2; /* [T][dim] */
    float *gates; /* [T][2 hidden]: gate, up */
    float *act;   /* [T][hidden]: silu(gate) up */
    float *root;  /* [2][T]: 1 / rms of x and of mid */
} tk_kept;

typedef struct {
    /* set by the caller, in this order, as int32; `CONFIG` in network.py */
    int32_t n_layers, dim, n_heads, n_kv_heads, head_dim, hidden, n_vocab, context;
    int32_t capacity; /* tokens of a micro-step, at most */
    int32_t muon;     /* whether Muon moves the layers' matrices */
    int32_t quantize; /* the encoding that matrices are rounded to, or TK_F32 */
    int32_t threads;  /* that there is scratch for */
    float norm_eps, dropout;
    /* sizes */
    int32_t kv, wide;             /* n_kv_heads head_dim; dim + 2 kv */
    size_t layer_params, n_params; /* floats of a layer, and in all */
    /* [n_params] each, in the order of the file's tensors */
    float *master, *grads, *first, *second;
    float *weights; /* what products read: master, or its rounded copy */
    float *rope;    /* [context][2][head_dim]: cosines; sines with their signs */
    tk_kept *kept;  /* [n_layers] */
    /* for the micro-step under way */
    int32_t n_tokens, n_segments;
    int32_t *ids, *targets, *starts; /* [capacity], [capacity], [capacity + 1] */
    float *x, *norm, *root;          /* behind the last layer */
    float *logits;                   /* [TK_LOGIT_ROWS][n_vocab up to a multiple of 4] */
    double *nats;                    /* [capacity] */
    float *d_out, *d_mid, *d_in;     /* [T][dim]: gradients of the residual stream */
    float *d_norm, *d_norm2, *d_branch, *d_branch2, *d_heads; /* [T][dim] */
    float *d_gates, *d_qkv, *d_act; /* like gates, qkv, act */
    uint64_t noise; /* the key of this micro-step's dropout */
    int32_t backward;
    float scale;
    double *squares; /* partial sums for the norm of the gradients */
    float *scratch[TK_MAX_THREADS];
    double *io;
} tk_train;

/* A layer's tensors, as offsets from its first: norm1, q, k, v, output, norm2, gate, up, down. */
typedef struct {
    size_t norm1, qkv, output, norm2, gates, down, end;
} tk_offsets;

TK_INLINE tk_offsets tk_layer_offsets(const tk_train *t) {
    size_t dim = (size_t)t->dim, hidden = (size_t)t->hidden;
    tk_offsets o = {0, dim, 0, 0, 0, 0, 0};
    o.output = o.qkv + dim * (size_t)t->wide;
    o.norm2 = o.output + dim * dim;
    o.gates = o.norm2 + dim;
    o.down = o.gates + 2 * dim * hidden;
    o.end = o.down + dim * hidden;
    return o;
}

TK_INLINE size_t tk_layer_at(const tk_train *t, int32_t layer) {
    return (size_t)t->n_vocab * (size_t)t->dim + (size_t)layer * t->layer_params;
}

/* The share of n items that part takes: whole units, in order. */
TK_INLINE int32_t tk_share(int32_t n, int32_t unit, int32_t part, int32_t parts) {
    int32_t units = (n + unit - 1) / unit;
    int32_t at = (int32_t)((int64_t)units * part / parts) * unit;
    return at < n ? at : n;
}

/* The generator of everything random: a bijection of 64 bits with every bit depending on every
 * other (Steele et al. 2014, SplitMix64). The same in counter.py. */
TK_INLINE uint64_t tk_mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
TK_INLINE uint64_t tk_draw(uint64_t key, uint64_t counter) {
    return tk_mix(key + (counter + 1) * 0x9e3779b97f4a7c15ull);
}

/* train_gemm.c */
size_t tk_gemm_scratch(void); /* floats that one thread needs */
void tk_gemm(float *scratch, float *c, ptrdiff_t ldc, tk_view a, tk_view b, int32_t m, int32_t n,
             int32_t k, int32_t add);

/* train_ops.c: rows first to last of what lies in [tokens][n] */
void tk_norm_rows(float *y, float *root, const float *x, const float *w, int32_t n, float eps,
                  int32_t first, int32_t last);
void tk_norm_back(float *dx, const float *dy, const float *x, const float *root, const float *w,
                  int32_t n, int32_t first, int32_t last);
void tk_norm_gain(float *dw, const float *dy, const float *x, const float *root, int32_t n,
                  int32_t rows, int32_t first_column, int32_t last_column);
void tk_gate_rows(float *act, const float *gates, int32_t hidden, int32_t first, int32_t last);
void tk_gate_back(float *d_gates, const float *d_act, const float *gates, int32_t hidden,
                  int32_t first, int32_t last);
void tk_loss_row(float *logits, int32_t n, int32_t target, float scale, double *nats);
void tk_drop_rows(float *y, const float *x, uint64_t key, float rate, int32_t n, int32_t first,
                  int32_t last, int32_t add);
void tk_rotate_rows(const tk_train *t, float *qkv, int32_t back, int32_t first, int32_t last);

/* train_attention.c */
size_t tk_attention_scratch(const tk_train *t);
void tk_attention(const tk_train *t, const tk_kept *kept, int32_t part, int32_t parts);
void tk_attention_back(const tk_train *t, const tk_kept *kept, int32_t part, int32_t parts);

/* train_update.c */
size_t tk_muon_scratch(const tk_train *t);

#endif
