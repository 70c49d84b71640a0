/* The forward pass taken apart: every intermediate value of one block at a time, kept where the
 * caller says, with stops between the stages at which the caller may change what is there.
 *
 * It does what forward.c does, in the same order of every float, so that the logits are the same
 * bits; it shares the session's cache, and nothing of it runs while text is generated the ordinary
 * way. Where a value was not changed at a stop, what follows from it is not changed by a bit: the
 * two steps that an ordinary pass takes as one (a softmax whose division waits until the values are
 * mixed; heads that are summed inside of one product) are taken apart only for rows that differ. */
#include "numeric.h"

/* What a block leaves, in the order in which it arises; mirrored in thimble/lens/sites.py. */
enum {
    RESID_PRE,  /* [tokens][dim] */
    LN1_SCALE,   /* [tokens] */
    LN1_NORM,    /* [tokens][dim], not yet times the norm's weights */
    Q,           /* [tokens][n_heads][head_dim] */
    K,           /* [tokens][n_kv_heads][head_dim] */
    V,           /* the same */
    ROT_Q,       /* as Q, normed where the architecture does that, and rotated by their positions */
    ROT_K,       /* as K */
    SCORES,      /* [n_heads][tokens][keys]; minus infinity for keys that come later */
    PATTERN,     /* the same */
    Z,           /* [tokens][n_heads][head_dim] */
    RESULT,      /* [tokens][n_heads][dim] */
    ATTN_OUT,    /* [tokens][dim] */
    RESID_MID,   /* [tokens][dim] */
    LN2_SCALE,   /* [tokens] */
    LN2_NORM,    /* [tokens][dim] */
    PRE,         /* [tokens][hidden_dim] */
    PRE_LINEAR,  /* the same */
    POST,        /* the same */
    MLP_OUT,     /* [tokens][dim] */
    RESID_POST,  /* [tokens][dim] */
    RESULT_WAS,  /* RESULT as it was before it was changed */
    SITES
};

enum {
    DO_SCALE1,
    DO_NORM1,
    DO_QKV,
    DO_ROPE,
    DO_SCORES,
    DO_PATTERN,
    DO_Z,
    DO_RESULT,
    DO_ATTN_OUT,
    DO_MID,
    DO_SCALE2,
    DO_NORM2,
    DO_PRE,
    DO_POST,
    DO_MLP_OUT,
    DO_RESID_POST
};

typedef struct {
    tk_session *s;
    const tk_model *m;
    const int64_t *table; /* addresses, [SITES]; 0 for what may be left out and is not wanted */
    int32_t layer, tokens, from, to; /* stages [from, to) */
} tk_capture;

static float *site(const tk_capture *c, int which) { return (float *)(intptr_t)c->table[which]; }

static const tk_tensor *weights(const tk_capture *c, int slot) {
    return c->m->layers[c->layer * TK_LAYER_SLOTS + slot - TK_ATTN_NORM];
}

static tk_act activations(tk_session *s, const float *f, int32_t tokens, int32_t cols) {
    tk_act a = {f, s->act_q, s->act_narrow, s->act_scale, s->act_sum, tokens, cols, 0};
    return a;
}

static int32_t batch(int32_t tokens, int32_t done) {
    return tokens - done < TK_BATCH ? tokens - done : TK_BATCH;
}

/* y [tokens][rows] = x [tokens][cols] times w transposed. */
static void product(tk_session *s, float *y, const tk_tensor *w, const float *x, int32_t tokens) {
    for (int32_t t = 0; t < tokens; t += TK_BATCH) {
        tk_act a = activations(s, x + (size_t)t * (size_t)w->cols, batch(tokens, t), w->cols);
        tk_matmul(y + (size_t)t * (size_t)w->quads * 4, w, &a);
    }
}

