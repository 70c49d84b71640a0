/* What is looked up beside a pass: in logits, and in the rows of a matrix. */
#include "blocks.h"
#include "codes.h"
#include "simd.h"

/* How each row's token stands among all, 1 for the best: logits [rows][count padded to 4]. */
TK_EXPORT tk_int tk_capture_ranks(tk_int logits, tk_int count, tk_int rows, tk_int ids,
                                  tk_int ranks) {
    size_t padded = ((size_t)count + 3) & ~(size_t)3;
    for (tk_int r = 0; r < rows; r++) {
        const float *row = (const float *)logits + (size_t)r * padded;
        float own = row[((const int32_t *)ids)[r]];
        int32_t rank = 1;
        for (tk_int i = 0; i < count; i++) rank += row[i] > own;
        ((int32_t *)ranks)[r] = rank;
    }
    return 0;
}

/* The scales of one row of a quantized matrix, one for each 32 columns: how far apart the numbers are
 * that a weight there can be. Returns how many; 0 where the matrix is not quantized. */
TK_EXPORT tk_int tk_row_steps(tk_int tensor, tk_int row, tk_int steps) {
    const tk_tensor *w = (const tk_tensor *)tensor;
    const tk_form *form = tk_form_of(w->type);
    if (form) return tk_steps_of_blocks(form, w, (int32_t)row, (float *)steps);
    const tk_code *code = tk_code_of(w->type);
    if (code) return tk_steps_of_codes(code, w, (int32_t)row, (float *)steps);
    if (w->type != TK_Q8_0 && w->type != TK_Q4_0) return 0;
    int32_t blocks = w->cols / TK_QK, quad = (int32_t)(row / 4);
    const uint8_t *block = tk_quad(w, quad);
    for (int32_t b = 0; b < blocks; b++) {
        ((float *)steps)[b] = w->type == TK_Q8_0
                                  ? ((const float *)block)[row & 3]
                                  : half4((const uint16_t *)tk_halves(block, quad))[row & 3];
        block += w->type == TK_Q8_0 ? TK_Q8_BLOCK : TK_Q4_BLOCK;
    }
    return blocks;
}

/* The cosines between one row of a matrix and each of its rows; 0 for rows of nothing. `scratch` is for
 * two rows. Sums are of float64, in the order of the columns. */
TK_EXPORT tk_int tk_row_cosines(tk_int tensor, tk_int row, tk_int scratch, tk_int cosines) {
    const tk_tensor *w = (const tk_tensor *)tensor;
    float *own = (float *)scratch, *other = own + w->cols;
    tk_row(w, (int32_t)row, own);
    double size = 0;
    for (int32_t i = 0; i < w->cols; i++) size += (double)own[i] * own[i];
    for (int32_t r = 0; r < w->rows; r++) {
        double sum = 0, square = 0;
        tk_row(w, r, other);
        for (int32_t i = 0; i < w->cols; i++) {
            sum += (double)own[i] * other[i];
            square += (double)other[i] * other[i];
        }
        double product = size * square;
        ((float *)cosines)[r] = product > 0 ? (float)(sum / __builtin_sqrt(product)) : 0.0f;
    }
    return 0;
}
