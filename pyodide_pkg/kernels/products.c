/* Products with up to three matrices that read the same, and the one that adds up heads. */
#include "plan.h"
#include "simd.h"

/* Rows that are multiplied together, TK_BATCH at most. */
tk_act tk_activations(const tk_run *r, const float *f, int32_t rows, int32_t cols) {
    tk_session *s = r->s;
    return (tk_act){f, s->act_q, s->act_narrow, s->act_scale, s->act_sum, rows, cols, 0};
}

/* Those of a buffer from `first` on. */
static tk_act activations(const tk_run *r, const float *f, int32_t first, int32_t cols) {
    int32_t rows = r->rows - first < TK_BATCH ? r->rows - first : TK_BATCH;
    return tk_activations(r, f + (size_t)first * (size_t)cols, rows, cols);
}

static void add_bias(float *y, const tk_tensor *bias, int32_t rows) {
    const float *b = (const float *)bias->data;
    for (int32_t t = 0; t < rows; t++, y += (bias->cols + 3) & ~3)
        for (int32_t i = 0; i < bias->cols; i += 4) store4(y + i, load4(y + i) + load4(b + i));
}

/* y [rows][rows of w] = activations times w transposed, and a bias. */
static void product(float *y, const tk_tensor *w, const tk_tensor *bias, tk_act *a) {
    tk_matmul(y, w, a);
    if (bias) add_bias(y, bias, a->tokens);
}

/* tensors: for each output a matrix and its bias. */
int32_t tk_op_products(const tk_run *r, const tk_op *op) {
    for (int32_t t = 0; t < r->rows; t += TK_BATCH) {
        tk_act a = activations(r, tk_rows(r, op->in[0]), t, tk_op_tensor(op, 0)->cols);
        for (int i = 0; i < 3 && op->out[i] >= 0; i++) {
            const tk_tensor *w = tk_op_tensor(op, 2 * i);
            product(tk_rows(r, op->out[i]) + (size_t)t * (size_t)w->quads * 4, w,
                    tk_op_tensor(op, 2 * i + 1), &a);
        }
    }
    return 0;
}

/* The columns of one head only; the others are 0. Rounded activations keep the scales that all
 * heads together gave them, so that the heads' results add up to what the whole product is. */
static void only_head(tk_act *to, float *f, const tk_act *from, int32_t head, int32_t heads) {
    int32_t width = from->cols / heads, first = head * width, blocks = from->cols / TK_QK;
    size_t n = (size_t)from->tokens * (size_t)from->cols;
    __builtin_memset(f, 0, n * sizeof(float));
    __builtin_memset(to->q, 0, n * sizeof(int16_t));
    __builtin_memset(to->narrow, 0, n);
    for (int32_t t = 0; t < from->tokens; t++) {
        size_t at = (size_t)t * (size_t)from->cols;
        for (size_t i = at + (size_t)first; i < at + (size_t)(first + width); i++) {
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

/* What each head adds, [rows][heads][width]. */
static int32_t head_results(const tk_run *r, const tk_op *op) {
    const tk_tensor *w = tk_op_tensor(op, 0);
    size_t cols = (size_t)w->cols, width = (size_t)w->quads * 4, heads = (size_t)op->n[0];
    float *f = tk_new(tk_size(TK_BATCH, cols, sizeof(float)));
    float *y = tk_new(tk_size(TK_BATCH, width, sizeof(float)));
    tk_act part = {NULL, tk_new(tk_size(TK_BATCH, cols, sizeof(int16_t))),
                   tk_new(tk_size(TK_BATCH, cols, 1)), r->s->act_scale,
                   tk_new(tk_size(TK_BATCH, cols / TK_QK + 1, sizeof(int32_t))), 0, w->cols, 1};
    int32_t ok = f && y && part.q && part.narrow && part.sum;
    for (int32_t t = 0; ok && t < r->rows; t += TK_BATCH) {
        tk_act all = activations(r, tk_rows(r, op->in[0]), t, w->cols);
        tk_matmul(y, w, &all); /* for what it makes of the activations */
        part.tokens = all.tokens;
        for (size_t h = 0; h < heads; h++) {
            only_head(&part, f, &all, (int32_t)h, (int32_t)heads);
            tk_matmul(y, w, &part);
            for (size_t i = 0; i < (size_t)all.tokens; i++)
                tk_move(tk_rows(r, op->out[0]) + (((size_t)t + i) * heads + h) * width,
                        y + i * width, width * sizeof(float));
        }
    }
    void *parts[] = {f, y, part.q, part.narrow, part.sum};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tk_delete(parts[i]);
    return ok ? 0 : TK_NO_MEMORY;
}

/* Where a row of the results is another one than before, the product is their sum. */
static void add_changed(const tk_run *r, const tk_op *op) {
    const float *bias = tk_op_vector(op, 1);
    size_t width = tk_width(r, op->out[1]), heads = (size_t)op->n[0];
    for (size_t t = 0; t < (size_t)r->rows; t++) {
        const float *now = tk_rows(r, op->out[0]) + t * heads * width;
        const float *was = tk_rows(r, op->in[1]) + t * heads * width;
        float *y = tk_rows(r, op->out[1]) + t * width;
        if (tk_same_bits(now, was, heads * width)) continue;
        for (size_t i = 0; i < width; i++) {
            float sum = now[i];
            for (size_t h = 1; h < heads; h++) sum += now[h * width + i];
            y[i] = bias ? sum + bias[i] : sum;
        }
    }
}

/* The product with the matrix that reads all heads, in two stages: what each of them adds, where
 * that has a place, and the whole. in[1]: the results as they were before somebody changed them.
 * n: heads. */
int32_t tk_op_heads_out(const tk_run *r, const tk_op *op, int32_t from, int32_t to) {
    if (from == 0 && tk_rows(r, op->out[0])) {
        int32_t bad = head_results(r, op);
        if (bad) return bad;
    }
    if (to <= 1) return 0;
    const tk_tensor *w = tk_op_tensor(op, 0);
    for (int32_t t = 0; t < r->rows; t += TK_BATCH) {
        tk_act a = activations(r, tk_rows(r, op->in[0]), t, w->cols);
        product(tk_rows(r, op->out[1]) + (size_t)t * (size_t)w->quads * 4, w, tk_op_tensor(op, 1),
                &a);
    }
    if (tk_rows(r, op->in[1])) add_changed(r, op);
    return 0;
}
