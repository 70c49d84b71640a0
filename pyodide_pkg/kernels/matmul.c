/* Products of a packed matrix with the activations of one or more tokens.
 *
 * y[token][row] is summed over columns (floats) or over blocks of 32 columns (quantized, whose
 * integer sums are exact in any order) from first to last, one accumulator per output. Tiles of
 * several quads and tokens only change what stays in registers, never an order. */
#include "blocks.h"
#include "codes.h"
#include "dots.h"

/* To 8 bits, a scale per block of 32: d = max|x| / 127, q = x / d rounded to nearest even. */
static void quantize_block(const float *x, int16_t *q, int8_t *narrow, float *scale, int32_t *sum) {
    v4i top = splat4i(0);
    for (int i = 0; i < TK_QK; i += 4) {
        v4i bits = (v4i)load4(x + i) & 0x7fffffff; /* ordered like the magnitudes, NaN on top */
        v4i more = bits > top;
        top = (bits & more) | (top & ~more);
    }
    int32_t t01 = top[0] > top[1] ? top[0] : top[1], t23 = top[2] > top[3] ? top[2] : top[3];
    union {
        int32_t i;
        float f;
    } amax = {t01 > t23 ? t01 : t23};
    /* The reciprocal of a subnormal could be infinite; a block that small counts as zeros. */
    float d = amax.f / 127.0f, inverse = d >= 0x1p-126f ? 1.0f / d : 0.0f;
    const v4f magic = splat4(12582912.0f);
    v4i total = splat4i(0);
    for (int i = 0; i < TK_QK; i += 4) {
        v4i n = (v4i)(load4(x + i) * splat4(inverse) + magic) - (v4i)magic;
        total += n;
        for (int j = 0; j < 4; j++) q[i + j] = (int16_t)n[j];
        for (int j = 0; j < 4; j++) narrow[i + j] = (int8_t)n[(j & 1) << 1 | j >> 1];
    }
    *scale = d;
    /* Of what is no number the sum would be anything; the scale says that it is none. */
    const v4u parts = (v4u)total;
    uint32_t all = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    *sum = d < __builtin_inff() ? (int32_t)all : 0;
}

static void act_quantize(tk_act *a) {
    size_t blocks = (size_t)a->tokens * (size_t)(a->cols / TK_QK);
    for (size_t b = 0; b < blocks; b++)
        quantize_block(a->f + b * TK_QK, a->q + b * TK_QK, a->narrow + b * TK_QK, a->scale + b,
                       a->sum + b);
    a->quantized = 1;
}

/* One tile: NQ quads of one group of rows from w on, NT tokens from x on. */

TK_INLINE void tile_q8(float *y, size_t ystride, const uint8_t *w, const int16_t *x,
                       const float *xs, int32_t blocks, const int NQ, const int NT) {
    v4f acc[16];
    for (int i = 0; i < NQ * NT; i++) acc[i] = splat4(0.0f);
    for (int32_t b = 0; b < blocks; b++, w += TK_Q8_BLOCK) {
        v4i dot[16];
        for (int i = 0; i < NQ * NT; i++) dot[i] = splat4i(0);
#pragma clang loop unroll_count(4)
        for (int p = 0; p < TK_QK / 2; p++) {
            v8s rows[8];
            for (int q = 0; q < NQ; q++)
                rows[q] = widen8((const int8_t *)w + q * TK_QUAD + tk_q8_pair(p));
            for (int t = 0; t < NT; t++) {
                v8s pair = splat_pair(x + ((size_t)t * (size_t)blocks + (size_t)b) * TK_QK + 2 * p);
                for (int q = 0; q < NQ; q++) dot[q * NT + t] += dot_pairs(rows[q], pair);
            }
        }
        for (int q = 0; q < NQ; q++)
            for (int t = 0; t < NT; t++) {
                v4f scale = load4((const float *)(w + q * TK_QUAD)) *
                            splat4(xs[(size_t)t * (size_t)blocks + (size_t)b]);
                acc[q * NT + t] += scale * __builtin_convertvector(dot[q * NT + t], v4f);
            }
    }
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++) store4(y + (size_t)t * ystride + 4 * q, acc[q * NT + t]);
}

