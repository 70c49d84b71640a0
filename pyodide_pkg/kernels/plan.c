/* Runs a model's program: whole batches of tokens through all operations in one call. Models and
 * sessions are made here too. */
#include "plan.h"

/* One operation, from one of its stages on up to another. Returns 0, or what went wrong. */
static int32_t run_op(const tk_run *r, const tk_op *op, int32_t from, int32_t to) {
    switch (op->kind) {
    case TK_OP_EMBED: return tk_op_embed(r, op);
    case TK_OP_POSITIONS: return tk_op_positions(r, op);
    case TK_OP_ROTATIONS: return tk_op_rotations(r, op);
    case TK_OP_NORM: return tk_op_norm(r, op, from, to);
    case TK_OP_PRODUCTS: return tk_op_products(r, op);
    case TK_OP_HALVES: return tk_op_halves(r, op);
    case TK_OP_HEAD_NORM: return tk_op_head_norm(r, op);
    case TK_OP_TEMPER: return tk_op_temper(r, op);
    case TK_OP_ROPE: return tk_op_rope(r, op);
    case TK_OP_ATTEND: return tk_op_attend(r, op, from, to);
    case TK_OP_HEADS_OUT: return tk_op_heads_out(r, op, from, to);
    case TK_OP_ACTIVATE: return tk_op_activate(r, op);
    case TK_OP_SHORT_CONV: return tk_op_short_conv(r, op);
    case TK_OP_SCAN: return tk_op_scan(r, op);
    case TK_OP_DELTA: return tk_op_delta(r, op);
    case TK_OP_ROUTE: return tk_op_route(r, op);
    case TK_OP_EXPERTS_IN: return tk_op_experts_in(r, op);
    case TK_OP_EXPERTS_OUT: return tk_op_experts_out(r, op);
    case TK_OP_MULTIPLY: return tk_op_multiply(r, op);
    case TK_OP_ADD: return tk_op_add(r, op);
    case TK_OP_LAST: return tk_op_last(r, op);
    case TK_OP_POOL: return tk_op_pool(r, op);
    case TK_OP_SOFT_CAP: return tk_op_soft_cap(r, op);
    case TK_OP_SCALE: return tk_op_scale(r, op);
    case TK_OP_CHECK: return tk_op_check(r, op);
    }
    return TK_UNKNOWN;
}

/* Frees the model, not its tensors. */
TK_EXPORT tk_int tk_model_free(tk_int model) {
    tk_model *m = (tk_model *)model;
    if (!m) return 0;
    tk_delete(m->ops);
    tk_delete(m->buffers);
    tk_delete(m->states);
    tk_delete(m);
    return 0;
}

static void *copied(tk_int from, int32_t n, size_t size) {
    size_t bytes = tk_size((size_t)n, size, 1);
    void *made = tk_new(bytes);
    if (made) tk_move(made, (const void *)from, bytes);
    return made;
}

/* ints: the int32 fields of tk_model in their order; ops, buffers, states: arrays of as many as they
 * say. Returns an address, or 0. */
TK_EXPORT tk_int tk_model_new(tk_int ints, tk_int ops, tk_int buffers, tk_int states) {
    tk_model *m = tk_new(sizeof *m);
    if (!m) return 0;
    tk_move(m, (const void *)ints, offsetof(tk_model, widest) + sizeof m->widest);
    m->ops = copied(ops, m->n_ops, sizeof *m->ops);
    m->buffers = copied(buffers, m->n_buffers, sizeof *m->buffers);
    m->states = copied(states, m->n_states, sizeof *m->states);
    if (m->ops && m->buffers && m->states) return (tk_int)m;
    tk_model_free((tk_int)m);
    return 0;
}

TK_EXPORT tk_int tk_session_free(tk_int session) {
    tk_session *s = (tk_session *)session;
    if (!s) return 0;
    tk_states_free(s);
    void *parts[] = {s->scores, s->scratch, s->act_q, s->act_narrow, s->act_scale, s->act_sum};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_delete(parts[i]);
    tk_delete(s);
    return 0;
}

