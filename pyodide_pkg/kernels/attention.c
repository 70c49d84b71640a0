/* Attention of one query over the keys and values that a session keeps.
 *
 * Keys lie by groups of 32 positions, so that a vector lane is a position, each score is summed
 * over the head's dimensions in order, and a group is read from front to back; values lie position
 * by position, so that a lane is a dimension and each output is summed over positions in order. */
#include "gelu.h"

enum { LANES = TK_KEY_GROUP / 4 }; /* vectors of scores in a group */
enum { CHUNK = 32 }; /* positions whose values stay near while all of them are mixed */

static float *key_head(const tk_session *s, int32_t layer, int32_t kv_head) {
    const tk_model *m = s->model;
    size_t head = (size_t)layer * (size_t)m->n_kv_heads + (size_t)kv_head;
    return s->keys + head * (size_t)s->capacity * (size_t)m->head_dim;
}

static float *value_head(const tk_session *s, int32_t layer, int32_t kv_head) {
    const tk_model *m = s->model;
    size_t head = (size_t)layer * (size_t)m->n_kv_heads + (size_t)kv_head;
    return s->values + head * (size_t)s->capacity * (size_t)m->head_dim;
}

/* k and v are [n_kv_heads][head_dim]. */
void tk_kv_store(tk_session *s, int32_t layer, int32_t pos, const float *k, const float *v) {
    const tk_model *m = s->model;
    int32_t hd = m->head_dim;
    for (int32_t h = 0; h < m->n_kv_heads; h++) {
        float *keys = key_head(s, layer, h) +
                      (size_t)(pos / TK_KEY_GROUP) * (size_t)hd * TK_KEY_GROUP + pos % TK_KEY_GROUP;
        float *values = value_head(s, layer, h) + (size_t)pos * (size_t)hd;
        for (int32_t d = 0; d < hd; d++) {
            keys[TK_KEY_GROUP * d] = k[h * hd + d];
            values[d] = v[h * hd + d];
        }
    }
}

/* Scores of one group of positions. */
static void score_group(float *out, const float *keys, const float *q, int32_t hd, v4f scale) {
    v4f acc[LANES];
    for (int i = 0; i < LANES; i++) acc[i] = splat4(0.0f);
    for (int32_t d = 0; d < hd; d++, keys += TK_KEY_GROUP) {
        v4f qd = splat4(q[d]);
        for (int i = 0; i < LANES; i++) acc[i] += qd * load4(keys + 4 * i);
    }
    for (int i = 0; i < LANES; i++) store4(out + 4 * i, acc[i] * scale);
}

/* out[0 .. 4 width) += sum over n positions of weight times value. */
TK_INLINE void mix_values(float *out, const float *values, const float *weights, int32_t n,
                          int32_t hd, const int width) {
    v4f acc[12];
    for (int j = 0; j < width; j++) acc[j] = load4(out + 4 * j);
    for (int32_t t = 0; t < n; t++, values += hd) {
        v4f w = splat4(weights[t]);
        for (int j = 0; j < width; j++) acc[j] += w * load4(values + 4 * j);
    }
    for (int j = 0; j < width; j++) store4(out + 4 * j, acc[j]);
}

/* out [hd] = norm times the sum over positions of weight times value. */
static void mix_head(float *out, const float *values, const float *weights, int32_t n, int32_t hd,
                     v4f norm) {
    for (int32_t d = 0; d < hd; d += 4) store4(out + d, splat4(0.0f));
    for (int32_t t = 0; t < n; t += CHUNK, values += (size_t)CHUNK * (size_t)hd) {
        int32_t size = n - t < CHUNK ? n - t : CHUNK, d = 0;
        /* An addition waits for the one before it: the more sums go on side by side, the better. */
        if (hd == 48) mix_values(out, values, weights + t, size, hd, 12), d = 48;
        for (; d + 32 <= hd; d += 32) mix_values(out + d, values + d, weights + t, size, hd, 8);
        for (; d + 16 <= hd; d += 16) mix_values(out + d, values + d, weights + t, size, hd, 4);
        for (; d + 8 <= hd; d += 8) mix_values(out + d, values + d, weights + t, size, hd, 2);
        for (; d < hd; d += 4) mix_values(out + d, values + d, weights + t, size, hd, 1);
    }
    for (int32_t d = 0; d < hd; d += 4) store4(out + d, load4(out + d) * norm);
}

