/* The llama architecture (Touvron et al. 2023): whole batches of tokens through all layers in one
 * call. Models and sessions are made here too. */
#include "numeric.h"

/* ints: the int32 fields of tk_model in their order; floats: norm_eps, attn_scale, rope_base,
 * rope_scale (positions are divided by it). Returns an address, or 0. */
TK_EXPORT tk_int tk_model_new(tk_int ints, tk_int floats) {
    const int32_t *n = (const int32_t *)ints;
    const double *f = (const double *)floats;
    tk_model *m = tk_new(sizeof *m);
    if (!m) return 0;
    m->n_layers = n[0];
    m->dim = n[1];
    m->n_heads = n[2];
    m->n_kv_heads = n[3];
    m->head_dim = n[4];
    m->hidden_dim = n[5];
    m->n_vocab = n[6];
    m->rope_dim = n[7];
    m->rope_interleaved = n[8];
    m->norm_eps = (float)f[0];
    m->attn_scale = (float)f[1];
    m->rope_freq = tk_new(sizeof(double) * (size_t)(m->rope_dim / 2 + 1));
    m->layers = tk_new(sizeof(tk_tensor *) * (size_t)m->n_layers * TK_LAYER_SLOTS);
    if (!m->rope_freq || !m->layers) {
        tk_delete(m->rope_freq);
        tk_delete(m->layers);
        tk_delete(m);
        return 0;
    }
    double log_base = tk_log(f[2]);
    for (int32_t i = 0; i < m->rope_dim / 2; i++)
        m->rope_freq[i] = tk_exp(-2.0 * (double)i / (double)m->rope_dim * log_base) / f[3];
    return (tk_int)m;
}

/* Divides each pair's frequency by its factor: the file's rope_freqs, [rope_dim / 2] floats. */
TK_EXPORT tk_int tk_model_rope_factors(tk_int model, tk_int factors) {
    tk_model *m = (tk_model *)model;
    for (int32_t i = 0; i < m->rope_dim / 2; i++)
        m->rope_freq[i] = m->rope_freq[i] / (double)((const float *)factors)[i];
    return 0;
}

/* Frees the model, not its tensors. */
TK_EXPORT tk_int tk_model_free(tk_int model) {
    tk_model *m = (tk_model *)model;
    if (!m) return 0;
    tk_delete(m->rope_freq);
    tk_delete(m->layers);
    tk_delete(m);
    return 0;
}

/* Puts a tensor in its slot; layer counts for the slots that each layer has. */
TK_EXPORT tk_int tk_model_set(tk_int model, tk_int slot, tk_int layer, tk_int tensor) {
    tk_model *m = (tk_model *)model;
    tk_tensor *t = (tk_tensor *)tensor;
    if (slot < TK_ATTN_NORM)
        m->globals[slot] = t;
    else
        m->layers[layer * TK_LAYER_SLOTS + slot - TK_ATTN_NORM] = t;
    return 0;
}

static tk_tensor *layer_tensor(const tk_model *m, int32_t layer, int slot) {
    return m->layers[layer * TK_LAYER_SLOTS + slot - TK_ATTN_NORM];
}

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

TK_EXPORT tk_int tk_session_free(tk_int session) {
    tk_session *s = (tk_session *)session;
    if (!s) return 0;
    void *parts[] = {s->keys,  s->values,     s->scores,    s->x,      s->normed, s->q,
                     s->k,     s->v,          s->mixed,     s->gate,   s->up,     s->rope,
                     s->act_q, s->act_narrow, s->act_scale, s->act_sum};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_delete(parts[i]);
    tk_delete(s);
    return 0;
}

