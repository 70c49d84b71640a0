/* What flows back through the gated delta rule, from the last position to the first. As in
 * backward_scan.c, states are computed again, each time from one that was kept (Chen et al. 2016). */
#include "backward.h"
#include "delta.h"

enum { BETWEEN = 16 }; /* positions from one state that is kept to the next */

typedef struct {
    const tk_back *b;
    const tk_op *op;
    tk_delta_shape s;
    int32_t positions;
    size_t block;         /* numbers of a head's state */
    float *states, *sums; /* each thread's states; [heads][positions][2 size], gradients of q and k */
    size_t per_thread;
} tk_back_delta_job;

static float decay_of(const tk_back_delta_job *j, int32_t head, int32_t t) {
    const tk_run *r = j->b->r;
    float alpha = tk_rows(r, j->op->in[1])[(size_t)t * tk_width(r, j->op->in[1]) + (size_t)head];
    return tk_delta_decay(alpha, tk_op_vector(j->op, 0)[head]);
}

static float beta_of(const tk_back_delta_job *j, int32_t head, int32_t t) {
    const tk_run *r = j->b->r;
    return tk_sigmoid(tk_rows(r, j->op->in[2])[(size_t)t * tk_width(r, j->op->in[2]) + (size_t)head]);
}

static const float *row_of(const tk_back_delta_job *j, int32_t t) {
    return tk_rows(j->b->r, j->op->in[0]) + (size_t)t * tk_width(j->b->r, j->op->in[0]);
}

/* One row of a head's state, which was `before` and became `behind`. g: what flows into it, and then
 * what flows into what it was. Adds to the gradients of the units q and k, of its v and of beta; returns
 * what flows into the decay. */
static float state_row_back(float *g, const float *behind, const float *before, const float *q,
                            const float *k, float *dq, float *dk, float dy, float v, float *dv,
                            float *d_beta, float decay, float beta, int32_t size) {
    v4f out = splat4(dy), left = splat4(decay), had = splat4(0.0f), taken = had, into = had;
    for (int32_t n = 0; n < size; n += 4) {
        v4f now = load4(g + n) + out * load4(q + n);
        store4(g + n, now);
        store4(dq + n, load4(dq + n) + out * load4(behind + n));
        had += load4(before + n) * left * load4(k + n);
        taken += now * load4(k + n);
    }
    float missing = v - sum4(had), along = sum4(taken), less = beta * along;
    *dv += less;
    *d_beta += along * missing;
    for (int32_t n = 0; n < size; n += 4) {
        v4f now = load4(g + n), was = load4(before + n);
        store4(dk + n, load4(dk + n) + splat4(missing * beta) * now - splat4(less) * (was * left));
        now -= splat4(less) * load4(k + n);
        into += now * was;
        store4(g + n, now * left);
    }
    return sum4(into);
}

/* dx = of a row that was brought to length 1 and multiplied by a factor. */
static void unit_back(float *dx, const float *x, const float *d_unit, float inverse, float factor,
                      int32_t n) {
    v4f along = splat4(0.0f), size = splat4(inverse * factor);
    for (int32_t i = 0; i < n; i += 4) along += load4(x + i) * load4(d_unit + i);
    v4f less = splat4(sum4(along) * inverse * inverse);
    for (int32_t i = 0; i < n; i += 4)
        store4(dx + i, size * (load4(d_unit + i) - load4(x + i) * less));
}

/* One head's token, with the states behind it and before it. */
static void token_back(const tk_back_delta_job *j, float *g, const float *behind, const float *before,
                       float *units, float *sums, int32_t head, int32_t t) {
    const tk_run *r = j->b->r;
    tk_delta_shape s = j->s;
    float *k = units, *q = k + s.size, *dk = q + s.size, *dq = dk + s.size;
    const float *x = row_of(j, t), *v = x + tk_delta_value(s, head);
    float factor = 1.0f / __builtin_sqrtf((float)s.size), eps = j->op->f[0];
    float of_k = tk_unit(k, x + tk_delta_key(s, head), 1.0f, eps, s.size);
    float of_q = tk_unit(q, x + tk_delta_query(s, head), factor, eps, s.size);
    float decay = decay_of(j, head, t), beta = beta_of(j, head, t), into = 0.0f, d_beta = 0.0f;
    size_t own = (size_t)head * (size_t)s.width, all = (size_t)s.heads * (size_t)s.width;
    const float *dy = tk_grads(j->b, j->op->out[0]) + (size_t)t * all + own;
    float *dv = tk_grads(j->b, j->op->in[0]) + (size_t)t * tk_width(r, j->op->in[0]);
    dv += tk_delta_value(s, head);
    __builtin_memset(dk, 0, 2 * (size_t)s.size * sizeof(float));
    for (int32_t p = 0; p < s.width; p++) {
        size_t at = (size_t)p * (size_t)s.size;
        into += state_row_back(g + at, behind + at, before + at, q, k, dq, dk, dy[p], v[p], dv + p,
                               &d_beta, decay, beta, s.size);
    }
    unit_back(sums, x + tk_delta_query(s, head), dq, of_q, factor, s.size);
    unit_back(sums + s.size, x + tk_delta_key(s, head), dk, of_k, 1.0f, s.size);
    size_t gate = (size_t)t * tk_width(r, j->op->in[1]) + (size_t)head;
    float slope = tk_sigmoid(tk_rows(r, j->op->in[1])[gate]); /* softplus' */
    tk_grads(j->b, j->op->in[1])[gate] += into * decay * tk_op_vector(j->op, 0)[head] * slope;
    tk_grads(j->b, j->op->in[2])[gate] += d_beta * beta * (1.0f - beta);
}

