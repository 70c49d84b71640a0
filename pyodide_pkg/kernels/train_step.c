/* One micro-step: the llama network forward over some thousand tokens, and the gradients of its
 * weights. Between two calls of tk_parallel every part works on its own: on its share of the tokens,
 * of the attention's units, or of the weights.
 *
 * Sources: Touvron et al. 2023 (LLaMA), and those that the operations' files name. */
#include "train.h"

enum { UNIT = 24 }; /* tokens or rows of weights that one part takes at least: whole tiles */

/* What a part has to know. */
typedef struct {
    tk_train *t;
    int32_t layer;
    int32_t first; /* of the tokens whose logits are there */
} tk_job;

typedef struct {
    const float *norm1, *qkv, *output, *norm2, *gates, *down;
} tk_layer;

static tk_layer layer_weights(const tk_train *t, int32_t layer) {
    const float *p = t->weights + tk_layer_at(t, layer);
    tk_offsets o = tk_layer_offsets(t);
    return (tk_layer){p, p + o.qkv, p + o.output, p + o.norm2, p + o.gates, p + o.down};
}

/* y [rows][n] = or += x [rows][k] w^T, w [n][k], for rows first to last. */
static void project(float *scratch, float *y, const float *x, const float *w, int32_t n, int32_t k,
                    int32_t first, int32_t last, int32_t add) {
    tk_gemm(scratch, y + (ptrdiff_t)first * n, n, by_rows(x + (ptrdiff_t)first * k, k),
            turned(w, k), last - first, n, k, add);
}

/* dx [rows][k] = dy [rows][n] w [n][k], for rows first to last. */
static void project_back(float *scratch, float *dx, const float *dy, const float *w, int32_t n,
                         int32_t k, int32_t first, int32_t last) {
    tk_gemm(scratch, dx + (ptrdiff_t)first * k, k, by_rows(dy + (ptrdiff_t)first * n, n),
            by_rows(w, k), last - first, k, n, 0);
}

/* dw [n][k] += dy^T x over all rows: a part's share of the longer side. */
static void learn(float *scratch, float *dw, const float *dy, const float *x, int32_t n, int32_t k,
                  int32_t rows, int32_t part, int32_t parts) {
    if (n >= k) {
        int32_t first = tk_share(n, UNIT, part, parts), last = tk_share(n, UNIT, part + 1, parts);
        tk_gemm(scratch, dw + (ptrdiff_t)first * k, k, turned(dy + first, n), by_rows(x, k),
                last - first, k, rows, 1);
    } else {
        int32_t first = tk_share(k, UNIT, part, parts), last = tk_share(k, UNIT, part + 1, parts);
        tk_gemm(scratch, dw + first, k, turned(dy, n), by_rows(x + first, k), n, last - first, rows,
                1);
    }
}

/* The key of one half of a layer's dropout. */
static uint64_t noise(const tk_train *t, int32_t layer, int32_t half) {
    return tk_draw(t->noise, (uint64_t)(2 * layer + half));
}

/* y = x + branch w^T, a share of it dropped while training; `spare` is used then. */
static void add_branch(const tk_train *t, float *scratch, float *y, const float *x, float *spare,
                       const float *branch, const float *w, int32_t k, uint64_t key, int32_t first,
                       int32_t last) {
    ptrdiff_t at = (ptrdiff_t)first * t->dim;
    tk_move(y + at, x + at, (size_t)(last - first) * (size_t)t->dim * sizeof(float));
    if (t->dropout > 0.0f && t->backward) {
        project(scratch, spare, branch, w, t->dim, k, first, last, 0);
        tk_drop_rows(y, spare, key, t->dropout, t->dim, first, last, 1);
    } else {
        project(scratch, y, branch, w, t->dim, k, first, last, 1);
    }
}

