/* Weights as floats, a tile at a time: what flows back through a product reads columns of many rows,
 * and no matrix is ever there as floats as a whole. The values are those of tk_row, to the bit. */
#include "backward.h"
#include "blocks.h"
#include "codes.h"
#include "dots.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* The form that Q4_0 would have if it were one of blocks.c's. */
static const tk_form Q4_0 = {TK_Q4_0, 18, TK_QK, TK_QK, 4, 8, 0};

/* Columns that can be told apart: those of a block. */
int32_t tk_tile_unit(const tk_tensor *w) {
    const tk_form *form = tk_form_of(w->type);
    const tk_code *code = tk_code_of(w->type);
    return form ? form->values : code ? code->values : TK_QK;
}

/* Four columns of row R of a quad, out of bytes in packed.h's order. */
#define ROW(BYTES, R)                                                                              \
    ((v4i)__builtin_shufflevector(BYTES, (bytes16){0}, 4 * R, 16, 16, 16, 4 * R + 2, 16, 16, 16,   \
                                  4 * R + 1, 16, 16, 16, 4 * R + 3, 16, 16, 16))

/* The scales of four rows: s (which = 0) or m of sub-block i. */
TK_INLINE v4f scales(const tk_form *f, const uint8_t *block, int which, int i) {
    if (!tk_scale_lines(f)) return splat4(1.0f);
    v4f out;
    for (int r = 0; r < 4; r++) {
        int both = tk_in_nibbles(f);
        int8_t n = (int8_t)block[tk_form_scale(f, both ? 0 : which, i) + (size_t)r];
        out[r] = (float)(!both ? n : which ? n >> 4 & 15 : n & 15);
    }
    return out;
}

TK_INLINE void store_row(float *out, v4i q, float scale, float low, const int has_low) {
    v4f v = splat4(scale) * __builtin_convertvector(q, v4f);
    store4(out, has_low ? v - splat4(low) : v);
}

/* 32 columns of a block, number k of them. */
TK_INLINE void block32(const tk_form *f, const uint8_t *block, int32_t quad, int k, float *out,
                       size_t stride, const int bits, const int has_low) {
    const uint8_t *lines = block + tk_form_head(f) + (size_t)(k * bits) * TK_LINE;
    v4f d, low = splat4(0.0f);
    if (tk_in_halves(f)) {
        const uint16_t *halves = (const uint16_t *)tk_halves(block, quad);
        d = half4(halves);
        if (has_low) low = half4(halves + TK_LINE / 4);
    } else {
        d = load4((const float *)block);
        if (has_low) low = load4((const float *)(block + TK_LINE));
    }
    v4f ds = d, lm = low;
    v4i offset = splat4i(f->offset);
#pragma clang loop unroll(full)
    for (int v = 0; v < 4; v++) {
        if (v % (f->sub / 8) == 0) {
            int i = (k * TK_QK + 8 * v) / f->sub;
            ds = d * scales(f, block, 0, i);
            if (has_low) lm = low * scales(f, block, 1, i);
        }
#pragma clang loop unroll(full)
        for (int which = 0; which < 2; which++) {
            bytes16 q = (bytes16)weights(lines, v, which, bits);
            float *at = out + 8 * v + 4 * which;
            store_row(at, ROW(q, 0) - offset, ds[0], lm[0], has_low);
            store_row(at + stride, ROW(q, 1) - offset, ds[1], lm[1], has_low);
            store_row(at + 2 * stride, ROW(q, 2) - offset, ds[2], lm[2], has_low);
            store_row(at + 3 * stride, ROW(q, 3) - offset, ds[3], lm[3], has_low);
        }
    }
}

TK_INLINE void form_tile(const tk_form *f, const tk_tensor *w, int32_t quad, int32_t first, int32_t n,
                         float *out, size_t stride, const int bits, const int has_low) {
    for (int32_t c = first; c < first + n; c += TK_QK, out += TK_QK) {
        const uint8_t *block = tk_quad(w, quad) + (size_t)(c / f->values) * tk_form_block(f);
        block32(f, block, quad, c % f->values / TK_QK, out, stride, bits, has_low);
    }
}

