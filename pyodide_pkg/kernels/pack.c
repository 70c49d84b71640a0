/* From the rows of a GGUF tensor to the order that the products read, and single rows back.
 *
 * Rows are packed in quads of four, so that a vector lane is a row: no sum crosses lanes, and each
 * output is summed in one order. Four quads lie side by side in a group, so that sixteen rows are
 * read as one stream. Of one column, a quad has 4 floats (F32) or 4 16-bit numbers (F16, BF16);
 * quantized matrices lie by blocks of 32 columns, which packed.h describes.
 *
 * To add an encoding: one with scales and least values in blocks.c, one whose weights are looked up in
 * codes.c; another, the switches here and one kernel in matmul.c. */
#include "blocks.h"
#include "codes.h"
#include "simd.h"

enum { MOST = INT32_MAX - 15 }; /* rows, columns: whole groups of them are still an int32 */

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static float half_to_float(uint16_t h) {
    uint16_t four[4] = {h, 0, 0, 0};
    return half4(four)[0];
}

static int half_is_finite(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

/* Bytes of a group's sixteen rows, or 0 where the encoding is unknown or the columns do not fit. The
 * columns are an int32, so that 64 bits hold any size. */
static uint64_t group_size(tk_int type, tk_int cols) {
    uint64_t n = (uint64_t)cols;
    const tk_form *form = tk_form_of(type);
    if (form) return cols % form->values ? 0 : n / (uint64_t)form->values * tk_form_block(form);
    const tk_code *code = tk_code_of(type);
    if (code) return cols % code->values ? 0 : n / (uint64_t)code->values * tk_code_block(code);
    switch (type) {
    case TK_F32: return n * 64;
    case TK_F16:
    case TK_BF16: return n * 32;
    case TK_Q8_0: return cols % TK_QK ? 0 : n / TK_QK * TK_Q8_BLOCK;
    case TK_Q4_0: return cols % TK_QK ? 0 : n / TK_QK * TK_Q4_BLOCK;
    default: return 0;
    }
}

/* Bytes of `cols` values in the file's own layout. */
static size_t source_size(tk_int type, tk_int cols) {
    size_t n = (size_t)cols;
    const tk_form *form = tk_form_of(type);
    if (form) return n / (size_t)form->values * (size_t)form->bytes;
    const tk_code *code = tk_code_of(type);
    if (code) return n / (size_t)code->values * (size_t)code->bytes;
    switch (type) {
    case TK_F32: return n * 4;
    case TK_F16:
    case TK_BF16: return n * 2;
    case TK_Q8_0: return n / TK_QK * 34;
    case TK_Q4_0: return n / TK_QK * 18;
    default: return 0;
    }
}

/* Bytes that a packed matrix takes, to the uint64 at `bytes`, which counts what no memory here holds;
 * 0 where the encoding is unknown or the columns do not fit. */
TK_EXPORT tk_int tk_tensor_size(tk_int type, tk_int rows, tk_int cols, tk_int bytes) {
    *(uint64_t *)bytes = ((uint64_t)rows + 15) / 16 * group_size(type, cols);
    return 0;
}

/* A packed matrix, filled with zeros; 0 where there is no memory or the encoding does not fit. */
TK_EXPORT tk_int tk_tensor_new(tk_int type, tk_int rows, tk_int cols) {
    if (rows <= 0 || cols <= 0 || rows > MOST || cols > MOST || tk_grid_missing(type)) return 0;
    size_t groups = ((size_t)rows + 15) / 16, group = tk_fit(group_size(type, cols));
    if (!group) return 0;
    tk_tensor *t = tk_new(sizeof *t);
    if (!t) return 0;
    size_t step = type == TK_F16 || type == TK_BF16 ? TK_QUAD / 2 : TK_QUAD;
    *t = (tk_tensor){(int32_t)type, (int32_t)rows, (int32_t)cols, (int32_t)((rows + 3) / 4),
                     step,          group,         NULL,           NULL};
    t->data = tk_new(tk_size(group, groups, 1));
    if (t->data) return (tk_int)t;
    tk_delete(t);
    return 0;
}

TK_EXPORT tk_int tk_tensor_free(tk_int tensor) {
    tk_tensor *t = (tk_tensor *)tensor;
    if (t) tk_delete(t->data);
    tk_delete(t);
    return 0;
}

TK_EXPORT tk_int tk_tensor_bytes(tk_int tensor) {
    const tk_tensor *t = (const tk_tensor *)tensor;
    return (tk_int)(((size_t)t->quads + 3) / 4 * t->group_bytes);
}

/* Each packer puts one row into lane r of its quad and returns the first column whose value (or
 * whose block's scale) is not finite, or -1. */

static int32_t pack_f32(uint8_t *quad, int r, const uint8_t *src, int32_t cols) {
    uint32_t *out = (uint32_t *)quad;
    for (int32_t c = 0; c < cols; c++) {
        uint32_t u;
        __builtin_memcpy(&u, src + 4 * (size_t)c, 4);
        if ((u & 0x7f800000u) == 0x7f800000u) return c;
        out[16 * (size_t)c + (size_t)r] = u;
    }
    return -1;
}

static int32_t pack_16(uint8_t *quad, int r, const uint8_t *src, int32_t cols, uint16_t exponent) {
    uint16_t *out = (uint16_t *)quad;
    for (int32_t c = 0; c < cols; c++) {
        uint16_t u = u16_at(src + 2 * (size_t)c);
        if ((u & exponent) == exponent) return c;
        out[16 * (size_t)c + (size_t)r] = u;
    }
    return -1;
}

static int32_t pack_q8(uint8_t *quad, int r, const uint8_t *src, int32_t cols) {
    for (int32_t b = 0; b < cols / TK_QK; b++, src += 34, quad += TK_Q8_BLOCK) {
        uint16_t scale = u16_at(src);
        if (!half_is_finite(scale)) return b * TK_QK;
        ((float *)quad)[r] = half_to_float(scale);
        for (int c = 0; c < TK_QK; c++) quad[tk_q8_pair(c / 2) + (size_t)(r * 2 + (c & 1))] = src[2 + c];
    }
    return -1;
}

/* The weight, plus 8, of column c of a block as files have it. */
static uint32_t q4_of_block(const uint8_t *nibbles, int c) {
    return c < 16 ? nibbles[c] & 15u : (uint32_t)nibbles[c - 16] >> 4;
}

static int32_t pack_q4(const tk_tensor *t, int32_t row, const uint8_t *src) {
    uint8_t *quad = tk_quad(t, row / 4);
    size_t r = (size_t)(row & 3);
    for (int32_t b = 0; b < t->cols / TK_QK; b++, src += 18, quad += TK_Q4_BLOCK) {
        uint16_t scale = u16_at(src);
        if (!half_is_finite(scale)) return b * TK_QK;
        ((uint16_t *)tk_halves(quad, row / 4))[r] = scale;
        for (int i = 0; i < TK_QK / 2; i++) {
            int c = tk_q4_column(i);
            quad[TK_Q4_HEAD + tk_q4_vector(i / 4) + r * 4 + (size_t)(i & 3)] =
                (uint8_t)(q4_of_block(src + 2, c) | q4_of_block(src + 2, c + 4) << 4);
        }
    }
    return -1;
}

/* Packs `count` rows in the file's layout, from row `first` on. Returns 0, or 1 + the index in
 * row-major order (from `first` on) of the first value that is not finite. */
TK_EXPORT tk_int tk_pack_rows(tk_int tensor, tk_int first, tk_int count, tk_int source) {
    tk_tensor *t = (tk_tensor *)tensor;
    const uint8_t *src = (const uint8_t *)source;
    size_t stride = source_size(t->type, t->cols);
    const tk_form *form = tk_form_of(t->type);
    const tk_code *code = tk_code_of(t->type);
    for (tk_int i = 0; i < count; i++, src += stride) {
        int32_t row = (int32_t)(first + i);
        uint8_t *quad = tk_quad(t, row / 4);
        int r = row & 3;
        int32_t bad = -1;
        switch (t->type) {
        case TK_F32: bad = pack_f32(quad, r, src, t->cols); break;
        case TK_F16: bad = pack_16(quad, r, src, t->cols, 0x7c00); break;
        case TK_BF16: bad = pack_16(quad, r, src, t->cols, 0x7f80); break;
        case TK_Q8_0: bad = pack_q8(quad, r, src, t->cols); break;
        case TK_Q4_0: bad = pack_q4(t, row, src); break;
        default:
            if (!form && !code) __builtin_trap(); /* no such tensor is made: see tk_tensor_new */
            bad = form ? tk_pack_blocks(form, t, row, src) : tk_pack_codes(code, t, row, src);
        }
        if (bad >= 0) return 1 + i * t->cols + bad;
    }
    return 0;
}

/* A vector of n floats, for norms and the like; its data is plain. 0 where there is no memory. */
TK_EXPORT tk_int tk_vector_new(tk_int n) {
    if (n <= 0 || n > MOST) return 0;
    tk_tensor *t = tk_new(sizeof *t);
    if (!t) return 0;
    size_t bytes = tk_size(((size_t)n + 3) / 4, 16, 1);
    *t = (tk_tensor){TK_F32, 1, (int32_t)n, 1, 16, bytes, NULL, NULL};
    t->data = tk_new(bytes);
    if (t->data) return (tk_int)t;
    tk_delete(t);
    return 0;
}

/* Fills a vector from the file's encoding `type`. Returns as tk_pack_rows. */
TK_EXPORT tk_int tk_vector_set(tk_int vector, tk_int type, tk_int source) {
    tk_tensor *t = (tk_tensor *)vector;
    float *out = (float *)t->data;
    tk_decode(type, source, (tk_int)out, t->cols);
    for (int32_t i = 0; i < t->cols; i++)
        if (!tk_finite(out + i, 1)) return 1 + i;
    return 0;
}

/* The address of a vector's floats. */
TK_EXPORT tk_int tk_vector_data(tk_int vector) { return (tk_int)((tk_tensor *)vector)->data; }

/* One row as floats: how a token is looked up in the embeddings. */
void tk_row(const tk_tensor *t, int32_t row, float *out) {
    const uint8_t *quad = tk_quad(t, row / 4);
    int r = row & 3;
    const tk_form *form = tk_form_of(t->type);
    if (form) {
        tk_row_of_blocks(form, t, row, out);
        return;
    }
    const tk_code *code = tk_code_of(t->type);
    if (code) {
        tk_row_of_codes(code, t, row, out);
        return;
    }
    for (int32_t c = 0; c < t->cols; c++) {
        const uint8_t *block;
        switch (t->type) {
        case TK_F32: out[c] = ((const float *)quad)[16 * (size_t)c + (size_t)r]; break;
        case TK_F16:
            out[c] = half_to_float(((const uint16_t *)quad)[16 * (size_t)c + (size_t)r]);
            break;
        case TK_BF16: {
            union {
                uint32_t u;
                float f;
            } v = {(uint32_t)((const uint16_t *)quad)[16 * (size_t)c + (size_t)r] << 16};
            out[c] = v.f;
            break;
        }
        case TK_Q8_0:
            block = quad + (size_t)(c / TK_QK) * TK_Q8_BLOCK;
            out[c] = ((const float *)block)[r] *
                     (float)(int8_t)block[tk_q8_pair(c % TK_QK / 2) + (size_t)(r * 2 + (c & 1))];
            break;
        case TK_Q4_0: {
            block = quad + (size_t)(c / TK_QK) * TK_Q4_BLOCK;
            int j = c & 3, byte = r * 4 + ((j & 1) << 1 | j >> 1);
            uint8_t both = block[TK_Q4_HEAD + tk_q4_vector(c % TK_QK / 8) + (size_t)byte];
            float scale = half_to_float(((const uint16_t *)tk_halves(block, row / 4))[r]);
            out[c] = scale * (float)((both >> (c & 4) & 15) - 8);
            break;
        }
        }
    }
}

TK_EXPORT tk_int tk_tensor_row(tk_int tensor, tk_int row, tk_int out) {
    tk_row((const tk_tensor *)tensor, (int32_t)row, (float *)out);
    return 0;
}
