/* A feed-forward block that is several networks, of which each token uses some: a router's choice, and
 * products with the matrices of those that were chosen, an expert at a time. */
#include "plan.h"
#include "numeric.h"

/* The largest of n values but for those that `which` names, of equal ones the first. */
static int32_t best_of(const float *x, int32_t n, const float *which, int32_t done) {
    int32_t best = -1;
    for (int32_t e = 0; e < n; e++) {
        int32_t taken = 0;
        for (int32_t k = 0; k < done; k++) taken |= (int32_t)which[k] == e;
        if (!taken && (best < 0 || x[e] > x[best])) best = e;
    }
    return best;
}

/* Softmax over all experts' logits (in[0]); leaves the shares of the best, and which these are, best
 * first. n: experts, how many are chosen, whether shares are divided by their sum. */
int32_t tk_op_route(const tk_run *r, const tk_op *op) {
    int32_t experts = op->n[0], chosen = op->n[1];
    size_t logits = tk_width(r, op->in[0]), width = tk_width(r, op->out[0]);
    for (int32_t t = 0; t < r->rows; t++) {
        const float *x = tk_rows(r, op->in[0]) + (size_t)t * logits;
        float *share = tk_rows(r, op->out[0]) + (size_t)t * width, sum = 0.0f;
        float *which = tk_rows(r, op->out[1]) + (size_t)t * width;
        if (!tk_finite(x, (size_t)experts)) return TK_NOT_FINITE;
        for (int32_t k = 0; k < chosen; k++) which[k] = (float)best_of(x, experts, which, k);
        float most = x[(int32_t)which[0]];
        for (int32_t e = 0; e < experts; e += 4) {
            v4f four = exp4(load4(x + e) - splat4(most));
            for (int32_t i = 0; i < 4 && e + i < experts; i++) sum += four[i];
        }
        for (int32_t k = 0; k < chosen; k++)
            share[k] = exp4(splat4(x[(int32_t)which[k]] - most))[0] / sum;
        if (op->n[2]) {
            float all = 0.0f;
            for (int32_t k = 0; k < chosen; k++) all += share[k];
            for (int32_t k = 0; k < chosen; k++) share[k] /= all;
        }
    }
    return 0;
}

/* One expert's part of an operation. */
typedef struct {
    const tk_run *r;
    float *gathered, *multiplied; /* as many rows as the operation has, each as wide as `place` */
    const float *which;           /* [rows][chosen padded] */
    int32_t chosen, most;         /* rows that are multiplied together */
    size_t choices;
} tk_gather;

static tk_gather gather_of(const tk_run *r, const tk_op *op, int32_t which, int32_t places) {
    int32_t most = r->rows < TK_BATCH ? r->rows : TK_BATCH;
    return (tk_gather){r, tk_rows(r, op->out[places]), tk_rows(r, op->out[places + 1]),
                       tk_rows(r, which), op->n[1], most, tk_width(r, which)};
}

/* Whether all choices are experts. */
static int32_t all_known(const tk_gather *g, int32_t experts) {
    for (int32_t t = 0; t < g->r->rows; t++)
        for (int32_t k = 0; k < g->chosen; k++) {
            float e = g->which[(size_t)t * g->choices + (size_t)k];
            if (!(e >= 0.0f && e < (float)experts && e == (float)(int32_t)e)) return 0;
        }
    return 1;
}

/* The next choices of an expert, from number *at on, to slots[]; returns how many they are. A choice
 * is numbered by its token and its place among the token's. */
static int32_t next_choices(const tk_gather *g, int32_t expert, int32_t *at, int32_t *slots) {
    int32_t n = 0, all = g->r->rows * g->chosen;
    for (; *at < all && n < g->most; ++*at) {
        size_t t = (size_t)(*at / g->chosen), k = (size_t)(*at % g->chosen);
        if (g->which[t * g->choices + k] == (float)expert) slots[n++] = *at;
    }
    return n;
}

/* Gate and up of every token's experts (in: x, which), [rows][chosen][width]; out: both, and two places
 * for rows. tensors: of all experts. n: experts, how many are chosen. */
int32_t tk_op_experts_in(const tk_run *r, const tk_op *op) {
    tk_gather g = gather_of(r, op, op->in[1], 2);
    int32_t slots[TK_BATCH];
    size_t cols = tk_width(r, op->in[0]);
    if (!all_known(&g, op->n[0])) return TK_NO_EXPERT;
    for (int32_t e = 0; e < op->n[0]; e++)
        for (int32_t at = 0, n; (n = next_choices(&g, e, &at, slots)) > 0;) {
            for (int32_t i = 0; i < n; i++)
                tk_move(g.gathered + (size_t)i * cols,
                        tk_rows(r, op->in[0]) + (size_t)(slots[i] / g.chosen) * cols,
                        cols * sizeof(float));
            tk_act a = tk_activations(r, g.gathered, n, (int32_t)cols);
            for (int m = 0; m < 2; m++) {
                const tk_tensor *w = tk_op_expert(op, m, e);
                size_t width = (size_t)w->quads * 4;
                tk_matmul(g.multiplied, w, &a);
                for (int32_t i = 0; i < n; i++)
                    tk_move(tk_rows(r, op->out[m]) + (size_t)slots[i] * width,
                            g.multiplied + (size_t)i * width, width * sizeof(float));
            }
        }
    return 0;
}

/* The sum of what the experts make of theirs, [rows][chosen][width], each times its share (in: that,
 * shares, which), by ascending experts; out: the sum, and two places for rows. n: as above. */
int32_t tk_op_experts_out(const tk_run *r, const tk_op *op) {
    tk_gather g = gather_of(r, op, op->in[2], 1);
    int32_t slots[TK_BATCH];
    size_t width = tk_width(r, op->out[0]);
    if (!all_known(&g, op->n[0])) return TK_NO_EXPERT;
    __builtin_memset(tk_rows(r, op->out[0]), 0, (size_t)r->rows * width * sizeof(float));
    for (int32_t e = 0; e < op->n[0]; e++)
        for (int32_t at = 0, n; (n = next_choices(&g, e, &at, slots)) > 0;) {
            const tk_tensor *w = tk_op_expert(op, 0, e);
            size_t cols = (size_t)w->cols;
            for (int32_t i = 0; i < n; i++)
                tk_move(g.gathered + (size_t)i * cols,
                        tk_rows(r, op->in[0]) + (size_t)slots[i] * cols, cols * sizeof(float));
            tk_act a = tk_activations(r, g.gathered, n, w->cols);
            tk_matmul(g.multiplied, w, &a);
            for (int32_t i = 0; i < n; i++) {
                size_t t = (size_t)(slots[i] / g.chosen), k = (size_t)(slots[i] % g.chosen);
                v4f share = splat4(tk_rows(r, op->in[1])[t * g.choices + k]);
                float *y = tk_rows(r, op->out[0]) + t * width, *own = g.multiplied + (size_t)i * width;
                for (size_t c = 0; c < width; c += 4)
                    store4(y + c, load4(y + c) + load4(own + c) * share);
            }
        }
    return 0;
}