/* Each number of bits with loops of its own. */
static void of_form(const tk_form *f, const tk_tensor *w, int32_t quad, int32_t first, int32_t n,
                    float *out, size_t stride) {
    switch (2 * f->bits + f->has_low) {
    case 5: form_tile(f, w, quad, first, n, out, stride, 2, 1); break;
    case 6: form_tile(f, w, quad, first, n, out, stride, 3, 0); break;
    case 8: form_tile(f, w, quad, first, n, out, stride, 4, 0); break;
    case 9: form_tile(f, w, quad, first, n, out, stride, 4, 1); break;
    case 10: form_tile(f, w, quad, first, n, out, stride, 5, 0); break;
    case 11: form_tile(f, w, quad, first, n, out, stride, 5, 1); break;
    case 12: form_tile(f, w, quad, first, n, out, stride, 6, 0); break;
    default: __builtin_trap(); /* a form in blocks.c of other bits */
    }
}

/* Bytes of four columns of row R of a quad in Q8_0, each as the highest of its word. */
#define SIGNED(BYTES, R)                                                                           \
    ((v4i)__builtin_shufflevector(BYTES, (bytes16){0}, 16, 16, 16, 2 * R, 16, 16, 16, 2 * R + 1,   \
                                  16, 16, 16, 8 + 2 * R, 16, 16, 16, 9 + 2 * R) >>                 \
     24)

static void of_q8(const tk_tensor *w, int32_t quad, int32_t first, int32_t n, float *out,
                  size_t stride) {
    const uint8_t *block = tk_quad(w, quad) + (size_t)(first / TK_QK) * TK_Q8_BLOCK;
    for (int32_t c = 0; c < n; c += TK_QK, block += TK_Q8_BLOCK)
        for (int i = 0; i < TK_QK; i += 4) {
            bytes16 q = *(const bytes16 *)(block + tk_q8_pair(i / 2));
            v4f d = load4((const float *)block);
            float *at = out + c + i;
            store_row(at, SIGNED(q, 0), d[0], 0.0f, 0);
            store_row(at + stride, SIGNED(q, 1), d[1], 0.0f, 0);
            store_row(at + 2 * stride, SIGNED(q, 2), d[2], 0.0f, 0);
            store_row(at + 3 * stride, SIGNED(q, 3), d[3], 0.0f, 0);
        }
}

/* Of floats, a unit of a quad is four rows of one column. */
static void of_floats(const tk_tensor *w, int32_t quad, int32_t first, int32_t n, float *out,
                      size_t stride) {
    const uint8_t *p = tk_quad(w, quad);
    for (int32_t c = 0; c < n; c++) {
        size_t at = 16 * (size_t)(first + c);
        v4f rows = w->type == TK_F32   ? load4((const float *)p + at)
                   : w->type == TK_F16 ? half4((const uint16_t *)p + at)
                                       : bfloat4((const uint16_t *)p + at);
        for (size_t r = 0; r < 4; r++) out[r * stride + (size_t)c] = rows[r];
    }
}

void tk_quad_floats(const tk_tensor *w, int32_t quad, int32_t first, int32_t n, float *out,
                    size_t stride) {
    const tk_form *form = w->type == TK_Q4_0 ? &Q4_0 : tk_form_of(w->type);
    const tk_code *code = tk_code_of(w->type);
    if (form)
        of_form(form, w, quad, first, n, out, stride);
    else if (code)
        for (int32_t c = 0; c < n; c += code->values)
            tk_quad_of_codes(code, w, quad, first + c, out + c, stride);
    else if (w->type == TK_Q8_0)
        of_q8(w, quad, first, n, out, stride);
    else
        of_floats(w, quad, first, n, out, stride);
}

/* For tests: a tile of a whole quad, out [4][cols]. */
TK_EXPORT tk_int tk_tensor_quad(tk_int tensor, tk_int quad, tk_int out) {
    const tk_tensor *w = (const tk_tensor *)tensor;
    tk_quad_floats(w, (int32_t)quad, 0, w->cols, (float *)out, (size_t)w->cols);
    return 0;
}
