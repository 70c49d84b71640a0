/* What Python knows too, as Python has it: see thimble/layout.py.
 * Made by `python -m tools.generate`; do not edit. */
#ifndef TK_MIRRORED_H
#define TK_MIRRORED_H

#include <stddef.h>
#include <stdint.h>

/* What became of a token in a draw. */
enum {
    KEPT,
    OUT_TOP_K,
    OUT_TOP_P,
    OUT_MIN_P,
    OUT_TOP_N_SIGMA,
    OUT_TYPICAL_P,
    OUT_XTC_PROBABILITY,
    OUT_MIROSTAT,
    OUT_GREEDY,
    OUT_NO_WEIGHT,
    OUT_CONSTRAINT,
};

/* How several models are one. */
enum {
    MIXTURE,
    PRODUCT,
    VOTE,
    CONFIDENT,
    CONTRASTIVE,
};

/* What a draw is told; what differs from draw to draw comes first. */
typedef struct {
    int64_t last; /* address: int32, the ids before this draw in their order; or 0 */
    int64_t mask; /* address: uint32, a bit for each id that may come; or 0 */
    double mu; /* mirostat's bound of surprise, in bits */
    int32_t position; /* of the draw */
    int32_t n_last; /* how many ids there are at `last` */
    int32_t dry_limit; /* ids at the end that no sequence breaker divides */
    int32_t n_top; /* alternatives to tell */
    double next_mu; /* told: what mu is after this draw */
    uint64_t seed;
    int64_t repeats; /* address: int32, scratch of n_last */
    int64_t breakers; /* address: uint32, a bit for each id that breaks sequences alone; or 0 */
    int64_t bias_ids; /* address: int32 */
    int64_t bias_values; /* address: float */
    int64_t n_bias;
    double temperature;
    double top_p;
    double min_p;
    double repetition_penalty;
    double frequency_penalty;
    double presence_penalty;
    double dry_multiplier;
    double dry_base;
    double dynatemp_range;
    double dynatemp_exponent;
    double top_n_sigma;
    double typical_p;
    double xtc_probability;
    double xtc_threshold;
    double mirostat_tau;
    double mirostat_eta;
    int32_t top_k;
    int32_t repeat_last_n;
    int32_t dry_allowed_length;
    int32_t dry_penalty_last_n;
    int32_t mirostat;
} tk_sampling;
_Static_assert(offsetof(tk_sampling, last) == 0, "last");
_Static_assert(offsetof(tk_sampling, mask) == 8, "mask");
_Static_assert(offsetof(tk_sampling, mu) == 16, "mu");
_Static_assert(offsetof(tk_sampling, position) == 24, "position");
_Static_assert(offsetof(tk_sampling, n_last) == 28, "n_last");
_Static_assert(offsetof(tk_sampling, dry_limit) == 32, "dry_limit");
_Static_assert(offsetof(tk_sampling, n_top) == 36, "n_top");
_Static_assert(offsetof(tk_sampling, next_mu) == 40, "next_mu");
_Static_assert(offsetof(tk_sampling, seed) == 48, "seed");
_Static_assert(offsetof(tk_sampling, repeats) == 56, "repeats");
_Static_assert(offsetof(tk_sampling, breakers) == 64, "breakers");
_Static_assert(offsetof(tk_sampling, bias_ids) == 72, "bias_ids");
_Static_assert(offsetof(tk_sampling, bias_values) == 80, "bias_values");
_Static_assert(offsetof(tk_sampling, n_bias) == 88, "n_bias");
_Static_assert(offsetof(tk_sampling, temperature) == 96, "temperature");
_Static_assert(offsetof(tk_sampling, top_p) == 104, "top_p");
_Static_assert(offsetof(tk_sampling, min_p) == 112, "min_p");
_Static_assert(offsetof(tk_sampling, repetition_penalty) == 120, "repetition_penalty");
_Static_assert(offsetof(tk_sampling, frequency_penalty) == 128, "frequency_penalty");
_Static_assert(offsetof(tk_sampling, presence_penalty) == 136, "presence_penalty");
_Static_assert(offsetof(tk_sampling, dry_multiplier) == 144, "dry_multiplier");
_Static_assert(offsetof(tk_sampling, dry_base) == 152, "dry_base");
_Static_assert(offsetof(tk_sampling, dynatemp_range) == 160, "dynatemp_range");
_Static_assert(offsetof(tk_sampling, dynatemp_exponent) == 168, "dynatemp_exponent");
_Static_assert(offsetof(tk_sampling, top_n_sigma) == 176, "top_n_sigma");
_Static_assert(offsetof(tk_sampling, typical_p) == 184, "typical_p");
_Static_assert(offsetof(tk_sampling, xtc_probability) == 192, "xtc_probability");
_Static_assert(offsetof(tk_sampling, xtc_threshold) == 200, "xtc_threshold");
_Static_assert(offsetof(tk_sampling, mirostat_tau) == 208, "mirostat_tau");
_Static_assert(offsetof(tk_sampling, mirostat_eta) == 216, "mirostat_eta");
_Static_assert(offsetof(tk_sampling, top_k) == 224, "top_k");
_Static_assert(offsetof(tk_sampling, repeat_last_n) == 228, "repeat_last_n");
_Static_assert(offsetof(tk_sampling, dry_allowed_length) == 232, "dry_allowed_length");
_Static_assert(offsetof(tk_sampling, dry_penalty_last_n) == 236, "dry_penalty_last_n");
_Static_assert(offsetof(tk_sampling, mirostat) == 240, "mirostat");
_Static_assert(sizeof(tk_sampling) == 248, "tk_sampling");

