/* What flows back through a program: of each operation its vector-Jacobian product, which adds to the
 * gradients of what the operation read what the gradients of what it left say of them.
 *
 * Values lie where `tk_run_program` left them, each in memory of its own, and so do their gradients.
 * A text passes as a whole, from its first position on. Each sum has one order, whatever threads and
 * tiles: rows of a matrix, positions and columns from first to last. */
#ifndef TK_BACKWARD_H
#define TK_BACKWARD_H

#include "plan.h"
#include "train.h"

typedef struct {
    const tk_run *r;
    void **grad;       /* where the gradient of each buffer lies; NULL where nobody asks for it */
    float *scratch;    /* [threads][per_thread] */
    size_t per_thread; /* what tk_gemm needs first, then what each operation needs */
    int32_t threads;
} tk_back;

TK_INLINE float *tk_grads(const tk_back *b, int32_t buffer) {
    return buffer < 0 ? NULL : (float *)b->grad[buffer];
}
TK_INLINE float *tk_own_scratch(const tk_back *b, int32_t part) {
    return b->scratch + (size_t)part * b->per_thread;
}

/* tiles.c: columns first to first + n of four rows of a matrix as floats, `stride` from row to row.
 * `first` is a multiple of tk_tile_unit, n too, unless the columns end before. */
enum { TK_TILE_ROWS = 256, TK_TILE_COLS = 256 };
int32_t tk_tile_unit(const tk_tensor *w);
void tk_quad_floats(const tk_tensor *w, int32_t quad, int32_t first, int32_t n, float *out,
                    size_t stride);

/* backward_products.c; floats of scratch that a thread needs behind tk_gemm's */
size_t tk_products_scratch(void);
int32_t tk_back_products(const tk_back *b, const tk_op *op);
int32_t tk_back_heads_out(const tk_back *b, const tk_op *op);
/* dx [rows][columns] += dy [rows][rows of w padded] times w */
void tk_back_matrix(const tk_back *b, const tk_tensor *w, float *dx, const float *dy, int32_t rows);
/* adapter_backward.c: dx += scale A^T B^T dy and, where they are learned, the gradients of A and B */
int32_t tk_back_adapter(const tk_back *b, const tk_adapter *p, float *dx, const float *x,
                        const float *dy, int32_t rows);
/* backward_attention.c */
size_t tk_attend_scratch(int32_t positions);
int32_t tk_back_attend(const tk_back *b, const tk_op *op);
/* backward_ops.c */
int32_t tk_back_norm(const tk_back *b, const tk_op *op);
int32_t tk_back_halves(const tk_back *b, const tk_op *op);
int32_t tk_back_head_norm(const tk_back *b, const tk_op *op);
int32_t tk_back_temper(const tk_back *b, const tk_op *op);
int32_t tk_back_rope(const tk_back *b, const tk_op *op);
int32_t tk_back_activate(const tk_back *b, const tk_op *op);
int32_t tk_back_add(const tk_back *b, const tk_op *op);
int32_t tk_back_last(const tk_back *b, const tk_op *op);
int32_t tk_back_scale(const tk_back *b, const tk_op *op);
int32_t tk_back_soft_cap(const tk_back *b, const tk_op *op);
int32_t tk_back_multiply(const tk_back *b, const tk_op *op);
int32_t tk_back_short_conv(const tk_back *b, const tk_op *op);
int32_t tk_back_pool(const tk_back *b, const tk_op *op);
/* backward_scan.c */
int32_t tk_back_scan(const tk_back *b, const tk_op *op);
/* backward_delta.c */
int32_t tk_back_delta(const tk_back *b, const tk_op *op);
/* backward_experts.c */
int32_t tk_back_route(const tk_back *b, const tk_op *op);
int32_t tk_back_experts_in(const tk_back *b, const tk_op *op);
int32_t tk_back_experts_out(const tk_back *b, const tk_op *op);

#endif
