/* Causal attention within segments (Vaswani et al. 2017), forward and backward. A unit of work is
 * one key head in one segment with all queries that look at it; its scores are there for a block of
 * queries at a time, and are computed again on the way back (Dao et al. 2022). */
#include "numeric.h"
#include "train.h"

TK_INLINE int32_t padded(int32_t n) { return (n + 3) & ~3; }

/* Behind what products need: two blocks of scores. */
size_t tk_attention_scratch(const tk_train *t) {
    return tk_gemm_scratch() + (size_t)(2 * TK_QUERIES) * (size_t)padded(t->context);
}

/* Where one query head's work lies. */
typedef struct {
    const float *q, *k, *v; /* of the segment's first token; rows are t->wide apart */
    int32_t head, first, length;
    float *products, *scores, *other;
} tk_unit;

/* Scores of queries from..to to all keys up to the last of them, each row's exponentials divided by
 * their sum. On the way forward the greatest score and the sum are kept, backward they are used. */
static void weights(const tk_train *t, const tk_kept *kept, const tk_unit *u, int32_t from,
                    int32_t to, int32_t back) {
    int32_t ld = padded(to);
    tk_gemm(u->products, u->scores, ld, by_rows(u->q + (ptrdiff_t)from * t->wide, t->wide),
            turned(u->k, t->wide), to - from, to, t->head_dim, 0);
    float scale = 1.0f / __builtin_sqrtf((float)t->head_dim);
    for (int32_t i = from; i < to; i++) {
        float *row = u->scores + (ptrdiff_t)(i - from) * ld;
        float *stats = kept->stats + ((ptrdiff_t)(u->first + i) * t->n_heads + u->head) * 2;
        int32_t seen = padded(i + 1);
        for (int32_t j = i + 1; j < seen; j++) row[j] = -1e30f;
        if (!back) {
            v4f top = load4(row);
            for (int32_t j = 4; j < seen; j += 4) top = max4(top, load4(row + j));
            float best = top[0];
            for (int lane = 1; lane < 4; lane++) best = top[lane] > best ? top[lane] : best;
            stats[0] = best * scale;
        }
        v4f best = splat4(stats[0]), grow = splat4(scale), sum = splat4(0.0f);
        for (int32_t j = 0; j < seen; j += 4) {
            v4f e = exp4(load4(row + j) * grow - best);
            store4(row + j, e);
            sum += e;
        }
        if (!back) stats[1] = 1.0f / sum4(sum);
        v4f share = splat4(stats[1]);
        for (int32_t j = 0; j < seen; j += 4) store4(row + j, load4(row + j) * share);
        for (int32_t j = seen; j < ld; j++) row[j] = 0.0f;
    }
}

static void forward_head(const tk_train *t, const tk_kept *kept, const tk_unit *u) {
    float *out = kept->heads + (ptrdiff_t)u->first * t->dim + u->head * t->head_dim;
    for (int32_t from = 0; from < u->length; from += TK_QUERIES) {
        int32_t to = from + TK_QUERIES < u->length ? from + TK_QUERIES : u->length;
        weights(t, kept, u, from, to, 0);
        tk_gemm(u->products, out + (ptrdiff_t)from * t->dim, t->dim,
                by_rows(u->scores, padded(to)), by_rows(u->v, t->wide), to - from, t->head_dim, to,
                0);
    }
}

/* scores: weights p; other: their gradients dp, which become those of the scores before the
 * softmax, p (dp - sum(p dp)), times the scale. */
static void softmax_back(const tk_train *t, const tk_unit *u, int32_t rows, int32_t n) {
    float scale = 1.0f / __builtin_sqrtf((float)t->head_dim);
    for (int32_t i = 0; i < rows; i++) {
        const float *p = u->scores + (ptrdiff_t)i * n;
        float *dp = u->other + (ptrdiff_t)i * n;
        v4f sum = splat4(0.0f);
        for (int32_t j = 0; j < n; j += 4) sum += load4(p + j) * load4(dp + j);
        v4f mean = splat4(sum4(sum));
        for (int32_t j = 0; j < n; j += 4)
            store4(dp + j, load4(p + j) * (load4(dp + j) - mean) * splat4(scale));
    }
}

