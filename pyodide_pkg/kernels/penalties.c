/* What is there already costs: penalties on logits by the ids before a draw. */
#include "numeric.h"
#include "sample.h"

/* How many of the ids at the end a window of this size holds; all of them where it is below 0. */
TK_INLINE int32_t window(int32_t size, const tk_sampling *s) {
    return size < 0 || size > s->n_last ? s->n_last : size;
}

/* Repetition penalty (Keskar et al. 2019), over each id of the window once; OpenAI's frequency and
 * presence penalties, by how often it is there. counts: scratch [n]. */
static void penalize_ids(float *logits, int32_t n, const tk_sampling *s, int32_t *counts) {
    int32_t size = window(s->repeat_last_n, s);
    const int32_t *ids = (const int32_t *)(intptr_t)s->last + s->n_last - size;
    float penalty = (float)s->repetition_penalty;
    int counted = s->frequency_penalty != 0.0 || s->presence_penalty != 0.0;
    if (penalty == 1.0f && !counted) return;
    for (int32_t i = 0; i < size; i++)
        if (ids[i] >= 0 && ids[i] < n) counts[ids[i]] = 0;
    for (int32_t i = 0; i < size; i++)
        if (ids[i] >= 0 && ids[i] < n) counts[ids[i]]++;
    for (int32_t i = 0; i < size; i++) {
        if (ids[i] < 0 || ids[i] >= n || !counts[ids[i]]) continue;
        float *l = logits + ids[i];
        if (penalty != 1.0f) *l = *l > 0.0f ? *l / penalty : *l * penalty;
        if (counted)
            *l -= (float)(counts[ids[i]] * s->frequency_penalty + s->presence_penalty);
        counts[ids[i]] = 0;
    }
}

/* For each place k before the end, how many ids before it are those before the end: Z-algorithm
 * (Gusfield 1997) over the ids backwards. */
static void count_repeats(int32_t *z, const int32_t *end, int32_t n) {
    for (int32_t k = 1, left = 0, right = 0; k < n; k++) {
        int32_t same = k < right && z[k - left] < right - k ? z[k - left] : right - k;
        if (k >= right) same = 0;
        if (k >= right || k + same >= right) {
            while (k + same < n && end[-1 - same] == end[-1 - k - same]) same++;
            left = k;
            right = k + same;
        }
        z[k] = same;
    }
}

/* To a whole power, by squaring. */
static double power(double base, int32_t exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

/* DRY (https://github.com/oobabooga/text-generation-webui/pull/5677): what would make the end of the
 * text a repetition of `dry_allowed_length` ids or more costs the more, the longer that is. A
 * repetition begins after the last sequence breaker. longest: scratch [n]. */
static void penalize_repeats(float *logits, int32_t n, const tk_sampling *s, int32_t *longest) {
    int32_t size = window(s->dry_penalty_last_n, s), allowed = s->dry_allowed_length;
    int32_t limit = s->dry_limit < size ? s->dry_limit : size;
    if (s->dry_multiplier == 0.0 || size <= allowed || limit < allowed) return;
    const int32_t *end = (const int32_t *)(intptr_t)s->last + s->n_last;
    const uint32_t *breakers = (const uint32_t *)(intptr_t)s->breakers;
    int32_t *z = (int32_t *)(intptr_t)s->repeats;
    count_repeats(z, end, size);
    /* After a repeated part, end[-k] is what came next the other time. */
    for (int32_t k = 1; k < size; k++)
        if (z[k] >= allowed && end[-k] >= 0 && end[-k] < n) longest[end[-k]] = 0;
    for (int32_t k = 1; k < size; k++)
        if (z[k] >= allowed && end[-k] >= 0 && end[-k] < n) {
            int32_t length = 1 + (z[k] < limit ? z[k] : limit); /* 0 is for none */
            if (length > longest[end[-k]]) longest[end[-k]] = length;
        }
    int32_t most = s->dry_base > 1.000001 ? (int32_t)(88.7228391 / tk_log(s->dry_base)) : 0;
    for (int32_t k = 1; k < size; k++) {
        int32_t id = end[-k];
        if (z[k] < allowed || id < 0 || id >= n || !longest[id]) continue;
        int32_t exponent = longest[id] - 1 - allowed;
        if (most > 0 && exponent > most) exponent = most; /* what a float holds */
        if (!breakers || !has_bit(breakers, id))
            logits[id] -= (float)(s->dry_multiplier * power(s->dry_base, exponent));
        longest[id] = 0;
    }
}

/* All penalties that are on, to logits [n] in place; scratch [n]. */
void tk_penalize(float *logits, int32_t n, const tk_sampling *s, int32_t *scratch) {
    penalize_ids(logits, n, s, scratch);
    penalize_repeats(logits, n, s, scratch);
}
