/* From logits to the next token.
 *
 * The order of the stages: logit bias, a grammar, repetition penalty, temperature, top-k, top-p,
 * min-p, the draw. Nothing is sorted that does not have to be: whole-vocabulary passes are vectors,
 * and only the few candidates that survive are ordered. The random number of a draw depends on the
 * seed and the position alone, so that a text continued, or begun again half-way, draws the same. */
#include "distribution.h"
#include "sample.h"

typedef struct {
    float weight;
    int32_t id;
} tk_candidate;

/* Whether candidate a comes before b: larger weight first, then smaller id. */
TK_INLINE int before(tk_candidate a, tk_candidate b) {
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

TK_INLINE void swap(tk_candidate *a, tk_candidate *b) {
    tk_candidate swapped = *a;
    *a = *b;
    *b = swapped;
}

/* Heap whose root is the last of its candidates. */
static void sift_down(tk_candidate *heap, int32_t n, int32_t i) {
    tk_candidate moved = heap[i];
    for (int32_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && before(heap[child], heap[child + 1])) child++;
        if (!before(moved, heap[child])) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static void sort_candidates(tk_candidate *c, int32_t n) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(c, n, i);
    for (int32_t end = n - 1; end > 0; end--) {
        swap(c, c + end);
        sift_down(c, end, 0);
    }
}

/* The k first of n values, unordered; returns how many. */
static int32_t select_top(tk_candidate *out, const float *x, int32_t n, int32_t k) {
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        if (count < k) {
            out[count++] = (tk_candidate){x[i], i};
            if (count == k)
                for (int32_t j = k / 2 - 1; j >= 0; j--) sift_down(out, k, j);
        } else if (x[i] > out[0].weight) {
            out[0] = (tk_candidate){x[i], i};
            sift_down(out, k, 0);
        }
    }
    return count;
}

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
    for (int32_t i = 0; i < s->n_bias; i++)
        if (ids[i] >= 0 && ids[i] < n) logits[ids[i]] += values[i];
}

/* Repetition penalty (Keskar et al. 2019), over each recent id once. */
static void penalize(float *logits, int32_t n, const tk_sampling *s) {
    const int32_t *recent = (const int32_t *)(intptr_t)s->recent;
    float penalty = (float)s->repetition_penalty;
    for (int32_t i = 0; i < s->n_recent; i++)
        if (recent[i] >= 0 && recent[i] < n) {
            float *l = logits + recent[i];
            *l = *l > 0.0f ? *l / penalty : *l * penalty;
        }
}

enum { WORD = 32 }; /* ids that share a word of a grammar's mask (see constrain.c) */

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

/* What became of each token, where somebody looks on (mirrored in thimble/debug/pipeline.py). */
enum { KEPT, OUT_TOP_K, OUT_TOP_P, OUT_MIN_P, OUT_GREEDY, OUT_NO_WEIGHT, OUT_SHAPE };

typedef struct {
    double uniform, total, mass; /* the draw fell at uniform * total; mass: before truncation */
    int32_t survivors, id;
    float *biased, *penalized, *weights; /* [n]: logits, logits, relative to the best */
    int32_t *fates;                      /* [n] */
    double *starts; /* [n]: the sum of the weights drawn from before this one */
} tk_trace;

/* These candidates have passed; of the next stage nothing is known but that it comes. */
static void mark(const tk_trace *t, const tk_candidate *c, int32_t n, int32_t fate) {
    if (!t) return;
    for (int32_t i = 0; i < n; i++) t->fates[c[i].id] = fate;
}

/* A weight's bin: its leading bits, which are ordered as weights of 0 to 1 are. */
enum { BINS = 2048 };
TK_INLINE int32_t bin_of(float weight) {
    union {
        float f;
        uint32_t u;
    } v = {weight};
    return (int32_t)(v.u >> 19);
}

/* Keeps of n candidates the best that together weigh at least `wanted`. Only those in the bin where
 * the sum is reached are put in order. Returns how many survive. */
static int32_t keep_mass(tk_candidate *c, int32_t n, double wanted) {
    double mass[BINS];
    __builtin_memset(mass, 0, sizeof mass);
    for (int32_t i = 0; i < n; i++) mass[bin_of(c[i].weight)] += (double)c[i].weight;
    double above = 0.0;
    int32_t edge = BINS - 1, sure = 0, maybe = 0;
    while (edge > 0 && (above + mass[edge] < wanted || above + mass[edge] <= 0.0))
        above += mass[edge--];
    for (int32_t i = 0; i < n; i++)
        if (bin_of(c[i].weight) > edge) swap(c + sure++, c + i);
    for (int32_t i = sure; i < n; i++)
        if (bin_of(c[i].weight) == edge) swap(c + sure + maybe++, c + i);
    sort_candidates(c + sure, maybe);
    int32_t survivors = sure;
    while (survivors < sure + maybe && (survivors == 0 || above < wanted))
        above += (double)c[survivors++].weight;
    return survivors;
}

