/* What flows back through attention over a whole text: the pattern is computed again, for some
 * queries of a head at a time (Rabe & Staats 2021). */
#include "backward.h"
#include "gelu.h"

enum { QUERIES = 48 }; /* that are looked at together; sums over queries go from block to block */

typedef struct {
    const tk_back *b;
    const tk_op *op;
    int32_t heads, kv_heads, width, window, causal, positions;
    float scale, cap;
} tk_back_attend_job;

size_t tk_attend_scratch(int32_t positions) { return 3 * QUERIES * ((size_t)positions + 4); }

/* The pattern of n queries from `first` on over `keys` keys, [n][stride], out of plain products; of
 * each score what the soft cap's slope is, to `slopes`, where there is a cap. */
static void pattern(const tk_back_attend_job *a, float *p, float *slopes, int32_t first, int32_t n,
                    int32_t keys, int32_t stride) {
    for (int32_t i = 0; i < n; i++, p += stride, slopes += stride) {
        int32_t pos = first + i, end = a->causal ? pos + 1 : keys;
        int32_t low = a->window && a->window <= pos ? pos + 1 - a->window : 0;
        if (!a->causal && a->window && a->window < keys - pos) end = pos + a->window;
        for (int32_t t = 0; t < stride; t += 4) {
            v4f s = load4(p + t) * splat4(a->scale);
            if (a->cap != 0.0f) {
                s = soft_cap4(s, splat4(a->cap));
                v4f y = s / splat4(a->cap);
                store4(slopes + t, splat4(1.0f) - y * y);
            }
            store4(p + t, s);
        }
        for (int32_t t = 0; t < low; t++) p[t] = -__builtin_inff();
        for (int32_t t = end; t < stride; t++) p[t] = -__builtin_inff();
        v4f factor = splat4(tk_exponentials(p, stride));
        for (int32_t t = 0; t < stride; t += 4) store4(p + t, load4(p + t) * factor);
    }
}

/* ds = p (dp - the sum of p dp), of each query, times the scale. */
static void scores_back(const tk_back_attend_job *a, float *dp, const float *p, int32_t n,
                        int32_t stride) {
    for (int32_t i = 0; i < n; i++, p += stride, dp += stride) {
        v4f sum = splat4(0.0f);
        for (int32_t t = 0; t < stride; t += 4) sum += load4(p + t) * load4(dp + t);
        v4f all = splat4(sum4(sum));
        for (int32_t t = 0; t < stride; t += 4)
            store4(dp + t, load4(p + t) * (load4(dp + t) - all) * splat4(a->scale));
    }
}

/* Some queries of one head. */
static void queries(const tk_back_attend_job *a, float *scratch, int32_t head, int32_t first, int32_t n) {
    const tk_back *b = a->b;
    int32_t keys = a->causal ? first + n : a->positions, stride = (keys + 3) & ~3;
    ptrdiff_t wide = (ptrdiff_t)a->heads * a->width, narrow = (ptrdiff_t)a->kv_heads * a->width;
    ptrdiff_t query = first * wide + (ptrdiff_t)head * a->width;
    ptrdiff_t key = (ptrdiff_t)(head / (a->heads / a->kv_heads)) * a->width;
    size_t room = QUERIES * ((size_t)a->positions + 4);
    float *p = scratch + tk_gemm_scratch(), *dp = p + room, *slopes = dp + room;
    const float *q = tk_rows(b->r, a->op->in[0]) + query, *k = tk_rows(b->r, a->op->in[1]) + key;
    const float *v = tk_rows(b->r, a->op->in[2]) + key, *dz = tk_grads(b, a->op->out[2]) + query;
    float *dq = tk_grads(b, a->op->in[0]) + query, *dk = tk_grads(b, a->op->in[1]) + key;
    float *dv = tk_grads(b, a->op->in[2]) + key;

    __builtin_memset(p, 0, 2 * room * sizeof(float)); /* what pads rows is a number */
    tk_gemm(scratch, p, stride, by_rows(q, wide), turned(k, narrow), n, keys, a->width, 0);
    pattern(a, p, slopes, first, n, keys, stride);
    tk_gemm(scratch, dv, narrow, turned(p, stride), by_rows(dz, wide), keys, a->width, n, 1);
    tk_gemm(scratch, dp, stride, by_rows(dz, wide), turned(v, narrow), n, keys, a->width, 0);
    scores_back(a, dp, p, n, stride);
    for (ptrdiff_t i = 0; a->cap != 0.0f && i < (ptrdiff_t)n * stride; i += 4)
        store4(dp + i, load4(dp + i) * load4(slopes + i));
    tk_gemm(scratch, dq, wide, by_rows(dp, stride), by_rows(k, narrow), n, a->width, keys, 1);
    tk_gemm(scratch, dk, narrow, turned(dp, stride), by_rows(q, wide), keys, a->width, n, 1);
}

/* Each thread takes whole key heads, and of each the heads that read it, first to last. */
static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_back_attend_job *a = argument;
    int32_t per = a->heads / a->kv_heads;
    int32_t begin = tk_share(a->kv_heads, 1, part, parts) * per;
    int32_t end = tk_share(a->kv_heads, 1, part + 1, parts) * per;
    for (int32_t head = begin; head < end; head++)
        for (int32_t t = 0; t < a->positions; t += QUERIES)
            queries(a, tk_own_scratch(a->b, part), head, t,
                    a->positions - t < QUERIES ? a->positions - t : QUERIES);
}

int32_t tk_back_attend(const tk_back *b, const tk_op *op) {
    tk_back_attend_job a = {b,         op,        op->n[0],     op->n[5], op->n[1], op->n[2],
                            op->n[3], b->r->rows, op->f[0], op->f[1]};
    tk_parallel(part_of_heads, &a);
    return TK_DONE;
}
