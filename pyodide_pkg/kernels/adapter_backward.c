/* What flows back through an adapter of low rank, y = scale B (A x), and what it learns. */
#include "backward.h"
#include "numeric.h"

/* B as its rows, [rows][rank]. */
static void rows_of_up(float *b, const tk_adapter *p) {
    size_t rank = (size_t)p->rank;
    for (size_t row = 0; row < 4 * (size_t)p->quads; row++)
        for (size_t r = 0; r < rank; r++) b[row * rank + r] = p->up[(row / 4 * rank + r) * 4 + row % 4];
}

static void scaled(float *x, float by, size_t n) {
    for (size_t i = 0; i < n; i += 4) store4(x + i, load4(x + i) * splat4(by));
}

int32_t tk_back_adapter(const tk_back *b, const tk_adapter *p, float *dx, const float *x,
                        const float *dy, int32_t rows) {
    if (p->scale == 0.0f && !p->d_down) return TK_DONE;
    int32_t rank = p->rank, wide = p->quads * 4;
    size_t inner = (size_t)rows * (size_t)rank;
    float *up = tk_new(tk_size((size_t)wide, (size_t)rank, sizeof(float)));
    float *low = tk_new(tk_size(inner, 2, sizeof(float))), *d_low = low + inner;
    float *scratch = b->scratch;
    if (up && low) {
        rows_of_up(up, p);
        tk_gemm(scratch, d_low, rank, by_rows(dy, wide), by_rows(up, rank), rows, rank, wide, 0);
        scaled(d_low, p->scale, inner);
        if (dx)
            tk_gemm(scratch, dx, p->cols, by_rows(d_low, rank), turned(p->down, rank), rows, p->cols,
                    rank, 1);
    }
    if (up && low && p->d_down) {
        tk_gemm(scratch, low, rank, by_rows(x, p->cols), by_rows(p->down, rank), rows, rank, p->cols,
                0);
        scaled(low, p->scale, inner);
        tk_gemm(scratch, p->d_down, p->cols, turned(d_low, rank), by_rows(x, p->cols), rank, p->cols,
                rows, 1);
        tk_gemm(scratch, p->d_up, rank, turned(dy, wide), by_rows(low, rank), wide, rank, rows, 1);
    }
    int32_t ok = up && low;
    tk_delete(up);
    tk_delete(low);
    return ok ? TK_DONE : TK_NO_MEMORY;
}

/* Where an adapter's gradients are added up: of A [rank][cols] and of B [rows][rank], rank padded to a
 * multiple of four and rows to whole quads; 0 for nowhere. */
TK_EXPORT tk_int tk_adapter_learn(tk_int adapter, tk_int d_down, tk_int d_up) {
    tk_adapter *p = (tk_adapter *)adapter;
    p->d_down = (float *)d_down;
    p->d_up = (float *)d_up;
    return 0;
}

/* First values of A [rank][cols]: normal numbers of deviation 1 / sqrt(columns) (Box & Muller 1958),
 * each from its own place in the stream, as adapter_train.c draws them. */
TK_EXPORT tk_int tk_learn_init(tk_int a, tk_int rank, tk_int cols, tk_int low, tk_int high) {
    uint64_t key = (uint64_t)(uint32_t)low | (uint64_t)(uint32_t)high << 32;
    double deviation = 1.0 / __builtin_sqrt((double)cols), unit = 0x1p-53;
    for (size_t i = 0; i < (size_t)rank * (size_t)cols; i++) {
        double c, s;
        double u = (double)((tk_draw(key, 2 * i) >> 11) + 1) * unit;
        double v = (double)(tk_draw(key, 2 * i + 1) >> 11) * unit;
        tk_cos_sin(6.283185307179586 * v, &c, &s);
        ((float *)a)[i] = (float)(deviation * (__builtin_sqrt(-2.0 * tk_log(u)) * c));
    }
    return 0;
}

/* AdamW (Loshchilov & Hutter 2019), as train_update.c has it, of n numbers, a multiple of four:
 * values, gradients, first and second averages one behind the other. numbers: double [7]: the factor
 * that clips the gradients, rate, beta1, beta2, 1 / (1 - beta1^step), the same of beta2, decay. */
TK_EXPORT tk_int tk_learn_adam(tk_int values, tk_int n, tk_int numbers) {
    const double *f = (const double *)numbers;
    float *x = (float *)values, *g = x + n, *first = g + n, *second = first + n;
    v4f clip = splat4((float)f[0]), rate = splat4((float)f[1]), tiny = splat4(1e-8f);
    v4f b1 = splat4((float)f[2]), b2 = splat4((float)f[3]);
    v4f c1 = splat4((float)(1.0 - f[2])), c2 = splat4((float)(1.0 - f[3]));
    v4f grow1 = splat4((float)f[4]), grow2 = splat4((float)f[5]);
    v4f keep = splat4((float)(1.0 - f[1] * f[6]));
    for (tk_int i = 0; i < n; i += 4) {
        v4f d = load4(g + i) * clip;
        v4f m = load4(first + i) * b1 + d * c1, v = load4(second + i) * b2 + d * d * c2;
        store4(first + i, m);
        store4(second + i, v);
        v4f root = __builtin_elementwise_sqrt(v * grow2) + tiny;
        store4(x + i, load4(x + i) * keep - rate * (m * grow1 / root));
    }
    return 0;
}

/* The root of the sum of n squares, a multiple of four, to the double at `out`. */
TK_EXPORT tk_int tk_learn_norm(tk_int values, tk_int n, tk_int out) {
    const float *x = (const float *)values;
    double lanes[4] = {0.0, 0.0, 0.0, 0.0};
    for (tk_int i = 0; i < n; i += 4)
        for (tk_int j = 0; j < 4; j++) lanes[j] += (double)x[i + j] * (double)x[i + j];
    *(double *)out = __builtin_sqrt((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
    return 0;
}

#ifndef TK_THROUGH_PLAN
#define TK_THROUGH_PLAN "not built by build_kernels.py, which knows the hash of the sources here"
#endif

/* Where the SHA-256 of all sources stands that decide what is learned so: 64 characters. */
TK_EXPORT tk_int tk_learn_sources(void) { return (tk_int)TK_THROUGH_PLAN; }
