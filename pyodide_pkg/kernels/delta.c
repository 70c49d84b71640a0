/* The gated delta rule (Yang et al. 2024, https://arxiv.org/abs/2412.06464): a state of fixed size that
 * forgets, and in which a key's old value gives way to its new one. */
#include "delta.h"
#include "kv.h"

enum { WIDEST = 1 << 10 }; /* numbers of a key; thimble/model_config.py refuses more */

static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_stretch *j = argument;
    const tk_run *r = j->r;
    tk_delta_shape s = tk_delta_of(j->op->n);
    size_t block = (size_t)s.width * (size_t)s.size, all = (size_t)s.heads * (size_t)s.width;
    size_t row = tk_width(r, j->op->in[0]), gates = tk_width(r, j->op->in[1]);
    float unit[2 * WIDEST];
    for (int32_t h = (int32_t)((int64_t)s.heads * part / parts);
         h < (int32_t)((int64_t)s.heads * (part + 1) / parts); h++) {
        float *state = j->to + (size_t)h * block;
        const float *from = j->from ? j->from + (size_t)h * block : state;
        if (!j->from) __builtin_memset(state, 0, block * sizeof(float));
        for (int32_t t = j->first; t < j->last; t++, from = state) {
            size_t gate = (size_t)t * gates + (size_t)h;
            float *y = tk_rows(r, j->op->out[0]) + (size_t)t * all + (size_t)h * (size_t)s.width;
            tk_delta_token(s, state, from, y, unit, tk_rows(r, j->op->in[0]) + (size_t)t * row, h,
                           tk_delta_decay(tk_rows(r, j->op->in[1])[gate], tk_op_vector(j->op, 0)[h]),
                           tk_sigmoid(tk_rows(r, j->op->in[2])[gate]), j->op->f[0]);
        }
    }
}

/* in: queries, keys and values side by side; alpha and beta, a number of each head. tensor: a of each
 * head. n: heads, values of a head, numbers of a key, heads of keys, the state; f: epsilon. */
int32_t tk_op_delta(const tk_run *r, const tk_op *op) {
    int64_t work = (int64_t)op->n[0] * op->n[1] * op->n[2] * r->tokens;
    return tk_over_stretches(r, op, r->s->states + op->n[4], work, part_of_heads);
}