/* Memory for `rows` rows of each buffer that has a slot, and where in it each lies. */
static uint8_t *place_buffers(const tk_model *m, size_t rows, void **at) {
    size_t widths[TK_MAX_BUFFERS] = {0}, places[TK_MAX_BUFFERS], total = 0;
    for (int32_t i = 0; i < m->n_buffers; i++) {
        const tk_buffer *b = m->buffers + i;
        if (b->slot >= 0 && (size_t)b->width > widths[b->slot]) widths[b->slot] = (size_t)b->width;
    }
    for (int32_t i = 0; i < m->n_buffers; i++) {
        places[i] = total;
        total = tk_sum(total, tk_size(widths[i], rows, sizeof(float)));
        total = tk_sum(total, 63) & ~(size_t)63;
    }
    uint8_t *block = tk_new(total);
    for (int32_t i = 0; block && i < m->n_buffers; i++)
        at[i] = m->buffers[i].slot < 0 ? NULL : block + places[m->buffers[i].slot];
    return block;
}

static int32_t attends(const tk_model *m) {
    for (int32_t i = 0; i < m->n_states; i++)
        if (m->states[i].kind == TK_KEYS_VALUES) return 1;
    return 0;
}

/* A place for so many positions. Returns 0 where there is no memory; the session is as before. */
TK_EXPORT tk_int tk_session_reserve(tk_int session, tk_int positions) {
    tk_session *s = (tk_session *)session;
    if (!tk_states_reserve(s, (int32_t)positions)) return 0;
    if (!attends(s->model)) s->scores_room = INT32_MAX; /* nobody asks for scores */
    if (positions > s->scores_room) {
        int32_t room = tk_states_capacity(s); /* without a state, or with rings alone, any number */
        if (room == INT32_MAX) room = ((int32_t)positions + 255) & ~255;
        float *wider = tk_new(tk_size(TK_MAX_THREADS, (size_t)room, sizeof(float)));
        if (!wider) return 0;
        tk_delete(s->scores);
        s->scores = wider;
        s->scores_room = room;
    }
    return 1;
}

/* A session of a text that has about `hint` positions at first; `ring`: whether layers with a window
 * let go of what is behind it; `type`: of keys and values, as they are kept. Returns an address, or 0
 * without the memory. */
TK_EXPORT tk_int tk_session_new(tk_int model, tk_int hint, tk_int ring, tk_int type) {
    const tk_model *m = (const tk_model *)model;
    tk_session *s = tk_new(sizeof *s);
    if (!s) return 0;
    s->model = m;
    size_t widest = (size_t)m->widest, blocks = widest / TK_QK + 1;
    int ok = tk_states_new(s, (int32_t)hint, (int32_t)ring, (int32_t)type) &&
             (s->scratch = place_buffers(m, TK_BATCH, s->at)) &&
             (s->act_q = tk_new(tk_size(TK_BATCH, widest, sizeof(int16_t)))) &&
             (s->act_narrow = tk_new(tk_size(TK_BATCH, widest, 1))) &&
             (s->act_scale = tk_new(tk_size(TK_BATCH, blocks, sizeof(float)))) &&
             (s->act_sum = tk_new(tk_size(TK_BATCH, blocks, sizeof(int32_t)))) &&
             tk_session_reserve((tk_int)s, hint);
    if (ok) return (tk_int)s;
    tk_session_free((tk_int)s);
    return 0;
}

/* How many positions a session has a place for. */
TK_EXPORT tk_int tk_session_capacity(tk_int session) {
    const tk_session *s = (const tk_session *)session;
    int32_t states = tk_states_capacity(s);
    return states < s->scores_room ? states : s->scores_room;
}

TK_EXPORT tk_int tk_session_past(tk_int session) { return ((const tk_session *)session)->n_past; }

/* What tk_forward says of an operation that failed. */
static tk_int failure(const tk_op *op, int32_t bad) {
    return bad == TK_NO_MEMORY ? -1 : 1 + op->layer + ((bad - 1) << 14);
}

/* Whole operations, from one up to another, all of the layers or all of the head. */
static tk_int run_ops(tk_run *r, int32_t from, int32_t to, int32_t rows) {
    r->rows = rows;
    for (const tk_op *op = r->m->ops + from, *end = r->m->ops + to; op < end; op++) {
        int32_t bad = run_op(r, op, 0, TK_STAGES);
        if (bad) return failure(op, bad);
    }
    return 0;
}

/* Computes n tokens and appends what is kept of them; there is a place for them and every id is in
 * the vocabulary. all: 0 for the last position's logits, 1 for every position's, -1 for none;
 * logits: [positions][n_vocab padded to 4]. Returns 0, or 1 + the layer after which a value was not
 * finite (1 + n_layers: the logits); the session then keeps what it had. */
