/* What a block of each type holds, and how it is packed. To add a type: a form here, its case in
 * `tk_unpack`, and its sizes in thimble/tensor_types.py.
 *
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h. */
#include "blocks.h"
#include "codes.h"
#include "simd.h"

static const tk_form FORMS[] = {
    {TK_Q4_1, 20, 32, 32, 4, 0, 1},    {TK_Q5_0, 22, 32, 32, 5, 16, 0},
    {TK_Q5_1, 24, 32, 32, 5, 0, 1},    {TK_Q2_K, 84, 256, 16, 2, 0, 1},
    {TK_Q3_K, 110, 256, 16, 3, 4, 0},  {TK_Q4_K, 144, 256, 32, 4, 0, 1},
    {TK_Q5_K, 176, 256, 32, 5, 0, 1},  {TK_Q6_K, 210, 256, 16, 6, 32, 0},
};

const tk_form *tk_form_of(tk_int type) {
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++)
        if (FORMS[i].type == type) return FORMS + i;
    return NULL;
}

/* Half precision to single; finite or not is for the caller to see. */
static float half_at(const uint8_t *p) {
    uint32_t h = (uint32_t)(p[0] | p[1] << 8);
    uint16_t four[4] = {(uint16_t)h, 0, 0, 0};
    union {
        uint32_t u;
        float f;
    } special = {(h & 0x8000u) << 16 | 0x7f800000u | (h & 0x3ffu) << 13};
    return (h & 0x7c00u) == 0x7c00u ? special.f : half4(four)[0];
}

/* 32 numbers of 4 bits: the low halves of 16 bytes, then the high ones; a fifth bit of each from
 * `fifth`, where there is one. */
static void nibbles(const uint8_t *p, uint32_t fifth, int8_t *q) {
    for (int c = 0; c < TK_QK; c++) {
        uint32_t low = c < 16 ? p[c] & 15u : (uint32_t)p[c - 16] >> 4;
        q[c] = (int8_t)(low | (fifth >> c & 1u) << 4);
    }
}

