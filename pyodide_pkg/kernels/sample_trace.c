/* A draw that is looked at: what every stage made of every token. */
#include "candidates.h"
#include "sample.h"

static tk_int trace_bytes(tk_int n) {
    return (n + 4) * (tk_int)(3 * sizeof(float) + sizeof(int32_t) + sizeof(double)) +
           (tk_int)sizeof(tk_trace);
}

/* Bytes that the stages of sampling over n logits take. */
TK_EXPORT tk_int tk_sample_trace_bytes(tk_int n) { return trace_bytes(n); }

/* tk_sample, and what every stage made of every token, at `trace`; the same code, the same bits. */
TK_EXPORT tk_int tk_sample_trace(tk_int logits, tk_int count, tk_int sampling, tk_int scratch,
                                 tk_int choice, tk_int trace) {
    size_t n = ((size_t)count + 3) & ~(size_t)3;
    tk_trace *t = (tk_trace *)trace;
    __builtin_memset(t, 0, (size_t)trace_bytes(count));
    t->starts = (double *)(t + 1);
    t->biased = (float *)(t->starts + n);
    t->penalized = t->biased + n;
    t->weights = t->penalized + n;
    t->fates = (int32_t *)(t->weights + n);
    return tk_sample_traced((const float *)logits, (int32_t)count, (tk_sampling *)sampling,
                            (float *)scratch, (tk_choice *)choice, t);
}

/* The k ids that stand best after bias and penalty, best first, to ids [k <= TK_MAX_TOP]; returns
 * how many there are. */
TK_EXPORT tk_int tk_sample_best(tk_int trace, tk_int n, tk_int k, tk_int ids) {
    tk_candidate best[TK_MAX_TOP];
    const float *penalized = ((const tk_trace *)trace)->penalized;
    int32_t wanted = (int32_t)(k < TK_MAX_TOP ? k : TK_MAX_TOP);
    int32_t found = wanted > 0 ? select_top(best, penalized, (int32_t)n, wanted) : 0;
    sort_candidates(best, found);
    for (int32_t i = 0; i < found; i++) ((int32_t *)ids)[i] = best[i].id;
    return found;
}

/* The stages of some tokens: ids [n] to rows [n]. `logits` are the ones that were traced. */
TK_EXPORT tk_int tk_sample_rows(tk_int trace, tk_int logits, tk_int ids, tk_int n, tk_int rows) {
    const tk_trace *t = (const tk_trace *)trace;
    tk_trace_row *out = (tk_trace_row *)rows;
    for (tk_int i = 0; i < n; i++) {
        int32_t id = ((const int32_t *)ids)[i];
        out[i] = (tk_trace_row){id,
                                t->fates[id],
                                ((const float *)logits)[id],
                                t->biased[id],
                                t->penalized[id],
                                t->weights[id],
                                t->starts[id]};
    }
    return 0;
}

