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

/* Operations of a plan. */
enum {
    TK_OP_EMBED,
    TK_OP_POSITIONS,
    TK_OP_ROTATIONS,
    TK_OP_NORM,
    TK_OP_PRODUCTS,
    TK_OP_HALVES,
    TK_OP_HEAD_NORM,
    TK_OP_TEMPER,
    TK_OP_ROPE,
    TK_OP_ATTEND,
    TK_OP_HEADS_OUT,
    TK_OP_SHORT_CONV,
    TK_OP_SCAN,
    TK_OP_DELTA,
    TK_OP_ROUTE,
    TK_OP_EXPERTS_IN,
    TK_OP_EXPERTS_OUT,
    TK_OP_ACTIVATE,
    TK_OP_ADD,
    TK_OP_MULTIPLY,
    TK_OP_LAST,
    TK_OP_POOL,
    TK_OP_SOFT_CAP,
    TK_OP_SCALE,
    TK_OP_CHECK,
};

/* Moves that are not to a state, in their low four bits. */
enum {
    REJECT = 1,
    MISSING_ROW,
    POP,
    END,
    ENTER,
    KEY_END,
    CALL,
    CLOSE,
    KEY_START,
    MORE_ITEMS,
    MORE_MEMBERS,
    IN_KEY,
    INTO,
    JUMP,
    COUNT,
    CHARACTER,
};

