/* Adapters of low rank: what they add to the products of the matrices that they adapt.
 *
 * y += scale B (A x) in float32 (Hu et al. 2021, https://arxiv.org/abs/2106.09685), x being what
 * the product was asked for, before it is rounded. Each inner value is summed over columns, each
 * output over ranks, from first to last with one accumulator, so that the number of tokens changes
 * no bit. It is done by the thread that asks: the work is a hundredth of the product's, and what
 * is added must not be added twice where a part is done again. */
#include "simd.h"

enum { TOKENS = 4 }; /* whose inner values are there at once */
enum { RANKS = TK_MAX_RANK / 4 };

TK_EXPORT tk_int tk_adapter_free(tk_int adapter) {
    tk_adapter *p = (tk_adapter *)adapter;
    if (!p) return 0;
    tk_delete(p->down);
    tk_delete(p->up);
    tk_delete(p);
    return 0;
}

/* What may adapt this matrix, of so many ranks, all of it zeros; 0 without the memory. */
TK_EXPORT tk_int tk_adapter_new(tk_int tensor, tk_int rank) {
    const tk_tensor *w = (const tk_tensor *)tensor;
    if (rank < 1 || rank > TK_MAX_RANK) return 0;
    size_t padded = ((size_t)rank + 3) & ~(size_t)3;
    tk_adapter *p = tk_new(sizeof *p);
    if (!p) return 0;
    p->rank = (int32_t)padded;
    p->cols = w->cols;
    p->quads = w->quads;
    p->down = tk_new(tk_size(padded, (size_t)w->cols, sizeof(float)));
    p->up = tk_new(tk_size(padded, (size_t)w->quads, 4 * sizeof(float)));
    if (p->down && p->up) return (tk_int)p;
    tk_adapter_free((tk_int)p);
    return 0;
}

/* Takes the floats of A [rank][cols] or, with `up`, of B [rows][rank]. Returns 0, or 1 + the index
 * of a value that is not finite. */
TK_EXPORT tk_int tk_adapter_set(tk_int adapter, tk_int up, tk_int values, tk_int rows,
                                tk_int cols) {
    tk_adapter *p = (tk_adapter *)adapter;
    const float *v = (const float *)values;
    size_t rank = (size_t)p->rank, n = (size_t)cols;
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t c = 0; c < n; c++) {
            if (!tk_finite(v + r * n + c, 1)) return (tk_int)(r * n + c) + 1;
            if (up)
                p->up[(r / 4 * rank + c) * 4 + r % 4] = v[r * n + c];
            else
                p->down[c * rank + r] = v[r * n + c];
        }
    return 0;
}

/* The factor, a double at `scale`: strength times alpha by rank. Where it is 0, products have the
 * bits that they have without an adapter. */
TK_EXPORT tk_int tk_adapter_scale(tk_int adapter, tk_int scale) {
    ((tk_adapter *)adapter)->scale = (float)*(const double *)scale;
    return 0;
}

/* Lets a matrix be adapted from now on; by nothing where `adapter` is 0. */
TK_EXPORT tk_int tk_adapter_put(tk_int tensor, tk_int adapter) {
    ((tk_tensor *)tensor)->adapter = (const tk_adapter *)adapter;
    return 0;
}

/* low [NT][r] = A x, of four ranks. */
TK_INLINE void inner(v4f low[][RANKS], const tk_adapter *p, const float *x, int32_t r,
                     const int NT) {
    v4f acc[TOKENS];
    for (int t = 0; t < NT; t++) acc[t] = splat4(0.0f);
    const float *a = p->down + 4 * (size_t)r;
    for (int32_t c = 0; c < p->cols; c++, a += p->rank)
        for (int t = 0; t < NT; t++)
            acc[t] += load4(a) * splat4(x[(size_t)t * (size_t)p->cols + (size_t)c]);
    for (int t = 0; t < NT; t++) low[t][r] = acc[t];
}

/* y += scale B low, of four rows. */
TK_INLINE void outer(float *y, size_t stride, const tk_adapter *p, v4f low[][RANKS], int32_t q,
                     const int NT) {
    v4f acc[TOKENS];
    for (int t = 0; t < NT; t++) acc[t] = splat4(0.0f);
    const float *b = p->up + (size_t)q * (size_t)p->rank * 4;
    for (int32_t r = 0; r < p->rank; r++)
        for (int t = 0; t < NT; t++)
            acc[t] += load4(b + 4 * (size_t)r) * splat4(low[t][r / 4][r & 3]);
    for (int t = 0; t < NT; t++) {
        float *out = y + (size_t)t * stride + 4 * (size_t)q;
        store4(out, load4(out) + splat4(p->scale) * acc[t]);
    }
}

TK_INLINE void adapt(float *y, size_t stride, const tk_adapter *p, const float *x, const int NT) {
    v4f low[TOKENS][RANKS];
    for (int32_t r = 0; r < p->rank / 4; r++) inner(low, p, x, r, NT);
    for (int32_t q = 0; q < p->quads; q++) outer(y, stride, p, low, q, NT);
}

/* Adds what the adapter makes of a to y [tokens][rows padded to whole quads], a product with a. */
void tk_adapt(float *y, const tk_adapter *p, const tk_act *a) {
    if (p->scale == 0.0f) return;
    size_t stride = 4 * (size_t)p->quads;
    int32_t t = 0;
    for (; t + TOKENS <= a->tokens; t += TOKENS)
        adapt(y + (size_t)t * stride, stride, p, a->f + (size_t)t * (size_t)p->cols, TOKENS);
    for (; t < a->tokens; t++)
        adapt(y + (size_t)t * stride, stride, p, a->f + (size_t)t * (size_t)p->cols, 1);
}
