/* Attention of queries over the keys and values that a session keeps (kv.h), in three stages. */
#include "gelu.h"
#include "kv.h"

/* One operation; `from` and `to` are stages: scores, pattern, what is mixed by it. */
typedef struct {
    const tk_run *r;
    const tk_op *op;
    const tk_state *kept;
    int32_t from, to;
    int32_t heads, per_head; /* query heads, and how many of them read the same keys */
    int32_t width, window, causal, past, keys;
    float scale, cap;
    float *scores, *pattern; /* [heads][tokens][keys], or NULL */
    int32_t gone; /* whether a score is of a position that is not kept */
} tk_attention_job;

/* k and v are [heads][width]. Returns 0 where a number is too large for what keeps them. */
TK_INLINE int32_t store_as(const int type, const tk_state *kept, int32_t pos, const float *k,
                           const float *v) {
    int32_t width = kept->form->width, at = pos % TK_KEY_GROUP, ok = 1;
    uint8_t *keys = tk_keys_at(kept, 0, pos), *values = tk_values_at(kept, 0, pos);
    for (int32_t h = 0; h < kept->form->heads; h++, k += width, v += width) {
        ok &= tk_kv_store(type, keys, at, values, k, v, width);
        keys += kept->head_bytes;
        values += kept->head_bytes;
    }
    return ok;
}
static int32_t store(const tk_state *kept, int32_t pos, const float *k, const float *v) {
    switch (kept->type) {
    case TK_F16: return store_as(TK_F16, kept, pos, k, v);
    case TK_Q8_0: return store_as(TK_Q8_0, kept, pos, k, v);
    default: return store_as(TK_F32, kept, pos, k, v);
    }
}

/* out [width] = norm times the sum over n positions from `pos` on, the first of a group, of weight
 * times value: a group at a time, whose values stay near while all of them are mixed. */
TK_INLINE void mix(const int type, float *out, const tk_state *kept, int32_t head, int32_t pos,
                   const float *weights, int32_t n, float norm) {
    int32_t width = kept->form->width;
    size_t step = TK_KEY_GROUP * tk_kv_row(type, width);
    const uint8_t *v = NULL;
    for (int32_t d = 0; d < width; d += 4) store4(out + d, splat4(0.0f));
    for (int32_t t = 0; t < n; t += TK_KEY_GROUP, v += step) {
        if (!v || tk_segment_begins(kept, pos + t)) v = tk_values_at(kept, head, pos + t);
        tk_kv_mix(type, out, v, weights + t, n - t < TK_KEY_GROUP ? n - t : TK_KEY_GROUP, width);
    }
    for (int32_t d = 0; d < width; d += 4) store4(out + d, load4(out + d) * splat4(norm));
}

/* Kept out of line, so that each type is compiled once. */
static void mix_f32(float *out, const tk_state *kept, int32_t head, int32_t pos, const float *weights,
                    int32_t n, float norm) {
    mix(TK_F32, out, kept, head, pos, weights, n, norm);
}
static void mix_f16(float *out, const tk_state *kept, int32_t head, int32_t pos, const float *weights,
                    int32_t n, float norm) {
    mix(TK_F16, out, kept, head, pos, weights, n, norm);
}
static void mix_q8(float *out, const tk_state *kept, int32_t head, int32_t pos, const float *weights,
                   int32_t n, float norm) {
    mix(TK_Q8_0, out, kept, head, pos, weights, n, norm);
}

static void mix_head(float *out, const tk_state *kept, int32_t head, int32_t pos,
                     const float *weights, int32_t n, float norm) {
    switch (kept->type) {
    case TK_F16: mix_f16(out, kept, head, pos, weights, n, norm); break;
    case TK_Q8_0: mix_q8(out, kept, head, pos, weights, n, norm); break;
    default: mix_f32(out, kept, head, pos, weights, n, norm);
    }
}

/* Scores of one query with the positions from `from` on, the first of a group, up to n. */
TK_INLINE void score_groups(const int type, const tk_state *kept, int32_t head, const float *q,
                            float *row, int32_t from, int32_t n, v4f scale) {
    int32_t width = kept->form->width;
    size_t step = tk_kv_group(type, width);
    const uint8_t *keys = NULL;
    for (int32_t t = from; t < n; t += TK_KEY_GROUP, keys += step) {
        if (!keys || tk_segment_begins(kept, t)) keys = tk_keys_at(kept, head, t);
        tk_kv_score(type, row + (t - from), keys, q, width, scale);
    }
}

/* Turns scores [n] into exp(score - max), padded with zeros to a multiple of 4; returns what to
 * multiply them with. A row that may look nowhere becomes zeros. */
float tk_exponentials(float *scores, int32_t n) {
    const float never = -__builtin_inff();
    int32_t padded = (n + 3) & ~3;
    for (int32_t t = n; t < padded; t++) scores[t] = never;
    v4f top = load4(scores);
    for (int32_t t = 4; t < padded; t += 4) top = max4(load4(scores + t), top);
    float m01 = top[0] > top[1] ? top[0] : top[1], m23 = top[2] > top[3] ? top[2] : top[3];
    float most = m01 > m23 ? m01 : m23;
    if (most == never) {
        for (int32_t t = 0; t < padded; t++) scores[t] = 0.0f;
        return 0.0f;
    }
    v4f sum = splat4(0.0f);
    for (int32_t t = 0; t < padded; t += 4) {
        v4f e = exp4(load4(scores + t) - splat4(most));
        store4(scores + t, e);
        sum += e;
    }
    return 1.0f / sum4(sum);
}

