/* What relaxed SIMD would bring to Q4_0: one product, a vector with a matrix packed for it.
 *
 * Four-bit weights are the one case in which `i32x4.relaxed_dot_i8x16_i7x16_add` is exact on every
 * machine: the weights (0 to 15) are its 7-bit operand and no pair of products overflows 16 bits. A
 * vector holds four rows of eight columns, so that a lane is a row, as in the kernels proper; with
 * RELAXED undefined the same memory is read by the operations that the kernels use. */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

enum { QK = 32, UNIT = 16 + 64, MOST = 1 << 23 };

static uint8_t weights[MOST] __attribute__((aligned(64)));
static int16_t wide[4096] __attribute__((aligned(64)));
static int8_t narrow[4096] __attribute__((aligned(64)));
static float scales[128], out[65536];

__attribute__((export_name("fill"))) int fill(int rows, int cols) {
    size_t bytes = (size_t)rows / 4 * ((size_t)cols / QK) * UNIT;
    if (bytes > MOST || cols > 4096 || rows > 65536) return 0;
    for (size_t unit = 0; unit < bytes; unit += UNIT) {
        for (int r = 0; r < 4; r++) ((float *)(weights + unit))[r] = 0.01f;
        for (int i = 16; i < UNIT; i++)
            weights[unit + (size_t)i] = (uint8_t)(unit * 7 + (size_t)i * 31);
    }
    for (int c = 0; c < cols; c++) wide[c] = narrow[c] = (int8_t)(c * 37 % 255 - 127);
    for (int b = 0; b < cols / QK; b++) scales[b] = 0.02f;
    return 1;
}

/* Eight columns of four rows: 16 bytes, low nibbles the first four columns, high ones the others.
 */
static inline v128_t eight_columns(v128_t sum, v128_t packed, int column) {
    const v128_t low = wasm_i8x16_splat(15);
    v128_t first = wasm_v128_and(packed, low),
           second = wasm_v128_and(wasm_u16x8_shr(packed, 4), low);
#ifdef RELAXED
    v128_t x0 = wasm_v128_load32_splat(narrow + column),
           x1 = wasm_v128_load32_splat(narrow + column + 4);
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x0, first, sum);
    return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x1, second, sum);
#else
    /* Pairs of columns instead of fours: the same number of multiplications in 16 bits. */
    v128_t x0 = wasm_v128_load32_splat(wide + column),
           x1 = wasm_v128_load32_splat(wide + column + 2);
    v128_t x2 = wasm_v128_load32_splat(wide + column + 4),
           x3 = wasm_v128_load32_splat(wide + column + 6);
    const v128_t nibble = wasm_i16x8_splat(15);
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(packed, nibble), x0));
    sum = wasm_i32x4_add(
        sum, wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(packed, 4), nibble), x1));
    sum = wasm_i32x4_add(
        sum, wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(packed, 8), nibble), x2));
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_u16x8_shr(packed, 12), x3));
#endif
}

/* Somebody may read the result, so the compiler has to compute it. */
__attribute__((export_name("result"))) float result(int row) { return out[row]; }

__attribute__((export_name("product"))) void product(int rows, int cols, int times) {
    int blocks = cols / QK;
    for (int k = 0; k < times; k++)
        for (int group = 0; group < rows / 16; group++) {
            const uint8_t *w = weights + (size_t)group * (size_t)blocks * 4 * UNIT;
            v128_t acc[4] = {0};
            for (int b = 0; b < blocks; b++, w += 4 * UNIT) {
                v128_t sum[4] = {0};
#pragma clang loop unroll(full)
                for (int v = 0; v < 4; v++)
                    for (int q = 0; q < 4; q++)
                        sum[q] = eight_columns(sum[q], wasm_v128_load(w + q * UNIT + 16 + 16 * v),
                                               b * QK + 8 * v);
                for (int q = 0; q < 4; q++) {
                    v128_t scale =
                        wasm_f32x4_mul(wasm_v128_load(w + q * UNIT), wasm_f32x4_splat(scales[b]));
                    acc[q] = wasm_f32x4_add(
                        acc[q], wasm_f32x4_mul(scale, wasm_f32x4_convert_i32x4(sum[q])));
                }
            }
            for (int q = 0; q < 4; q++) wasm_v128_store(out + group * 16 + q * 4, acc[q]);
        }
}