/* The candidates that top-k, top-p and min-p leave; weights are relative to the best, 1. */
static int32_t truncate(tk_candidate *c, const float *w, int32_t n, const tk_sampling *s,
                        const tk_trace *t) {
    int32_t count = 0;
    if (s->top_k > 0 && s->top_k < n) {
        count = select_top(c, w, n, s->top_k);
        sort_candidates(c, count);
    } else {
        for (int32_t i = 0; i < n; i++)
            if (w[i] > 0.0f) c[count++] = (tk_candidate){w[i], i};
    }
    mark(t, c, count, OUT_TOP_P);
    if (s->top_p < 1.0) {
        double total = 0.0;
        for (int32_t i = 0; i < count; i++) total += (double)c[i].weight;
        count = keep_mass(c, count, s->top_p * total);
    }
    mark(t, c, count, OUT_MIN_P);
    int32_t survivors = 0;
    for (int32_t i = 0; i < count; i++)
        if ((double)c[i].weight >= s->min_p) c[survivors++] = c[i];
    mark(t, c, survivors, KEPT);
    return survivors;
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

static int32_t draw_from(const tk_candidate *c, int32_t n, double u) {
    double total = 0.0, sum = 0.0;
    for (int32_t i = 0; i < n; i++) total += (double)c[i].weight;
    for (int32_t i = 0; i < n; i++) {
        sum += (double)c[i].weight;
        if (sum > u * total) return c[i].id;
    }
    return c[n - 1].id;
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
            t->survivors += w[i] > 0.0f;
        }
        sum += (double)chunk_sum(w + at, size);
    }
    t->total = sum;
}

static void trace_from(tk_trace *t, const tk_candidate *c, int32_t n) {
    t->survivors = n;
    for (int32_t i = 0; i < n; i++) {
        t->starts[c[i].id] = t->total;
        t->total += (double)c[i].weight;
    }
}

/* The whole way from logits to a token: of `trace`, which may be NULL, everything is filled in. */
static int32_t choose(const float *logits, int32_t n, const tk_sampling *s, float *weights,
                      float *adjusted, tk_candidate *candidates, tk_trace *trace) {
    const float *base = logits;
    size_t bytes = (size_t)n * sizeof(float);
    const uint32_t *mask = (const uint32_t *)(intptr_t)s->mask;
    if (s->n_bias || mask || (s->n_recent && s->repetition_penalty != 1.0)) {
        if (mask)
            copy_allowed(adjusted, logits, n, mask);
        else
            tk_move(adjusted, logits, bytes);
        add_bias(adjusted, n, s); /* what is minus infinity stays so */
        if (trace) tk_move(trace->biased, adjusted, bytes);
        penalize(adjusted, n, s);
        base = adjusted;
    } else if (trace)
        tk_move(trace->biased, logits, bytes);
    if (trace) tk_move(trace->penalized, base, bytes);
    float top = max_of(base, n);
    if (!(top > -__builtin_inff()) || !(top < __builtin_inff())) return -1;
    if (s->temperature <= 0.0) {
        int32_t best = argmax(base, n);
        if (trace) {
            for (int32_t i = 0; i < n; i++) trace->fates[i] = OUT_GREEDY;
            trace->fates[best] = KEPT;
            trace->weights[best] = 1.0f;
            trace->total = trace->mass = 1.0;
            trace->survivors = 1;
        }
        return best;
    }
    double u = uniform(s->seed, s->position);
    float scale = (float)(1.0 / s->temperature);
    if (mask)
        exponentials_allowed(weights, base, n, top, scale, mask);
    else
        exponentials(weights, base, n, top, scale);
    if (trace) {
        tk_move(trace->weights, weights, bytes);
        trace->uniform = u;
        trace->mass = total_of(weights, n);
    }
    if ((s->top_k <= 0 || s->top_k >= n) && s->top_p >= 1.0 && s->min_p <= 0.0) {
        if (trace) trace_all(trace, weights, n);
        return draw_all(weights, n, u);
    }
    for (int32_t i = 0; trace && i < n; i++)
        trace->fates[i] = weights[i] > 0.0f ? OUT_TOP_K : OUT_NO_WEIGHT;
    int32_t survivors = truncate(candidates, weights, n, s, trace);
    if (trace) trace_from(trace, candidates, survivors);
    return draw_from(candidates, survivors, u);
}

/* Bytes of scratch that sampling over n logits takes. */
TK_EXPORT tk_int tk_sample_scratch(tk_int n) {
    return (n + 4) * (tk_int)(2 * sizeof(float) + sizeof(tk_candidate));
}

TK_EXPORT tk_int tk_choice_bytes(void) { return sizeof(tk_choice); }

static tk_int sample(const float *logits, int32_t n, const tk_sampling *s, float *weights,
                     tk_choice *out, tk_trace *trace) {
    size_t padded = ((size_t)n + 3) & ~(size_t)3;
    float *adjusted = weights + padded;
    tk_candidate *candidates = (tk_candidate *)(adjusted + padded);
    int32_t id = choose(logits, n, s, weights, adjusted, candidates, trace);
    if (trace) {
        const uint32_t *mask = (const uint32_t *)(intptr_t)s->mask;
        trace->id = id;
        for (int32_t i = 0; mask && i < n; i++)
            if (!(mask[i / WORD] >> i % WORD & 1)) trace->fates[i] = OUT_SHAPE;
    }
    return id < 0 ? -1 : describe(logits, n, id, s->n_top, weights, out);
}

/* Chooses one token from logits [n padded to 4]. Returns 0, or -1 where they hold a NaN or leave
 * nothing to choose from. */
TK_EXPORT tk_int tk_sample(tk_int logits, tk_int n, tk_int sampling, tk_int scratch,
                           tk_int choice) {
    return sample((const float *)logits, (int32_t)n, (const tk_sampling *)sampling,
                  (float *)scratch, (tk_choice *)choice, NULL);
}

/* A row of tk_sample_rows; mirrored in thimble/debug/pipeline.py. */
typedef struct {
    int32_t id, fate;
    float logit, biased, penalized, weight;
    double start;
} tk_trace_row;

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
    return sample((const float *)logits, (int32_t)count, (const tk_sampling *)sampling,
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
