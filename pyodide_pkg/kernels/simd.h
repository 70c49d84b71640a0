/* Vectors of 128 bits in clang's portable form, and the two operations that it does not spell. */
#ifndef TK_SIMD_H
#define TK_SIMD_H

#include "thimble.h"
#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSSE3__)
#include <tmmintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

typedef float v4f __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint32_t v4u __attribute__((vector_size(16)));
typedef int16_t v8s __attribute__((vector_size(16)));
typedef uint16_t v8u __attribute__((vector_size(16)));
typedef int8_t v8c __attribute__((vector_size(8)));
typedef uint16_t v4us __attribute__((vector_size(8)));
typedef int16_t v4ss __attribute__((vector_size(8)));

/* The same, at any address. */
typedef v4f v4f_any __attribute__((aligned(4)));
typedef v4i v4i_any __attribute__((aligned(4)));
typedef v8s v8s_any __attribute__((aligned(2)));
typedef v8c v8c_any __attribute__((aligned(1)));
typedef v4us v4us_any __attribute__((aligned(2)));
typedef v4ss v4ss_any __attribute__((aligned(2)));

TK_INLINE v4f load4(const float *p) { return *(const v4f_any *)p; }
TK_INLINE void store4(float *p, v4f v) { *(v4f_any *)p = v; }
TK_INLINE v4f splat4(float x) { return (v4f){x, x, x, x}; }
TK_INLINE v4i splat4i(int32_t x) { return (v4i){x, x, x, x}; }

/* Four bytes of a pair of 16-bit numbers, in all four lanes. */
TK_INLINE v8s splat_pair(const int16_t *p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return (v8s)splat4i(pair);
}

/* Four bytes, in all four lanes. */
TK_INLINE v4i splat_four(const int8_t *p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return splat4i(four);
}

/* Eight signed bytes, widened. */
TK_INLINE v8s widen8(const int8_t *p) { return __builtin_convertvector(*(const v8c_any *)p, v8s); }

/* Lane i is a[2i] b[2i] + a[2i+1] b[2i+1]. */
TK_INLINE v4i dot_pairs(v8s a, v8s b) {
#if defined(__wasm_simd128__)
    return (v4i)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (v4i)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
    int32x4_t lo = vmull_s16(vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
    int32x4_t hi = vmull_s16(vget_high_s16((int16x8_t)a), vget_high_s16((int16x8_t)b));
    return (v4i)vpaddq_s32(lo, hi);
#else
    v4i r;
    for (int i = 0; i < 4; i++) r[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    return r;
#endif
}

/* Whether there is an instruction for dot_fours. */
#if defined(__wasm_relaxed_simd__) || defined(__SSSE3__) || defined(__ARM_FEATURE_DOTPROD)
#define TK_FOURS 1
#else
#define TK_FOURS 0
#endif

#if TK_FOURS
typedef uint8_t v16uc __attribute__((vector_size(16)));

/* sum plus, in lane i, the products of bytes 4i to 4i+3; small is below 16, which keeps every
 * machine's instruction exact: no pair of products overflows 16 bits, and bit 7 is never set. */
TK_INLINE v4i dot_fours(v4i sum, v16uc small, v4i bytes) {
#if defined(__wasm_relaxed_simd__)
    return (v4i)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)bytes, (v128_t)small, (v128_t)sum);
#elif defined(__SSSE3__)
    __m128i pairs = _mm_maddubs_epi16((__m128i)small, (__m128i)bytes);
    return sum + (v4i)_mm_madd_epi16(pairs, _mm_set1_epi16(1));
#else
    return (v4i)vdotq_s32((int32x4_t)sum, (int8x16_t)small, (int8x16_t)bytes);
#endif
}
#endif

/* The one order in which four lanes are added up. */
TK_INLINE float sum4(v4f v) { return (v[0] + v[1]) + (v[2] + v[3]); }

TK_INLINE v4f max4(v4f a, v4f b) {
    v4i m = a > b;
    return (v4f)(((v4i)a & m) | ((v4i)b & ~m));
}

/* Half precision to single, four lanes, exact: sign and digits are shifted to their places, and a
 * multiplication with a power of two puts the exponent right, of subnormal halves too. Halves that
 * are infinite or NaN do not come here: pack.c refuses them. */
TK_INLINE v4f half4(const uint16_t *p) {
    v4i h = __builtin_convertvector(*(const v4ss_any *)p, v4i) << 13;
    return (v4f)(h & (int32_t)0x8fffe000) * splat4(0x1p112f);
}

TK_INLINE v4f bfloat4(const uint16_t *p) {
    return (v4f)(__builtin_convertvector(*(const v4us_any *)p, v4u) << 16);
}

#endif