TK_INLINE void tile_q4(float *y, size_t ystride, const uint8_t *w, int32_t quad, const tk_act *a,
                       int32_t token, const int NQ, const int NT) {
    size_t blocks = (size_t)(a->cols / TK_QK), first = (size_t)token * blocks;
    v4f acc[16];
    for (int i = 0; i < NQ * NT; i++) acc[i] = splat4(0.0f);
    for (size_t b = first; b < first + blocks; b++, w += TK_Q4_BLOCK) {
        v4i dot[16];
        for (int q = 0; q < NQ; q++)
            for (int t = 0; t < NT; t++)
                dot[q * NT + t] = splat4i(-8 * a->sum[(size_t)t * blocks + b]);
#pragma clang loop unroll(disable)
        for (int v = 0; v < 4; v++) dot_bits(dot, w + TK_Q4_HEAD, a, b * TK_QK, v, 4, NQ, NT);
        const uint16_t *halves = (const uint16_t *)tk_halves(w, quad);
        for (int q = 0; q < NQ; q++) {
            v4f d = half4(halves + 4 * q);
            for (int t = 0; t < NT; t++) {
                v4f scale = d * splat4(a->scale[(size_t)t * blocks + b]);
                acc[q * NT + t] += scale * __builtin_convertvector(dot[q * NT + t], v4f);
            }
        }
    }
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++) store4(y + (size_t)t * ystride + 4 * q, acc[q * NT + t]);
}

/* Four weights of a quad, at column c of its group. */
TK_INLINE v4f weights4(int32_t type, const uint8_t *w, size_t c) {
    switch (type) {
    case TK_F32: return load4((const float *)w + 16 * c);
    case TK_F16: return half4((const uint16_t *)w + 16 * c);
    case TK_BF16: return bfloat4((const uint16_t *)w + 16 * c);
    default: __builtin_trap(); /* no such tensor is made: see tk_tensor_new */
    }
}

TK_INLINE void tile_float(float *y, size_t ystride, const uint8_t *w, const float *x, int32_t cols,
                          const int32_t type, const int NQ, const int NT) {
    v4f acc[16];
    for (int i = 0; i < NQ * NT; i++) acc[i] = splat4(0.0f);
    for (int32_t c = 0; c < cols; c++) {
        v4f rows[8];
        for (int q = 0; q < NQ; q++)
            rows[q] = weights4(type, w + q * (type == TK_F32 ? TK_QUAD : TK_QUAD / 2), (size_t)c);
        for (int t = 0; t < NT; t++) {
            v4f xc = splat4(x[(size_t)t * (size_t)cols + (size_t)c]);
            for (int q = 0; q < NQ; q++) acc[q * NT + t] += rows[q] * xc;
        }
    }
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++) store4(y + (size_t)t * ystride + 4 * q, acc[q * NT + t]);
}

/* One tile of any encoding: everything but NQ and NT is decided at run time. */
TK_INLINE void tile(float *y, size_t ystride, const tk_tensor *w, int32_t quad, const tk_act *a,
                    int32_t token, const int NQ, const int NT) {
    const uint8_t *data = tk_quad(w, quad);
    int32_t blocks = w->cols / TK_QK;
    size_t at = (size_t)token * (size_t)w->cols, block_at = (size_t)token * (size_t)blocks;
    float *out = y + (size_t)token * ystride + 4 * (size_t)quad;
    switch (w->type) {
    case TK_Q8_0:
        tile_q8(out, ystride, data, a->q + at, a->scale + block_at, blocks, NQ, NT);
        break;
    case TK_Q4_0: tile_q4(out, ystride, data, quad, a, token, NQ, NT); break;
    case TK_F32: tile_float(out, ystride, data, a->f + at, w->cols, TK_F32, NQ, NT); break;
    case TK_F16: tile_float(out, ystride, data, a->f + at, w->cols, TK_F16, NQ, NT); break;
    case TK_BF16: tile_float(out, ystride, data, a->f + at, w->cols, TK_BF16, NQ, NT); break;
    }
}