TK_EXPORT tk_int tk_forward(tk_int session, tk_int ids, tk_int n, tk_int all, tk_int logits) {
    tk_session *s = (tk_session *)session;
    const tk_model *m = s->model;
    tk_int before = s->n_past;
    float *out = (float *)logits;
    for (tk_int done = 0; done < n; done += TK_BATCH) {
        int32_t tokens = (int32_t)(n - done < TK_BATCH ? n - done : TK_BATCH);
        int32_t last = done + tokens == n;
        tk_run r = {s, m, s->at, tokens, all > 0 ? tokens : all == 0 && last ? 1 : 0, 0};
        s->at[TK_IDS] = (int32_t *)ids + done;
        s->at[m->logits] = out;
        tk_states_written(s, s->n_past + tokens);
        tk_int bad = run_ops(&r, 0, m->head, tokens);
        if (!bad && r.wanted) bad = run_ops(&r, m->head, m->n_ops, r.wanted);
        if (bad) {
            tk_session_truncate(session, before);
            return bad;
        }
        s->n_past += tokens;
        out += (size_t)r.wanted * (size_t)m->buffers[m->logits].width;
    }
    return 0;
}

/* Lets an encoder read a whole text of n tokens, for which an empty session has a place; its vector,
 * floats as wide as the model, to `out`. Returns as tk_forward, or -1 without memory. */
TK_EXPORT tk_int tk_encode_text(tk_int session, tk_int ids, tk_int n, tk_int out) {
    tk_session *s = (tk_session *)session;
    const tk_model *m = s->model;
    void *at[TK_MAX_BUFFERS];
    uint8_t *block = place_buffers(m, (size_t)n, at);
    if (!block) return -1;
    tk_run r = {s, m, at, (int32_t)n, 1, 0};
    at[TK_IDS] = (void *)ids;
    tk_int bad = run_ops(&r, 0, m->head, r.tokens);
    if (!bad) bad = run_ops(&r, m->head, m->n_ops, 1);
    if (!bad) tk_move((void *)out, at[m->hidden], (size_t)m->dim * sizeof(float));
    tk_delete(block);
    return bad;
}

/* From a position in the program to another, for tokens that follow the session's, of which the last
 * `wanted` pass through the head; table: int64 addresses of all buffers, 0 for what nobody wants.
 * Nothing is appended before tk_session_advance. Returns as tk_forward, or -1 without memory. */
TK_EXPORT tk_int tk_run_program(tk_int session, tk_int table, tk_int tokens, tk_int wanted,
                                tk_int from, tk_int to) {
    tk_session *s = (tk_session *)session;
    void *at[TK_MAX_BUFFERS];
    for (int32_t i = 0; i < s->model->n_buffers; i++)
        at[i] = (void *)(intptr_t)((const int64_t *)table)[i];
    tk_run r = {s, s->model, at, (int32_t)tokens, (int32_t)wanted, 0};
    tk_states_written(s, s->n_past + r.tokens);
    while (from < to) {
        int32_t index = (int32_t)from / TK_STAGES, stage = (int32_t)from % TK_STAGES;
        int32_t last = index == to / TK_STAGES ? (int32_t)to % TK_STAGES : TK_STAGES;
        const tk_op *op = r.m->ops + index;
        r.rows = index < r.m->head ? r.tokens : r.wanted;
        int32_t bad = run_op(&r, op, stage, last);
        if (bad) return failure(op, bad);
        from = ((tk_int)index + 1) * TK_STAGES;
    }
    return 0;
}

/* Appends what tk_run_program has computed. */
TK_EXPORT tk_int tk_session_advance(tk_int session, tk_int tokens) {
    ((tk_session *)session)->n_past += (int32_t)tokens;
    return 0;
}

/* Adds to sums (doubles, as wide as the model), position by position, the hidden states of the batch
 * of `tokens` positions that the session has just computed, as the output matrix would read them.
 * Returns 0, or -1 where one is not finite. */
TK_EXPORT tk_int tk_hidden_sum(tk_int session, tk_int tokens, tk_int sums) {
    tk_session *s = (tk_session *)session;
    const tk_model *m = s->model;
    double *sum = (double *)sums;
    tk_run r = {s, m, s->at, (int32_t)tokens, (int32_t)tokens, 0};
    int32_t end = m->head;
    while (m->ops[end].kind != TK_OP_PRODUCTS) end++;
    run_ops(&r, m->head, end, r.wanted);
    const float *hidden = (const float *)s->at[m->hidden];
    size_t width = (size_t)m->buffers[m->hidden].width;
    if (!tk_finite(hidden, (size_t)tokens * width)) return -1;
    for (size_t t = 0; t < (size_t)tokens; t++)
        for (size_t i = 0; i < width; i++) sum[i] += (double)hidden[t * width + i];
    return 0;
}