/* Adds to the gradients of keys and values, sets those of the queries. */
static void backward_head(const tk_train *t, const tk_kept *kept, const tk_unit *u) {
    ptrdiff_t at = (ptrdiff_t)u->first * t->wide;
    float *dq = t->d_qkv + at + u->head * t->head_dim;
    int32_t group = u->head / (t->n_heads / t->n_kv_heads);
    float *dk = t->d_qkv + at + t->dim + group * t->head_dim, *dv = dk + t->kv;
    const float *d_out = t->d_heads + (ptrdiff_t)u->first * t->dim + u->head * t->head_dim;
    for (int32_t from = 0; from < u->length; from += TK_QUERIES) {
        int32_t to = from + TK_QUERIES < u->length ? from + TK_QUERIES : u->length;
        int32_t rows = to - from, ld = padded(to);
        const float *d = d_out + (ptrdiff_t)from * t->dim;
        weights(t, kept, u, from, to, 1);
        tk_gemm(u->products, u->other, ld, by_rows(d, t->dim), turned(u->v, t->wide), rows, to,
                t->head_dim, 0);
        for (int32_t i = 0; i < rows; i++)
            for (int32_t j = to; j < ld; j++) u->other[(ptrdiff_t)i * ld + j] = 0.0f;
        tk_gemm(u->products, dv, t->wide, turned(u->scores, ld), by_rows(d, t->dim), to,
                t->head_dim, rows, 1);
        softmax_back(t, u, rows, ld);
        tk_gemm(u->products, dq + (ptrdiff_t)from * t->wide, t->wide, by_rows(u->other, ld),
                by_rows(u->k, t->wide), rows, t->head_dim, to, 0);
        tk_gemm(u->products, dk, t->wide, turned(u->other, ld),
                by_rows(u->q + (ptrdiff_t)from * t->wide, t->wide), to, t->head_dim, rows, 1);
    }
}

static void clear(float *p, ptrdiff_t ld, int32_t rows, int32_t cols) {
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < cols; j++) p[i * ld + j] = 0.0f;
}

/* Does units whose cost, counted in squared lengths, falls into this part's share. */
static void each_unit(const tk_train *t, const tk_kept *kept, int32_t part, int32_t parts,
                      int32_t back) {
    double whole = 0.0, done = 0.0;
    for (int32_t s = 0; s < t->n_segments; s++) {
        double n = (double)(t->starts[s + 1] - t->starts[s]);
        whole += n * n * (double)t->n_kv_heads;
    }
    float *scratch = t->scratch[part];
    int32_t group = t->n_heads / t->n_kv_heads, d = t->head_dim;
    for (int32_t s = 0; s < t->n_segments; s++) {
        int32_t first = t->starts[s], length = t->starts[s + 1] - first;
        for (int32_t g = 0; g < t->n_kv_heads; g++) {
            double middle = done + 0.5 * (double)length * (double)length;
            done += (double)length * (double)length;
            if (middle < whole * (double)part / (double)parts) continue;
            if (middle >= whole * (double)(part + 1) / (double)parts) continue;
            const float *k = kept->qkv + (ptrdiff_t)first * t->wide + t->dim + g * d;
            ptrdiff_t gradients = (ptrdiff_t)first * t->wide + t->dim + g * d;
            if (back) {
                clear(t->d_qkv + gradients, t->wide, length, d);
                clear(t->d_qkv + gradients + t->kv, t->wide, length, d);
            }
            for (int32_t h = g * group; h < (g + 1) * group; h++) {
                const float *q = kept->qkv + (ptrdiff_t)first * t->wide + h * d;
                float *scores = scratch + tk_gemm_scratch();
                tk_unit u = {q, k, k + t->kv, h, first, length, scratch, scores, NULL};
                u.other = scores + (ptrdiff_t)TK_QUERIES * padded(t->context);
                if (back)
                    backward_head(t, kept, &u);
                else
                    forward_head(t, kept, &u);
            }
        }
    }
}

/* kept->heads from kept->qkv. */
void tk_attention(const tk_train *t, const tk_kept *kept, int32_t part, int32_t parts) {
    each_unit(t, kept, part, parts, 0);
}

/* t->d_qkv from t->d_heads. */
void tk_attention_back(const tk_train *t, const tk_kept *kept, int32_t part, int32_t parts) {
    each_unit(t, kept, part, parts, 1);
}
