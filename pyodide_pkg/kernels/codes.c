/* Which types have weights that are looked up, and how they are packed. To add one: a row here, its
 * case in codes_read.c, and its sizes in thimble/tensor_types.py.
 *
 * The grids of the IQ types are data of the file format and no part of these kernels: they are
 * given by `tk_grid_set` before the first tensor that needs one (thimble/grids.py). */
#include "codes.h"
#include "simd.h"

#define NONLINEAR                                                                                  \
    {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240} /* 127 are added */
#define E2M1                                                                                       \
    {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0} /* twice, and 12 are added */
#define THREE_SIZES                                                                                \
    {51, 68, 86, 43, 35, 18, 0, 43}         /* 8, 25, 43 and their negatives; 43 are added */
#define EIGHTHS {2, 10, 18, 9, 0, 8, 16, 9} /* 8 g + 1 and 8 g - 1 for g of -1, 0, 1; 9 are added  \
                                             */

static const tk_code CODES[] = {
    {TK_Q1_0, 18, 128, 32, 1, TK_D_HALF, TK_S_NONE, 2, 1, 0, 1.0f, {0, 2}},
    {TK_Q2_0, 18, 64, 32, 2, TK_D_HALF, TK_S_NONE, 1, 1, 0, 1.0f, {0, 1, 2, 3}},
    {TK_TQ1_0, 54, 256, 32, TK_TRITS, TK_D_HALF, TK_S_NONE, 1, 1, 0, 1.0f, {0, 1, 2}},
    {TK_TQ2_0, 66, 256, 32, 2, TK_D_HALF, TK_S_NONE, 1, 1, 0, 1.0f, {0, 1, 2, 3}},
    {TK_IQ4_NL, 18, 32, 32, 4, TK_D_HALF, TK_S_NONE, 24, 127, 0, 1.0f, NONLINEAR},
    {TK_IQ4_XS, 136, 256, 32, 4, TK_D_HALF, TK_S_WHOLE, 24, 127, 0, 1.0f, NONLINEAR},
    {TK_MXFP4, 17, 32, 32, 4, TK_D_BFLOAT, TK_S_NONE, 4, 12, 0, 1.0f, E2M1},
    {TK_NVFP4, 36, 64, 16, 4, TK_D_NONE, TK_S_FLOAT, 4, 12, 0, 1.0f, E2M1},
    {TK_IQ2_XXS, 66, 256, 32, 3, TK_D_HALF, TK_S_WHOLE, 18, 43, 1, 0.125f, THREE_SIZES},
    {TK_IQ2_XS, 74, 256, 16, 3, TK_D_HALF, TK_S_WHOLE, 18, 43, 2, 0.125f, THREE_SIZES},
    {TK_IQ2_S, 82, 256, 16, 3, TK_D_HALF, TK_S_WHOLE, 18, 43, 3, 0.125f, THREE_SIZES},
    {TK_IQ3_XXS, 98, 256, 32, TK_GRID, TK_D_HALF, TK_S_WHOLE, 10, 62, 4, 0.25f, {0}},
    {TK_IQ3_S, 110, 256, 32, TK_GRID, TK_D_HALF, TK_S_WHOLE, 2, 15, 5, 1.0f, {0}},
    {TK_IQ1_S, 50, 256, 32, 3, TK_D_HALF, TK_S_WHOLE, 6, 9, 6, 0.125f, EIGHTHS},
    {TK_IQ1_M, 56, 256, 16, 3, TK_D_HALF, TK_S_WHOLE, 6, 9, 6, 0.125f, EIGHTHS},
};

static uint8_t *grids[TK_GRIDS];

const uint8_t *tk_grid_of(const tk_code *c) { return grids[c->grid - 1]; }

const tk_code *tk_code_of(tk_int type) {
    for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++)
        if (CODES[i].type == type) return CODES + i;
    return NULL;
}

/* Which grid a type needs that is not here yet, from 1 on; 0 where it needs none. */
TK_EXPORT tk_int tk_grid_missing(tk_int type) {
    const tk_code *c = tk_code_of(type);
    return c && c->grid && !tk_grid_of(c) ? c->grid : 0;
}

/* Takes `bytes` of a grid, in the order of columns; it stays. Returns 0, or -1 without memory. */
TK_EXPORT tk_int tk_grid_set(tk_int grid, tk_int source, tk_int bytes) {
    const uint8_t *p = (const uint8_t *)source;
    uint8_t *own = tk_new((size_t)bytes);
    if (!own) return -1;
    for (tk_int i = 0; i < bytes; i++) {
        int j = (int)(i & 3), four = grid == 4 || grid == 5; /* of IQ3, which products read */
        own[four ? i - j + ((j & 1) << 1 | j >> 1) : i] = p[i];
    }
    grids[grid - 1] = own;
    return 0;
}

/* --- a block of a file as floats --- */

static float half_to_float(uint16_t h) {
    uint16_t four[4] = {h, 0, 0, 0};
    union {
        uint32_t u;
        float f;
    } special = {(h & 0x8000u) << 16 | 0x7f800000u | (h & 0x3ffu) << 13};
    return (h & 0x7c00) == 0x7c00 ? special.f : half4(four)[0];
}