/* The root mean square of each row: what tk_rmsnorm divides by. */
static void scales(const tk_model *m, float *out, const float *x, int32_t tokens) {
    for (int32_t t = 0; t < tokens; t++, x += m->dim) {
        v4f squares = splat4(0.0f);
        for (int32_t i = 0; i < m->dim; i += 4) squares += load4(x + i) * load4(x + i);
        out[t] = __builtin_sqrtf(sum4(squares) / (float)m->dim + m->norm_eps);
    }
}

static void normalize(const tk_model *m, float *out, const float *x, const float *scale,
                      int32_t tokens) {
    for (int32_t t = 0; t < tokens; t++, x += m->dim, out += m->dim) {
        v4f inverse = splat4(1.0f / scale[t]);
        for (int32_t i = 0; i < m->dim; i += 4) store4(out + i, load4(x + i) * inverse);
    }
}

/* Normalized rows times the norm's weights, in the session's scratch: at most TK_BATCH. */
static tk_act weighted(const tk_capture *c, const float *normed, const tk_tensor *w,
                       int32_t tokens) {
    float *out = c->s->normed;
    size_t dim = (size_t)c->m->dim;
    for (int32_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < dim; i += 4)
            store4(out + (size_t)t * dim + i,
                   load4(normed + (size_t)t * dim + i) * load4((const float *)w->data + i));
    return activations(c->s, out, tokens, c->m->dim);
}

/* y [tokens][rows], and the bias of these where the architecture has one. */
static void biased(const tk_capture *c, float *y, int slot, int bias, tk_act *a) {
    tk_matmul(y, weights(c, slot), a);
    if (weights(c, bias)) tk_add_bias(y, weights(c, bias), a->tokens);
}

static void qkv(const tk_capture *c) {
    size_t dim = (size_t)c->m->dim, hd = (size_t)c->m->head_dim;
    size_t heads = (size_t)c->m->n_heads * hd, kv = (size_t)c->m->n_kv_heads * hd;
    for (int32_t t = 0; t < c->tokens; t += TK_BATCH) {
        size_t row = (size_t)t;
        tk_act a = weighted(c, site(c, LN1_NORM) + row * dim, weights(c, TK_ATTN_NORM),
                            batch(c->tokens, t));
        biased(c, site(c, Q) + row * heads, TK_ATTN_Q, TK_ATTN_Q_BIAS, &a);
        biased(c, site(c, K) + row * kv, TK_ATTN_K, TK_ATTN_K_BIAS, &a);
        biased(c, site(c, V) + row * kv, TK_ATTN_V, TK_ATTN_V_BIAS, &a);
    }
}

static void rope(const tk_capture *c) {
    const tk_model *m = c->m;
    size_t heads = (size_t)m->n_heads * (size_t)m->head_dim;
    size_t kv = (size_t)m->n_kv_heads * (size_t)m->head_dim;
    tk_move(site(c, ROT_Q), site(c, Q), (size_t)c->tokens * heads * sizeof(float));
    tk_move(site(c, ROT_K), site(c, K), (size_t)c->tokens * kv * sizeof(float));
    const tk_tensor *q_norm = weights(c, TK_ATTN_Q_NORM), *k_norm = weights(c, TK_ATTN_K_NORM);
    if (q_norm) tk_norm_heads(m, site(c, ROT_Q), q_norm, (int32_t)heads, c->tokens);
    if (k_norm) tk_norm_heads(m, site(c, ROT_K), k_norm, (int32_t)kv, c->tokens);
    for (int32_t t = 0; t < c->tokens; t++) {
        tk_rope_table(m, c->s->n_past + t, c->s->rope);
        tk_rope(m, c->s->rope, site(c, ROT_Q) + (size_t)t * heads, m->n_heads);
        tk_rope(m, c->s->rope, site(c, ROT_K) + (size_t)t * kv, m->n_kv_heads);
    }
}

/* The keys or values of one head, as attention.c keeps them. */
static const float *cached(const tk_capture *c, const float *cache, int32_t head) {
    const tk_model *m = c->m;
    size_t kv = (size_t)c->layer * (size_t)m->n_kv_heads +
                (size_t)(head / (m->n_heads / m->n_kv_heads));
    return cache + kv * (size_t)c->s->capacity * (size_t)m->head_dim;
}

