/* From logits to the next token.
 *
 * The order of the stages, which is llama.cpp's but for temperature, which comes last there: logit
 * bias, a grammar, penalties (repetition, frequency, presence, DRY), temperature, and then what
 * drops tokens: top-n-sigma, top-k, typical-p, top-p, min-p, XTC; or instead of those mirostat; the
 * draw. Nothing is sorted that does not have to be: whole-vocabulary passes are vectors, and only
 * the few candidates that survive are ordered. The random number of a draw depends on the seed and
 * the position alone, so that a text continued, or begun again half-way, draws the same. An option
 * that is off costs nothing and changes no bit.
 *
 * To add a stage: its option in thimble/sampling_options.py, and its function here. */
#include "candidates.h"
#include "distribution.h"
#include "sample.h"

/* The model's own distribution: log-probability of an id, entropy, best alternatives. weights:
 * scratch of n rounded up to 4. Returns -1 where the logits hold a NaN or nothing finite. */
static int describe(const float *logits, int32_t n, int32_t id, int32_t n_top, float *weights,
                    tk_choice *out) {
    float top = max_of(logits, n);
    exponentials(weights, logits, n, top, 1.0f);
    double total = total_of(weights, n);
    if (!(total >= 1.0) || !(top > -__builtin_inff())) return -1;
    double log_total = tk_log(total), moment = moment_of(weights, logits, n, top);
    out->id = id;
    out->logprob = (float)((double)logits[id] - (double)top - log_total);
    out->entropy = (float)(log_total - moment / total);
    tk_candidate best[TK_MAX_TOP];
    out->n_top = n_top > 0 ? select_top(best, logits, n, n_top) : 0;
    sort_candidates(best, out->n_top);
    for (int32_t i = 0; i < out->n_top; i++) {
        out->top_ids[i] = best[i].id;
        out->top_logprobs[i] = (float)((double)best[i].weight - (double)top - log_total);
    }
    return 0;
}

/* Steele, Lea & Flood 2014: the finalizer of SplitMix64. */
static uint64_t mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), from seed and position. */
static double uniform(uint64_t seed, int32_t position) {
    uint64_t z = mix64(mix64(seed + 0x9e3779b97f4a7c15ull) +
                       ((uint64_t)position + 1) * 0x9e3779b97f4a7c15ull);
    return (double)(z >> 11) * 0x1p-53;
}

/* The first of the largest. */
static int32_t argmax(const float *x, int32_t n) {
    float top = max_of(x, n);
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v4i same = load4(x + i) == splat4(top);
        if (same[0] | same[1] | same[2] | same[3]) break;
    }
    while (i < n && x[i] != top) i++;
    return i;
}

static void add_bias(float *logits, int32_t n, const tk_sampling *s) {
    const int32_t *ids = (const int32_t *)(intptr_t)s->bias_ids;
    const float *values = (const float *)(intptr_t)s->bias_values;
    for (int64_t i = 0; i < s->n_bias; i++)
        if (ids[i] >= 0 && ids[i] < n) logits[ids[i]] += values[i];
}

/* Copies the logits that a grammar lets come; minus infinity stands in place of the rest. */
static void copy_allowed(float *out, const float *logits, int32_t n, const uint32_t *mask) {
    const v4i bits = {1, 2, 4, 8}, none = (v4i)splat4(-__builtin_inff());
    for (int32_t at = 0; at < n; at += WORD) {
        uint32_t allowed = mask[at / WORD];
        int32_t end = n - at < WORD ? n : at + WORD;
        for (int32_t i = at; i < end; i += 4, allowed >>= 4) {
            v4i on = (splat4i((int32_t)allowed) & bits) != splat4i(0);
            store4(out + i, (v4f)(((v4i)load4(logits + i) & on) | (none & ~on)));
        }
    }
}

/* `exponentials`, where the forbidden logits are minus infinity: those words have no weight. */
static void exponentials_allowed(float *w, const float *x, int32_t n, float top, float scale,
                                 const uint32_t *mask) {
    for (int32_t at = 0; at < n; at += WORD) {
        int32_t size = n - at < WORD ? n - at : WORD;
        if (mask[at / WORD])
            exponentials(w + at, x + at, size, top, scale);
        else
            for (int32_t i = 0; i < size; i += 4) store4(w + at + i, splat4(0.0f));
    }
}

