/* The machine's own limits: bytes read a second, and multiply-adds a second in registers.
 *
 * The same source natively and as WebAssembly. Both work on 128-bit vectors, as the kernels do. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default"), used))

typedef int32_t v4i __attribute__((vector_size(16)));
typedef int16_t v8s __attribute__((vector_size(16)));
typedef float v4f __attribute__((vector_size(16)));
typedef int64_t v2l __attribute__((vector_size(16)));

enum { STREAMS = 8 };

#if __wasm__
#include <wasm_simd128.h>
extern uint8_t __heap_base;
EXPORT intptr_t probe_buffer(void) { return ((intptr_t)&__heap_base + 63) & ~(intptr_t)63; }
static v4i dot(v8s a, v8s b) { return (v4i)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b); }
#elif __SSE2__
#include <emmintrin.h>
static v4i dot(v8s a, v8s b) { return (v4i)_mm_madd_epi16((__m128i)a, (__m128i)b); }
#else
static v4i dot(v8s a, v8s b) {
    v4i sums;
    for (int i = 0; i < 4; i++) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    return sums;
}
#endif

/* Sums `bytes` bytes, a multiple of 128, in eight independent streams of vectors. */
EXPORT intptr_t probe_read(intptr_t at, intptr_t bytes) {
    const v2l *p = (const v2l *)at;
    v2l sums[STREAMS] = {{0}};
    for (intptr_t n = bytes / (16 * STREAMS); n > 0; n--, p += STREAMS)
        for (int s = 0; s < STREAMS; s++) sums[s] += p[s];
    v2l total = {0};
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return (intptr_t)(total[0] + total[1]);
}

/* Multiply-adds of one round of `probe_products`, and of `probe_floats`. */
EXPORT intptr_t probe_products_a_round(void) { return STREAMS * 8; }
EXPORT intptr_t probe_floats_a_round(void) { return STREAMS * 4; }

/* Multiplies and adds in registers: four vectors with two, which change every round, or the
 * compiler would multiply once. Returns the sum, so that all of it is needed. */
EXPORT intptr_t probe_products(intptr_t rounds) {
    static volatile int16_t seed = 3;
    v8s a[4], b[2];
    for (int i = 0; i < 8; i++) {
        for (int s = 0; s < 4; s++) a[s][i] = (int16_t)(seed + 8 * s + i);
        for (int s = 0; s < 2; s++) b[s][i] = (int16_t)(seed * (i + s + 1));
    }
    v4i sums[STREAMS] = {{0}};
    for (intptr_t n = 0; n < rounds; n++) {
        for (int s = 0; s < STREAMS; s++) sums[s] += dot(a[s % 4], b[s / 4]);
        b[0] += a[0];
        b[1] += a[1];
    }
    v4i total = {0};
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return total[0] + total[1] + total[2] + total[3];
}

/* The same in single precision, multiplied and added one after the other as the kernels must. */
EXPORT intptr_t probe_floats(intptr_t rounds) {
    static volatile float seed = 1.0f;
    v4f a[4], b[2];
    for (int i = 0; i < 4; i++) {
        for (int s = 0; s < 4; s++) a[s][i] = seed * (float)(s + i);
        for (int s = 0; s < 2; s++) b[s][i] = seed * (float)(s - i);
    }
    v4f sums[STREAMS] = {{0}};
    for (intptr_t n = 0; n < rounds; n++) {
        for (int s = 0; s < STREAMS; s++) sums[s] += a[s % 4] * b[s / 4];
        /* By the integer unit, which leaves the two that add and multiply to the products. */
        for (int s = 0; s < 2; s++) b[s] = (v4f)((v4i)b[s] ^ 8);
    }
    v4f total = {0};
    for (int s = 0; s < STREAMS; s++) total += sums[s];
    return (total[0] + total[1] + total[2] + total[3]) > 0.0f;
}