/* Whether a row of the pattern is what its scores say. */
static int32_t as_scored(const float *pattern, const float *row, float factor, int32_t n) {
    for (int32_t t = 0; t < n; t++) {
        float p = row[t] * factor;
        if (!tk_same_bits(&p, pattern + t, 1)) return 0;
    }
    return 1;
}

/* The same of one head's query; with what comes before `low`, which it does not see, they are minus
 * infinity. */
static void score(const tk_attention_job *a, int32_t head, const float *q, float *row, int32_t from,
                  int32_t low, int32_t n) {
    v4f scale = splat4(a->scale);
    switch (a->kept->type) {
    case TK_F16: score_groups(TK_F16, a->kept, head, q, row, from, n, scale); break;
    case TK_Q8_0: score_groups(TK_Q8_0, a->kept, head, q, row, from, n, scale); break;
    default: score_groups(TK_F32, a->kept, head, q, row, from, n, scale);
    }
    if (a->cap != 0.0f)
        for (int32_t t = 0; t < n - from; t += 4)
            store4(row + t, soft_cap4(load4(row + t), splat4(a->cap)));
    for (int32_t t = from; t < low; t++) row[t - from] = -__builtin_inff();
}

/* One query of one head, from scores or what became of them to its mixed values; `row` has room for
 * all positions. Returns 0 where a score is of a position that is gone. */
static int32_t attend(const tk_attention_job *a, int32_t head, int32_t token, float *row) {
    const tk_run *r = a->r;
    int32_t kv = head / a->per_head, pos = a->past + token, n = a->causal ? pos + 1 : a->keys;
    if (!a->causal && a->window && a->window < n - pos) n = pos + a->window;
    int32_t low = a->window && a->window <= pos ? pos + 1 - a->window : 0;
    int32_t from = low / TK_KEY_GROUP * TK_KEY_GROUP;
    size_t at = ((size_t)head * (size_t)r->tokens + (size_t)token) * (size_t)a->keys;
    size_t query = ((size_t)token * (size_t)a->heads + (size_t)head) * (size_t)a->width;
    float *scores = a->scores ? a->scores + at : NULL, *pattern = a->pattern ? a->pattern + at : NULL;
    if (a->from == 0) {
        score(a, kv, tk_rows(r, a->op->in[0]) + query, row, from, low, n);
        if (scores)
            for (int32_t t = 0; t < a->keys; t++)
                scores[t] = t < low || t >= n ? -__builtin_inff() : row[t - from];
    } else { /* somebody may have let it see more */
        from = (a->kept->first + TK_KEY_GROUP - 1) / TK_KEY_GROUP * TK_KEY_GROUP;
        n = a->keys;
        for (int32_t t = 0; t < from; t++)
            if (scores[t] != -__builtin_inff()) return 0;
        tk_move(row, scores + from, (size_t)(n - from) * sizeof(float));
    }
    if (a->to <= 1) return 1;
    float factor = tk_exponentials(row, n - from);
    if (pattern && a->from <= 1)
        for (int32_t t = 0; t < a->keys; t++)
            pattern[t] = t < from || t >= n ? 0.0f : row[t - from] * factor;
    if (a->to <= 2) return 1;
    float *out = tk_rows(r, a->op->out[2]) + query;
    const float *weights = row;
    if (a->from == 2) {
        for (int32_t t = 0; t < from; t++)
            if (pattern[t] != 0.0f) return 0;
        if (!as_scored(pattern + from, row, factor, n - from)) weights = pattern + from;
    }
    mix_head(out, a->kept, kv, from, weights, n - from, weights == row ? factor : 1.0f);
    return 1;
}

/* Each thread takes whole heads, and has scores of its own. */
static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    tk_attention_job *a = argument;
    tk_session *s = a->r->s;
    float *row = s->scores + (size_t)part * (size_t)s->scores_room;
    int64_t heads = a->heads;
    for (int32_t h = (int32_t)(heads * part / parts); h < (int32_t)(heads * (part + 1) / parts);
         h++)
        for (int32_t t = 0; t < a->r->tokens; t++)
            if (!attend(a, h, t, row)) __atomic_store_n(&a->gone, 1, __ATOMIC_RELAXED);
}

enum { SMALL = 1 << 15 }; /* multiply-adds that one thread does sooner alone */

/* Keeps keys and values (in: q, k, v), and leaves scores and pattern, [heads][tokens][keys] where
 * they have a place, and what is mixed. n: query heads, values of a head, positions that are seen
 * (0: all; to each side, its own included, where later ones are seen), whether none that come later
 * are, the state; f: what scores are multiplied by, and their
 * soft cap or 0. */
int32_t tk_op_attend(const tk_run *r, const tk_op *op, int32_t from, int32_t to) {
    const tk_state *kept = r->s->states + op->n[4];
    int32_t kv = kept->form->heads, width = op->n[1];
    tk_attention_job a = {
        r, op, kept, from, to, op->n[0], op->n[0] / kv, width, op->n[2], op->n[3], r->s->n_past,
        r->s->n_past + r->tokens, op->f[0], op->f[1], tk_rows(r, op->out[0]),
        tk_rows(r, op->out[1]), 0};
    if (from == 0)
        for (int32_t t = 0; t < r->tokens; t++) {
            size_t row = (size_t)t * (size_t)kv * (size_t)width;
            if (!store(kept, a.past + t, tk_rows(r, op->in[1]) + row, tk_rows(r, op->in[2]) + row))
                return TK_TOO_LARGE;
        }
    int64_t work = 2 * (int64_t)a.heads * width * r->tokens * a.keys;
    if (work < SMALL)
        part_of_heads(&a, 0, 1);
    else
        tk_parallel(part_of_heads, &a);
    return a.gone ? TK_GONE : TK_DONE;
}
