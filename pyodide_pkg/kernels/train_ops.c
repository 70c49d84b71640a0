/* The small operations between training's products, forward and backward, over ranges of rows. All
 * sums over a row go in four lanes, which `sum4` adds up. Widths are multiples of four. */
#include "numeric.h"
#include "train.h"

/* y = x / rms(x) * w; root keeps 1 / rms. */
void tk_norm_rows(float *y, float *root, const float *x, const float *w, int32_t n, float eps,
                  int32_t first, int32_t last) {
    for (int32_t r = first; r < last; r++) {
        const float *from = x + (ptrdiff_t)r * n;
        float *to = y + (ptrdiff_t)r * n;
        v4f squares = splat4(0.0f);
        for (int32_t i = 0; i < n; i += 4) squares += load4(from + i) * load4(from + i);
        float scale = 1.0f / __builtin_sqrtf(sum4(squares) / (float)n + eps);
        root[r] = scale;
        for (int32_t i = 0; i < n; i += 4)
            store4(to + i, load4(from + i) * splat4(scale) * load4(w + i));
    }
}

/* dx += what dy is for x: with g = dy w, (g - x sum(g x) root^2 / n) root. */
void tk_norm_back(float *dx, const float *dy, const float *x, const float *root, const float *w,
                  int32_t n, int32_t first, int32_t last) {
    for (int32_t r = first; r < last; r++) {
        ptrdiff_t at = (ptrdiff_t)r * n;
        v4f along = splat4(0.0f);
        for (int32_t i = 0; i < n; i += 4)
            along += load4(dy + at + i) * load4(w + i) * load4(x + at + i);
        float scale = root[r], back = sum4(along) * scale * scale / (float)n;
        for (int32_t i = 0; i < n; i += 4) {
            v4f g = load4(dy + at + i) * load4(w + i) - load4(x + at + i) * splat4(back);
            store4(dx + at + i, load4(dx + at + i) + g * splat4(scale));
        }
    }
}

/* dw += the sum over rows of dy x root, for some columns. */
void tk_norm_gain(float *dw, const float *dy, const float *x, const float *root, int32_t n,
                  int32_t rows, int32_t first_column, int32_t last_column) {
    for (int32_t r = 0; r < rows; r++) {
        ptrdiff_t at = (ptrdiff_t)r * n;
        v4f scale = splat4(root[r]);
        for (int32_t i = first_column; i < last_column; i += 4)
            store4(dw + i, load4(dw + i) + load4(x + at + i) * scale * load4(dy + at + i));
    }
}

/* act = silu(gate) up. */
void tk_gate_rows(float *act, const float *gates, int32_t hidden, int32_t first, int32_t last) {
    for (int32_t r = first; r < last; r++) {
        const float *gate = gates + (ptrdiff_t)r * 2 * hidden, *up = gate + hidden;
        float *to = act + (ptrdiff_t)r * hidden;
        for (int32_t i = 0; i < hidden; i += 4) {
            v4f g = load4(gate + i);
            store4(to + i, g / (splat4(1.0f) + exp4(-g)) * load4(up + i));
        }
    }
}

/* The gradients of gate and up. */
void tk_gate_back(float *d_gates, const float *d_act, const float *gates, int32_t hidden,
                  int32_t first, int32_t last) {
    const v4f one = splat4(1.0f);
    for (int32_t r = first; r < last; r++) {
        ptrdiff_t at = (ptrdiff_t)r * 2 * hidden;
        const float *gate = gates + at, *up = gate + hidden;
        const float *d = d_act + (ptrdiff_t)r * hidden;
        float *to = d_gates + at;
        for (int32_t i = 0; i < hidden; i += 4) {
            v4f g = load4(gate + i), s = one / (one + exp4(-g)), silu = g * s;
            store4(to + i, load4(d + i) * load4(up + i) * (s + silu * (one - s)));
            store4(to + hidden + i, load4(d + i) * silu);
        }
    }
}