/* What the logits are divided by: by the entropy of what they say, between temperature -
 * dynatemp_range and temperature + dynatemp_range. weights: scratch [n]. */
static double temperature_of(const float *logits, int32_t n, float top, const tk_sampling *s,
                             float *weights) {
    if (s->dynatemp_range <= 0.0) return s->temperature;
    int32_t possible = 0;
    for (int32_t i = 0; i < n; i++) possible += logits[i] > -__builtin_inff();
    if (possible < 2) return s->temperature;
    exponentials(weights, logits, n, top, 1.0f);
    double total = total_of(weights, n);
    double entropy = tk_log(total) - moment_of(weights, logits, n, top) / total;
    double part = entropy / tk_log((double)possible);
    double low = s->temperature - s->dynatemp_range, high = s->temperature + s->dynatemp_range;
    low = low > 0.0 ? low : 0.0;
    return low + (high - low) * (part > 0.0 ? tk_exp(s->dynatemp_exponent * tk_log(part)) : 0.0);
}

/* What is known of a draw between its stages: logits after the penalties, of which the best is
 * `top`, weights relative to it, and the candidates that are left. */
typedef struct {
    const float *logits, *weights;
    float top, scale;
    int32_t n;
    tk_candidate *c;
    int32_t count;
    const tk_sampling *s;
    const tk_trace *trace; /* or NULL */
} tk_drawing;

/* The candidates have passed; of the next stage nothing is known but that it comes. */
static void mark(const tk_drawing *d, int32_t fate) {
    if (!d->trace) return;
    for (int32_t i = 0; i < d->count; i++) d->trace->fates[d->c[i].id] = fate;
}

static double mass_of(const tk_drawing *d) {
    double total = 0.0;
    for (int32_t i = 0; i < d->count; i++) total += (double)d->c[i].weight;
    return total;
}

/* Keeps the candidates that weigh at least so much. */
static void keep_heavy(tk_drawing *d, double least) {
    int32_t survivors = 0;
    for (int32_t i = 0; i < d->count; i++)
        if ((double)d->c[i].weight >= least) d->c[survivors++] = d->c[i];
    d->count = survivors;
}

/* Top-n-sigma (Tang et al. 2024): logits at most so many standard deviations below the best. The
 * others lose their weight. */
static void keep_n_sigma(tk_drawing *d, float *weights) {
    double sum = 0.0, squares = 0.0;
    int32_t possible = 0;
    for (int32_t i = 0; i < d->n; i++)
        if (d->logits[i] > -__builtin_inff()) {
            sum += (double)d->logits[i];
            possible++;
        }
    double mean = sum / possible;
    for (int32_t i = 0; i < d->n; i++)
        if (d->logits[i] > -__builtin_inff()) {
            double off = (double)d->logits[i] - mean;
            squares += off * off;
        }
    double least = (double)d->top - d->s->top_n_sigma * __builtin_sqrt(squares / possible);
    for (int32_t i = 0; i < d->n; i++) {
        if ((double)d->logits[i] < least)
            weights[i] = 0.0f;
        else if (d->trace && weights[i] > 0.0f)
            d->trace->fates[i] = OUT_TOP_K;
    }
}

/* The k best, or all. */
static void keep_top_k(tk_drawing *d) {
    const tk_sampling *s = d->s;
    if (!s->mirostat && s->top_k > 0 && s->top_k < d->n) {
        d->count = select_top(d->c, d->weights, d->n, s->top_k);
        sort_candidates(d->c, d->count);
        if (s->top_n_sigma > 0.0)
            while (d->count > 1 && !(d->c[d->count - 1].weight > 0.0f)) d->count--;
        return;
    }
    d->count = 0;
    for (int32_t i = 0; i < d->n; i++)
        if (d->weights[i] > 0.0f) d->c[d->count++] = (tk_candidate){d->weights[i], i};
}