/* The states behind `n` positions from `first` on, each computed from the one before it, which is there
 * in front of them. */
static void states_again(const tk_back_delta_job *j, float *states, float *units, float *y, int32_t head,
                         int32_t first, int32_t n) {
    for (int32_t t = first; t < first + n; t++, states += j->block)
        tk_delta_token(j->s, states + j->block, states, y, units, row_of(j, t), head,
                       decay_of(j, head, t), beta_of(j, head, t), j->op->f[0]);
}

static void head_back(const tk_back_delta_job *j, float *scratch, int32_t head) {
    size_t block = j->block, both = 2 * (size_t)j->s.size;
    float *g = scratch, *states = g + block, *kept = states + (BETWEEN + 1) * block;
    float *y = kept + (size_t)(j->positions + BETWEEN - 1) / BETWEEN * block, *units = y + j->s.width;
    float *sums = j->sums + (size_t)head * (size_t)j->positions * both;
    int32_t last = (j->positions - 1) / BETWEEN;
    __builtin_memset(g, 0, block * sizeof(float));
    __builtin_memset(states, 0, block * sizeof(float));
    for (int32_t part = 0; part <= last; part++) {
        tk_move(kept + (size_t)part * block, states, block * sizeof(float));
        if (part == last) break;
        states_again(j, states, units, y, head, part * BETWEEN, BETWEEN);
        tk_move(states, states + BETWEEN * block, block * sizeof(float));
    }
    for (int32_t part = last; part >= 0; part--) {
        int32_t first = part * BETWEEN, n = j->positions - first;
        n = n < BETWEEN ? n : BETWEEN;
        tk_move(states, kept + (size_t)part * block, block * sizeof(float));
        states_again(j, states, units, y, head, first, n);
        for (int32_t i = n; i-- > 0;) {
            const float *before = states + (size_t)i * block;
            token_back(j, g, before + block, before, units, sums + (size_t)(first + i) * both, head,
                       first + i);
        }
    }
}

static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_back_delta_job *j = argument;
    int32_t heads = j->s.heads;
    for (int32_t h = tk_share(heads, 1, part, parts); h < tk_share(heads, 1, part + 1, parts); h++)
        head_back(j, j->states + (size_t)part * j->per_thread, h);
}

/* Heads that share a query and a key: their parts come together, head by head. */
static void gather(const tk_back_delta_job *j) {
    size_t size = (size_t)j->s.size, row = tk_width(j->b->r, j->op->in[0]);
    const float *own = j->sums;
    for (int32_t h = 0; h < j->s.heads; h++)
        for (int32_t t = 0; t < j->positions; t++, own += 2 * size) {
            float *d = tk_grads(j->b, j->op->in[0]) + (size_t)t * row;
            float *dq = d + tk_delta_query(j->s, h), *dk = d + tk_delta_key(j->s, h);
            for (size_t i = 0; i < size; i += 4) {
                store4(dq + i, load4(dq + i) + load4(own + i));
                store4(dk + i, load4(dk + i) + load4(own + size + i));
            }
        }
}

int32_t tk_back_delta(const tk_back *b, const tk_op *op) {
    tk_back_delta_job j = {b, op, tk_delta_of(op->n), b->r->rows, 0, NULL, NULL, 0};
    j.block = (size_t)j.s.width * (size_t)j.s.size;
    size_t kept = (size_t)(j.positions + BETWEEN - 1) / BETWEEN;
    size_t sums = tk_size((size_t)j.positions, 2 * (size_t)j.s.size, sizeof(float));
    j.per_thread = (BETWEEN + 2 + kept) * j.block + (size_t)j.s.width + 4 * (size_t)j.s.size;
    j.states = tk_new(tk_size(j.per_thread, (size_t)b->threads, sizeof(float)));
    j.sums = tk_new(tk_size(sums, (size_t)j.s.heads, 1));
    int32_t status = j.states && j.sums ? TK_DONE : TK_NO_MEMORY;
    if (status == TK_DONE) {
        tk_parallel(part_of_heads, &j);
        gather(&j);
    }
    if (j.states) tk_delete(j.states);
    if (j.sums) tk_delete(j.sums);
    return status;
}
