/* What the model makes of a text as a whole: the sum of its last hidden states. */
#include "thimble.h"

/* Adds to sums [dim] (doubles), position by position, the hidden states of the batch of `tokens`
 * positions that the session has just computed, normalised as the logits would read them. Returns
 * 0, or -1 where one is not finite. */
TK_EXPORT tk_int tk_hidden_sum(tk_int session, tk_int tokens, tk_int sums) {
    tk_session *s = (tk_session *)session;
    const tk_model *m = s->model;
    double *sum = (double *)sums;
    tk_normalize(m, s->normed, s->x, m->globals[TK_OUTPUT_NORM], m->globals[TK_OUTPUT_NORM_BIAS],
                 (int32_t)tokens);
    if (!tk_finite(s->normed, (size_t)tokens * (size_t)m->dim)) return -1;
    for (tk_int t = 0; t < tokens; t++)
        for (int32_t i = 0; i < m->dim; i++) sum[i] += (double)s->normed[t * m->dim + i];
    return 0;
}
