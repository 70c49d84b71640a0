/* The llama architecture (Touvron et al. 2023), and what others do instead (architecture.c): whole
 * batches of tokens through all layers in one call. Models and sessions are made here too. */
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
    m->attention_factor = 1.0f;
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
    tk_delete(m->rope_freq_local);
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
             (s->rope = tk_new(2 * TK_BATCH * (size_t)(m->rope_dim + 2) * f)) &&
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

/* What goes into a block, in `out`: the residual stream, normalized where there are weights for it. */
static tk_act block_input(tk_session *s, int32_t layer, int norm, int bias, float *out,
                          int32_t tokens) {
    const tk_model *m = s->model;
    const tk_tensor *w = tk_layer_tensor(m, layer, norm);
    if (!w) return activations(s, s->x, tokens, m->dim);
    tk_normalize(m, out, s->x, w, tk_layer_tensor(m, layer, bias), tokens);
    return activations(s, out, tokens, m->dim);
}

static void product(const tk_model *m, float *y, int32_t layer, int slot, int bias, tk_act *a) {
    tk_matmul(y, tk_layer_tensor(m, layer, slot), a);
    const tk_tensor *b = tk_layer_tensor(m, layer, bias);
    if (b) tk_add_bias(y, b, a->tokens);
}

static void add_rows(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) + load4(y + i));
}

/* Adds what a block gives to the residual stream, normalized where there are weights for it. */
static void block_output(tk_session *s, int32_t layer, int norm, float *y, int32_t tokens) {
    const tk_model *m = s->model;
    const tk_tensor *w = tk_layer_tensor(m, layer, norm);
    if (w) tk_normalize(m, y, y, w, NULL, tokens);
    add_rows(s->x, y, (size_t)tokens * (size_t)m->dim);
}

static void rotate_and_store(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    int32_t heads = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    const tk_tensor *q_norm = tk_layer_tensor(m, layer, TK_ATTN_Q_NORM);
    const tk_tensor *k_norm = tk_layer_tensor(m, layer, TK_ATTN_K_NORM);
    if (q_norm) tk_norm_heads(m, s->q, q_norm, heads, tokens);
    if (k_norm) tk_norm_heads(m, s->k, k_norm, kv, tokens);
    int local = m->rope_freq_local && tk_window(m, layer);
    int32_t interval = m->no_rope_layer_interval;
    int rope = !interval || layer % interval != interval - 1;
    const float *tables = s->rope + (local ? TK_BATCH * (size_t)m->rope_dim : 0);
    for (int32_t t = 0; t < tokens; t++) {
        const float *table = tables + (size_t)t * (size_t)m->rope_dim;
        if (rope) {
            tk_rope(m, table, s->q + (size_t)t * (size_t)heads, m->n_heads);
            tk_rope(m, table, s->k + (size_t)t * (size_t)kv, m->n_kv_heads);
        }
        tk_kv_store(s, layer, s->n_past + t, s->k + (size_t)t * (size_t)kv,
                    s->v + (size_t)t * (size_t)kv);
    }
}

/* Leaves what it gives in s->normed where the feed-forward block stands beside it. */
static void attention_block(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    tk_act a = block_input(s, layer, TK_ATTN_NORM, TK_ATTN_NORM_BIAS, s->normed, tokens);
    product(m, s->q, layer, TK_ATTN_Q, TK_ATTN_Q_BIAS, &a);
    product(m, s->k, layer, TK_ATTN_K, TK_ATTN_K_BIAS, &a);
    product(m, s->v, layer, TK_ATTN_V, TK_ATTN_V_BIAS, &a);
    rotate_and_store(s, layer, tokens);
    tk_attend(s, layer, tokens);
    tk_act mixed = activations(s, s->mixed, tokens, m->n_heads * m->head_dim);
    product(m, s->normed, layer, TK_ATTN_OUTPUT, TK_ATTN_OUTPUT_BIAS, &mixed);
    if (!m->parallel) block_output(s, layer, TK_ATTN_POST_NORM, s->normed, tokens);
}

static void ffn_block(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    float *room = m->parallel ? s->mixed : s->normed; /* s->normed then has attention's part */
    tk_act a = block_input(s, layer, TK_FFN_NORM, TK_FFN_NORM_BIAS, room, tokens);
    int gated = tk_layer_tensor(m, layer, TK_FFN_GATE) != NULL;
    if (gated) tk_matmul(s->gate, tk_layer_tensor(m, layer, TK_FFN_GATE), &a);
    product(m, gated ? s->up : s->gate, layer, TK_FFN_UP, TK_FFN_UP_BIAS, &a);
    tk_activate(m, s->gate, gated ? s->up : NULL, tokens * m->hidden_dim);
    tk_act hidden = activations(s, s->gate, tokens, m->hidden_dim);
    product(m, s->mixed, layer, TK_FFN_DOWN, TK_FFN_DOWN_BIAS, &hidden);
    if (m->parallel) add_rows(s->x, s->normed, (size_t)tokens * (size_t)m->dim);
    block_output(s, layer, TK_FFN_POST_NORM, s->mixed, tokens);
}

/* Logits of `tokens` positions from `first` of the batch on, rows padded to quads. */
static int32_t head(tk_session *s, int32_t first, int32_t tokens, float *logits) {
    const tk_model *m = s->model;
    const tk_tensor *out =
        m->globals[TK_OUTPUT] ? m->globals[TK_OUTPUT] : m->globals[TK_TOKEN_EMBD];
    tk_normalize(m, s->normed, s->x + (size_t)first * (size_t)m->dim, m->globals[TK_OUTPUT_NORM],
                 m->globals[TK_OUTPUT_NORM_BIAS], tokens);
    tk_act a = activations(s, s->normed, tokens, m->dim);
    tk_matmul(logits, out, &a);
    size_t n = (size_t)tokens * (size_t)out->quads * 4;
    if (m->final_logit_softcapping != 0.0f) tk_soft_cap(logits, m->final_logit_softcapping, n);
    return tk_finite(logits, n);
}

/* What goes into the first layer, and the rotations of its positions. */
static void embed(tk_session *s, const int32_t *ids, int32_t tokens) {
    const tk_model *m = s->model;
    const tk_tensor *positions = m->globals[TK_POSITION_EMBD];
    float *local = s->rope + TK_BATCH * (size_t)m->rope_dim;
    for (int32_t t = 0; t < tokens; t++) {
        float *x = s->x + (size_t)t * (size_t)m->dim;
        size_t table = (size_t)t * (size_t)m->rope_dim;
        tk_row(m->globals[TK_TOKEN_EMBD], ids[t], x);
        if (m->embed_scale != 0.0f) tk_scale_rows(x, m->embed_scale, (size_t)m->dim);
        if (positions) {
            tk_row(positions, s->n_past + t, s->normed);
            add_rows(x, s->normed, (size_t)m->dim);
        }
        tk_rope_table(m, s->n_past + t, s->rope + table);
        if (m->rope_freq_local) tk_rope_table_local(m, s->n_past + t, local + table);
    }
}

/* One batch of at most TK_BATCH tokens; see tk_forward. */
static tk_int forward_batch(tk_session *s, const int32_t *ids, int32_t tokens, int32_t wanted,
                            float *logits) {
    const tk_model *m = s->model;
    embed(s, ids, tokens);
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