/* Locally typical sampling (Meister et al. 2022): those whose surprise is nearest to the entropy,
 * until they have more than this part of the probability. */
static void keep_typical(tk_drawing *d) {
    if (d->s->typical_p >= 1.0) return;
    double total = mass_of(d), moment = 0.0, log_total = tk_log(total);
    for (int32_t i = 0; i < d->count; i++) {
        float below = (d->logits[d->c[i].id] - d->top) * d->scale; /* ln of the weight */
        if (d->c[i].weight > 0.0f) moment += (double)d->c[i].weight * (double)below;
    }
    double entropy = log_total - moment / total;
    for (int32_t i = 0; i < d->count; i++) {
        float below = (d->logits[d->c[i].id] - d->top) * d->scale;
        d->c[i].weight = (float)__builtin_fabs(log_total - (double)below - entropy);
    }
    d->count = keep_nearest(d->c, d->weights, d->count, d->s->typical_p * total);
}

/* Nucleus sampling (Holtzman et al. 2020). */
static void keep_top_p(tk_drawing *d) {
    if (d->s->top_p < 1.0) d->count = keep_mass(d->c, d->count, d->s->top_p * mass_of(d));
}

/* Min-p (Nguyen et al. 2024): relative to the best that is left, 1 unless typical-p dropped it. */
static void keep_min_p(tk_drawing *d) {
    float best = 1.0f;
    if (d->s->typical_p < 1.0) {
        best = 0.0f;
        for (int32_t i = 0; i < d->count; i++)
            best = d->c[i].weight > best ? d->c[i].weight : best;
    }
    keep_heavy(d, d->s->min_p * (double)best);
}

/* XTC (https://github.com/oobabooga/text-generation-webui/pull/6335): with some probability, of the
 * candidates that have a good part of it only the last in order stays, and what is below. */
static void exclude_top(tk_drawing *d) {
    const tk_sampling *s = d->s;
    if (s->xtc_probability <= 0.0 || d->count < 2) return;
    if (uniform(s->seed ^ 0x585443ull, s->position) > s->xtc_probability) return;
    double least = s->xtc_threshold * mass_of(d);
    int32_t found = 0, last = 0;
    for (int32_t i = 0; i < d->count; i++) {
        if ((double)d->c[i].weight < least) continue;
        if (!found++ || before(d->c[last], d->c[i])) last = i;
    }
    tk_candidate stays = d->c[last];
    int32_t survivors = 0;
    for (int32_t i = 0; found > 1 && i < d->count; i++)
        if ((double)d->c[i].weight < least || d->c[i].id == stays.id) d->c[survivors++] = d->c[i];
    if (found > 1) d->count = survivors;
}

static const double LN2 = 0.69314718055994530942;

/* Mirostat 2 (Basu et al. 2021): those whose surprise is at most mu bits, or else the best alone. */
static void keep_unsurprising(tk_drawing *d) {
    double least = mass_of(d) * tk_exp(-d->s->mu * LN2);
    if (least <= 1.0) {
        keep_heavy(d, least);
        return;
    }
    for (int32_t i = 1; i < d->count; i++)
        if (before(d->c[i], d->c[0])) swap(d->c, d->c + i);
    d->count = 1;
}

/* What mu is after a token of this weight among the survivors. */
static double next_mu(const tk_drawing *d, float weight) {
    double surprise = (tk_log(mass_of(d)) - tk_log((double)weight)) / LN2;
    return d->s->mu - d->s->mirostat_eta * (surprise - d->s->mirostat_tau);
}

static int drops_tokens(const tk_sampling *s, int32_t n) {
    return (s->top_k > 0 && s->top_k < n) || s->top_p < 1.0 || s->min_p > 0.0 ||
           s->top_n_sigma > 0.0 || s->typical_p < 1.0 || s->xtc_probability > 0.0 || s->mirostat;
}

