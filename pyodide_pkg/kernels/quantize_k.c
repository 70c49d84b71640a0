/* Floats to Q4_K, Q6_K and Q5_0, and to every other type that we write.
 *
 * Q5_0, which stands in for Q4_K where rows fill no blocks of 256, has the bytes of ggml's reference
 * quantizer. In the K types a sub-block's scale (and least value) is sought: the range of 16 or 32 values is laid over the
 * integers a little narrower and wider in turn, each time scale and least value follow by weighted
 * least squares from the integers so found, and the try with the smallest error is kept. Scales are
 * then integers themselves, of a float that the block of 256 shares, and the values are rounded anew
 * with what became of their scales. Method: ggml's reference quantizers,
 * https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c. */
#include "numeric.h"
#include "simd.h"

enum { BIG = 256 };

static int32_t nearest(float x) {
    v4f magic = splat4(12582912.0f); /* to nearest even, as long as |x| < 2^22 */
    return ((v4i)(splat4(x) + magic) - (v4i)magic)[0];
}

static int32_t clamp(int32_t n, int32_t low, int32_t high) {
    return n < low ? low : n > high ? high : n;
}

/* A half, and what it then is as a float. */
static float put_half(uint8_t *p, float x) {
    tk_quantize(TK_F16, (tk_int)&x, (tk_int)p, 1);
    tk_dequantize(TK_F16, (tk_int)p, (tk_int)&x, 1);
    return x;
}

static float finite_or_zero(float x) { return tk_finite(&x, 1) ? x : 0.0f; }

/* 32 values as scale q - least, q from 0 to 15; errors count by `weight`. */
typedef struct {
    float scale, least, error;
} fit;

static float error_of(const float *x, const float *weight, float scale, float low, float inverse,
                      float least) {
    float error = 0.0f;
    for (int i = 0; i < TK_QK; i++) {
        float off = scale * (float)clamp(nearest(inverse * (x[i] - low)), 0, 15) + least - x[i];
        error += weight[i] * off * off;
    }
    return error;
}

/* The best scale and least value for the integers that `inverse` and `low` make of x. */
static fit solve(const float *x, const float *weight, float low, float inverse) {
    float w = 0.0f, wx = 0.0f, wq = 0.0f, wqq = 0.0f, wqx = 0.0f;
    for (int i = 0; i < TK_QK; i++) {
        float q = (float)clamp(nearest(inverse * (x[i] - low)), 0, 15);
        w += weight[i];
        wx += weight[i] * x[i];
        wq += weight[i] * q;
        wqq += weight[i] * q * q;
        wqx += weight[i] * q * x[i];
    }
    float det = w * wqq - wq * wq;
    if (!(det > 0.0f)) return (fit){0.0f, 0.0f, -1.0f};
    fit f = {(w * wqx - wx * wq) / det, (wqq * wx - wq * wqx) / det, 0.0f};
    if (f.least > 0.0f) {
        f.least = 0.0f;
        f.scale = wqx / wqq;
    }
    f.error = error_of(x, weight, f.scale, low, inverse, f.least);
    return f;
}

static fit fit_q4(const float *x) {
    float weight[TK_QK], low = 0.0f, high = x[0], squares = 0.0f;
    for (int i = 0; i < TK_QK; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        squares += x[i] * x[i];
    }
    if (!(high - low > 0x1p-100f)) return (fit){0.0f, -low, 0.0f};
    float typical = __builtin_sqrtf(squares / TK_QK);
    for (int i = 0; i < TK_QK; i++) weight[i] = typical + __builtin_fabsf(x[i]);
    float inverse = 15.0f / (high - low);
    fit best = {1.0f / inverse, low, 0.0f};
    best.error = error_of(x, weight, best.scale, low, inverse, low);
    for (int step = 0; step <= 20; step++) {
        fit tried = solve(x, weight, low, (14.0f + 0.1f * (float)step) / (high - low));
        if (tried.error >= 0.0f && tried.error < best.error) best = tried;
    }
    best.least = -best.least;
    return best;
}

/* To 144 bytes: see blocks.c for the layout. */
static void quantize_q4_k(const float *x, uint8_t *out) {
    float scale[8], least[8], top_scale = 0.0f, top_least = 0.0f;
    for (int i = 0; i < 8; i++) {
        fit f = fit_q4(x + i * TK_QK);
        scale[i] = f.scale;
        least[i] = f.least;
        top_scale = f.scale > top_scale ? f.scale : top_scale;
        top_least = f.least > top_least ? f.least : top_least;
    }
    float to_s = finite_or_zero(63.0f / top_scale), to_m = finite_or_zero(63.0f / top_least);
    float d = put_half(out, top_scale / 63.0f), low = put_half(out + 2, top_least / 63.0f);
    int32_t s[8], m[8];
    for (int i = 0; i < 8; i++) {
        s[i] = clamp(nearest(to_s * scale[i]), 0, 63);
        m[i] = clamp(nearest(to_m * least[i]), 0, 63);
    }
    for (int i = 0; i < 4; i++) {
        out[4 + i] = (uint8_t)(s[i] | s[i + 4] >> 4 << 6);
        out[8 + i] = (uint8_t)(m[i] | m[i + 4] >> 4 << 6);
        out[12 + i] = (uint8_t)((s[i + 4] & 15) | (m[i + 4] & 15) << 4);
    }
    for (int c = 0; c < BIG; c++) {
        int i = c / TK_QK;
        float step = d * (float)s[i];
        float place = step == 0.0f ? 0.0f : (x[c] + low * (float)m[i]) / step;
        uint8_t q = (uint8_t)(step == 0.0f ? 0 : place >= 15.0f ? 15 : place <= 0.0f ? 0 : nearest(place));
        uint8_t *byte = out + 16 + c / 64 * 32 + c % 32;
        if (c & 32)
            *byte |= (uint8_t)(q << 4);
        else
            *byte = q;
    }
}

