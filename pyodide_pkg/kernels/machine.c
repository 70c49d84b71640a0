/* What a token of a model costs at least on this machine: the model's bytes, read once, and its
 * multiply-adds, done in registers. The caller keeps the time; nothing here computes anything of
 * use, so none of it touches the promise about bits. */
#include "plan.h"
#include "simd.h"

enum { STREAMS = 8 };

static size_t bytes_of(const tk_tensor *t) {
    return t ? (size_t)((t->quads + 3) / 4) * t->group_bytes : 0;
}

enum { EACH = 2048 }; /* matrices that an operation has at most: two of each expert */

/* The k-th matrix that every token is multiplied with, or NULL where there is none; EACH to an
 * operation. Of experts these are the first ones, as many as a token uses. */
static const tk_tensor *matrix(const tk_model *m, int32_t k) {
    const tk_op *op = m->ops + k / EACH;
    k %= EACH;
    switch (op->kind) {
    case TK_OP_PRODUCTS: return k < 3 ? tk_op_tensor(op, 2 * k) : NULL;
    case TK_OP_HEADS_OUT: return k == 0 ? tk_op_tensor(op, 0) : NULL;
    case TK_OP_EXPERTS_IN: return k < 2 * op->n[1] ? tk_op_expert(op, k % 2, k / 2) : NULL;
    case TK_OP_EXPERTS_OUT: return k < op->n[1] ? tk_op_expert(op, 0, k) : NULL;
    default: return NULL;
    }
}

static int32_t matrices(const tk_model *m) { return EACH * m->n_ops; }

/* Bytes of a model's matrices that each token reads. */
TK_EXPORT tk_int tk_machine_bytes(tk_int model) {
    const tk_model *m = (const tk_model *)model;
    size_t total = 0;
    for (int32_t k = 0; k < matrices(m); k++) total += bytes_of(matrix(m, k));
    return (tk_int)total;
}

/* Multiply-adds of a token with those matrices: of quantized ones, or with `floats` of the others.
 * Attention's own, which grow with the context, are left out. */
TK_EXPORT tk_int tk_machine_products(tk_int model, tk_int floats) {
    const tk_model *m = (const tk_model *)model;
    size_t total = 0;
    for (int32_t k = 0; k < matrices(m); k++) {
        const tk_tensor *t = matrix(m, k);
        if (!t) continue;
        int quantized = t->type != TK_F32 && t->type != TK_F16 && t->type != TK_BF16;
        if (quantized == !floats) total += (size_t)t->rows * (size_t)t->cols;
    }
    return (tk_int)total;
}

static v4i sum_of(const uint8_t *data, size_t bytes) {
    const v4i *p = (const v4i *)data;
    v4i sums[STREAMS] = {{0}};
    for (size_t n = bytes / (16 * STREAMS); n > 0; n--, p += STREAMS)
        for (int s = 0; s < STREAMS; s++) sums[s] += p[s];
    v4i total = {0};
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return total;
}

/* Reads a model's matrices so many times, and returns a sum, so that all of it is needed. */
TK_EXPORT tk_int tk_machine_read(tk_int model, tk_int times) {
    const tk_model *m = (const tk_model *)model;
    v4i total = {0};
    for (tk_int i = 0; i < times; i++)
        for (int32_t k = 0; k < matrices(m); k++) {
            const tk_tensor *t = matrix(m, k);
            if (t) total += sum_of(t->data, bytes_of(t));
        }
    return (tk_int)(total[0] ^ total[1] ^ total[2] ^ total[3]);
}

/* The same for any memory: what a model does that is too large for the caches. */
TK_EXPORT tk_int tk_machine_stream(tk_int data, tk_int bytes, tk_int times) {
    v4i total = {0};
    for (tk_int i = 0; i < times; i++) total += sum_of((const uint8_t *)data, (size_t)bytes);
    return (tk_int)(total[0] ^ total[1] ^ total[2] ^ total[3]);
}

/* Multiply-adds of one round of `tk_machine_multiply`. */
TK_EXPORT tk_int tk_machine_round(tk_int floats) {
    return STREAMS * (floats ? 4 : TK_FOURS ? 16 : 8);
}

static tk_int multiply_floats(tk_int rounds) {
    static volatile float seed = 1.0f;
    v4f a[4], b[2], sums[STREAMS] = {{0}}, total = {0};
    for (int s = 0; s < 4; s++) a[s] = splat4(seed * (float)(s + 1));
    for (int s = 0; s < 2; s++) b[s] = splat4(seed * (float)(s - 1));
    for (tk_int n = 0; n < rounds; n++) {
        for (int s = 0; s < STREAMS; s++) sums[s] += a[s % 4] * b[s / 4];
        /* By the integer unit, which leaves the two that add and multiply to the products. */
        for (int s = 0; s < 2; s++) b[s] = (v4f)((v4i)b[s] ^ 8);
    }
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return sum4(total) > 0.0f;
}

static tk_int multiply_integers(tk_int rounds) {
    static volatile int32_t seed = 3;
    v4i a[4], b[2], sums[STREAMS] = {{0}}, total = {0};
    for (int s = 0; s < 4; s++) a[s] = splat4i(seed * (s + 1)) & 0x0f0f0f0f;
    for (int s = 0; s < 2; s++) b[s] = splat4i(seed * (s + 7));
    for (tk_int n = 0; n < rounds; n++) {
        for (int s = 0; s < STREAMS; s++)
#if TK_FOURS
            sums[s] = dot_fours(sums[s], (v16uc)a[s % 4], b[s / 4]);
#else
            sums[s] += dot_pairs((v8s)a[s % 4], (v8s)b[s / 4]);
#endif
        b[0] += a[0]; /* or the compiler would multiply once */
        b[1] += a[1];
    }
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return (tk_int)(total[0] ^ total[1] ^ total[2] ^ total[3]);
}

/* Multiplies and adds in registers: whole numbers as for quantized matrices, or `floats`. */
TK_EXPORT tk_int tk_machine_multiply(tk_int rounds, tk_int floats) {
    return floats ? multiply_floats(rounds) : multiply_integers(rounds);
}
