/* Products with matrices whose weights are looked up (codes.h), as matmul.c's.
 *
 * A block of a quad is unpacked into bytes, four columns of four rows in sixteen, which dot
 * products of four read; their offset is taken off by the sum of the activations. Of a sub-block
 * the sum of products is an integer, exact; it is then a float, times the activations' scale, times
 * d s, and added up from first to last. One order, whatever the tile. */
#include "look_up.h"

typedef struct {
    v16b fours[TK_MOST_VALUES / 4]; /* values with their offset: four rows, four columns of each */
    v4f scale[16];                  /* d s of each sub-block */
} tk_unpacked;

TK_INLINE v16b splat16(uint8_t x) { return (v16b){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

/* --- unpacking --- */

/* 32 columns of codes of so many bits. */
TK_INLINE void unpack_bits(const uint8_t *lines, v16b table, v16b *fours, const int bits) {
    for (int n = 0; n < 8; n++) {
        int v = n / 2, which = n & 1;
        v8u code;
        if (bits == 1)
            code = *(const v8u *)lines >> (uint16_t)n & 0x0101;
        else if (bits == 4)
            code = *(const v8u *)(lines + TK_LINE * v) >> (uint16_t)(4 * which) & 0x0f0f;
        else
            code =
                *(const v8u *)(lines + TK_LINE * (v / 2)) >> (uint16_t)(4 * (v & 1) + 2 * which) &
                0x0303;
        if (bits == 3)
            code |= (*(const v8u *)(lines + TK_LINE * 2) >> (uint16_t)(2 * v + which) & 0x0101)
                    << 2;
        fours[n] = look_up(table, (v16b)code);
    }
}

/* The first of five; with what is left of 256, of 3 times it, the next one. Bytes are taken apart
 * once, into those that are even and odd. */
static void unpack_trits(const uint8_t *lines, v16b *fours) {
    for (int line = 0, n = 0; line < TK_TRIT_LINES; line++) {
        v8u both = *(const v8u *)(lines + TK_LINE * line), even = both & 0xff, odd = both >> 8;
        int last = n + 5 < TK_MOST_VALUES / 4 ? n + 5 : TK_MOST_VALUES / 4;
        for (; n < last; n++) {
            even *= 3;
            odd *= 3;
            fours[n] = (v16b)(even >> 8 | (odd & 0xff00));
            even &= 0xff;
            odd &= 0xff;
        }
    }
}

/* Sizes from the grid; a sign turns one around. */
static void unpack_places(const tk_code *c, const uint8_t *lines, v16b *fours) {
    const uint32_t *grid = (const uint32_t *)(const void *)tk_grid_of(c);
    const int nines = c->type == TK_IQ3_S ? 2 : 0;
    const uint8_t *ninth = lines + TK_LINE * 16, *signs = ninth + TK_LINE * nines;
    const v16b bit[2] = {{1, 4, 2, 8, 1, 4, 2, 8, 1, 4, 2, 8, 1, 4, 2, 8},
                         {16, 64, 32, 128, 16, 64, 32, 128, 16, 64, 32, 128, 16, 64, 32, 128}};
    const v16b own = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    const v16b offset = splat16((uint8_t)c->offset);
    uint32_t nine[4] = {0, 0, 0, 0};
    for (int l = 0; l < TK_MOST_VALUES / 8; l++) { /* eight columns have a byte of signs a row */
        v16b line = *(const v16b *)(signs + TK_LINE * (l / 4));
        v16b sign = look_up(line, own + splat16((uint8_t)(l & 3)));
        for (int r = 0; nines && !(l & 3) && r < 4; r++)
            nine[r] = (uint32_t)ninth[TK_LINE * (l / 16) + 4 * r + (l / 4 & 3)] << 8;
        for (int which = 0; which < 2; which++) {
            const uint8_t *place = lines + TK_LINE * (l / 2) + 2 * (l & 1) + which;
            uint32_t size[4];
            for (int r = 0; r < 4; r++)
                size[r] = grid[place[4 * r] | (nine[r] >> (2 * (l & 3) + which) & 256)];
            v16b sizes = (v16b)(v4u){size[0], size[1], size[2], size[3]};
            v16b turned = (v16b)((sign & bit[which]) == bit[which]);
            fours[2 * l + which] = ((sizes ^ turned) - turned) + offset;
        }
    }
}

static void unpack(const tk_code *c, const uint8_t *block, int32_t quad, tk_unpacked *u) {
    const uint8_t *lines = block + tk_code_head(c);
    const v16b table = table_of(c);
    const v4f d = d_of(c, block, quad, c->d);
    for (int i = 0; i < c->values / c->sub; i++) u->scale[i] = scale_of_sub(c, block, d, i, c->s);
    if (c->bits == TK_TRITS) {
        unpack_trits(lines, u->fours);
        return;
    }
    if (c->bits == TK_GRID) {
        unpack_places(c, lines, u->fours);
        return;
    }
    v16b *fours = u->fours;
    for (int k = 0; k < c->values / TK_QK; k++, fours += 8, lines += TK_LINE * c->bits)
        switch (c->bits) {
        case 1: unpack_bits(lines, table, fours, 1); break;
        case 2: unpack_bits(lines, table, fours, 2); break;
        case 3: unpack_bits(lines, table, fours, 3); break;
        case 4: unpack_bits(lines, table, fours, 4); break;
        default: __builtin_trap(); /* bits in codes.c without their case here */
        }
}

/* --- products --- */

/* Adds to y the block at column `at` of NQ quads and NT tokens. */
TK_INLINE void tile(float *y, size_t ystride, const tk_code *c, const tk_unpacked *u,
                    const tk_act *a, int32_t token, int32_t at, const int wide, const int NQ,
                    const int NT) {
    v4f acc[8];
    float *out = y + (size_t)token * ystride;
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++)
            acc[q * NT + t] = at ? load4(out + (size_t)t * ystride + 4 * q) : splat4(0.0f);
    for (int i = 0; i < c->values / c->sub; i++) {
        size_t from = (size_t)(at + i * c->sub), fours = (size_t)(c->sub / 4);
        v4i dot[8];
        for (int t = 0; t < NT; t++) {
            size_t x = (size_t)(token + t) * (size_t)a->cols + from;
            int32_t sum = c->sub == TK_QK ? a->sum[x / TK_QK] : sum16(a->q + x);
            for (int q = 0; q < NQ; q++) dot[q * NT + t] = splat4i(-c->offset * sum);
        }
        for (size_t n = 0; n < fours; n++) {
            tk_values own[4];
            for (int q = 0; q < NQ; q++)
                own[q] = values_of(u[q].fours[(size_t)i * fours + n], wide);
            for (int t = 0; t < NT; t++) {
                size_t x = (size_t)(token + t) * (size_t)a->cols + from + 4 * n;
                for (int q = 0; q < NQ; q++)
                    dot[q * NT + t] = dot_values(dot[q * NT + t], own[q], a, x, wide);
            }
        }
        for (int t = 0; t < NT; t++) {
            v4f scale = splat4(a->scale[((size_t)(token + t) * (size_t)a->cols + from) / TK_QK]);
            for (int q = 0; q < NQ; q++)
                acc[q * NT + t] +=
                    u[q].scale[i] * (__builtin_convertvector(dot[q * NT + t], v4f) * scale);
        }
    }
    for (int q = 0; q < NQ; q++)
        for (int t = 0; t < NT; t++) store4(out + (size_t)t * ystride + 4 * q, acc[q * NT + t]);
}

/* Kept out of line, so that each tile shape is compiled once. */
#define SHAPE(NAME, NQ, NT)                                                                        \
    static void NAME(float *y, size_t s, const tk_code *c, const tk_unpacked *u, const tk_act *a,  \
                     int32_t token, int32_t at) {                                                  \
        if (c->offset > 62) /* values go up to twice that */                                       \
            tile(y, s, c, u, a, token, at, 1, NQ, NT);                                             \
        else                                                                                       \
            tile(y, s, c, u, a, token, at, 0, NQ, NT);                                             \
    }
SHAPE(tile_4x1, 4, 1)
SHAPE(tile_1x1, 1, 1)
SHAPE(tile_2x4, 2, 4)
SHAPE(tile_1x4, 1, 4)

/* n quads, at most four, and the tokens in [begin, end). */
static void unpacked(float *y, const tk_tensor *w, const tk_code *c, const tk_act *a, int32_t quad,
                     int32_t n, int32_t begin, int32_t end) {
    size_t stride = 4 * (size_t)w->quads, block = tk_code_block(c);
    int32_t whole = begin + ((end - begin) & ~3);
    tk_unpacked u[4];
    for (int32_t at = 0; at < w->cols; at += c->values) {
        size_t offset = (size_t)(at / c->values) * block;
        for (int32_t q = 0; q < n; q++) unpack(c, tk_quad(w, quad + q) + offset, quad + q, u + q);
        for (int32_t t = begin; t < whole; t += 4) {
            int32_t q = 0;
            for (; q + 2 <= n; q += 2) tile_2x4(y + 4 * q, stride, c, u + q, a, t, at);
            for (; q < n; q++) tile_1x4(y + 4 * q, stride, c, u + q, a, t, at);
        }
        for (int32_t t = whole; t < end; t++) {
            if (n == 4)
                tile_4x1(y, stride, c, u, a, t, at);
            else
                for (int32_t q = 0; q < n; q++) tile_1x1(y + 4 * q, stride, c, u + q, a, t, at);
        }
    }
}

void tk_rows_of_codes(float *y, const tk_tensor *w, const tk_act *a, int32_t begin, int32_t end) {
    const tk_code *c = tk_code_of(w->type);
    size_t stride = 4 * (size_t)w->quads;
    for (int32_t quad = begin; quad < end; quad += 4) {
        int32_t n = end - quad < 4 ? end - quad : 4, t = a->tokens;
        float *out = y + 4 * (size_t)quad;
        /* Of a few tokens that are left, each for itself, where that is quicker. */
        while (n == 4 && t & 3 &&
               tk_group_of_codes(out + (size_t)(t - 1) * stride, w, c, a, quad, t - 1))
            t--;
        if (t) unpacked(out, w, c, a, quad, n, 0, t);
    }
}

/* --- single rows --- */

void tk_row_of_codes(const tk_code *c, const tk_tensor *t, int32_t row, float *out) {
    tk_unpacked u;
    const uint8_t *block = tk_quad(t, row / 4);
    for (int32_t at = 0; at < t->cols; at += c->values, block += tk_code_block(c)) {
        unpack(c, block, row / 4, &u);
        for (int i = 0; i < c->values; i++) {
            int j = i & 3;
            int value = u.fours[i / 4][(row & 3) * 4 + ((j & 1) << 1 | j >> 1)] - c->offset;
            out[at + i] = u.scale[i / c->sub][row & 3] * (float)value;
        }
    }
}

/* The block of a quad that begins at a column, as floats: [4 rows][c->values], `stride` apart. */
void tk_quad_of_codes(const tk_code *c, const tk_tensor *t, int32_t quad, int32_t first, float *out,
                      size_t stride) {
    tk_unpacked u;
    unpack(c, tk_quad(t, quad) + (size_t)(first / c->values) * tk_code_block(c), quad, &u);
    for (int r = 0; r < 4; r++, out += stride)
        for (int i = 0; i < c->values; i++) {
            int j = i & 3, value = u.fours[i / 4][r * 4 + ((j & 1) << 1 | j >> 1)] - c->offset;
            out[i] = u.scale[i / c->sub][r] * (float)value;
        }
}

/* The wider one where 32 columns are two sub-blocks, and the widest gap of the values. */
int32_t tk_steps_of_codes(const tk_code *c, const tk_tensor *w, int32_t row, float *steps) {
    tk_unpacked u;
    const uint8_t *block = tk_quad(w, row / 4);
    for (int32_t at = 0; at < w->cols; at += c->values, block += tk_code_block(c)) {
        unpack(c, block, row / 4, &u);
        for (int k = 0; k < c->values / TK_QK; k++) {
            float widest = 0.0f;
            for (int i = k * TK_QK / c->sub; i < (k + 1) * TK_QK / c->sub; i++) {
                float scale = __builtin_fabsf(u.scale[i][row & 3]);
                if (scale > widest) widest = scale;
            }
            steps[at / TK_QK + k] = widest * (float)c->gap;
        }
    }
    return w->cols / TK_QK;
}