/* Room for `capacity` positions at least. Returns an address, or 0 without the memory. */
TK_EXPORT tk_int tk_session_new(tk_int model, tk_int capacity) {
    const tk_model *m = (const tk_model *)model;
    tk_session *s = tk_new(sizeof *s);
    if (!s) return 0;
    capacity = (capacity + TK_KEY_GROUP - 1) / TK_KEY_GROUP * TK_KEY_GROUP;
    size_t f = sizeof(float), dim = (size_t)m->dim, hidden = (size_t)m->hidden_dim;
    size_t heads = (size_t)m->n_heads * (size_t)m->head_dim;
    size_t kv = (size_t)m->n_kv_heads * (size_t)m->head_dim,
           widest = largest(largest(dim, hidden), heads);
    size_t cache = (size_t)m->n_layers * kv * (size_t)capacity * f;
    s->model = m;
    s->capacity = (int32_t)capacity;
    int ok = (s->keys = tk_new(cache)) && (s->values = tk_new(cache)) &&
             (s->scores = tk_new(TK_MAX_THREADS * (size_t)capacity * f)) &&
             (s->x = tk_new(TK_BATCH * dim * f)) && (s->normed = tk_new(TK_BATCH * dim * f)) &&
             (s->q = tk_new(TK_BATCH * heads * f)) &&
             (s->mixed = tk_new(TK_BATCH * largest(heads, dim) * f)) &&
             (s->k = tk_new(TK_BATCH * kv * f)) && (s->v = tk_new(TK_BATCH * kv * f)) &&
             (s->gate = tk_new(TK_BATCH * hidden * f)) && (s->up = tk_new(TK_BATCH * hidden * f)) &&
             (s->rope = tk_new(TK_BATCH * (size_t)(m->rope_dim + 2) * f)) &&
             (s->act_q = tk_new(TK_BATCH * widest * sizeof(int16_t))) &&
             (s->act_narrow = tk_new(TK_BATCH * widest)) &&
             (s->act_scale = tk_new(TK_BATCH * (widest / TK_QK + 1) * f)) &&
             (s->act_sum = tk_new(TK_BATCH * (widest / TK_QK + 1) * sizeof(int32_t)));
    if (ok) return (tk_int)s;
    tk_session_free((tk_int)s);
    return 0;
}

/* Keeps the first n positions. */
TK_EXPORT tk_int tk_session_rollback(tk_int session, tk_int n) {
    ((tk_session *)session)->n_past = (int32_t)n;
    return 0;
}

static tk_act activations(tk_session *s, const float *f, int32_t tokens, int32_t cols) {
    tk_act a = {f, s->act_q, s->act_narrow, s->act_scale, s->act_sum, tokens, cols, 0};
    return a;
}

static void norm_rows(const tk_model *m, float *y, const float *x, const tk_tensor *w,
                      int32_t tokens) {
    for (int32_t t = 0; t < tokens; t++)
        tk_rmsnorm(y + (size_t)t * (size_t)m->dim, x + (size_t)t * (size_t)m->dim,
                   (const float *)w->data, m->dim, m->norm_eps);
}

static void add_rows(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) + load4(y + i));
}

static void attention_block(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    int32_t heads = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    norm_rows(m, s->normed, s->x, layer_tensor(m, layer, TK_ATTN_NORM), tokens);
    tk_act a = activations(s, s->normed, tokens, m->dim);
    tk_matmul(s->q, layer_tensor(m, layer, TK_ATTN_Q), &a);
    tk_matmul(s->k, layer_tensor(m, layer, TK_ATTN_K), &a);
    tk_matmul(s->v, layer_tensor(m, layer, TK_ATTN_V), &a);
    for (int32_t t = 0; t < tokens; t++) {
        const float *table = s->rope + (size_t)t * (size_t)m->rope_dim;
        tk_rope(m, table, s->q + (size_t)t * (size_t)heads, m->n_heads);
        tk_rope(m, table, s->k + (size_t)t * (size_t)kv, m->n_kv_heads);
        tk_kv_store(s, layer, s->n_past + t, s->k + (size_t)t * (size_t)kv,
                    s->v + (size_t)t * (size_t)kv);
    }
    tk_attend(s, layer, tokens);
    tk_act mixed = activations(s, s->mixed, tokens, heads);
    tk_matmul(s->normed, layer_tensor(m, layer, TK_ATTN_OUTPUT), &mixed);
    add_rows(s->x, s->normed, (size_t)tokens * (size_t)m->dim);
}