/* What a walk may miss. */
enum {
    NONE,
    ROW,
    RECORD,
    BEHIND_KEY,
    BEHIND_VALUE,
    BEHIND_NUMBER,
    FRAMES,
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

/* An operation; thimble/plan.py says what its numbers are. */
typedef struct {
    int32_t kind; /* see KINDS */
    int32_t layer;
    int32_t in[4]; /* buffers, -1 for none */
    int32_t out[4]; /* buffers, -1 for none */
    int32_t n[8];
    float f[2];
    int64_t tensor[6]; /* addresses, 0 for none */
} tk_op;
_Static_assert(offsetof(tk_op, kind) == 0, "kind");
_Static_assert(offsetof(tk_op, layer) == 4, "layer");
_Static_assert(offsetof(tk_op, in) == 8, "in");
_Static_assert(offsetof(tk_op, out) == 24, "out");
_Static_assert(offsetof(tk_op, n) == 40, "n");
_Static_assert(offsetof(tk_op, f) == 72, "f");
_Static_assert(offsetof(tk_op, tensor) == 80, "tensor");
_Static_assert(sizeof(tk_op) == 128, "tk_op");

/* Where a value lies while text is written. */
typedef struct {
    int32_t slot; /* -1: only where somebody gives it memory */
    int32_t width; /* floats of a row */
} tk_buffer;
_Static_assert(offsetof(tk_buffer, slot) == 0, "slot");
_Static_assert(offsetof(tk_buffer, width) == 4, "width");
_Static_assert(sizeof(tk_buffer) == 8, "tk_buffer");

/* What a layer keeps of the text. */
typedef struct {
    int32_t kind;
    int32_t layer;
    int32_t heads; /* of `width` keys and as many values, for each position; 1 of rows alone */
    int32_t width; /* of a state of fixed size, floats of a head */
    int32_t window; /* positions that are looked back at, the last included; 0 for all */
} tk_state_form;
_Static_assert(offsetof(tk_state_form, kind) == 0, "kind");
_Static_assert(offsetof(tk_state_form, layer) == 4, "layer");
_Static_assert(offsetof(tk_state_form, heads) == 8, "heads");
_Static_assert(offsetof(tk_state_form, width) == 12, "width");
_Static_assert(offsetof(tk_state_form, window) == 16, "window");
_Static_assert(sizeof(tk_state_form) == 20, "tk_state_form");

/* Where a text stands in its grammar. */
typedef struct {
    int32_t state;
    int32_t record;
    int32_t frame;
    int32_t top; /* frames that are taken */
    int32_t left; /* characters that the string may have yet; from ENDLESS on any number */
    int32_t need; /* and those that it must have */
} tk_place;
_Static_assert(offsetof(tk_place, state) == 0, "state");
_Static_assert(offsetof(tk_place, record) == 4, "record");
_Static_assert(offsetof(tk_place, frame) == 8, "frame");
_Static_assert(offsetof(tk_place, top) == 12, "top");
_Static_assert(offsetof(tk_place, left) == 16, "left");
_Static_assert(offsetof(tk_place, need) == 20, "need");
_Static_assert(sizeof(tk_place) == 24, "tk_place");

/* Where to go on when a value is over. */
typedef struct {
    int32_t state;
    int32_t record;
    int32_t below; /* a frame */
} tk_frame;
_Static_assert(offsetof(tk_frame, state) == 0, "state");
_Static_assert(offsetof(tk_frame, record) == 4, "record");
_Static_assert(offsetof(tk_frame, below) == 8, "below");
_Static_assert(sizeof(tk_frame) == 12, "tk_frame");

/* What may come at a place in an object or a list. */
typedef struct {
    int32_t filled; /* 0: ask for it */
    int32_t close; /* what is said of the value when it ends here, or -1: it may not */
    int32_t key; /* the state behind a key's first quote, or -1: no member may come */
    int32_t others; /* whether other names than the listed ones may come */
    int32_t next; /* numbers: of each name the first allowed from there on; 0 for all allowed */
    int32_t names; /* numbers: of each kind of name the record behind it */
    int32_t n_names;
    int32_t child; /* the state where the next value begins, or -1 */
    int32_t child_record;
    int32_t behind; /* numbers: of what is said of that value, the record behind it */
    int32_t n_behind;
    int32_t exact; /* whether the record behind depends on the text of the value */
} tk_record;
_Static_assert(offsetof(tk_record, filled) == 0, "filled");
_Static_assert(offsetof(tk_record, close) == 4, "close");
_Static_assert(offsetof(tk_record, key) == 8, "key");
_Static_assert(offsetof(tk_record, others) == 12, "others");
_Static_assert(offsetof(tk_record, next) == 16, "next");
_Static_assert(offsetof(tk_record, names) == 20, "names");
_Static_assert(offsetof(tk_record, n_names) == 24, "n_names");
_Static_assert(offsetof(tk_record, child) == 28, "child");
_Static_assert(offsetof(tk_record, child_record) == 32, "child_record");
_Static_assert(offsetof(tk_record, behind) == 36, "behind");
_Static_assert(offsetof(tk_record, n_behind) == 40, "n_behind");
_Static_assert(offsetof(tk_record, exact) == 44, "exact");
_Static_assert(sizeof(tk_record) == 48, "tk_record");

/* A walk over a vocabulary's bytes, or over those of one token. */
typedef struct {
    int64_t bytes; /* address: uint8 [nodes] */
    int64_t depths; /* address: int32 [nodes]: 0 for the first byte of a token */
    int64_t skips; /* address: int32 [nodes]: the first node that is not under this one */
    int64_t firsts; /* address: int32 [nodes + 1]: where a node's tokens begin */
    int64_t tokens; /* address: int32 */
    int64_t below; /* address: uint32 [nodes]: the groups of the bytes under a node */
    int64_t text; /* address: uint8: the bytes to step over */
    int64_t classes; /* address: uint8 [256] */
    int64_t rows; /* address: int32 [states][n_classes] */
    int64_t spans; /* address: int32 [states][3]: names that a key may become (first, last + 1), or others; characters that a string must have yet, and whether one begins here */
    int64_t records; /* address: tk_record */
    int64_t numbers; /* address: int32: the tables that records point into */
    int64_t enters; /* address: int32 [][2]: states and records of the moves ENTER and, two each, INTO; of COUNT a state, then most and least characters */
    int64_t frames; /* address: tk_frame; 0 is the bottom */
    int64_t stack; /* address: tk_place [deepest + 2]: before each depth */
    int64_t mask; /* address: uint32: a bit a token */
    int32_t n_classes;
    int32_t most_frames;
    int32_t colon; /* the state before one */
    int32_t exact; /* ask for what depends on the text */
    int32_t n_nodes; /* or bytes */
    int32_t at; /* the node where it goes on */
    int32_t found; /* told: bits that were set */
    int32_t deepest; /* bytes of the longest token */
    int32_t limited; /* told: whether more characters left would have let more come */
    int32_t n_answers; /* to what was asked for, for this byte */
    tk_place place; /* where to begin, or to go on */
    int32_t missing; /* told: what (ASKS) */
    int32_t missing_a; /* told: and of what */
    int32_t missing_b;
    int32_t answers[5];
} tk_walk;
_Static_assert(offsetof(tk_walk, bytes) == 0, "bytes");
_Static_assert(offsetof(tk_walk, depths) == 8, "depths");
_Static_assert(offsetof(tk_walk, skips) == 16, "skips");
_Static_assert(offsetof(tk_walk, firsts) == 24, "firsts");
_Static_assert(offsetof(tk_walk, tokens) == 32, "tokens");
_Static_assert(offsetof(tk_walk, below) == 40, "below");
_Static_assert(offsetof(tk_walk, text) == 48, "text");
_Static_assert(offsetof(tk_walk, classes) == 56, "classes");
_Static_assert(offsetof(tk_walk, rows) == 64, "rows");
_Static_assert(offsetof(tk_walk, spans) == 72, "spans");
_Static_assert(offsetof(tk_walk, records) == 80, "records");
_Static_assert(offsetof(tk_walk, numbers) == 88, "numbers");
_Static_assert(offsetof(tk_walk, enters) == 96, "enters");
_Static_assert(offsetof(tk_walk, frames) == 104, "frames");
_Static_assert(offsetof(tk_walk, stack) == 112, "stack");
_Static_assert(offsetof(tk_walk, mask) == 120, "mask");
_Static_assert(offsetof(tk_walk, n_classes) == 128, "n_classes");
_Static_assert(offsetof(tk_walk, most_frames) == 132, "most_frames");
_Static_assert(offsetof(tk_walk, colon) == 136, "colon");
_Static_assert(offsetof(tk_walk, exact) == 140, "exact");
_Static_assert(offsetof(tk_walk, n_nodes) == 144, "n_nodes");
_Static_assert(offsetof(tk_walk, at) == 148, "at");
_Static_assert(offsetof(tk_walk, found) == 152, "found");
_Static_assert(offsetof(tk_walk, deepest) == 156, "deepest");
_Static_assert(offsetof(tk_walk, limited) == 160, "limited");
_Static_assert(offsetof(tk_walk, n_answers) == 164, "n_answers");
_Static_assert(offsetof(tk_walk, place) == 168, "place");
_Static_assert(offsetof(tk_walk, missing) == 192, "missing");
_Static_assert(offsetof(tk_walk, missing_a) == 196, "missing_a");
_Static_assert(offsetof(tk_walk, missing_b) == 200, "missing_b");
_Static_assert(offsetof(tk_walk, answers) == 204, "answers");
_Static_assert(sizeof(tk_walk) == 224, "tk_walk");

#endif
