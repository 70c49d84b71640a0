/* Between floats and the file's encodings, n values at a time (n a multiple of the block). The
 * results are those of ggml's reference quantizers, to the bit. */
#include "simd.h"

static uint16_t float_to_half(float x) {
    union {
        float f;
        uint32_t u;
    } v = {x};
    uint32_t sign = v.u >> 16 & 0x8000u, magnitude = v.u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds past 65504 */
    if (magnitude < 0x38800000u) {
        /* Subnormal: adding 0.5 lines the bits up and rounds them to nearest even. */
        union {
            uint32_t u;
            float f;
        } s = {magnitude};
        union {
            float f;
            uint32_t u;
        } t = {s.f + 0.5f};
        return (uint16_t)(sign | (t.u - 0x3f000000u));
    }
    magnitude += 0xc8000000u + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | magnitude >> 13);
}

/* Unlike half4, also of infinities and NaNs: what a file holds is checked by its values. */
static float half_value(uint16_t h) {
    uint16_t four[4] = {h, 0, 0, 0};
    union {
        uint32_t u;
        float f;
    } special = {(uint32_t)(h & 0x8000) << 16 | 0x7f800000u | (uint32_t)(h & 0x3ff) << 13};
    return (h & 0x7c00) == 0x7c00 ? special.f : half4(four)[0];
}

static uint16_t float_to_bfloat(float x) {
    union {
        float f;
        uint32_t u;
    } v = {x};
    if ((v.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(v.u >> 16 | 64u);
    return (uint16_t)((v.u + (0x7fffu + (v.u >> 16 & 1u))) >> 16);
}

/* Half away from zero, as C's roundf. */
static int32_t round_away(float x) {
    int32_t n = (int32_t)x;
    float rest = x - (float)n;
    return n + (rest >= 0.5f) - (rest <= -0.5f);
}

/* 1 / d; 0 where that is infinite, for blocks so small that their scale becomes 0 as a half. */
static float reciprocal(float d) { return __builtin_fabsf(d) > 0x1p-128f ? 1.0f / d : 0.0f; }

static void put16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void quantize_q8_0(const float *x, uint8_t *out) {
    float top = 0.0f;
    for (int i = 0; i < TK_QK; i++) {
        float a = __builtin_fabsf(x[i]);
        top = a > top ? a : top;
    }
    float d = top / 127.0f, inverse = reciprocal(d);
    put16(out, float_to_half(d));
    for (int i = 0; i < TK_QK; i++) out[2 + i] = (uint8_t)(int8_t)round_away(x[i] * inverse);
}

static void quantize_q4_0(const float *x, uint8_t *out) {
    float top = 0.0f, extreme = 0.0f;
    for (int i = 0; i < TK_QK; i++) {
        float a = __builtin_fabsf(x[i]);
        if (a > top) {
            top = a;
            extreme = x[i];
        }
    }
    float d = extreme / -8.0f, inverse = reciprocal(d);
    put16(out, float_to_half(d));
    for (int i = 0; i < TK_QK; i++) {
        /* Rounded after the product and after the sum, as ggml's reference does: ties depend on it.
         */
        int32_t q = (int32_t)(x[i] * inverse + 8.5f);
        q = q > 15 ? 15 : q < 0 ? 0 : q;
        if (i < 16)
            out[2 + i] = (uint8_t)q;
        else
            out[2 + i - 16] |= (uint8_t)(q << 4);
    }
}

/* src: n floats; dst: the encoding's bytes. Returns 0, or -1 where the encoding is unknown. */
TK_EXPORT tk_int tk_quantize(tk_int type, tk_int src, tk_int dst, tk_int n) {
    const float *x = (const float *)src;
    uint8_t *out = (uint8_t *)dst;
    switch (type) {
    case TK_F32: tk_move(out, x, (size_t)n * 4); return 0;
    case TK_F16:
        for (tk_int i = 0; i < n; i++) put16(out + 2 * i, float_to_half(x[i]));
        return 0;
    case TK_BF16:
        for (tk_int i = 0; i < n; i++) put16(out + 2 * i, float_to_bfloat(x[i]));
        return 0;
    case TK_Q8_0:
        for (tk_int b = 0; b < n / TK_QK; b++) quantize_q8_0(x + b * TK_QK, out + b * 34);
        return 0;
    case TK_Q4_0:
        for (tk_int b = 0; b < n / TK_QK; b++) quantize_q4_0(x + b * TK_QK, out + b * 18);
        return 0;
    default: return -1;
    }
}

/* src: the encoding's bytes; dst: n floats. */
TK_EXPORT tk_int tk_dequantize(tk_int type, tk_int src, tk_int dst, tk_int n) {
    const uint8_t *in = (const uint8_t *)src;
    float *y = (float *)dst;
    switch (type) {
    case TK_F32: tk_move(y, in, (size_t)n * 4); return 0;
    case TK_F16:
        for (tk_int i = 0; i < n; i++)
            y[i] = half_value((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
        return 0;
    case TK_BF16:
        for (tk_int i = 0; i < n; i++) {
            union {
                uint32_t u;
                float f;
            } v = {(uint32_t)in[2 * i] << 16 | (uint32_t)in[2 * i + 1] << 24};
            y[i] = v.f;
        }
        return 0;
    case TK_Q8_0:
        for (tk_int b = 0; b < n / TK_QK; b++, in += 34, y += TK_QK) {
            float d = half_value((uint16_t)(in[0] | in[1] << 8));
            for (int i = 0; i < TK_QK; i++) y[i] = d * (float)(int8_t)in[2 + i];
        }
        return 0;
    case TK_Q4_0:
        for (tk_int b = 0; b < n / TK_QK; b++, in += 18, y += TK_QK) {
            float d = half_value((uint16_t)(in[0] | in[1] << 8));
            for (int i = 0; i < 16; i++) {
                y[i] = d * (float)((in[2 + i] & 15) - 8);
                y[16 + i] = d * (float)((in[2 + i] >> 4) - 8);
            }
        }
        return 0;
    default: return -1;
    }
}