/* out [n, rounded up to a group] = q times each key, summed over dimensions in order. */
static void score_keys(const tk_capture *c, float *out, const float *keys, const float *q,
                       int32_t n) {
    int32_t hd = c->m->head_dim;
    for (int32_t t = 0; t < n; t += TK_KEY_GROUP) {
        v4f acc[TK_KEY_GROUP / 4];
        for (int i = 0; i < TK_KEY_GROUP / 4; i++) acc[i] = splat4(0.0f);
        for (int32_t d = 0; d < hd; d++, keys += TK_KEY_GROUP)
            for (int i = 0; i < TK_KEY_GROUP / 4; i++) acc[i] += splat4(q[d]) * load4(keys + 4 * i);
        for (int i = 0; i < TK_KEY_GROUP / 4; i++)
            store4(out + t + 4 * i, acc[i] * splat4(c->m->attn_scale));
    }
}

/* Turns scores [n] into exp(score - max), padded with zeros to a multiple of 4; returns what to
 * multiply them with. A row that may look nowhere becomes zeros. */
static float exponentials(float *row, int32_t n) {
    const float never = -__builtin_inff();
    int32_t padded = (n + 3) & ~3;
    for (int32_t t = n; t < padded; t++) row[t] = never;
    float top = row[0];
    for (int32_t t = 1; t < n; t++) top = row[t] > top ? row[t] : top;
    if (top == never) {
        for (int32_t t = 0; t < padded; t++) row[t] = 0.0f;
        return 0.0f;
    }
    v4f sum = splat4(0.0f);
    for (int32_t t = 0; t < padded; t += 4) {
        v4f e = exp4(load4(row + t) - splat4(top));
        store4(row + t, e);
        sum += e;
    }
    return 1.0f / sum4(sum);
}

/* out [4 width] = factor times the sum over n positions, in order, of weight times value. */
TK_INLINE void mix_some(float *out, const float *values, const float *row, int32_t n, int32_t hd,
                        float factor, const int width) {
    v4f acc[8];
    for (int j = 0; j < width; j++) acc[j] = splat4(0.0f);
    for (int32_t t = 0; t < n; t++, values += hd)
        for (int j = 0; j < width; j++) acc[j] += splat4(row[t]) * load4(values + 4 * j);
    for (int j = 0; j < width; j++) store4(out + 4 * j, acc[j] * splat4(factor));
}

/* out [head_dim] of the values of one head. */
static void mix(const tk_capture *c, float *out, const float *values, const float *row, int32_t n,
                float factor) {
    int32_t hd = c->m->head_dim, d = 0;
    for (; d + 32 <= hd; d += 32) mix_some(out + d, values + d, row, n, hd, factor, 8);
    for (; d + 16 <= hd; d += 16) mix_some(out + d, values + d, row, n, hd, factor, 4);
    for (; d < hd; d += 4) mix_some(out + d, values + d, row, n, hd, factor, 1);
}

static int32_t same_bits(const float *a, const float *b, size_t n) {
    const uint32_t *x = (const uint32_t *)(const void *)a, *y = (const uint32_t *)(const void *)b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i]) return 0;
    return 1;
}

/* Whether a row of the pattern is what its scores say. */
static int32_t as_scored(const float *pattern, const float *row, float factor, int32_t n) {
    for (int32_t t = 0; t < n; t++) {
        float p = row[t] * factor;
        if (!same_bits(&p, pattern + t, 1)) return 0;
    }
    return 1;
}

/* One query of one head, from its scores or what became of them to its row of Z; `row` has room for
 * the session's capacity. */
