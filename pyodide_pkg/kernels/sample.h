/* What a draw is told and what it tells. */
#ifndef TK_SAMPLE_H
#define TK_SAMPLE_H

#include "thimble.h"

/* Mirrored in thimble/sampling.py. */
enum { RECENT = 64 }; /* tokens that the repetition penalty looks back */
typedef struct {
    uint64_t seed;
    double temperature, top_p, min_p, repetition_penalty;
    int64_t recent, bias_ids, bias_values; /* addresses: int32 ids, int32 ids, floats */
    int64_t mask; /* address: uint32, a bit for each id that may come; or 0 */
    int32_t position, top_k, n_top, n_recent, n_bias, reserved;
} tk_sampling;

typedef struct {
    int32_t id, n_top;
    float logprob, entropy; /* of the model's own distribution, nats */
    int32_t top_ids[TK_MAX_TOP];
    float top_logprobs[TK_MAX_TOP];
} tk_choice;

/* sample.c */
TK_EXPORT tk_int tk_sample(tk_int logits, tk_int n, tk_int sampling, tk_int scratch, tk_int choice);

#endif