/* The candidates that all stages leave. */
static void truncate(tk_drawing *d, float *weights) {
    const tk_trace *t = d->trace;
    int32_t first = d->s->mirostat ? OUT_MIROSTAT
                    : d->s->top_n_sigma > 0.0 ? OUT_TOP_N_SIGMA : OUT_TOP_K;
    for (int32_t i = 0; t && i < d->n; i++)
        t->fates[i] = weights[i] > 0.0f ? first : OUT_NO_WEIGHT;
    if (!d->s->mirostat && d->s->top_n_sigma > 0.0) keep_n_sigma(d, weights);
    keep_top_k(d);
    if (d->s->mirostat) {
        keep_unsurprising(d);
    } else {
        mark(d, OUT_TYPICAL_P);
        keep_typical(d);
        mark(d, OUT_TOP_P);
        keep_top_p(d);
        mark(d, OUT_MIN_P);
        keep_min_p(d);
        mark(d, OUT_XTC_PROBABILITY);
        exclude_top(d);
    }
    mark(d, KEPT);
}

static int32_t draw_all(const float *w, int32_t n, double u) {
    double target = u * total_of(w, n), sum = 0.0;
    int32_t last = 0;
    for (int32_t at = 0; at < n; at += CHUNK) {
        int32_t size = chunk_size(n, at);
        double next = sum + (double)chunk_sum(w + at, size);
        if (next > target)
            for (int32_t i = at; i < at + size; i++) {
                sum += (double)w[i];
                if (w[i] > 0.0f) last = i;
                if (sum > target) return i;
            }
        else if (next > sum)
            last = at + size - 1;
        sum = next;
    }
    while (last > 0 && !(w[last] > 0.0f)) last--;
    return last;
}

static tk_candidate draw_from(const tk_drawing *d, double u) {
    double total = mass_of(d), sum = 0.0;
    for (int32_t i = 0; i < d->count; i++) {
        sum += (double)d->c[i].weight;
        if (sum > u * total) return d->c[i];
    }
    return d->c[d->count - 1];
}

/* Where draw_all and draw_from would stand, with the sums that they make. */
static void trace_all(tk_trace *t, const float *w, int32_t n) {
    double sum = 0.0;
    for (int32_t at = 0; at < n; at += CHUNK) {
        int32_t size = chunk_size(n, at);
        double inside = sum;
        for (int32_t i = at; i < at + size; i++) {
            t->starts[i] = inside;
            inside += (double)w[i];
            t->fates[i] = w[i] > 0.0f ? KEPT : OUT_NO_WEIGHT;
            t->head.survivors += w[i] > 0.0f;
        }
        sum += (double)chunk_sum(w + at, size);
    }
    t->head.total = sum;
}

static void trace_from(tk_trace *t, const tk_drawing *d) {
    t->head.survivors = d->count;
    for (int32_t i = 0; i < d->count; i++) {
        t->starts[d->c[i].id] = t->head.total;
        t->head.total += (double)d->c[i].weight;
    }
}

static int32_t take_best(const float *logits, int32_t n, tk_trace *trace) {
    int32_t best = argmax(logits, n);
    if (trace) {
        for (int32_t i = 0; i < n; i++) trace->fates[i] = OUT_GREEDY;
        trace->fates[best] = KEPT;
        trace->weights[best] = 1.0f;
        trace->head.total = trace->head.mass = 1.0;
        trace->head.survivors = 1;
    }
    return best;
}

/* The logits after bias, grammar and penalties: those that came, where there is none of that. */
static const float *adjust(const float *logits, int32_t n, const tk_sampling *s, float *adjusted,
                           tk_candidate *scratch, tk_trace *trace) {
    size_t bytes = (size_t)n * sizeof(float);
    const uint32_t *mask = (const uint32_t *)(intptr_t)s->mask;
    const float *base = logits;
    if (s->n_bias || mask || s->n_last) {
        if (mask)
            copy_allowed(adjusted, logits, n, mask);
        else
            tk_move(adjusted, logits, bytes);
        add_bias(adjusted, n, s); /* what is minus infinity stays so */
        if (trace) tk_move(trace->biased, adjusted, bytes);
        if (s->n_last) tk_penalize(adjusted, n, s, (int32_t *)scratch);
        base = adjusted;
    } else if (trace)
        tk_move(trace->biased, logits, bytes);
    if (trace) tk_move(trace->penalized, base, bytes);
    return base;
}