static void attend(const tk_capture *c, int32_t head, int32_t token, float *row) {
    tk_session *s = c->s;
    int32_t keys = s->n_past + c->tokens, n = s->n_past + token + 1;
    size_t heads = (size_t)c->m->n_heads, hd = (size_t)c->m->head_dim;
    size_t at = ((size_t)head * (size_t)c->tokens + (size_t)token) * (size_t)keys;
    size_t query = ((size_t)token * heads + (size_t)head) * hd;
    float *scores = site(c, SCORES) ? site(c, SCORES) + at : NULL;
    float *pattern = site(c, PATTERN) ? site(c, PATTERN) + at : NULL;
    if (c->from <= DO_SCORES) {
        score_keys(c, row, cached(c, s->keys, head), site(c, ROT_Q) + query, n);
        if (scores) {
            tk_move(scores, row, (size_t)n * sizeof(float));
            for (int32_t t = n; t < keys; t++) scores[t] = -__builtin_inff();
        }
    } else { /* they may let a query see what comes after it */
        tk_move(row, scores, (size_t)keys * sizeof(float));
        n = keys;
    }
    if (c->to <= DO_PATTERN) return;
    float factor = exponentials(row, n);
    if (pattern && c->from <= DO_PATTERN)
        for (int32_t t = 0; t < keys; t++) pattern[t] = t < n ? row[t] * factor : 0.0f;
    if (c->to <= DO_Z) return;
    const float *values = cached(c, s->values, head);
    if (c->from == DO_Z && !as_scored(pattern, row, factor, n))
        mix(c, site(c, Z) + query, values, pattern, keys, 1.0f);
    else
        mix(c, site(c, Z) + query, values, row, n, factor);
}

/* Each thread takes whole heads. */
static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_capture *c = argument;
    float *row = c->s->scores + (size_t)part * (size_t)c->s->capacity;
    int64_t heads = c->m->n_heads;
    for (int32_t h = (int32_t)(heads * part / parts); h < (int32_t)(heads * (part + 1) / parts);
         h++)
        for (int32_t t = 0; t < c->tokens; t++) attend(c, h, t, row);
}

static void attention(tk_capture *c) {
    size_t kv = (size_t)c->m->n_kv_heads * (size_t)c->m->head_dim;
    if (c->from <= DO_SCORES)
        for (int32_t t = 0; t < c->tokens; t++)
            tk_kv_store(c->s, c->layer, c->s->n_past + t, site(c, ROT_K) + (size_t)t * kv,
                        site(c, V) + (size_t)t * kv);
    tk_parallel(part_of_heads, c);
}

/* The columns of one head only; the others are 0. Rounded activations keep the scales that all
 * heads together gave them, so that the heads' results add up to what the whole product is. */
static void only_head(const tk_capture *c, tk_act *to, const tk_act *from, int32_t head) {
    int32_t hd = c->m->head_dim, first = head * hd, blocks = from->cols / TK_QK;
    float *f = c->s->mixed;
    size_t n = (size_t)from->tokens * (size_t)from->cols;
    __builtin_memset(f, 0, n * sizeof(float));
    __builtin_memset(to->q, 0, n * sizeof(int16_t));
    __builtin_memset(to->narrow, 0, n);
    for (int32_t t = 0; t < from->tokens; t++) {
        size_t at = (size_t)t * (size_t)from->cols;
        for (size_t i = at + (size_t)first; i < at + (size_t)(first + hd); i++) {
            f[i] = from->f[i];
            to->q[i] = from->q[i];
            to->narrow[i] = from->narrow[i];
        }
        for (int32_t b = 0; b < blocks; b++) {
            int32_t sum = 0;
            for (int32_t i = 0; i < TK_QK; i++) sum += to->q[at + (size_t)(b * TK_QK + i)];
            to->sum[t * blocks + b] = sum;
        }
    }
    to->f = f;
}