/* Up to attention: norm, queries, keys and values, rotated. */
static void layer_begins(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t first = tk_share(t->n_tokens, UNIT, part, parts);
    int32_t last = tk_share(t->n_tokens, UNIT, part + 1, parts);
    if (first == last) return;
    const tk_kept *kept = &t->kept[job->layer];
    tk_layer w = layer_weights(t, job->layer);
    if (job->layer == 0)
        for (int32_t r = first; r < last; r++)
            tk_move(kept->x + (ptrdiff_t)r * t->dim, t->weights + (ptrdiff_t)t->ids[r] * t->dim,
                    (size_t)t->dim * sizeof(float));
    tk_norm_rows(kept->norm1, kept->root, kept->x, w.norm1, t->dim, t->norm_eps, first, last);
    project(t->scratch[part], kept->qkv, kept->norm1, w.qkv, t->wide, t->dim, first, last, 0);
    tk_rotate_rows(t, kept->qkv, 0, first, last);
}

static void layer_attends(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_attention(job->t, &job->t->kept[job->layer], part, parts);
}

/* From attention to the next layer's input. */
static void layer_ends(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t first = tk_share(t->n_tokens, UNIT, part, parts);
    int32_t last = tk_share(t->n_tokens, UNIT, part + 1, parts);
    if (first == last) return;
    const tk_kept *kept = &t->kept[job->layer];
    tk_layer w = layer_weights(t, job->layer);
    float *scratch = t->scratch[part];
    float *next = job->layer + 1 < t->n_layers ? t->kept[job->layer + 1].x : t->x;
    add_branch(t, scratch, kept->mid, kept->x, t->d_branch, kept->heads, w.output, t->dim,
               noise(t, job->layer, 0), first, last);
    tk_norm_rows(kept->norm2, kept->root + t->capacity, kept->mid, w.norm2, t->dim, t->norm_eps,
                 first, last);
    project(scratch, kept->gates, kept->norm2, w.gates, 2 * t->hidden, t->dim, first, last, 0);
    tk_gate_rows(kept->act, kept->gates, t->hidden, first, last);
    add_branch(t, scratch, next, kept->mid, t->d_branch, kept->act, w.down, t->hidden,
               noise(t, job->layer, 1), first, last);
    if (job->layer + 1 == t->n_layers)
        tk_norm_rows(t->norm, t->root, t->x, t->weights + t->n_params - (size_t)t->dim, t->dim,
                     t->norm_eps, first, last);
}

/* Logits, their loss and, on the way to gradients, what it asks of the last norm. */
static void loss_rows(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t left = t->n_tokens - job->first, n = left < TK_LOGIT_ROWS ? left : TK_LOGIT_ROWS;
    int32_t first = tk_share(n, UNIT, part, parts), last = tk_share(n, UNIT, part + 1, parts);
    if (first == last) return;
    ptrdiff_t ld = (t->n_vocab + 3) & ~3, at = (ptrdiff_t)(job->first + first) * t->dim;
    float *logits = t->logits + (ptrdiff_t)first * ld;
    tk_gemm(t->scratch[part], logits, ld, by_rows(t->norm + at, t->dim), turned(t->weights, t->dim),
            last - first, t->n_vocab, t->dim, 0);
    for (int32_t r = first; r < last; r++) {
        int32_t token = job->first + r;
        tk_loss_row(t->logits + (ptrdiff_t)r * ld, t->n_vocab, t->targets[token], t->scale,
                    &t->nats[token]);
    }
    if (!t->backward) return;
    tk_gemm(t->scratch[part], t->d_norm + at, t->dim, by_rows(logits, ld),
            by_rows(t->weights, t->dim), last - first, t->dim, t->n_vocab, 0);
}

/* The output matrix, which is the embedding. */
static void learn_logits(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t left = t->n_tokens - job->first, n = left < TK_LOGIT_ROWS ? left : TK_LOGIT_ROWS;
    ptrdiff_t ld = (t->n_vocab + 3) & ~3;
    int32_t first = tk_share(t->n_vocab, UNIT, part, parts);
    int32_t last = tk_share(t->n_vocab, UNIT, part + 1, parts);
    tk_gemm(t->scratch[part], t->grads + (ptrdiff_t)first * t->dim, t->dim,
            turned(t->logits + first, ld),
            by_rows(t->norm + (ptrdiff_t)job->first * t->dim, t->dim), last - first, t->dim, n, 1);
}

static void learn_gain(float *dw, const float *dy, const float *x, const float *root,
                       const tk_train *t, int32_t part, int32_t parts) {
    tk_norm_gain(dw, dy, x, root, t->dim, t->n_tokens, tk_share(t->dim, 4, part, parts),
                 tk_share(t->dim, 4, part + 1, parts));
}

