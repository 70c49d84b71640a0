/* What flows back through a router's choice and its experts: an expert at a time, first to last, and
 * of each the choices in the order of tokens. Which experts are chosen has no slope. */
#include "backward.h"
#include "numeric.h"

/* The choices of one expert: a token makes one at most. */
typedef struct {
    const tk_back *b;
    const float *which; /* [rows][choices] */
    float *gathered, *multiplied; /* as many rows as there are tokens, for what is computed here */
    int32_t *slots, chosen, count;
    size_t choices;
} tk_chosen;

static tk_chosen chosen_of(const tk_back *b, const tk_op *op, int32_t which, int32_t places) {
    return (tk_chosen){b,
                       tk_rows(b->r, which),
                       tk_rows(b->r, op->out[places]),
                       tk_rows(b->r, op->out[places + 1]),
                       tk_new(tk_size((size_t)b->r->rows, sizeof(int32_t), 1)),
                       op->n[1],
                       0,
                       tk_width(b->r, which)};
}

static void choices_of(tk_chosen *c, int32_t expert) {
    c->count = 0;
    for (int32_t at = 0; at < c->b->r->rows * c->chosen; at++)
        if (c->which[(size_t)(at / c->chosen) * c->choices + (size_t)(at % c->chosen)] == (float)expert)
            c->slots[c->count++] = at;
}

/* What flows back through one matrix from rows of dy, one a choice or one a token, is added to
 * `multiplied`. */
static void multiply_back(const tk_chosen *c, const tk_tensor *w, const float *dy, int32_t a_token) {
    size_t width = (size_t)w->quads * 4;
    for (int32_t i = 0; i < c->count; i++)
        tk_move(c->gathered + (size_t)i * width,
                dy + (size_t)(a_token ? c->slots[i] / c->chosen : c->slots[i]) * width,
                width * sizeof(float));
    tk_back_matrix(c->b, w, c->multiplied, c->gathered, c->count);
}

static void begin_with_zeros(const tk_chosen *c, int32_t cols) {
    __builtin_memset(c->multiplied, 0, (size_t)c->count * (size_t)cols * sizeof(float));
}

int32_t tk_back_experts_in(const tk_back *b, const tk_op *op) {
    tk_chosen c = chosen_of(b, op, op->in[1], 2);
    size_t cols = tk_width(b->r, op->in[0]);
    if (!c.slots) return TK_NO_MEMORY;
    for (int32_t e = 0; e < op->n[0]; e++) {
        choices_of(&c, e);
        begin_with_zeros(&c, (int32_t)cols);
        for (int m = 0; m < 2; m++)
            multiply_back(&c, tk_op_expert(op, m, e), tk_grads(b, op->out[m]), 0);
        for (int32_t i = 0; i < c.count; i++) {
            float *dx = tk_grads(b, op->in[0]) + (size_t)(c.slots[i] / c.chosen) * cols;
            const float *own = c.multiplied + (size_t)i * cols;
            for (size_t j = 0; j < cols; j += 4) store4(dx + j, load4(dx + j) + load4(own + j));
        }
    }
    tk_delete(c.slots);
    return TK_DONE;
}

/* dx = share W^T dy, and a share's own part: what W^T dy and x have in common. */
int32_t tk_back_experts_out(const tk_back *b, const tk_op *op) {
    tk_chosen c = chosen_of(b, op, op->in[2], 1);
    if (!c.slots) return TK_NO_MEMORY;
    for (int32_t e = 0; e < op->n[0]; e++) {
        const tk_tensor *w = tk_op_expert(op, 0, e);
        size_t cols = (size_t)w->cols;
        choices_of(&c, e);
        begin_with_zeros(&c, w->cols);
        multiply_back(&c, w, tk_grads(b, op->out[0]), 1);
        for (int32_t i = 0; i < c.count; i++) {
            size_t slot = (size_t)c.slots[i], chosen = (size_t)c.chosen;
            size_t share = slot / chosen * c.choices + slot % chosen;
            const float *own = c.multiplied + (size_t)i * cols;
            const float *x = tk_rows(b->r, op->in[0]) + slot * cols;
            float *dx = tk_grads(b, op->in[0]) + slot * cols;
            v4f sum = splat4(0.0f), factor = splat4(tk_rows(b->r, op->in[1])[share]);
            for (size_t j = 0; j < cols; j += 4) {
                sum += load4(own + j) * load4(x + j);
                store4(dx + j, load4(dx + j) + factor * load4(own + j));
            }
            tk_grads(b, op->in[1])[share] += sum4(sum);
        }
    }
    tk_delete(c.slots);
    return TK_DONE;
}

/* Of softmax over all experts, of which the shares of the chosen ones were taken. */
int32_t tk_back_route(const tk_back *b, const tk_op *op) {
    int32_t experts = op->n[0], chosen = op->n[1];
    size_t logits = tk_width(b->r, op->in[0]), width = tk_width(b->r, op->out[0]);
    for (size_t t = 0; t < (size_t)b->r->rows; t++) {
        const float *x = tk_rows(b->r, op->in[0]) + t * logits;
        const float *share = tk_rows(b->r, op->out[0]) + t * width;
        const float *which = tk_rows(b->r, op->out[1]) + t * width;
        const float *d_share = tk_grads(b, op->out[0]) + t * width;
        float *dx = tk_grads(b, op->in[0]) + t * logits, all = 0.0f;
        for (int32_t k = 0; k < chosen; k++) {
            dx[(int32_t)which[k]] += share[k] * d_share[k];
            all += share[k] * d_share[k];
        }
        if (op->n[2]) { /* shares of the chosen ones alone */
            for (int32_t k = 0; k < chosen; k++) dx[(int32_t)which[k]] -= all * share[k];
            continue;
        }
        /* p of any expert is what its logit makes of the best one's share */
        for (int32_t e = 0; e < experts; e++)
            dx[e] -= all * (share[0] * exp4(splat4(x[e] - x[(int32_t)which[0]]))[0]);
    }
    return TK_DONE;
}