/* The scale of 16 values from -32 to 31, weighted by their squares. */
static float fit_q6(const float *x) {
    float top = 0.0f, extreme = 0.0f;
    for (int i = 0; i < 16; i++)
        if (__builtin_fabsf(x[i]) > top) {
            top = __builtin_fabsf(x[i]);
            extreme = x[i];
        }
    if (top < 1e-15f) return 0.0f;
    float best = 0.0f, scale = 0.0f; /* of values relative to `top`, so that no square overflows */
    for (int step = -9; step <= 9; step++) {
        float inverse = -(32.0f + 0.1f * (float)step) / extreme, wqx = 0.0f, wqq = 0.0f;
        for (int i = 0; i < 16; i++) {
            float q = (float)clamp(nearest(inverse * x[i]), -32, 31), u = x[i] / top, w = u * u;
            wqx += w * u * q;
            wqq += w * q * q;
        }
        /* What the least error leaves of the sum of squares; larger is better. */
        if (wqq > 0.0f && (step == -9 || wqx * wqx > best * wqq)) {
            scale = wqx / wqq;
            best = scale * wqx;
        }
    }
    return scale * top;
}

/* To 210 bytes. */
static void quantize_q6_k(const float *x, uint8_t *out) {
    float scale[16], extreme = 0.0f;
    for (int i = 0; i < 16; i++) {
        scale[i] = fit_q6(x + 16 * i);
        if (__builtin_fabsf(scale[i]) > __builtin_fabsf(extreme)) extreme = scale[i];
    }
    for (int i = 0; i < 210; i++) out[i] = 0;
    float to_s = finite_or_zero(-128.0f / extreme), d = put_half(out + 208, extreme / -128.0f);
    for (int c = 0; c < BIG; c++) {
        int i = c / 16;
        int32_t s = clamp(nearest(to_s * scale[i]), -128, 127);
        out[192 + i] = (uint8_t)s;
        float step = d * (float)s, place = step == 0.0f ? 0.0f : x[c] / step;
        int q = 32 + (place >= 31.0f ? 31 : place <= -32.0f ? -32 : nearest(place));
        int half = c / 128, in = c % 128;
        out[half * 64 + in % 64] |= (uint8_t)((q & 15) << (in < 64 ? 0 : 4));
        out[128 + half * 32 + in % 32] |= (uint8_t)(q >> 4 << (in / 32 * 2));
    }
}

/* To 22 bytes: the scale makes the value furthest from 0 the least of the 32 numbers. */
static void quantize_q5_0(const float *x, uint8_t *out) {
    float top = 0.0f, extreme = 0.0f;
    for (int i = 0; i < TK_QK; i++)
        if (__builtin_fabsf(x[i]) > top) {
            top = __builtin_fabsf(x[i]);
            extreme = x[i];
        }
    float d = extreme / -16.0f, inverse = top > 0x1p-124f ? 1.0f / d : 0.0f;
    put_half(out, d);
    for (int i = 2; i < 22; i++) out[i] = 0;
    for (int i = 0; i < TK_QK; i++) {
        /* Rounded after the product and after the sum, as ggml does: ties depend on it. */
        int32_t q = clamp((int32_t)(x[i] * inverse + 16.5f), 0, 31);
        out[2 + i / 8] |= (uint8_t)(q >> 4 << i % 8);
        out[6 + i % 16] |= (uint8_t)((q & 15) << (i < 16 ? 0 : 4));
    }
}

/* n floats in an encoding's bytes. Returns 0, or -1 where we do not write that encoding. */
TK_EXPORT tk_int tk_encode(tk_int type, tk_int source, tk_int out, tk_int n) {
    const float *x = (const float *)source;
    uint8_t *p = (uint8_t *)out;
    switch (type) {
    case TK_Q4_K:
        for (tk_int b = 0; b < n / BIG; b++) quantize_q4_k(x + b * BIG, p + b * 144);
        return 0;
    case TK_Q5_0:
        for (tk_int b = 0; b < n / TK_QK; b++) quantize_q5_0(x + b * TK_QK, p + b * 22);
        return 0;
    case TK_Q6_K:
        for (tk_int b = 0; b < n / BIG; b++) quantize_q6_k(x + b * BIG, p + b * 210);
        return 0;
    default: return tk_quantize(type, source, out, n);
    }
}