/* Kept out of line, so that each tile shape is compiled once. */
static void tile_4x1(float *y, size_t s, const tk_tensor *w, int32_t q, const tk_act *a,
                     int32_t t) {
    tile(y, s, w, q, a, t, 4, 1);
}
static void tile_1x1(float *y, size_t s, const tk_tensor *w, int32_t q, const tk_act *a,
                     int32_t t) {
    tile(y, s, w, q, a, t, 1, 1);
}
static void tile_4x2(float *y, size_t s, const tk_tensor *w, int32_t q, const tk_act *a,
                     int32_t t) {
    tile(y, s, w, q, a, t, 4, 2);
}
static void tile_2x4(float *y, size_t s, const tk_tensor *w, int32_t q, const tk_act *a,
                     int32_t t) {
    tile(y, s, w, q, a, t, 2, 4);
}
static void tile_1x4(float *y, size_t s, const tk_tensor *w, int32_t q, const tk_act *a,
                     int32_t t) {
    tile(y, s, w, q, a, t, 1, 4);
}

/* The quads in [begin, end) of one product. */
static void rows(float *y, const tk_tensor *w, const tk_act *a, int32_t begin, int32_t end) {
    size_t stride = 4 * (size_t)w->quads;
    int32_t tokens = a->tokens, whole = tokens & ~3, q = begin;
    /* Quads outside, tokens inside: the weights of a tile stay in the nearest cache. */
    for (; q + 2 <= end && whole; q += 2)
        for (int32_t t = 0; t < whole; t += 4) tile_2x4(y, stride, w, q, a, t);
    for (; q < end && whole; q++)
        for (int32_t t = 0; t < whole; t += 4) tile_1x4(y, stride, w, q, a, t);
    for (q = begin; q + 4 <= end && whole < tokens; q += 4) {
        int32_t t = whole;
        if (t + 2 <= tokens) {
            tile_4x2(y, stride, w, q, a, t);
            t += 2;
        }
        if (t < tokens) tile_4x1(y, stride, w, q, a, t);
    }
    for (; q < end && whole < tokens; q++)
        for (int32_t t = whole; t < tokens; t++) tile_1x1(y, stride, w, q, a, t);
}

typedef struct {
    float *y;
    const tk_tensor *w;
    const tk_act *a;
} tk_division;

/* Each thread takes whole groups of rows. */
static void part_of_rows(void *argument, int32_t part, int32_t parts) {
    const tk_division *p = argument;
    int64_t groups = (p->w->quads + 3) / 4;
    int32_t begin = (int32_t)(groups * part / parts) * 4,
            end = (int32_t)(groups * (part + 1) / parts) * 4;
    if (end > p->w->quads) end = p->w->quads;
    if (tk_form_of(p->w->type))
        tk_rows_of_blocks(p->y, p->w, p->a, begin, end);
    else if (tk_code_of(p->w->type))
        tk_rows_of_codes(p->y, p->w, p->a, begin, end);
    else
        rows(p->y, p->w, p->a, begin, end);
}

/* Products smaller than this are done before another thread has woken up. */
enum { SMALL = 1 << 16 };

/* y [tokens][rows padded to whole quads] = a times w transposed. */
void tk_matmul(float *y, const tk_tensor *w, tk_act *a) {
    int floats = w->type == TK_F32 || w->type == TK_F16 || w->type == TK_BF16;
    if (!floats && !a->quantized) act_quantize(a);
    tk_division p = {y, w, a};
    if ((int64_t)w->rows * w->cols * a->tokens < SMALL)
        part_of_rows(&p, 0, 1);
    else
        tk_parallel(part_of_rows, &p);
    if (w->adapter) tk_adapt(y, w->adapter, a);
}

/* One product by itself, y [tokens][rows padded to whole quads] from x [tokens][cols], at most
 * TK_BATCH tokens: for tests and for measuring. Returns 0, or -1 where there is no memory. */
TK_EXPORT tk_int tk_product(tk_int tensor, tk_int x, tk_int tokens, tk_int y) {
    const tk_tensor *w = (const tk_tensor *)tensor;
    size_t n = tk_size((size_t)tokens, (size_t)w->cols, 1), blocks = n / TK_QK + 1;
    tk_act a = {(const float *)x,
                tk_new(tk_size(n, sizeof(int16_t), 1)),
                tk_new(n),
                tk_new(tk_size(blocks, sizeof(float), 1)),
                tk_new(tk_size(blocks, sizeof(int32_t), 1)),
                (int32_t)tokens,
                w->cols,
                0};
    int ok = a.q && a.narrow && a.scale && a.sum;
    if (ok) tk_matmul((float *)y, w, &a);
    tk_delete(a.q);
    tk_delete(a.narrow);
    tk_delete(a.scale);
    tk_delete(a.sum);
    return ok ? 0 : -1;
}
