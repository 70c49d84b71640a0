/* What flows back through products: dx += dy W, over weights that are made floats tile by tile. */
#include "backward.h"
#include "simd.h"

size_t tk_products_scratch(void) { return TK_TILE_ROWS * TK_TILE_COLS; }

typedef struct {
    const tk_back *b;
    const tk_tensor *w;
    float *dx;       /* [rows][cols] */
    const float *dy; /* [rows][rows of w padded to whole quads] */
    int32_t rows;
} tk_back_product;

/* Some columns, over all rows of the matrix in their order. */
static void columns(const tk_back_product *p, float *scratch, int32_t first, int32_t n) {
    const tk_tensor *w = p->w;
    float *tile = scratch + tk_gemm_scratch();
    for (int32_t row = 0; row < w->rows; row += TK_TILE_ROWS) {
        int32_t rows = w->rows - row < TK_TILE_ROWS ? w->rows - row : TK_TILE_ROWS;
        for (int32_t q = 0; q < rows; q += 4)
            tk_quad_floats(w, (row + q) / 4, first, n, tile + (size_t)q * (size_t)n, (size_t)n);
        tk_gemm(scratch, p->dx + first, w->cols, by_rows(p->dy + row, (ptrdiff_t)w->quads * 4),
                by_rows(tile, n), p->rows, n, rows, 1);
    }
}

/* Each thread takes whole blocks of columns. */
static void part_of_columns(void *argument, int32_t part, int32_t parts) {
    const tk_back_product *p = argument;
    int32_t unit = tk_tile_unit(p->w), cols = p->w->cols;
    int32_t begin = tk_share(cols, unit, part, parts), end = tk_share(cols, unit, part + 1, parts);
    for (int32_t c = begin; c < end; c += TK_TILE_COLS)
        columns(p, tk_own_scratch(p->b, part), c, end - c < TK_TILE_COLS ? end - c : TK_TILE_COLS);
}

void tk_back_matrix(const tk_back *b, const tk_tensor *w, float *dx, const float *dy, int32_t rows) {
    tk_back_product p = {b, w, dx, dy, rows};
    tk_parallel(part_of_columns, &p);
}

/* One matrix; x: what it was multiplied with. */
static int32_t back(const tk_back *b, const tk_tensor *w, float *dx, const float *x, const float *dy) {
    if (dx) tk_back_matrix(b, w, dx, dy, b->r->rows);
    return w->adapter ? tk_back_adapter(b, w->adapter, dx, x, dy, b->r->rows) : TK_DONE;
}

int32_t tk_back_products(const tk_back *b, const tk_op *op) {
    for (int i = 0; i < 3 && op->out[i] >= 0; i++) {
        const float *dy = tk_grads(b, op->out[i]);
        int32_t bad = dy ? back(b, tk_op_tensor(op, 2 * i), tk_grads(b, op->in[0]),
                                tk_rows(b->r, op->in[0]), dy)
                         : TK_DONE;
        if (bad) return bad;
    }
    return TK_DONE;
}

int32_t tk_back_heads_out(const tk_back *b, const tk_op *op) {
    return back(b, tk_op_tensor(op, 0), tk_grads(b, op->in[0]), tk_rows(b->r, op->in[0]),
                tk_grads(b, op->out[1]));
}