/* d s of sub-block i. Both are short, so that their product is exact. */
static float scale_of(const tk_code *c, const tk_coded *b, int i) {
    if (c->s == TK_S_FLOAT) return half_to_float((uint16_t)(b->s[i] << 7)) * 128.0f;
    if (c->d == TK_D_BFLOAT) {
        union {
            uint32_t u;
            float f;
        } d = {(uint32_t)b->half << 16};
        return d.f;
    }
    float d = half_to_float(b->half) * c->unit;
    return c->s ? d * (float)(int8_t)b->s[i] : d;
}

static int value_of(const tk_code *c, const tk_coded *b, int column) {
    if (c->bits != TK_GRID) return c->table[b->code[column]] - c->offset;
    int place = column / 4, j = column & 3;
    size_t at = (size_t)(b->code[place] | (b->ninth[place / 8] >> (place & 7) & 1) << 8);
    int size = tk_grid_of(c)[4 * at + (size_t)((j & 1) << 1 | j >> 1)];
    return b->sign[column / 8] >> (column & 7) & 1 ? -size : size;
}

tk_int tk_decode_codes(const tk_code *c, tk_int source, tk_int out, tk_int n) {
    const uint8_t *p = (const uint8_t *)source;
    float *y = (float *)out;
    tk_coded b = {0};
    if (tk_grid_missing(c->type)) return -1;
    for (tk_int at = 0; at < n; at += c->values, p += c->bytes, y += c->values) {
        tk_read_codes(c, p, &b);
        for (int i = 0; i < c->values; i++)
            y[i] = scale_of(c, &b, i / c->sub) * (float)value_of(c, &b, i);
    }
    return 0;
}

/* --- packing: one row's part of a block --- */

/* Bit n of byte j: column 4 n and so on, in packed.h's order. */
static void put_ones(uint8_t *line, size_t r, const uint8_t *code) {
    for (int i = 0; i < TK_QK; i++) {
        int j = i & 3;
        line[r * 4 + (size_t)((j & 1) << 1 | j >> 1)] |= (uint8_t)(code[i] << (i / 4));
    }
}

/* Line i has columns 20 i to 20 i + 19; the last one 16. As the file has them, but other columns
 * share a byte. */
static void put_trits(uint8_t *lines, size_t r, const uint8_t *code) {
    for (int line = 0; line < TK_TRIT_LINES; line++)
        for (int j = 0; j < 4; j++) {
            uint32_t number = 0;
            for (int n = 0; n < 5; n++) {
                int column = 20 * line + 4 * n + j;
                number = number * 3 + (column < TK_MOST_VALUES ? code[column] : 0);
            }
            lines[TK_LINE * line + (int)(r * 4) + ((j & 1) << 1 | j >> 1)] =
                (uint8_t)((number * 256 + 242) / 243);
        }
}

static void put_places(const tk_code *c, uint8_t *lines, size_t r, const tk_coded *b) {
    int places = c->values / 4, nines = c->type == TK_IQ3_S ? 2 : 0;
    for (int i = 0; i < places; i++) lines[TK_LINE * (i / 4) + (int)(r * 4) + (i & 3)] = b->code[i];
    lines += TK_LINE * (places / 4);
    for (int k = 0; nines && k < 8; k++)
        lines[TK_LINE * (k / 4) + (int)(r * 4) + (k & 3)] = b->ninth[k];
    lines += TK_LINE * nines;
    for (int l = 0; l < c->values / 8; l++)
        lines[TK_LINE * (l / 4) + (int)(r * 4) + (l & 3)] = b->sign[l];
}

int32_t tk_pack_codes(const tk_code *c, const tk_tensor *t, int32_t row, const uint8_t *source) {
    uint8_t *quad = tk_quad(t, row / 4);
    size_t r = (size_t)(row & 3);
    tk_coded b = {0};
    for (int32_t at = 0; at < t->cols;
         at += c->values, source += c->bytes, quad += tk_code_block(c)) {
        if (!tk_read_codes(c, source, &b)) return at;
        if (c->d) ((uint16_t *)tk_halves(quad, row / 4))[r] = b.half;
        for (int i = 0; c->s && i < c->values / c->sub; i++)
            quad[tk_code_s(c) + TK_LINE * (size_t)(i / 4) + 4 * (size_t)(i & 3) + r] = b.s[i];
        uint8_t *lines = quad + tk_code_head(c);
        if (c->bits == TK_TRITS)
            put_trits(lines, r, b.code);
        else if (c->bits == TK_GRID)
            put_places(c, lines, r, &b);
        else
            for (int k = 0; k < c->values / TK_QK; k++, lines += TK_LINE * c->bits)
                if (c->bits == 1)
                    put_ones(lines, r, b.code + TK_QK * k);
                else
                    tk_put_bits(lines, (int)r, (const int8_t *)b.code + TK_QK * k, c->bits, 0);
    }
    return -1;
}
