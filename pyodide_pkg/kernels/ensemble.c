/* Several models' next-token distributions as one.
 *
 * Every member gives a row of logits; what comes out is a row that sampling takes as logits: log of
 * the combined weights, not normalised. Members are added in their order, tokens in lanes, so that
 * nothing else decides a bit. */
#include "distribution.h"
#include "mirrored.h"

typedef struct {
    const float *logits;
    double weight, log_total; /* log_total: of exp(logits - top) */
    float top;
} tk_member;

static int read_member(tk_member *m, const float *logits, double weight, float *scratch,
                       int32_t n) {
    *m = (tk_member){logits, weight, 0.0, max_of(logits, n)};
    exponentials(scratch, logits, n, m->top, 1.0f);
    double total = total_of(scratch, n);
    if (!(total >= 1.0) || !(m->top > -__builtin_inff())) return 0;
    m->log_total = tk_log(total);
    return 1;
}

/* out += weight times the member's probabilities, which `read_member` has just left unscaled. */
static void add_probabilities(float *out, const tk_member *m, const float *unscaled, int32_t n) {
    v4f share = splat4((float)(m->weight / tk_exp(m->log_total)));
    for (int32_t i = 0; i < n; i += 4)
        store4(out + i, load4(out + i) + share * load4(unscaled + i));
}

/* out += weight times the member's log-probabilities. */
static void add_logs(float *out, const tk_member *m, int32_t n) {
    v4f shift = splat4((float)((double)m->top + m->log_total)), weight = splat4((float)m->weight);
    for (int32_t i = 0; i < n; i += 4)
        store4(out + i, load4(out + i) + weight * (load4(m->logits + i) - shift));
}

static void logarithms(float *x, int32_t n) {
    for (int32_t i = 0; i < n; i += 4) store4(x + i, log4(load4(x + i)));
}

static void vote(float *out, const tk_member *m, int32_t members, int32_t n) {
    for (int32_t k = 0; k < members; k++) {
        int32_t best = 0;
        while (m[k].logits[best] != m[k].top) best++;
        out[best] += (float)m[k].weight;
    }
    logarithms(out, n);
}

/* The member whose best token has the most probability. */
static int32_t most_confident(const tk_member *m, int32_t members) {
    int32_t best = 0;
    double most = -1.0;
    for (int32_t k = 0; k < members; k++) {
        double found = m[k].weight / tk_exp(m[k].log_total);
        if (found > most) {
            most = found;
            best = k;
        }
    }
    return best;
}

/* Rules out what the first member finds less than `least` times as probable as its best. */
static void keep_plausible(float *out, const tk_member *first, double least, int32_t n) {
    v4f edge = splat4((float)((double)first->top + tk_log(least)));
    v4i never = (v4i)splat4(-__builtin_inff());
    for (int32_t i = 0; i < n; i += 4) {
        v4i out_of = load4(first->logits + i) < edge;
        store4(out + i, (v4f)((never & out_of) | ((v4i)load4(out + i) & ~out_of)));
    }
}

enum { MOST_MEMBERS = 8 };

/* rows: int64 addresses of the members' logits [n padded to 4]; weights: doubles, and behind them
 * the plausibility bound, 0 for none; scratch and out: [n padded to 4]. Returns 0, or -1 - the
 * member whose logits are not usable. */
TK_EXPORT tk_int tk_combine(tk_int method, tk_int rows, tk_int weights, tk_int members,
                            tk_int count, tk_int scratch, tk_int out_at) {
    const int64_t *row = (const int64_t *)rows;
    const double *weight = (const double *)weights;
    float *out = (float *)out_at;
    tk_member m[MOST_MEMBERS];
    int32_t n = (int32_t)count, k = (int32_t)members;
    __builtin_memset(out, 0, (((size_t)n + 3) & ~(size_t)3) * sizeof(float));
    for (int32_t i = 0; i < k; i++) {
        if (!read_member(m + i, (const float *)(intptr_t)row[i], weight[i], (float *)scratch, n))
            return -1 - i;
        if (method == MIXTURE) add_probabilities(out, m + i, (const float *)scratch, n);
    }
    switch (method) {
    case MIXTURE: logarithms(out, n); break;
    case VOTE: vote(out, m, k, n); break;
    case CONFIDENT: tk_move(out, m[most_confident(m, k)].logits, (size_t)n * sizeof(float)); break;
    case PRODUCT:
    case CONTRASTIVE:
        for (int32_t i = 0; i < k; i++) add_logs(out, m + i, n);
        if (weight[k] > 0.0) keep_plausible(out, m, weight[k], n);
        break;
    default: __builtin_trap(); /* a method of thimble/combined.py without its sum here */
    }
    return 0;
}

/* Computes n tokens with every member and combines what they say last: see tk_forward and
 * tk_combine. sessions: int64 addresses. Returns 0, -1 - the member whose logits are not usable, or
 * what tk_forward returned and 65,536 times the member. */
TK_EXPORT tk_int tk_combine_step(tk_int sessions, tk_int ids, tk_int n, tk_int method, tk_int rows,
                                 tk_int weights, tk_int members, tk_int count, tk_int scratch,
                                 tk_int out) {
    for (tk_int i = 0; i < members; i++) {
        tk_int session = (tk_int)((const int64_t *)sessions)[i];
        tk_int bad = tk_forward(session, ids, n, 0, (tk_int)((const int64_t *)rows)[i]);
        if (bad) return bad + (i << 16);
    }
    return tk_combine(method, rows, weights, members, count, scratch, out);
}
