/* A model of tokens seen byte by byte: what its tokens give to the next byte. See
 * thimble/byte_level.py for what is added up. */
#include "distribution.h"

enum { SYMBOLS = 257 }; /* the bytes, and the text's end */

/* Probabilities from logits [n padded to 4], to out [n padded to 4]. Returns 0, or -1 where the
 * logits hold a NaN or nothing finite. */
TK_EXPORT tk_int tk_probabilities(tk_int logits, tk_int n, tk_int out) {
    const float *x = (const float *)logits;
    float *p = (float *)out, top = max_of(x, (int32_t)n);
    exponentials(p, x, (int32_t)n, top, 1.0f);
    double total = total_of(p, (int32_t)n);
    if (!(total >= 1.0) || !(top > -__builtin_inff())) return -1;
    v4f share = splat4((float)(1.0 / total));
    for (int32_t i = 0; i < (int32_t)n; i += 4) store4(p + i, load4(p + i) * share);
    return 0;
}

/* shares [SYMBOLS] doubles: to the byte that each of some tokens has at `depth`, weight times the
 * token's probability is added. ids, starts: int32 [count], the tokens and where their bytes begin
 * in data; weight: a double. */
TK_EXPORT tk_int tk_byte_shares(tk_int probabilities, tk_int ids, tk_int starts, tk_int count,
                                tk_int data, tk_int depth, tk_int weight, tk_int shares) {
    const float *p = (const float *)probabilities;
    const int32_t *id = (const int32_t *)ids, *start = (const int32_t *)starts;
    const uint8_t *bytes = (const uint8_t *)data + depth;
    double w = *(const double *)weight, *out = (double *)shares;
    for (tk_int i = 0; i < count; i++) out[bytes[start[i]]] += w * (double)p[id[i]];
    return 0;
}

/* out [SYMBOLS padded to 4] floats: the logarithm of the weighted average of the members' shares,
 * each divided by its sum. shares: [members][SYMBOLS], weights: [members] doubles. Returns 0, or
 * -1 - the member whose shares have no sum. */
TK_EXPORT tk_int tk_byte_mixture(tk_int shares, tk_int weights, tk_int members, tk_int out_at) {
    double mixed[SYMBOLS];
    float *out = (float *)out_at;
    __builtin_memset(mixed, 0, sizeof mixed);
    for (tk_int m = 0; m < members; m++) {
        const double *share = (const double *)shares + m * SYMBOLS;
        double total = 0.0, weight = ((const double *)weights)[m];
        for (int i = 0; i < SYMBOLS; i++) total += share[i];
        if (!(total > 0.0)) return -1 - m;
        for (int i = 0; i < SYMBOLS; i++) mixed[i] += weight * (share[i] / total);
    }
    for (int i = 0; i < SYMBOLS; i++)
        out[i] = mixed[i] > 0.0 ? (float)tk_log(mixed[i]) : -__builtin_inff();
    return 0;
}