/* Turns scores [n] into exp(score - max), padded with zeros to a multiple of 4; returns the sum. */
static float exponentials(float *scores, int32_t n) {
    int32_t padded = (n + 3) & ~3;
    for (int32_t t = n; t < padded; t++) scores[t] = -__builtin_inff();
    v4f top = load4(scores);
    for (int32_t t = 4; t < padded; t += 4) top = max4(load4(scores + t), top);
    float m01 = top[0] > top[1] ? top[0] : top[1], m23 = top[2] > top[3] ? top[2] : top[3];
    v4f m = splat4(m01 > m23 ? m01 : m23), sum = splat4(0.0f);
    for (int32_t t = 0; t < padded; t += 4) {
        v4f e = exp4(load4(scores + t) - m);
        store4(scores + t, e);
        sum += e;
    }
    return sum4(sum);
}

static void attend(tk_session *s, int32_t layer, int32_t head, int32_t pos, const float *q,
                   float *out, float *scores) {
    const tk_model *m = s->model;
    int32_t hd = m->head_dim, n = pos + 1, kv = head / (m->n_heads / m->n_kv_heads);
    const float *keys = key_head(s, layer, kv), *values = value_head(s, layer, kv);
    v4f scale = splat4(m->attn_scale);
    int32_t window = tk_window(m, layer), first = window && window < n ? n - window : 0;
    int32_t from = first / TK_KEY_GROUP * TK_KEY_GROUP;
    for (int32_t t = from; t < n; t += TK_KEY_GROUP)
        score_group(scores + t, keys + (size_t)t * (size_t)hd, q, hd, scale);
    if (m->attn_logit_softcapping != 0.0f)
        tk_soft_cap(scores + from, m->attn_logit_softcapping, (size_t)((n - from + 3) & ~3));
    for (int32_t t = from; t < first; t++) scores[t] = -__builtin_inff();
    scores += from;
    n -= from;
    mix_head(out, values + (size_t)from * (size_t)hd, scores, n, hd,
             splat4(1.0f / exponentials(scores, n)));
}

typedef struct {
    tk_session *s;
    int32_t layer, tokens;
} tk_attention;

/* Each thread takes whole heads, and has scores of its own. */
static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_attention *a = argument;
    tk_session *s = a->s;
    const tk_model *m = s->model;
    float *scores = s->scores + (size_t)part * (size_t)s->capacity;
    int64_t heads = m->n_heads;
    for (int32_t h = (int32_t)(heads * part / parts); h < (int32_t)(heads * (part + 1) / parts);
         h++)
        for (int32_t t = 0; t < a->tokens; t++) {
            size_t at = ((size_t)t * (size_t)m->n_heads + (size_t)h) * (size_t)m->head_dim;
            attend(s, a->layer, h, s->n_past + t, s->q + at, s->mixed + at, scores);
        }
}

enum { SMALL = 1 << 15 }; /* multiply-adds that one thread does sooner alone */

/* The attention of `tokens` new positions, from s->q to s->mixed. */
void tk_attend(tk_session *s, int32_t layer, int32_t tokens) {
    const tk_model *m = s->model;
    tk_attention a = {s, layer, tokens};
    int64_t work = 2 * (int64_t)m->n_heads * m->head_dim * tokens * (s->n_past + tokens);
    if (work < SMALL)
        part_of_heads(&a, 0, 1);
    else
        tk_parallel(part_of_heads, &a);
}

/* Copies the first n positions of one session's keys and values into another of the same model,
 * whatever their capacities: how a session grows and forks. */
TK_EXPORT tk_int tk_session_copy(tk_int to, tk_int from, tk_int n) {
    tk_session *dst = (tk_session *)to;
    const tk_session *src = (const tk_session *)from;
    const tk_model *m = src->model;
    tk_int groups = (n + TK_KEY_GROUP - 1) / TK_KEY_GROUP;
    size_t used = (size_t)groups * TK_KEY_GROUP * (size_t)m->head_dim * sizeof(float);
    for (int32_t l = 0; l < m->n_layers; l++)
        for (int32_t h = 0; h < m->n_kv_heads; h++) {
            tk_move(key_head(dst, l, h), key_head(src, l, h), used);
            tk_move(value_head(dst, l, h), value_head(src, l, h), used);
        }
    dst->n_past = (int32_t)n;
    return 0;
}
