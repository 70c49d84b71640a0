/* The kernels' types, and what they promise.
 *
 * One portable C source for WebAssembly and native machines. Exported functions take and return
 * integers of pointer width only (`tk_int`): addresses, counts, ids; numbers with a fraction travel
 * in memory. They know nothing of files, text or Python.
 *
 * Bits are a promise: the same inputs give the same bits on every machine. So every sum of floats
 * has one fixed order that depends neither on the vector width nor on how work is divided, no
 * multiply and add are fused (-ffp-contract=off), and exp, log, sin and cos are our own.
 */
#ifndef THIMBLE_H
#define THIMBLE_H

#include <stddef.h>
#include <stdint.h>

#define TK_EXPORT __attribute__((visibility("default"), used))
#define TK_INLINE static inline __attribute__((always_inline))

typedef intptr_t tk_int;

enum { TK_ABI_VERSION = 2 };
enum { TK_BATCH = 32 };     /* tokens that pass through the layers together */
enum { TK_QK = 32 };        /* values that share one scale, in weights and activations */
enum { TK_KEY_GROUP = 32 }; /* positions whose keys lie together */
enum { TK_MAX_TOP = 64 };   /* alternatives that a sampling step can report */
enum { TK_MAX_THREADS = 16 };
enum { TK_MAX_RANK = 256 }; /* of an adapter */

/* Encodings, by ggml's numbers. */
enum { TK_F32 = 0, TK_F16 = 1, TK_Q4_0 = 2, TK_Q8_0 = 8, TK_BF16 = 30 };
enum { TK_Q4_1 = 3, TK_Q5_0 = 6, TK_Q5_1 = 7 };
enum { TK_Q2_K = 10, TK_Q3_K = 11, TK_Q4_K = 12, TK_Q5_K = 13, TK_Q6_K = 14 };
enum { TK_IQ2_XXS = 16, TK_IQ2_XS = 17, TK_IQ3_XXS = 18, TK_IQ1_S = 19, TK_IQ4_NL = 20, TK_IQ3_S = 21 };
enum { TK_IQ2_S = 22, TK_IQ4_XS = 23, TK_IQ1_M = 29, TK_TQ1_0 = 34, TK_TQ2_0 = 35 };
enum { TK_MXFP4 = 39, TK_NVFP4 = 40, TK_Q1_0 = 41, TK_Q2_0 = 42 };

/* What is added to a product: scale B (A x), of low rank (see adapter.c). Ranks are padded to a
 * multiple of four, and rows to whole quads, with zeros. */
typedef struct {
    int32_t rank, cols, quads;
    float scale;
    float *down; /* A: [cols][rank] */
    float *up;   /* B: [quads][rank][4] */
    float *d_down, *d_up; /* their gradients, where they are learned: see adapter_backward.c */
} tk_adapter;

/* A matrix, rows × cols, packed by quads of four rows, and four quads to a group (see pack.c): quad q
 * begins at data + (q / 4) group_bytes + (q % 4) step. Rows are padded to groups with zeros; products
 * write whole quads. */
typedef struct {
    int32_t type, rows, cols, quads;
    size_t step, group_bytes;
    uint8_t *data;
    const tk_adapter *adapter; /* or NULL */
} tk_tensor;

TK_INLINE uint8_t *tk_quad(const tk_tensor *t, int32_t quad) {
    return t->data + (size_t)(quad / 4) * t->group_bytes + (size_t)(quad & 3) * t->step;
}

/* What stands between products, and what attention's gate is; mirrored in thimble/architecture.py. */
enum { TK_SILU, TK_GELU_TANH, TK_GELU_ERF, TK_SIGMOID };

/* A model as a program, and a sequence over one: plan.h. */
typedef struct tk_model tk_model;
typedef struct tk_session tk_session;

/* Activations of up to TK_BATCH tokens in the two forms that products read. */
typedef struct {
    const float *f; /* [tokens][cols] */
    int16_t *q;     /* [tokens][cols]: rounded to 8 bits, widened to 16 once */
    int8_t *narrow; /* [tokens][cols]: the same in 8 bits, columns 1 and 2 of each four swapped */
    float *scale;   /* [tokens][cols / TK_QK] */
    int32_t *sum;   /* [tokens][cols / TK_QK]: sum of q in the block */
    int32_t tokens, cols, quantized;
} tk_act;

/* Sizes that foreign numbers decide. What cannot be counted is SIZE_MAX, which no allocation gives. */
TK_INLINE size_t tk_size(size_t a, size_t b, size_t c) {
    size_t ab, all;
    if (a == SIZE_MAX || b == SIZE_MAX || c == SIZE_MAX) return SIZE_MAX;
    if (__builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &all)) return SIZE_MAX;
    return all;
}
TK_INLINE size_t tk_sum(size_t a, size_t b) {
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

TK_INLINE size_t tk_fit(uint64_t n) { return n > PTRDIFF_MAX ? SIZE_MAX : (size_t)n; }

/* memory.c */
void *tk_new(size_t bytes); /* 64-byte aligned, zeroed; NULL when there is none */
void tk_delete(void *p);
void tk_move(void *dst, const void *src, size_t bytes);

/* pack.c */
void tk_row(const tk_tensor *t, int32_t row, float *out);

/* quantize.c */
tk_int tk_quantize(tk_int type, tk_int src, tk_int dst, tk_int n);
tk_int tk_dequantize(tk_int type, tk_int src, tk_int dst, tk_int n);

/* blocks.c */
tk_int tk_decode(tk_int type, tk_int source, tk_int out, tk_int n);

/* plan.c */
tk_int tk_forward(tk_int session, tk_int ids, tk_int n, tk_int all, tk_int logits);

/* pool.c */
typedef void (*tk_task)(void *argument, int32_t part, int32_t parts);
void tk_parallel(tk_task task, void *argument);
int32_t tk_pool_threads(void);

/* matmul.c */
void tk_matmul(float *y, const tk_tensor *w, tk_act *a);

/* adapter.c */
void tk_adapt(float *y, const tk_adapter *p, const tk_act *a);

/* numbers.c */
int32_t tk_finite(const float *x, size_t n);
int32_t tk_same_bits(const float *a, const float *b, size_t n);

#endif