/* The whole way from logits to a token: of `trace`, which may be NULL, everything is filled in. */
static int32_t choose(const float *logits, int32_t n, tk_sampling *s, float *weights,
                      float *adjusted, tk_candidate *candidates, tk_trace *trace) {
    const uint32_t *mask = (const uint32_t *)(intptr_t)s->mask;
    const float *base = adjust(logits, n, s, adjusted, candidates, trace);
    s->next_mu = s->mu;
    float top = max_of(base, n);
    if (!(top > -__builtin_inff()) || !(top < __builtin_inff())) return -1;
    if (s->temperature <= 0.0) return take_best(base, n, trace);
    double temperature = temperature_of(base, n, top, s, weights);
    if (temperature < 0.001) return take_best(base, n, trace);
    double u = uniform(s->seed, s->position);
    float scale = (float)(1.0 / temperature);
    if (mask)
        exponentials_allowed(weights, base, n, top, scale, mask);
    else
        exponentials(weights, base, n, top, scale);
    if (trace) {
        tk_move(trace->weights, weights, (size_t)n * sizeof(float));
        trace->head.uniform = u;
        trace->head.mass = total_of(weights, n);
    }
    if (!drops_tokens(s, n)) {
        if (trace) trace_all(trace, weights, n);
        return draw_all(weights, n, u);
    }
    tk_drawing d = {base, weights, top, scale, n, candidates, 0, s, trace};
    truncate(&d, weights);
    if (trace) trace_from(trace, &d);
    tk_candidate drawn = draw_from(&d, u);
    if (s->mirostat) s->next_mu = next_mu(&d, drawn.weight);
    return drawn.id;
}

/* Bytes of scratch that sampling over n logits takes. */
TK_EXPORT tk_int tk_sample_scratch(tk_int n) {
    return (n + 4) * (tk_int)(2 * sizeof(float) + sizeof(tk_candidate));
}

TK_EXPORT tk_int tk_choice_bytes(void) { return sizeof(tk_choice); }

/* tk_sample, with everything that its stages do in `trace`, unless that is NULL. */
tk_int tk_sample_traced(const float *logits, int32_t n, tk_sampling *s, float *weights,
                        tk_choice *out, tk_trace *trace) {
    size_t padded = ((size_t)n + 3) & ~(size_t)3;
    float *adjusted = weights + padded;
    tk_candidate *candidates = (tk_candidate *)(adjusted + padded);
    int32_t id = choose(logits, n, s, weights, adjusted, candidates, trace);
    if (trace) {
        const uint32_t *mask = (const uint32_t *)(intptr_t)s->mask;
        trace->head.id = id;
        for (int32_t i = 0; mask && i < n; i++)
            if (!has_bit(mask, i)) trace->fates[i] = OUT_CONSTRAINT;
    }
    return id < 0 ? -1 : describe(logits, n, id, s->n_top, weights, out);
}

/* Chooses one token from logits [n padded to 4]. Returns 0, or -1 where they hold a NaN or leave
 * nothing to choose from. */
TK_EXPORT tk_int tk_sample(tk_int logits, tk_int n, tk_int sampling, tk_int scratch,
                           tk_int choice) {
    return tk_sample_traced((const float *)logits, (int32_t)n, (tk_sampling *)sampling,
                            (float *)scratch, (tk_choice *)choice, NULL);
}

/* Describes one id per row of logits [rows][n padded to 4]: how a given text is read. Returns 0, or
 * -1 - the row whose logits are not usable. */
TK_EXPORT tk_int tk_describe(tk_int logits_at, tk_int count, tk_int rows, tk_int ids, tk_int n_top,
                             tk_int scratch, tk_int choices) {
    const float *logits = (const float *)logits_at;
    size_t padded = ((size_t)count + 3) & ~(size_t)3;
    for (tk_int r = 0; r < rows; r++)
        if (describe(logits + (size_t)r * padded, (int32_t)count, ((const int32_t *)ids)[r],
                     (int32_t)n_top, (float *)scratch, (tk_choice *)choices + r))
            return -1 - r;
    return 0;
}
