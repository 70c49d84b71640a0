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

enum { TK_ABI_VERSION = 1 };
enum { TK_BATCH = 32 };     /* tokens that pass through the layers together */
enum { TK_QK = 32 };        /* values that share one scale, in weights and activations */
enum { TK_KEY_GROUP = 32 }; /* positions whose keys lie together */
enum { TK_MAX_TOP = 64 };   /* alternatives that a sampling step can report */
enum { TK_MAX_THREADS = 16 };
enum { TK_MAX_RANK = 256 }; /* of an adapter */

/* Encodings, by ggml's numbers. */
enum { TK_F32 = 0, TK_F16 = 1, TK_Q4_0 = 2, TK_Q8_0 = 8, TK_BF16 = 30 };
enum { TK_Q4_1 = 3, TK_Q5_0 = 6, TK_Q5_1 = 7, TK_IQ4_NL = 20 };
enum { TK_Q2_K = 10, TK_Q3_K = 11, TK_Q4_K = 12, TK_Q5_K = 13, TK_Q6_K = 14 };

/* What is added to a product: scale B (A x), of low rank (see adapter.c). Ranks are padded to a
 * multiple of four, and rows to whole quads, with zeros. */
typedef struct {
    int32_t rank, cols, quads;
    float scale;
    float *down; /* A: [cols][rank] */
    float *up;   /* B: [quads][rank][4] */
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

/* Which tensor is which; the order is mirrored in thimble/kernel.py. */
enum {
    TK_TOKEN_EMBD,
    TK_OUTPUT_NORM,
    TK_OUTPUT,
    TK_POSITION_EMBD,
    TK_OUTPUT_NORM_BIAS, /* once */
    TK_ATTN_NORM,
    TK_ATTN_Q,
    TK_ATTN_K,
    TK_ATTN_V,
    TK_ATTN_OUTPUT,
    TK_FFN_NORM,
    TK_FFN_GATE,
    TK_FFN_UP,
    TK_FFN_DOWN,
    TK_ATTN_NORM_BIAS,
    TK_ATTN_Q_BIAS,
    TK_ATTN_K_BIAS,
    TK_ATTN_V_BIAS,
    TK_ATTN_OUTPUT_BIAS,
    TK_ATTN_Q_NORM,
    TK_ATTN_K_NORM,
    TK_ATTN_POST_NORM,
    TK_FFN_NORM_BIAS,
    TK_FFN_UP_BIAS,
    TK_FFN_DOWN_BIAS,
    TK_FFN_POST_NORM, /* per layer */
    TK_SLOTS
};
enum { TK_LAYER_SLOTS = TK_SLOTS - TK_ATTN_NORM };

/* What a feed-forward block does between its products; mirrored in thimble/architectures.py. */
enum { TK_SILU, TK_GELU_TANH, TK_GELU_ERF };

typedef struct {
    /* set by the caller, in this order, as int32 */
    int32_t n_layers, dim, n_heads, n_kv_heads, head_dim, hidden_dim, n_vocab, rope_dim;
    int32_t rope_interleaved;
    float norm_eps, attn_scale;
    double *rope_freq; /* [rope_dim / 2], radians a position */
    tk_tensor *globals[TK_ATTN_NORM];
    tk_tensor **layers; /* [n_layers][TK_LAYER_SLOTS]; NULL for what the architecture has not */
    /* What sets an architecture apart from llama, for which it is all 0 (attention_factor 1):
     * architecture.c. */
    int32_t activation, layer_norm, parallel;
    int32_t window, sliding_window_pattern; /* see tk_window */
    int32_t no_rope_layer_interval;         /* one layer of so many, the last, has none; 0: all do */
    float embed_scale, attn_logit_softcapping, final_logit_softcapping, attention_factor;
    double *rope_freq_local; /* as rope_freq, of layers with a window; or NULL */
} tk_model;

/* How many positions a layer sees, the query's included; 0 for all. One layer of
 * `sliding_window_pattern`, the last of them, has no window; with 0 every layer has one. */
TK_INLINE int32_t tk_window(const tk_model *m, int32_t layer) {
    int32_t pattern = m->sliding_window_pattern;
    return pattern && layer % pattern == pattern - 1 ? 0 : m->window;
}

TK_INLINE const tk_tensor *tk_layer_tensor(const tk_model *m, int32_t layer, int slot) {
    return m->layers[layer * TK_LAYER_SLOTS + slot - TK_ATTN_NORM];
}

/* Activations of up to TK_BATCH tokens in the two forms that products read. */
typedef struct {
    const float *f; /* [tokens][cols] */
    int16_t *q;     /* [tokens][cols]: rounded to 8 bits, widened to 16 once */
    int8_t *narrow; /* [tokens][cols]: the same in 8 bits, columns 1 and 2 of each four swapped */
    float *scale;   /* [tokens][cols / TK_QK] */
    int32_t *sum;   /* [tokens][cols / TK_QK]: sum of q in the block */
    int32_t tokens, cols, quantized;
} tk_act;

/* A sequence: its keys and values, and the scratch that computing its next tokens takes. */
typedef struct {
    const tk_model *model;
    int32_t capacity, n_past; /* positions; capacity is a multiple of TK_KEY_GROUP */
    float *keys;   /* [n_layers][n_kv_heads][capacity / 32][head_dim][32]: lane is position */
    float *values; /* [n_layers][n_kv_heads][capacity][head_dim] */
    float *scores; /* [TK_MAX_THREADS][capacity] */
    float *x, *normed, *q, *k, *v, *mixed, *gate, *up, *rope;
    int16_t *act_q;
    int8_t *act_narrow;
    float *act_scale;
    int32_t *act_sum;
} tk_session;

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

/* forward.c */
tk_int tk_forward(tk_int session, tk_int ids, tk_int n, tk_int all, tk_int logits);

/* pool.c */
typedef void (*tk_task)(void *argument, int32_t part, int32_t parts);
void tk_parallel(tk_task task, void *argument);
int32_t tk_pool_threads(void);

/* matmul.c */
void tk_matmul(float *y, const tk_tensor *w, tk_act *a);

/* adapter.c */
void tk_adapt(float *y, const tk_adapter *p, const tk_act *a);

/* attention.c */
void tk_kv_store(tk_session *s, int32_t layer, int32_t pos, const float *k, const float *v);
void tk_attend(tk_session *s, int32_t layer, int32_t tokens);

/* architecture.c */
void tk_normalize(const tk_model *m, float *y, const float *x, const tk_tensor *w,
                  const tk_tensor *bias, int32_t tokens);
void tk_norm_heads(const tk_model *m, float *x, const tk_tensor *w, int32_t width, int32_t tokens);
void tk_add_bias(float *y, const tk_tensor *bias, int32_t tokens);
void tk_activate(const tk_model *m, float *gate, const float *up, int32_t n);
void tk_scale_rows(float *x, float scale, size_t n);
void tk_soft_cap(float *x, float cap, size_t n);

/* layers.c */
void tk_rmsnorm(float *y, const float *x, const float *w, int32_t n, float eps);
void tk_swiglu(float *gate, const float *up, int32_t n);
void tk_rope_table(const tk_model *m, int32_t pos, float *cos_sin);
void tk_rope_table_local(const tk_model *m, int32_t pos, float *cos_sin);
void tk_rope(const tk_model *m, const float *cos_sin, float *x, int32_t n_heads);
int32_t tk_finite(const float *x, size_t n);

#endif
