/* Operations that look back at a few positions by what was kept of them, or at all of them by a state of
 * fixed size, and not by attention. */
#include "kv.h"
#include "scan.h"

enum { MOST = 64 };       /* taps; thimble/model_config.py refuses more */
enum { SMALL = 1 << 15 }; /* multiply-adds that one thread does sooner alone */

/* One position: each column's sum of the taps from `first` on, first to last, of value times weight. */
static void convolve(float *y, const tk_tensor *weights, const float *bias, const float *const *rows,
                     int32_t first, int32_t taps) {
    for (int32_t q = 0; q < weights->quads; q++) {
        const float *w = (const float *)tk_quad(weights, q);
        v4f sum = splat4(0.0f);
        for (int32_t k = first; k < taps; k++) sum += load4(rows[k] + 4 * q) * load4(w + 16 * k);
        store4(y + 4 * q, bias ? sum + load4(bias + 4 * q) : sum);
    }
}

/* Where the row of a position is: among the batch's, or among those that a state of fixed size has of
 * the positions before `past`. */
static const float *row_of(const float *x, const float *state, int32_t pos, int32_t past, int32_t kept,
                           size_t width) {
    if (pos >= past) return x + (size_t)(pos - past) * width;
    return state + (size_t)(pos - past + kept) * width;
}

/* Keeps the last rows, taps less one, in states of fixed size; what is before the text is 0. */
static void keep_rows(tk_state *k, const float *x, int32_t past, int32_t end, int32_t taps, size_t width) {
    const float *state = tk_fixed_at(k, past);
    for (int32_t pos = past; pos < end;) {
        int32_t stop = tk_fixed_stop(k, pos, end), kept = taps - 1;
        float *to = tk_fixed_next(k, pos, past, stop);
        for (int32_t i = 0; i < kept; i++, to += width) {
            int32_t at = stop - kept + i;
            if (at < 0)
                __builtin_memset(to, 0, width * sizeof(float));
            else
                tk_move(to, row_of(x, state, at, past, kept, width), width * sizeof(float));
        }
        pos = stop;
    }
}

/* Each column by itself: the sum over the last `taps` positions, first to last, of value times weight,
 * and a bias; the values are kept. tensors: F32, [columns][taps], packed so that a lane is a column; the
 * bias. n: taps, whether a state of fixed size keeps them, the state. */
int32_t tk_op_short_conv(const tk_run *r, const tk_op *op) {
    tk_state *kept = r->s->states + op->n[2];
    const tk_tensor *weights = tk_op_tensor(op, 0);
    int32_t taps = op->n[0], fixed = op->n[1], past = r->s->n_past;
    size_t width = tk_width(r, op->in[0]);
    const float *x = tk_rows(r, op->in[0]), *rows[MOST];
    if (fixed && !tk_fixed_begin(kept, past)) return TK_GONE;
    const float *state = fixed ? tk_fixed_at(kept, past) : NULL;
    for (int32_t t = 0; t < r->tokens; t++) {
        int32_t pos = past + t, first = pos + 1 < taps ? taps - 1 - pos : 0;
        if (!fixed) tk_move(tk_values_at(kept, 0, pos), x + (size_t)t * width, width * sizeof *x);
        for (int32_t k = first; k < taps; k++) {
            int32_t at = pos + 1 - taps + k;
            rows[k] = fixed ? row_of(x, state, at, past, taps - 1, width)
                            : (const float *)tk_values_at(kept, 0, at);
        }
        convolve(tk_rows(r, op->out[0]) + (size_t)t * width, weights, tk_op_vector(op, 1), rows, first,
                 taps);
    }
    if (fixed) keep_rows(kept, x, past, past + r->tokens, taps, width);
    return 0;
}

/* Goes over the positions of a pass as far as each may be one stretch, which `part` computes of some of
 * the heads, on several threads where it is at least SMALL of the `work` of all. */
int32_t tk_over_stretches(const tk_run *r, const tk_op *op, tk_state *kept, int64_t work,
                          void (*part)(void *argument, int32_t part, int32_t parts)) {
    int32_t past = r->s->n_past, end = past + r->tokens;
    if (!tk_fixed_begin(kept, past)) return TK_GONE;
    for (int32_t pos = past; pos < end;) {
        int32_t stop = tk_fixed_stop(kept, pos, end);
        tk_stretch job = {r, op, tk_fixed_at(kept, pos), tk_fixed_next(kept, pos, past, stop),
                          pos - past, stop - past};
        if (work < SMALL)
            part(&job, 0, 1);
        else
            tk_parallel(part, &job);
        pos = stop;
    }
    return 0;
}

static void part_of_scan(void *argument, int32_t part, int32_t parts) {
    const tk_stretch *j = argument;
    const tk_run *r = j->r;
    int32_t heads = j->op->n[0], width = j->op->n[1], size = j->op->n[2];
    size_t all = (size_t)heads * (size_t)width, row = tk_width(r, j->op->in[0]);
    size_t block = (size_t)width * (size_t)size, steps = tk_width(r, j->op->in[1]);
    for (int32_t h = (int32_t)((int64_t)heads * part / parts);
         h < (int32_t)((int64_t)heads * (part + 1) / parts); h++) {
        float *state = j->to + (size_t)h * block;
        if (j->from)
            tk_move(state, j->from + (size_t)h * block, block * sizeof(float));
        else
            __builtin_memset(state, 0, block * sizeof(float));
        for (int32_t t = j->first; t < j->last; t++) {
            const float *x = tk_rows(r, j->op->in[0]) + (size_t)t * row, *b = x + all;
            float dt = tk_softplus(tk_rows(r, j->op->in[1])[(size_t)t * steps + (size_t)h]);
            size_t own = (size_t)h * (size_t)width;
            tk_scan_token(state, tk_rows(r, j->op->out[0]) + (size_t)t * all + own, x + own, b, b + size,
                          dt, tk_op_vector(j->op, 0)[h], tk_op_vector(j->op, 1)[h], width, size);
        }
    }
}

/* A selective state space (Mamba-2, Dao & Gu 2024). in: x, b and c side by side; dt. tensors: a and d of
 * each head. n: heads, values of a head, numbers that are kept for each, the state. */
int32_t tk_op_scan(const tk_run *r, const tk_op *op) {
    int64_t work = (int64_t)op->n[0] * op->n[1] * op->n[2] * r->tokens;
    return tk_over_stretches(r, op, r->s->states + op->n[3], work, part_of_scan);
}
