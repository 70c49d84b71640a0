/* What a draw is told and what it tells. */
#ifndef TK_SAMPLE_H
#define TK_SAMPLE_H

#include "mirrored.h"
#include "thimble.h"

enum { WORD = 32 }; /* ids that share a word of a mask (see constrain.c) */

TK_INLINE int has_bit(const uint32_t *mask, int32_t id) {
    return (int)(mask[id / WORD] >> id % WORD & 1);
}

/* What the stages made of every token, where somebody looks on. */
typedef struct {
    tk_trace_head head;
    float *biased, *penalized, *weights; /* [n]: logits, logits, relative to the best */
    int32_t *fates;                      /* [n]: see mirrored.h */
    double *starts; /* [n]: the sum of the weights drawn from before this one */
} tk_trace;

/* penalties.c */
void tk_penalize(float *logits, int32_t n, const tk_sampling *s, int32_t *scratch);

/* sample.c */
TK_EXPORT tk_int tk_sample(tk_int logits, tk_int n, tk_int sampling, tk_int scratch, tk_int choice);
tk_int tk_sample_traced(const float *logits, int32_t n, tk_sampling *s, float *scratch,
                        tk_choice *out, tk_trace *trace);

#endif
