/* What a block of a file says, for each type whose weights are looked up.
 *
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h and ggml-quants.c. Where
 * several numbers lie in one, a comment gives the bits, from the lowest on. */
#include "codes.h"
#include "simd.h"

static uint32_t u16_at(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static uint32_t u32_at(const uint8_t *p) { return u16_at(p) | u16_at(p + 2) << 16; }

/* Seven signs say the eighth: there is an even number of negative ones. */
static uint8_t eight_signs(uint32_t seven) {
    uint32_t signs = seven & 127u;
    return (uint8_t)(signs | (uint32_t)(__builtin_popcount(signs) & 1) << 7);
}

/* s is odd: 1, 3, 5 ... by its number. */
static uint8_t odd(uint32_t n) { return (uint8_t)(2 * n + 1); }
static uint32_t nibble(const uint8_t *p, int i) { return (uint32_t)p[i / 2] >> (i & 1) * 4 & 15u; }

/* n nibbles: the low halves of n / 2 bytes, then the high ones. */
static void nibbles(const uint8_t *p, uint8_t *code, int n) {
    for (int i = 0; i < n / 2; i++) {
        code[i] = p[i] & 15;
        code[n / 2 + i] = p[i] >> 4;
    }
}

/* Eight codes of IQ2: a magnitude of three, and the sign above it. */
static void eight(const tk_code *c, uint32_t place, uint32_t signs, uint8_t *code) {
    const uint8_t *grid = tk_grid_of(c) + 8 * place;
    for (int j = 0; j < 8; j++) code[j] = (uint8_t)(grid[j] | (signs >> j & 1u) << 2);
}

/* Of 32 columns, four places of 8 bits; four times seven signs, and 4 bits of s. */
static void read_iq2_xxs(const tk_code *c, const uint8_t *p, tk_coded *b) {
    for (int k = 0; k < 8; k++) {
        const uint8_t *own = p + 2 + 8 * k;
        uint32_t rest = u32_at(own + 4);
        for (int l = 0; l < 4; l++)
            eight(c, own[l], eight_signs(rest >> 7 * l), b->code + 32 * k + 8 * l);
        b->s[k] = odd(rest >> 28);
    }
}

/* Of eight columns a place of 9 bits and seven signs; then s. */
static void read_iq2_xs(const tk_code *c, const uint8_t *p, tk_coded *b) {
    for (int l = 0; l < 32; l++) {
        uint32_t both = u16_at(p + 2 + 2 * l);
        eight(c, both & 511u, eight_signs(both >> 9), b->code + 8 * l);
    }
    for (int i = 0; i < 16; i++) b->s[i] = odd(nibble(p + 66, i));
}

/* Places of 10 bits, whose upper two stand behind the signs; then s. */
static void read_iq2_s(const tk_code *c, const uint8_t *p, tk_coded *b) {
    for (int l = 0; l < 32; l++) {
        uint32_t upper = (uint32_t)p[66 + l / 4] >> 2 * (l & 3) & 3u;
        eight(c, p[2 + l] | upper << 8, p[34 + l], b->code + 8 * l);
    }
    for (int i = 0; i < 16; i++) b->s[i] = odd(nibble(p + 74, i));
}

/* Places of 8 bits; of 32 columns, four times seven signs, and 4 bits of s. */
static void read_iq3_xxs(const uint8_t *p, tk_coded *b) {
    __builtin_memcpy(b->code, p + 2, 64);
    for (int k = 0; k < 8; k++) {
        uint32_t rest = u32_at(p + 66 + 4 * k);
        for (int l = 0; l < 4; l++) b->sign[4 * k + l] = eight_signs(rest >> 7 * l);
        b->s[k] = odd(rest >> 28);
    }
}

static void read_iq3_s(const uint8_t *p, tk_coded *b) {
    __builtin_memcpy(b->code, p + 2, 64);
    __builtin_memcpy(b->ninth, p + 66, 8);
    __builtin_memcpy(b->sign, p + 74, 32);
    for (int k = 0; k < 8; k++) b->s[k] = odd(nibble(p + 106, k));
}

/* Eight codes of IQ1: three values, and above them whether an eighth is taken off or added. */
static void eight_of_three(const tk_code *c, uint32_t place, uint32_t less, uint8_t *code) {
    const uint8_t *grid = tk_grid_of(c) + 8 * place;
    for (int j = 0; j < 8; j++) code[j] = (uint8_t)(grid[j] | less << 2);
}

/* Of 32 columns, four times the upper 3 bits of a place, 3 bits of s, and the eighth's sign. */
static void read_iq1_s(const tk_code *c, const uint8_t *p, tk_coded *b) {
    for (int k = 0; k < 8; k++) {
        uint32_t rest = u16_at(p + 34 + 2 * k);
        for (int l = 0; l < 4; l++) {
            uint32_t place = p[2 + 4 * k + l] | (rest >> 3 * l & 7u) << 8;
            eight_of_three(c, place, rest >> 15, b->code + 32 * k + 8 * l);
        }
        b->s[k] = odd(rest >> 12 & 7u);
    }
}

/* Of eight columns, the upper 3 bits of a place and the eighth's sign; of 64 columns, four times 3
 * bits of s, and 4 bits of d. */
static void read_iq1_m(const tk_code *c, const uint8_t *p, tk_coded *b) {
    uint32_t d = 0;
    for (int l = 0; l < 32; l++) {
        uint32_t rest = nibble(p + 32, l);
        eight_of_three(c, p[l] | (rest & 7u) << 8, rest >> 3, b->code + 8 * l);
    }
    for (int i = 0; i < 16; i++) b->s[i] = odd(u16_at(p + 48 + i / 4 * 2) >> 3 * (i & 3) & 7u);
    for (int i = 0; i < 4; i++) d |= (u16_at(p + 48 + 2 * i) >> 12) << 4 * i;
    b->half = (uint16_t)d;
}

/* Of 32 columns 2 upper bits of s, 4 lower ones, then nibbles. */
static void read_iq4_xs(const uint8_t *p, tk_coded *b) {
    for (int k = 0; k < 8; k++) {
        uint32_t s = nibble(p + 4, k) | (u16_at(p + 2) >> 2 * k & 3u) << 4;
        b->s[k] = (uint8_t)(s - 32u);
        nibbles(p + 8 + 16 * k, b->code + 32 * k, 32);
    }
}

/* Three values, five in a byte: it is their number in base 3 as a part of 243, in parts of 256. */
static void read_tq1_0(const uint8_t *p, tk_coded *b) {
    static const struct {
        int first, bytes, each;
    } RUNS[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    uint8_t *code = b->code;
    for (int run = 0; run < 3; run++) {
        uint8_t power = 1;
        for (int n = 0; n < RUNS[run].each; n++, power = (uint8_t)(power * 3))
            for (int i = 0; i < RUNS[run].bytes; i++) {
                uint8_t rest = (uint8_t)(p[RUNS[run].first + i] * power);
                *code++ = (uint8_t)(rest * 3 >> 8);
            }
    }
    b->half = (uint16_t)u16_at(p + 52);
}

/* The upper half of a float: two to the power of e - 128. */
static uint16_t power_of_two(uint32_t e) { return (uint16_t)(e < 2 ? 0x20u << e : (e - 1) << 7); }

/* A float of 8 bits without a sign, of which 0x7f is none. */
static uint8_t small_float(uint8_t x) { return x == 0x7f ? 0 : x & 0x7f; }

static void read_fours(const tk_code *c, const uint8_t *p, tk_coded *b) {
    if (c->type == TK_IQ4_NL) nibbles(p + 2, b->code, 32);
    if (c->type == TK_MXFP4) {
        b->half = power_of_two(p[0]);
        nibbles(p + 1, b->code, 32);
    }
    for (int i = 0; c->type == TK_NVFP4 && i < 4; i++) {
        b->s[i] = small_float(p[i]);
        nibbles(p + 4 + 8 * i, b->code + 16 * i, 16);
    }
}

/* Whether every weight is finite: the largest power of two makes some infinite. */
static int is_finite(const tk_code *c, const tk_coded *b) {
    if (c->d == TK_D_HALF) return (b->half & 0x7c00) != 0x7c00;
    if (c->d == TK_D_NONE || b->half < 0x7e00) return 1;
    union {
        uint32_t u;
        float f;
    } d = {(uint32_t)b->half << 16};
    for (int i = 0; i < c->values; i++) {
        float weight = d.f * (float)(c->table[b->code[i]] - c->offset);
        if (!tk_finite(&weight, 1)) return 0;
    }
    return 1;
}

int tk_read_codes(const tk_code *c, const uint8_t *p, tk_coded *b) {
    b->half = (uint16_t)u16_at(p);
    switch (c->type) {
    case TK_Q1_0:
        for (int i = 0; i < 128; i++) b->code[i] = p[2 + i / 8] >> (i & 7) & 1;
        break;
    case TK_Q2_0:
        for (int i = 0; i < 64; i++) b->code[i] = p[2 + i / 4] >> 2 * (i & 3) & 3;
        break;
    case TK_TQ2_0:
        for (int i = 0; i < 256; i++) b->code[i] = p[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        b->half = (uint16_t)u16_at(p + 64);
        break;
    case TK_TQ1_0: read_tq1_0(p, b); break;
    case TK_IQ2_XXS: read_iq2_xxs(c, p, b); break;
    case TK_IQ2_XS: read_iq2_xs(c, p, b); break;
    case TK_IQ2_S: read_iq2_s(c, p, b); break;
    case TK_IQ3_XXS: read_iq3_xxs(p, b); break;
    case TK_IQ3_S: read_iq3_s(p, b); break;
    case TK_IQ1_S: read_iq1_s(c, p, b); break;
    case TK_IQ1_M: read_iq1_m(c, p, b); break;
    case TK_IQ4_XS: read_iq4_xs(p, b); break;
    case TK_IQ4_NL:
    case TK_MXFP4:
    case TK_NVFP4: read_fours(c, p, b); break;
    default: __builtin_trap(); /* a type in codes.c without its case here */
    }
    return is_finite(c, b);
}