static void ffn_block(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    norm_rows(m, s->normed, s->x, layer_tensor(m, layer, TK_FFN_NORM), tokens);
    tk_act a = activations(s, s->normed, tokens, m->dim);
    tk_matmul(s->gate, layer_tensor(m, layer, TK_FFN_GATE), &a);
    tk_matmul(s->up, layer_tensor(m, layer, TK_FFN_UP), &a);
    tk_swiglu(s->gate, s->up, tokens * m->hidden_dim);
    tk_act hidden = activations(s, s->gate, tokens, m->hidden_dim);
    tk_matmul(s->mixed, layer_tensor(m, layer, TK_FFN_DOWN), &hidden);
    add_rows(s->x, s->mixed, (size_t)tokens * (size_t)m->dim);
}

/* Logits of `tokens` positions from `first` of the batch on, rows padded to quads. */
static int32_t head(tk_session *s, int32_t first, int32_t tokens, float *logits) {
    const tk_model *m = s->model;
    const tk_tensor *out =
        m->globals[TK_OUTPUT] ? m->globals[TK_OUTPUT] : m->globals[TK_TOKEN_EMBD];
    norm_rows(m, s->normed, s->x + (size_t)first * (size_t)m->dim, m->globals[TK_OUTPUT_NORM],
              tokens);
    tk_act a = activations(s, s->normed, tokens, m->dim);
    tk_matmul(logits, out, &a);
    return tk_finite(logits, (size_t)tokens * (size_t)out->quads * 4);
}

/* One batch of at most TK_BATCH tokens; see tk_forward. */
static tk_int forward_batch(tk_session *s, const int32_t *ids, int32_t tokens, int32_t wanted,
                            float *logits) {
    const tk_model *m = s->model;
    for (int32_t t = 0; t < tokens; t++) {
        tk_row(m->globals[TK_TOKEN_EMBD], ids[t], s->x + (size_t)t * (size_t)m->dim);
        tk_rope_table(m, s->n_past + t, s->rope + (size_t)t * (size_t)m->rope_dim);
    }
    for (int32_t layer = 0; layer < m->n_layers; layer++) {
        attention_block(s, layer, tokens);
        ffn_block(s, layer, tokens);
        if (!tk_finite(s->x, (size_t)tokens * (size_t)m->dim)) return 1 + layer;
    }
    if (wanted && !head(s, tokens - wanted, wanted, logits)) return 1 + m->n_layers;
    s->n_past += tokens;
    return 0;
}

/* Computes n tokens and appends their keys and values; there is room for them and every id is in
 * the vocabulary. all: 0 for the last position's logits, 1 for every position's, -1 for none;
 * logits: [positions][n_vocab padded to 4]. Returns 0, or 1 + the layer after which a value was not
 * finite (1 + n_layers: the logits); the session then keeps what it had. */
TK_EXPORT tk_int tk_forward(tk_int session, tk_int ids, tk_int n, tk_int all, tk_int logits) {
    tk_session *s = (tk_session *)session;
    const int32_t *id = (const int32_t *)ids;
    float *out = (float *)logits;
    int32_t before = s->n_past;
    size_t row = ((size_t)s->model->n_vocab + 3) & ~(size_t)3;
    for (tk_int done = 0; done < n; done += TK_BATCH) {
        int32_t tokens = (int32_t)(n - done < TK_BATCH ? n - done : TK_BATCH);
        int32_t last = done + tokens == n;
        int32_t wanted = all > 0 ? tokens : all == 0 && last ? 1 : 0;
        tk_int bad = forward_batch(s, id + done, tokens, wanted, out);
        if (bad) {
            s->n_past = before;
            return bad;
        }
        out += (size_t)wanted * row;
    }
    return 0;
}