/* What each head adds to the residual stream. Returns 0 where there is no memory. */
static int32_t head_results(const tk_capture *c) {
    tk_session *s = c->s;
    const tk_tensor *w = weights(c, TK_ATTN_OUTPUT);
    size_t n = TK_BATCH * (size_t)w->cols, dim = (size_t)c->m->dim, heads = (size_t)c->m->n_heads;
    tk_act part = {NULL, tk_new(n * sizeof(int16_t)), tk_new(n), s->act_scale,
                   tk_new((n / TK_QK + 1) * sizeof(int32_t)), 0, w->cols, 1};
    int32_t ok = part.q && part.narrow && part.sum;
    for (int32_t t = 0; ok && t < c->tokens; t += TK_BATCH) {
        tk_act all = activations(s, site(c, Z) + (size_t)t * (size_t)w->cols, batch(c->tokens, t),
                                 w->cols);
        tk_matmul(s->normed, w, &all); /* for what it makes of the activations */
        part.tokens = all.tokens;
        for (size_t h = 0; h < heads; h++) {
            only_head(c, &part, &all, (int32_t)h);
            tk_matmul(s->normed, w, &part);
            for (size_t i = 0; i < (size_t)all.tokens; i++)
                tk_move(site(c, RESULT) + (((size_t)t + i) * heads + h) * dim,
                        s->normed + i * dim, dim * sizeof(float));
        }
    }
    tk_delete(part.q);
    tk_delete(part.narrow);
    tk_delete(part.sum);
    return ok;
}

static void attention_out(const tk_capture *c) {
    size_t dim = (size_t)c->m->dim, heads = (size_t)c->m->n_heads;
    product(c->s, site(c, ATTN_OUT), weights(c, TK_ATTN_OUTPUT), site(c, Z), c->tokens);
    if (!site(c, RESULT_WAS)) return;
    for (size_t t = 0; t < (size_t)c->tokens; t++) {
        const float *result = site(c, RESULT) + t * heads * dim;
        if (same_bits(result, site(c, RESULT_WAS) + t * heads * dim, heads * dim)) continue;
        for (size_t i = 0; i < dim; i++) {
            float sum = result[i];
            for (size_t h = 1; h < heads; h++) sum += result[h * dim + i];
            site(c, ATTN_OUT)[t * dim + i] = sum;
        }
    }
}

static void add(float *out, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(out + i, load4(a + i) + load4(b + i));
}

static void mlp_pre(const tk_capture *c) {
    size_t dim = (size_t)c->m->dim, hidden = (size_t)c->m->hidden_dim;
    for (int32_t t = 0; t < c->tokens; t += TK_BATCH) {
        size_t row = (size_t)t;
        tk_act a = weighted(c, site(c, LN2_NORM) + row * dim, weights(c, TK_FFN_NORM),
                            batch(c->tokens, t));
        tk_matmul(site(c, PRE) + row * hidden, weights(c, TK_FFN_GATE), &a);
        tk_matmul(site(c, PRE_LINEAR) + row * hidden, weights(c, TK_FFN_UP), &a);
    }
}

static void mlp_post(const tk_capture *c) {
    size_t hidden = (size_t)c->m->hidden_dim;
    tk_move(site(c, POST), site(c, PRE), (size_t)c->tokens * hidden * sizeof(float));
    for (size_t t = 0; t < (size_t)c->tokens; t++)
        tk_swiglu(site(c, POST) + t * hidden, site(c, PRE_LINEAR) + t * hidden,
                  c->m->hidden_dim);
}

static int32_t wants(const tk_capture *c, int stage) { return c->from <= stage && stage < c->to; }

/* Returns 0 where there is no memory. */
static int32_t attention_half(tk_capture *c) {
    const tk_model *m = c->m;
    if (wants(c, DO_SCALE1)) scales(m, site(c, LN1_SCALE), site(c, RESID_PRE), c->tokens);
    if (wants(c, DO_NORM1))
        normalize(m, site(c, LN1_NORM), site(c, RESID_PRE), site(c, LN1_SCALE), c->tokens);
    if (wants(c, DO_QKV)) qkv(c);
    if (wants(c, DO_ROPE)) rope(c);
    if (c->from <= DO_Z && c->to > DO_SCORES) attention(c);
    if (wants(c, DO_RESULT) && site(c, RESULT) && !head_results(c)) return 0;
    if (wants(c, DO_ATTN_OUT)) attention_out(c);
    return 1;
}