/* The negative log-likelihood of a target under logits, which become their gradient times scale.
 * Without a target (below 0) there is neither. The row has room up to a multiple of four. */
void tk_loss_row(float *logits, int32_t n, int32_t target, float scale, double *nats) {
    int32_t padded = (n + 3) & ~3;
    if (target < 0) {
        for (int32_t i = 0; i < padded; i++) logits[i] = 0.0f;
        *nats = 0.0;
        return;
    }
    for (int32_t i = n; i < padded; i++) logits[i] = -1e30f;
    v4f top = load4(logits), sum = splat4(0.0f);
    for (int32_t i = 4; i < padded; i += 4) top = max4(top, load4(logits + i));
    float best = top[0];
    for (int i = 1; i < 4; i++) best = top[i] > best ? top[i] : best;
    double wanted = (double)(logits[target] - best);
    for (int32_t i = 0; i < padded; i += 4) {
        v4f e = exp4(load4(logits + i) - splat4(best));
        store4(logits + i, e);
        sum += e;
    }
    float whole = sum4(sum);
    *nats = whole == whole && whole < 1e38f ? tk_log((double)whole) - wanted : (double)whole;
    v4f share = splat4(scale / whole);
    for (int32_t i = 0; i < padded; i += 4) store4(logits + i, load4(logits + i) * share);
    logits[target] = logits[target] - scale;
}

/* y = or += x with a share of it left out, and the rest grown by as much. An element's fate depends
 * on the key and its place, so that the backward pass finds it again. */
void tk_drop_rows(float *y, const float *x, uint64_t key, float rate, int32_t n, int32_t first,
                  int32_t last, int32_t add) {
    const v4u low = (v4u)splat4i((int32_t)(uint32_t)key);
    const v4u high = (v4u)splat4i((int32_t)(uint32_t)(key >> 32));
    const v4u limit = (v4u)splat4i((int32_t)(rate * 16777216.0f));
    const v4f grow = splat4(1.0f / (1.0f - rate));
    for (int32_t r = first; r < last; r++) {
        ptrdiff_t at = (ptrdiff_t)r * n;
        for (int32_t i = 0; i < n; i += 4) {
            /* MurmurHash3's mixing of 32 bits (Appleby 2011), twice keyed. */
            v4u h = (v4u)(splat4i((int32_t)(at + i)) + (v4i){0, 1, 2, 3}) * 0x9e3779b1u + low;
            h = (h ^ h >> 16) * 0x85ebca6bu;
            h = (h ^ h >> 13) * 0xc2b2ae35u;
            h = ((h ^ h >> 16) ^ high) * 0x85ebca6bu;
            h = (h ^ h >> 13) * 0xc2b2ae35u;
            v4i keep = (v4i)((h ^ h >> 16) >> 8 >= limit);
            v4f kept = (v4f)((v4i)(load4(x + at + i) * grow) & keep);
            store4(y + at + i, add ? load4(y + at + i) + kept : kept);
        }
    }
}

/* Turns queries and keys by their position in their segment, forward or back. */
void tk_rotate_rows(const tk_train *t, float *qkv, int32_t back, int32_t first, int32_t last) {
    int32_t segment = 0, turned_columns = t->dim + t->kv, d = t->head_dim;
    for (int32_t r = first; r < last; r++) {
        while (t->starts[segment + 1] <= r) segment++;
        const float *cosines = t->rope + (ptrdiff_t)(r - t->starts[segment]) * 2 * d;
        const float *sines = cosines + d;
        float *row = qkv + (ptrdiff_t)r * t->wide;
        for (int32_t h = 0; h < turned_columns; h += d) {
            for (int32_t i = 0; i < d; i += 4) {
                v4f x = load4(row + h + i), swapped = __builtin_shufflevector(x, x, 1, 0, 3, 2);
                v4f side = swapped * load4(sines + i);
                side = back ? -side : side;
                store4(row + h + i, x * load4(cosines + i) + side);
            }
        }
    }
}
