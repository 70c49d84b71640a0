/* Operations that look back at a few positions by what was kept of them, and not by attention. */
#include "kv.h"

enum { MOST = 64 }; /* taps; thimble/model_config.py refuses more */

/* Each column by itself: the sum over the last `taps` positions, first to last, of value times weight;
 * the values are kept. tensor: F32, [columns][taps], packed so that a lane is a column. n: taps, the
 * state. */
int32_t tk_op_short_conv(const tk_run *r, const tk_op *op) {
    const tk_state *kept = r->s->states + op->n[1];
    const tk_tensor *weights = tk_op_tensor(op, 0);
    size_t width = tk_width(r, op->in[0]);
    const float *x = tk_rows(r, op->in[0]), *rows[MOST];
    float *y = tk_rows(r, op->out[0]);
    for (int32_t t = 0; t < r->tokens; t++, x += width, y += width) {
        int32_t pos = r->s->n_past + t, taps = op->n[0];
        int32_t first = pos + 1 < taps ? taps - 1 - pos : 0; /* nothing comes before the text */
        tk_move(tk_values_at(kept, 0, pos), x, width * sizeof *x);
        for (int32_t k = first; k < taps; k++)
            rows[k] = (const float *)tk_values_at(kept, 0, pos + 1 - taps + k);
        for (int32_t q = 0; q < weights->quads; q++) {
            const float *w = (const float *)tk_quad(weights, q);
            v4f sum = splat4(0.0f);
            for (int32_t k = first; k < taps; k++) sum += load4(rows[k] + 4 * q) * load4(w + 16 * k);
            store4(y + 4 * q, sum);
        }
    }
    return 0;
}