/* The last norm. */
static void head_back(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t first = tk_share(t->n_tokens, UNIT, part, parts);
    int32_t last = tk_share(t->n_tokens, UNIT, part + 1, parts);
    size_t gain = t->n_params - (size_t)t->dim;
    for (ptrdiff_t i = (ptrdiff_t)first * t->dim; i < (ptrdiff_t)last * t->dim; i++)
        t->d_out[i] = 0.0f;
    tk_norm_back(t->d_out, t->d_norm, t->x, t->root, t->weights + gain, t->dim, first, last);
    learn_gain(t->grads + gain, t->d_norm, t->x, t->root, t, part, parts);
}

/* The gradient of a branch that was dropped in part: in `spare`, or d itself without dropout. */
static const float *branch_back(const tk_train *t, float *spare, const float *d, uint64_t key,
                                int32_t first, int32_t last) {
    if (t->dropout <= 0.0f) return d;
    tk_drop_rows(spare, d, key, t->dropout, t->dim, first, last, 0);
    return spare;
}

/* From the layer's output back to attention. */
static void ends_back(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    const tk_kept *kept = &t->kept[job->layer];
    tk_layer w = layer_weights(t, job->layer);
    float *scratch = t->scratch[part];
    int32_t start = tk_share(t->n_tokens, UNIT, part, parts);
    int32_t end = tk_share(t->n_tokens, UNIT, part + 1, parts);
    if (start == end) return;
    const float *d = branch_back(t, t->d_branch2, t->d_out, noise(t, job->layer, 1), start, end);
    project_back(scratch, t->d_act, d, w.down, t->dim, t->hidden, start, end);
    tk_gate_back(t->d_gates, t->d_act, kept->gates, t->hidden, start, end);
    project_back(scratch, t->d_norm2, t->d_gates, w.gates, 2 * t->hidden, t->dim, start, end);
    ptrdiff_t at = (ptrdiff_t)start * t->dim;
    tk_move(t->d_mid + at, t->d_out + at, (size_t)(end - start) * (size_t)t->dim * sizeof(float));
    tk_norm_back(t->d_mid, t->d_norm2, kept->mid, kept->root + t->capacity, w.norm2, t->dim, start,
                 end);
    d = branch_back(t, t->d_branch, t->d_mid, noise(t, job->layer, 0), start, end);
    project_back(scratch, t->d_heads, d, w.output, t->dim, t->dim, start, end);
}

static void attends_back(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_attention_back(job->t, &job->t->kept[job->layer], part, parts);
}

/* From attention back to the layer's input. */
static void begins_back(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    const tk_kept *kept = &t->kept[job->layer];
    tk_layer w = layer_weights(t, job->layer);
    int32_t first = tk_share(t->n_tokens, UNIT, part, parts);
    int32_t last = tk_share(t->n_tokens, UNIT, part + 1, parts);
    if (first == last) return;
    tk_rotate_rows(t, t->d_qkv, 1, first, last);
    project_back(t->scratch[part], t->d_norm, t->d_qkv, w.qkv, t->wide, t->dim, first, last);
    ptrdiff_t at = (ptrdiff_t)first * t->dim;
    tk_move(t->d_in + at, t->d_mid + at, (size_t)(last - first) * (size_t)t->dim * sizeof(float));
    tk_norm_back(t->d_in, t->d_norm, kept->x, kept->root, w.norm1, t->dim, first, last);
}

/* Adds to the gradients of a layer's weights. */
static void learn_layer(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    const tk_kept *kept = &t->kept[job->layer];
    float *scratch = t->scratch[part], *g = t->grads + tk_layer_at(t, job->layer);
    tk_offsets o = tk_layer_offsets(t);
    int dropped = t->dropout > 0.0f;
    int32_t n = t->n_tokens;
    const float *d_down = dropped ? t->d_branch2 : t->d_out;
    const float *d_output = dropped ? t->d_branch : t->d_mid;
    learn(scratch, g + o.down, d_down, kept->act, t->dim, t->hidden, n, part, parts);
    learn(scratch, g + o.gates, t->d_gates, kept->norm2, 2 * t->hidden, t->dim, n, part, parts);
    learn(scratch, g + o.output, d_output, kept->heads, t->dim, t->dim, n, part, parts);
    learn(scratch, g + o.qkv, t->d_qkv, kept->norm1, t->wide, t->dim, n, part, parts);
    learn_gain(g + o.norm2, t->d_norm2, kept->mid, kept->root + t->capacity, t, part, parts);
    learn_gain(g + o.norm1, t->d_norm, kept->x, kept->root, t, part, parts);
}