/* What a draw tells, of the model's own distribution. */
typedef struct {
    int32_t id;
    int32_t n_top;
    float logprob; /* nats */
    float entropy; /* nats */
    int32_t top_ids[64];
    float top_logprobs[64];
} tk_choice;
_Static_assert(offsetof(tk_choice, id) == 0, "id");
_Static_assert(offsetof(tk_choice, n_top) == 4, "n_top");
_Static_assert(offsetof(tk_choice, logprob) == 8, "logprob");
_Static_assert(offsetof(tk_choice, entropy) == 12, "entropy");
_Static_assert(offsetof(tk_choice, top_ids) == 16, "top_ids");
_Static_assert(offsetof(tk_choice, top_logprobs) == 272, "top_logprobs");
_Static_assert(sizeof(tk_choice) == 528, "tk_choice");

/* How a draw went. */
typedef struct {
    double uniform; /* the random number */
    double total; /* of the survivors' weights: the draw fell at uniform * total */
    double mass; /* of all weights */
    int32_t survivors;
    int32_t id; /* of the token that was drawn */
} tk_trace_head;
_Static_assert(offsetof(tk_trace_head, uniform) == 0, "uniform");
_Static_assert(offsetof(tk_trace_head, total) == 8, "total");
_Static_assert(offsetof(tk_trace_head, mass) == 16, "mass");
_Static_assert(offsetof(tk_trace_head, survivors) == 24, "survivors");
_Static_assert(offsetof(tk_trace_head, id) == 28, "id");
_Static_assert(sizeof(tk_trace_head) == 32, "tk_trace_head");

/* What the stages of a draw made of one token. */
typedef struct {
    int32_t id;
    int32_t fate;
    float logit; /* the model's own */
    float biased; /* after bias and grammar */
    float penalized; /* after the penalties */
    float weight; /* after temperature, relative to the best */
    double start; /* the weights drawn from before this one */
} tk_trace_row;
_Static_assert(offsetof(tk_trace_row, id) == 0, "id");
_Static_assert(offsetof(tk_trace_row, fate) == 4, "fate");
_Static_assert(offsetof(tk_trace_row, logit) == 8, "logit");
_Static_assert(offsetof(tk_trace_row, biased) == 12, "biased");
_Static_assert(offsetof(tk_trace_row, penalized) == 16, "penalized");
_Static_assert(offsetof(tk_trace_row, weight) == 20, "weight");
_Static_assert(offsetof(tk_trace_row, start) == 24, "start");
_Static_assert(sizeof(tk_trace_row) == 32, "tk_trace_row");

/* A draft for another model to check. */
typedef struct {
    double least; /* the chance of being read that a token must have to be drafted */
    double chance[8]; /* of a token, by the probability that the draft gives it */
    int32_t most;
    int32_t found; /* told: how many were drafted */
    int32_t ids[15]; /* told */
    int32_t classes[15]; /* told: those of the probabilities */
} tk_draft;
_Static_assert(offsetof(tk_draft, least) == 0, "least");
_Static_assert(offsetof(tk_draft, chance) == 8, "chance");
_Static_assert(offsetof(tk_draft, most) == 72, "most");
_Static_assert(offsetof(tk_draft, found) == 76, "found");
_Static_assert(offsetof(tk_draft, ids) == 80, "ids");
_Static_assert(offsetof(tk_draft, classes) == 140, "classes");
_Static_assert(sizeof(tk_draft) == 200, "tk_draft");

#endif
