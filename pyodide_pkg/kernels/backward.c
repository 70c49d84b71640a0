/* Runs a program backwards: operations from last to first, and the loss that it begins with. */
#include "backward.h"
#include "numeric.h"

/* What one operation read gets its part of what flows back. Those that no gradient passes are
 * without one: ids, positions, and what only looks. */
static int32_t back_op(const tk_back *b, const tk_op *op) {
    switch (op->kind) {
    case TK_OP_EMBED:
    case TK_OP_POSITIONS:
    case TK_OP_ROTATIONS:
    case TK_OP_CHECK: return TK_DONE;
    case TK_OP_NORM: return tk_back_norm(b, op);
    case TK_OP_PRODUCTS: return tk_back_products(b, op);
    case TK_OP_HALVES: return tk_back_halves(b, op);
    case TK_OP_HEAD_NORM: return tk_back_head_norm(b, op);
    case TK_OP_TEMPER: return tk_back_temper(b, op);
    case TK_OP_ROPE: return tk_back_rope(b, op);
    case TK_OP_ATTEND: return tk_back_attend(b, op);
    case TK_OP_HEADS_OUT: return tk_back_heads_out(b, op);
    case TK_OP_ACTIVATE: return tk_back_activate(b, op);
    case TK_OP_ADD: return tk_back_add(b, op);
    case TK_OP_LAST: return tk_back_last(b, op);
    case TK_OP_SCALE: return tk_back_scale(b, op);
    case TK_OP_SOFT_CAP: return tk_back_soft_cap(b, op);
    case TK_OP_SHORT_CONV: return tk_back_short_conv(b, op);
    case TK_OP_SCAN: return tk_back_scan(b, op);
    case TK_OP_DELTA: return tk_back_delta(b, op);
    case TK_OP_POOL: return tk_back_pool(b, op);
    case TK_OP_ROUTE: return tk_back_route(b, op);
    case TK_OP_EXPERTS_IN: return tk_back_experts_in(b, op);
    case TK_OP_EXPERTS_OUT: return tk_back_experts_out(b, op);
    case TK_OP_MULTIPLY: return tk_back_multiply(b, op);
    }
    return TK_UNKNOWN;
}

static int32_t rows_at(const tk_run *r, int32_t index) {
    return index < r->m->head ? r->tokens : r->wanted;
}

/* Gradients are sums: what an operation reads begins with zeros, unless it reads what it leaves. */
static void forget(const tk_back *b, int32_t from, int32_t to) {
    for (int32_t index = from; index < to; index++) {
        const tk_op *op = b->r->m->ops + index;
        int32_t all = op->kind == TK_OP_LAST || op->kind == TK_OP_POOL;
        size_t rows = (size_t)(all ? b->r->tokens : rows_at(b->r, index));
        if (op->kind == TK_OP_CHECK) continue;
        for (int i = 0; i < 4; i++) {
            float *grad = tk_grads(b, op->in[i]);
            if (grad && op->in[i] != op->out[0])
                __builtin_memset(grad, 0, rows * tk_width(b->r, op->in[i]) * sizeof(float));
        }
    }
}

/* Operations `to` - 1 down to `from`, over tokens that begin a text. values, grads: int64 addresses of
 * all buffers' values, as tk_run_program left them, and of their gradients, 0 for what nobody wants;
 * those of what the last operations leave are there, those of all that is read are computed. Returns 0,
 * or as tk_run_program. */
TK_EXPORT tk_int tk_run_backward(tk_int session, tk_int values, tk_int grads, tk_int tokens,
                                 tk_int wanted, tk_int from, tk_int to) {
    tk_session *s = (tk_session *)session;
    void *at[TK_MAX_BUFFERS], *grad[TK_MAX_BUFFERS];
    for (int32_t i = 0; i < s->model->n_buffers; i++) {
        at[i] = (void *)(intptr_t)((const int64_t *)values)[i];
        grad[i] = (void *)(intptr_t)((const int64_t *)grads)[i];
    }
    tk_run r = {s, s->model, at, (int32_t)tokens, (int32_t)wanted, 0};
    size_t most = tk_products_scratch(), attend = tk_attend_scratch(r.tokens);
    tk_back b = {&r, grad, NULL, tk_gemm_scratch() + (attend > most ? attend : most),
                 tk_pool_threads()};
    b.scratch = tk_new(tk_size(b.per_thread, (size_t)b.threads, sizeof(float)));
    if (!b.scratch) return -1;
    int32_t bad = TK_DONE, index = (int32_t)to;
    forget(&b, (int32_t)from, index);
    while (!bad && index > from) {
        r.rows = rows_at(&r, --index);
        bad = back_op(&b, s->model->ops + index);
    }
    tk_delete(b.scratch);
    int32_t source = s->model->ops[from].in[0]; /* all that flows back has come by here */
    size_t n = (size_t)r.tokens * (source < 0 ? 0 : tk_width(&r, source));
    if (!bad && tk_grads(&b, source) && !tk_finite(tk_grads(&b, source), n)) bad = TK_NOT_FINITE;
    return bad == TK_DONE ? 0 : bad == TK_NO_MEMORY ? -1 : 1 + s->model->ops[index].layer + ((bad - 1) << 14);
}

/* The gradients of `scale` times the negative log-likelihood of targets, int32 [rows], of which those
 * below 0 are none: out, like logits [rows][n padded to 4]. Adds the nats to the double at `nats`;
 * scale: a double behind it. Returns 0, or 1 where they are not finite. */
TK_EXPORT tk_int tk_loss_back(tk_int logits, tk_int rows, tk_int n, tk_int targets, tk_int nats,
                              tk_int out) {
    tk_int padded = (n + 3) & ~(tk_int)3;
    const float *x = (const float *)logits;
    float scale = (float)((const double *)nats)[1], *dx = (float *)out;
    for (tk_int row = 0; row < rows; row++, x += padded, dx += padded) {
        int32_t target = ((const int32_t *)targets)[row];
        __builtin_memset(dx, 0, (size_t)padded * sizeof(float));
        if (target < 0) continue;
        float top = x[0];
        for (tk_int i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
        double lanes[4] = {0.0, 0.0, 0.0, 0.0};
        for (tk_int i = 0; i < padded; i += 4) {
            v4f e = exp4(load4(x + i) - splat4(top));
            for (tk_int j = 0; j < 4; j++) {
                if (i + j >= n) continue;
                dx[i + j] = e[j];
                lanes[j] += (double)e[j];
            }
        }
        double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        *(double *)nats += tk_log(sum) + (double)top - (double)x[target];
        v4f factor = splat4((float)(1.0 / sum) * scale);
        for (tk_int i = 0; i < padded; i += 4) store4(dx + i, load4(dx + i) * factor);
        dx[target] -= scale;
    }
    double found = *(double *)nats;
    return !(found - found == 0.0);
}