static uint32_t u32_at(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* s and m of Q4_K and Q5_K: 6 bits each in 12 bytes, the upper two of the last four elsewhere. */
static void scales_k4(const uint8_t *p, tk_block *b) {
    for (int i = 0; i < 4; i++) {
        b->scale[i] = (int8_t)(p[i] & 63);
        b->least[i] = (int8_t)(p[4 + i] & 63);
        b->scale[4 + i] = (int8_t)((p[8 + i] & 15) | (p[i] >> 6) << 4);
        b->least[4 + i] = (int8_t)(p[8 + i] >> 4 | (p[4 + i] >> 6) << 4);
    }
}

/* Q4_K and Q5_K: runs of 64 columns, the low halves of 32 bytes and then their high halves. */
static void values_k4(const uint8_t *p, const uint8_t *fifth, int8_t *q) {
    for (int c = 0; c < 256; c++) {
        uint32_t byte = p[c / 64 * 32 + c % 32], low = c & 32 ? byte >> 4 : byte & 15u;
        uint32_t bit = fifth ? (uint32_t)fifth[c % 32] >> (c / 32) & 1u : 0u;
        q[c] = (int8_t)(low | bit << 4);
    }
}

static void unpack_q2_k(const uint8_t *p, tk_block *b) {
    for (int i = 0; i < 16; i++) {
        b->scale[i] = (int8_t)(p[i] & 15);
        b->least[i] = (int8_t)(p[i] >> 4);
    }
    for (int c = 0; c < 256; c++)
        b->q[c] = (int8_t)(p[16 + c / 128 * 32 + c % 32] >> (c % 128 / 32 * 2) & 3);
    b->d = half_at(p + 80);
    b->low = half_at(p + 82);
}

static void unpack_q3_k(const uint8_t *p, tk_block *b) {
    const uint8_t *scales = p + 96;
    for (int i = 0; i < 16; i++) {
        int low = scales[i & 7] >> (i / 8 * 4) & 15, high = scales[8 + (i & 3)] >> (i / 4 * 2) & 3;
        b->scale[i] = (int8_t)((low | high << 4) - 32);
    }
    for (int c = 0; c < 256; c++) {
        int low = p[32 + c / 128 * 32 + c % 32] >> (c % 128 / 32 * 2) & 3;
        int high = p[c % 32] >> (c / 32) & 1; /* where it is 0, 4 less */
        b->q[c] = (int8_t)(low - (high ? 0 : 4));
    }
    b->d = half_at(p + 108);
}

static void unpack_q6_k(const uint8_t *p, tk_block *b) {
    for (int c = 0; c < 256; c++) {
        int half = c / 128, in = c % 128;
        int byte = p[half * 64 + in % 64], low = in < 64 ? byte & 15 : byte >> 4;
        int high = p[128 + half * 32 + in % 32] >> (in / 32 * 2) & 3;
        b->q[c] = (int8_t)((low | high << 4) - 32);
    }
    for (int i = 0; i < 16; i++) b->scale[i] = (int8_t)p[192 + i];
    b->d = half_at(p + 208);
}

int tk_unpack(const tk_form *form, const uint8_t *p, tk_block *b) {
    b->d = half_at(p);
    b->low = 0.0f;
    b->halves[0] = (uint16_t)(p[0] | p[1] << 8);
    b->halves[1] = (uint16_t)((p[2] | p[3] << 8) ^ 0x8000); /* of those that add what they have */
    b->scale[0] = b->least[0] = 1;
    switch (form->type) {
    case TK_Q4_1:
        b->low = -half_at(p + 2);
        nibbles(p + 4, 0, b->q);
        break;
    case TK_Q5_0:
        nibbles(p + 6, u32_at(p + 2), b->q);
        for (int c = 0; c < TK_QK; c++) b->q[c] = (int8_t)(b->q[c] - 16);
        break;
    case TK_Q5_1:
        b->low = -half_at(p + 2);
        nibbles(p + 8, u32_at(p + 4), b->q);
        break;
    case TK_Q2_K: unpack_q2_k(p, b); break;
    case TK_Q3_K: unpack_q3_k(p, b); break;
    case TK_Q4_K:
    case TK_Q5_K: {
        const uint8_t *fifth = form->type == TK_Q5_K ? p + 16 : NULL;
        b->low = half_at(p + 2);
        scales_k4(p + 4, b);
        values_k4(fifth ? p + 48 : p + 16, fifth, b->q);
        break;
    }
    case TK_Q6_K: unpack_q6_k(p, b); break;
    }
    return tk_finite(&b->d, 1) && tk_finite(&b->low, 1);
}

/* As the formula has it, in one order: what files say, to the bit. */
static float value_of(const tk_form *f, float d, float low, int s, int m, int q) {
    float scaled = d * (float)s * (float)q;
    return f->has_low ? scaled - low * (float)m : scaled;
}

/* n values of a file as floats; as tk_dequantize, of all types. */
TK_EXPORT tk_int tk_decode(tk_int type, tk_int source, tk_int out, tk_int n) {
    const tk_form *f = tk_form_of(type);
    const tk_code *code = f ? NULL : tk_code_of(type);
    if (code) return tk_decode_codes(code, source, out, n);
    if (!f) return tk_dequantize(type, source, out, n);
    const uint8_t *p = (const uint8_t *)source;
    float *y = (float *)out;
    tk_block b;
    for (tk_int at = 0; at < n; at += f->values, p += f->bytes, y += f->values) {
        tk_unpack(f, p, &b);
        for (int c = 0; c < f->values; c++) {
            int i = c / f->sub;
            y[c] = value_of(f, b.d, b.low, b.scale[i], b.least[i], b.q[c]);
        }
    }
    return 0;
}

/* One row's part of 32 columns: 4 bytes of each line. */
void tk_put_bits(uint8_t *lines, int r, const int8_t *q, int bits, int offset) {
    int low = tk_low_bits(bits), upper = tk_upper_bits(bits), per = 4 / low;
    uint8_t own[8][4] = {{0}};
    for (int i = 0; i < TK_QK / 2; i++) {
        int v = i / 4, byte = i & 3, c = tk_q4_column(i);
        for (int which = 0; which < 2; which++) {
            int value = q[c + 4 * which] + offset, mask = (1 << low) - 1;
            int at = 4 / per * which + 4 * (v % per);
            own[v / per][byte] |= (uint8_t)((value & mask) << at);
            if (upper == 1) own[low][byte] |= (uint8_t)((value >> low) << (2 * v + which));
            if (upper == 2) own[low + which][byte] |= (uint8_t)((value >> low) << (2 * v));
        }
    }
    for (int line = 0; line < bits; line++)
        __builtin_memcpy(lines + tk_q4_vector(line) + 4 * r, own[line], 4);
}

/* Column c's q, with the offset that it was put with. */
int tk_bits_at(const uint8_t *lines, int r, int c, int bits) {
    int low = tk_low_bits(bits), upper = tk_upper_bits(bits), per = 4 / low;
    int v = c / 8, which = c >> 2 & 1, j = c & 3;
    const uint8_t *own = lines + r * 4 + ((j & 1) << 1 | j >> 1);
    int at = 4 / per * which + 4 * (v % per);
    int value = own[tk_q4_vector(v / per)] >> at & ((1 << low) - 1);
    if (upper == 1) value |= (own[tk_q4_vector(low)] >> (2 * v + which) & 1) << low;
    if (upper == 2) value |= (own[tk_q4_vector(low + which)] >> (2 * v) & 3) << low;
    return value;
}

int32_t tk_pack_blocks(const tk_form *f, const tk_tensor *t, int32_t row, const uint8_t *source) {
    uint8_t *quad = tk_quad(t, row / 4);
    size_t r = (size_t)(row & 3);
    tk_block b;
    for (int32_t at = 0; at < t->cols; at += f->values, source += f->bytes, quad += tk_form_block(f)) {
        if (!tk_unpack(f, source, &b)) return at;
        if (tk_in_halves(f)) {
            uint16_t *halves = (uint16_t *)tk_halves(quad, row / 4);
            halves[r] = b.halves[0];
            if (f->has_low) halves[TK_LINE / 4 + r] = b.halves[1];
        } else {
            ((float *)quad)[r] = b.d;
            if (f->has_low) ((float *)(quad + TK_LINE))[r] = b.low;
        }
        for (int i = 0; i < (int)tk_scale_lines(f) * 4; i++) {
            int both = tk_in_nibbles(f);
            quad[tk_form_scale(f, 0, i) + r] = (uint8_t)(b.scale[i] | (both ? b.least[i] << 4 : 0));
            if (f->has_low && !both) quad[tk_form_scale(f, 1, i) + r] = (uint8_t)b.least[i];
        }
        uint8_t *lines = quad + tk_form_head(f);
        for (int k = 0; k < f->values / TK_QK; k++, lines += f->bits * TK_LINE)
            tk_put_bits(lines, (int)r, b.q + k * TK_QK, f->bits, f->offset);
    }
    return -1;
}

/* d (which = 0) or low (which = 1) of a packed block, in lane r of its quad. */
static float head_at(const tk_form *f, const uint8_t *block, int32_t quad, int which, int r) {
    if (!tk_in_halves(f)) return ((const float *)(block + TK_LINE * which))[r];
    return half4((const uint16_t *)tk_halves(block, quad) + TK_LINE / 4 * which)[r];
}

void tk_row_of_blocks(const tk_form *f, const tk_tensor *t, int32_t row, float *out) {
    const uint8_t *block = tk_quad(t, row / 4);
    int r = row & 3;
    float d = 0.0f, low = 0.0f;
    for (int32_t at = 0; at < t->cols; at++) {
        int c = at % f->values, i = c / f->sub, s = 1, m = 1;
        if (at && !c) block += tk_form_block(f);
        if (!c) {
            d = head_at(f, block, row / 4, 0, r);
            low = f->has_low ? head_at(f, block, row / 4, 1, r) : 0.0f;
        }
        if (tk_scale_lines(f)) {
            s = (int8_t)block[tk_form_scale(f, 0, i) + (size_t)r];
            if (tk_in_nibbles(f)) {
                m = s >> 4 & 15;
                s &= 15;
            } else if (f->has_low)
                m = (int8_t)block[tk_form_scale(f, 1, i) + (size_t)r];
        }
        const uint8_t *lines = block + tk_form_head(f) + (size_t)(c / TK_QK * f->bits) * TK_LINE;
        int q = tk_bits_at(lines, r, c % TK_QK, f->bits) - f->offset;
        out[at] = value_of(f, d, low, s, m, q);
    }
}

/* The wider one where 32 columns are two sub-blocks. */
int32_t tk_steps_of_blocks(const tk_form *f, const tk_tensor *w, int32_t row, float *steps) {
    const uint8_t *quad = tk_quad(w, row / 4);
    int r = row & 3, per = f->values / TK_QK, halves = TK_QK / f->sub;
    for (int32_t b = 0; b < w->cols / TK_QK; b++) {
        const uint8_t *block = quad + (size_t)(b / per) * tk_form_block(f);
        int widest = tk_scale_lines(f) ? 0 : 1;
        for (int i = b % per * halves; tk_scale_lines(f) && i < (b % per + 1) * halves; i++) {
            int s = (int8_t)block[tk_form_scale(f, 0, i) + (size_t)r];
            s = tk_in_nibbles(f) ? s & 15 : s < 0 ? -s : s;
            if (s > widest) widest = s;
        }
        steps[b] = __builtin_fabsf(head_at(f, block, row / 4, 0, r)) * (float)widest;
    }
    return w->cols / TK_QK;
}