static void mlp_half(const tk_capture *c) {
    const tk_model *m = c->m;
    size_t n = (size_t)c->tokens * (size_t)m->dim;
    if (wants(c, DO_MID)) add(site(c, RESID_MID), site(c, RESID_PRE), site(c, ATTN_OUT), n);
    if (wants(c, DO_SCALE2)) scales(m, site(c, LN2_SCALE), site(c, RESID_MID), c->tokens);
    if (wants(c, DO_NORM2))
        normalize(m, site(c, LN2_NORM), site(c, RESID_MID), site(c, LN2_SCALE), c->tokens);
    if (wants(c, DO_PRE)) mlp_pre(c);
    if (wants(c, DO_POST)) mlp_post(c);
    if (wants(c, DO_MLP_OUT))
        product(c->s, site(c, MLP_OUT), weights(c, TK_FFN_DOWN), site(c, POST), c->tokens);
    if (wants(c, DO_RESID_POST))
        add(site(c, RESID_POST), site(c, RESID_MID), site(c, MLP_OUT), n);
}

/* Stages [from, to) of one block for tokens that follow the session's; there is room for them.
 * table: int64 addresses of the sites. Returns 0, 1 where the residual stream is not finite at the
 * end, or -1 where there is no memory. */
TK_EXPORT tk_int tk_capture_block(tk_int session, tk_int layer, tk_int tokens, tk_int from,
                                  tk_int to, tk_int table) {
    tk_session *s = (tk_session *)session;
    tk_capture c = {s,
                    s->model,
                    (const int64_t *)table,
                    (int32_t)layer,
                    (int32_t)tokens,
                    (int32_t)from,
                    (int32_t)to};
    if (!attention_half(&c)) return -1;
    mlp_half(&c);
    size_t n = (size_t)tokens * (size_t)c.m->dim;
    return wants(&c, DO_RESID_POST) && !tk_finite(site(&c, RESID_POST), n);
}

/* What goes into the first block: out [n][dim]. */
TK_EXPORT tk_int tk_capture_embed(tk_int session, tk_int ids, tk_int n, tk_int out) {
    const tk_model *m = ((const tk_session *)session)->model;
    for (tk_int t = 0; t < n; t++)
        tk_row(m->globals[TK_TOKEN_EMBD], ((const int32_t *)ids)[t],
               (float *)out + (size_t)t * (size_t)m->dim);
    return 0;
}

/* From the residual stream, x [tokens][dim], to the logits [tokens][n_vocab padded to 4], in three
 * stages: scale [tokens], normed [tokens][dim], logits. Returns 0, or 1 where these are not finite. */
TK_EXPORT tk_int tk_capture_head(tk_int session, tk_int tokens, tk_int from, tk_int to, tk_int x,
                                 tk_int scale, tk_int normed, tk_int logits) {
    tk_session *s = (tk_session *)session;
    tk_capture c = {s, s->model, NULL, 0, (int32_t)tokens, (int32_t)from, (int32_t)to};
    const tk_model *m = c.m;
    const tk_tensor *out =
        m->globals[TK_OUTPUT] ? m->globals[TK_OUTPUT] : m->globals[TK_TOKEN_EMBD];
    if (wants(&c, 0)) scales(m, (float *)scale, (const float *)x, c.tokens);
    if (wants(&c, 1))
        normalize(m, (float *)normed, (const float *)x, (const float *)scale, c.tokens);
    if (!wants(&c, 2)) return 0;
    size_t row = (size_t)out->quads * 4;
    for (int32_t t = 0; t < c.tokens; t += TK_BATCH) {
        tk_act a = weighted(&c, (const float *)normed + (size_t)t * (size_t)m->dim,
                            m->globals[TK_OUTPUT_NORM], batch(c.tokens, t));
        tk_matmul((float *)logits + (size_t)t * row, out, &a);
    }
    return !tk_finite((const float *)logits, (size_t)tokens * row);
}