/* The embedding as the network's input: tokens in order, a share of the columns for each part. */
static void learn_inputs(void *argument, int32_t part, int32_t parts) {
    const tk_job *job = argument;
    tk_train *t = job->t;
    int32_t first = tk_share(t->dim, 4, part, parts), last = tk_share(t->dim, 4, part + 1, parts);
    for (int32_t r = 0; r < t->n_tokens; r++) {
        float *to = t->grads + (ptrdiff_t)t->ids[r] * t->dim;
        const float *from = t->d_out + (ptrdiff_t)r * t->dim;
        for (int32_t i = first; i < last; i += 4) store4(to + i, load4(to + i) + load4(from + i));
    }
}

static void forward(tk_train *t) {
    tk_job job = {t, 0, 0};
    for (; job.layer < t->n_layers; job.layer++) {
        tk_parallel(layer_begins, &job);
        tk_parallel(layer_attends, &job);
        tk_parallel(layer_ends, &job);
    }
    for (; job.first < t->n_tokens; job.first += TK_LOGIT_ROWS) {
        tk_parallel(loss_rows, &job);
        if (t->backward) tk_parallel(learn_logits, &job);
    }
}

static void backward(tk_train *t) {
    tk_job job = {t, t->n_layers - 1, 0};
    tk_parallel(head_back, &job);
    for (; job.layer >= 0; job.layer--) {
        tk_parallel(ends_back, &job);
        tk_parallel(attends_back, &job);
        tk_parallel(begins_back, &job);
        tk_parallel(learn_layer, &job);
        float *done = t->d_out;
        t->d_out = t->d_in;
        t->d_in = done;
    }
    tk_parallel(learn_inputs, &job);
}

/* Whether the tokens can be computed: known ids and targets, segments in order that fill them. */
static int sound(const tk_train *t) {
    for (int32_t i = 0; i < t->n_tokens; i++) {
        if (t->ids[i] < 0 || t->ids[i] >= t->n_vocab || t->targets[i] >= t->n_vocab) return 0;
    }
    if (t->starts[0] != 0 || t->starts[t->n_segments] != t->n_tokens) return 0;
    for (int32_t s = 0; s < t->n_segments; s++) {
        int32_t length = t->starts[s + 1] - t->starts[s];
        if (length < 1 || length > t->context) return 0;
    }
    return 1;
}

/* Forward over n tokens in segments, which the caller has put where tk_train_part says; with
 * `train`, gradients are added to, under the key `noise` of dropout. Returns 0; 1 where the loss is
 * not finite; -1 for tokens or segments that cannot be. */
TK_EXPORT tk_int tk_train_micro(tk_int train, tk_int n_tokens, tk_int n_segments, tk_int learning,
                                tk_int noise_low, tk_int noise_high) {
    tk_train *t = (tk_train *)train;
    if (n_tokens < 1 || n_tokens > t->capacity || n_segments < 1 || n_segments > n_tokens) return -1;
    if (tk_pool_threads() > t->threads) return -1;
    t->n_tokens = (int32_t)n_tokens;
    t->n_segments = (int32_t)n_segments;
    t->backward = (int32_t)learning;
    t->noise = (uint64_t)(uint32_t)noise_low | (uint64_t)(uint32_t)noise_high << 32;
    t->scale = (float)t->io[TK_IO_SCALE];
    if (!sound(t)) return -1;
    forward(t);
    double nats = 0.0;
    for (int32_t i = 0; i < t->n_tokens; i++) nats += t->nats[i];
    t->io[TK_IO_NATS] = nats;
    if (!(nats - nats == 0.0)) return 1;
    if (t->backward) backward(t);
    return 0;
}
