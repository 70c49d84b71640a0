/* What flows back through a scan, from the last position to the first. The states that it needs are
 * computed again, some positions at a time, each time from one that was kept (Chen et al. 2016). */
#include "backward.h"
#include "scan.h"

enum { BETWEEN = 16 }; /* positions from one state that is kept to the next */

typedef struct {
    const tk_back *b;
    const tk_op *op;
    int32_t heads, width, size, positions;
    size_t block, all;    /* numbers of a head's state; columns of x */
    float *states, *sums; /* each thread's states; [heads][positions][2 size], gradients of b and c */
    size_t per_thread;
} tk_back_scan_job;

/* One head's token, with the states behind it and before it. g: what flows into the state behind it,
 * and then what flows into the one before it. Returns what flows into dt. */
static float token_back(const tk_back_scan_job *j, float *g, const float *behind, const float *before,
                        float *dx, float *db, const float *dy, const float *x, const float *b, float dt,
                        float a, float d) {
    const float *c = b + j->size;
    float *dc = db + j->size, into = 0.0f;
    v4f decay = exp4(splat4(a * dt)), decays = splat4(0.0f);
    for (int32_t p = 0; p < j->width; p++) {
        v4f out = splat4(dy[p]), taken = splat4(x[p] * dt), sum = splat4(0.0f);
        for (int32_t n = 0; n < j->size; n += 4) {
            v4f now = load4(g + n) + out * load4(c + n), less = now * decay;
            store4(dc + n, load4(dc + n) + out * load4(behind + n));
            store4(db + n, load4(db + n) + taken * now);
            store4(g + n, less);
            sum += now * load4(b + n);
            decays += less * load4(before + n);
        }
        float along = sum4(sum);
        dx[p] += d * dy[p] + dt * along;
        into += x[p] * along;
        g += j->size, behind += j->size, before += j->size;
    }
    return into + a * sum4(decays);
}

/* The states behind `n` positions from `first` on, each computed from the one before it, which is there
 * in front of them. */
static void states_again(const tk_back_scan_job *j, float *states, float *y, int32_t head, int32_t first,
                         int32_t n) {
    const tk_run *r = j->b->r;
    size_t row = tk_width(r, j->op->in[0]), steps = tk_width(r, j->op->in[1]);
    const float *x = tk_rows(r, j->op->in[0]) + (size_t)first * row;
    const float *dt = tk_rows(r, j->op->in[1]) + (size_t)first * steps + head;
    for (int32_t t = 0; t < n; t++, x += row, dt += steps, states += j->block) {
        tk_move(states + j->block, states, j->block * sizeof(float));
        tk_scan_token(states + j->block, y, x + (size_t)head * (size_t)j->width, x + j->all,
                      x + j->all + j->size, tk_softplus(*dt), tk_op_vector(j->op, 0)[head], 0.0f,
                      j->width, j->size);
    }
}

static void head_back(const tk_back_scan_job *j, float *scratch, int32_t head) {
    const tk_run *r = j->b->r;
    size_t row = tk_width(r, j->op->in[0]), steps = tk_width(r, j->op->in[1]);
    size_t own = (size_t)head * (size_t)j->width, block = j->block;
    const float *x = tk_rows(r, j->op->in[0]), *raw = tk_rows(r, j->op->in[1]) + head;
    float *g = scratch, *states = g + block, *kept = states + (BETWEEN + 1) * block;
    float *y = kept + (size_t)(j->positions + BETWEEN - 1) / BETWEEN * block;
    float *db = j->sums + (size_t)head * (size_t)j->positions * 2 * (size_t)j->size;
    float a = tk_op_vector(j->op, 0)[head], d = tk_op_vector(j->op, 1)[head];
    int32_t last = (j->positions - 1) / BETWEEN;
    __builtin_memset(g, 0, block * sizeof(float));
    __builtin_memset(states, 0, block * sizeof(float));
    for (int32_t part = 0; part <= last; part++) {
        tk_move(kept + (size_t)part * block, states, block * sizeof(float));
        if (part < last) states_again(j, states, y, head, part * BETWEEN, BETWEEN);
        tk_move(states, states + BETWEEN * block, block * sizeof(float));
    }
    for (int32_t part = last; part >= 0; part--) {
        int32_t first = part * BETWEEN, n = j->positions - first;
        n = n < BETWEEN ? n : BETWEEN;
        tk_move(states, kept + (size_t)part * block, block * sizeof(float));
        states_again(j, states, y, head, first, n);
        for (int32_t i = n; i-- > 0;) {
            size_t t = (size_t)(first + i);
            const float *before = states + (size_t)i * block;
            float z = raw[t * steps];
            float into = token_back(j, g, before + block, before,
                                    tk_grads(j->b, j->op->in[0]) + t * row + own,
                                    db + t * 2 * (size_t)j->size,
                                    tk_grads(j->b, j->op->out[0]) + t * j->all + own, x + t * row + own,
                                    x + t * row + j->all, tk_softplus(z), a, d);
            tk_grads(j->b, j->op->in[1])[t * steps + (size_t)head] +=
                into * (float)(1.0 / (1.0 + tk_exp(-(double)z))); /* softplus' slope */
        }
    }
}

static void part_of_heads(void *argument, int32_t part, int32_t parts) {
    const tk_back_scan_job *j = argument;
    for (int32_t h = tk_share(j->heads, 1, part, parts); h < tk_share(j->heads, 1, part + 1, parts); h++)
        head_back(j, j->states + (size_t)part * j->per_thread, h);
}

/* All heads read the same b and c: their parts come together, head by head. */
int32_t tk_back_scan(const tk_back *b, const tk_op *op) {
    tk_back_scan_job j = {b, op, op->n[0], op->n[1], op->n[2], b->r->rows, 0, 0, NULL, NULL, 0};
    j.block = (size_t)j.width * (size_t)j.size;
    j.all = (size_t)j.heads * (size_t)j.width;
    size_t kept = (size_t)(j.positions + BETWEEN - 1) / BETWEEN, both = 2 * (size_t)j.size;
    size_t sums = (size_t)j.positions * both, all = tk_size(sums, (size_t)j.heads, sizeof(float));
    j.per_thread = (BETWEEN + 2 + kept) * j.block + (size_t)j.width;
    j.states = tk_new(tk_size(j.per_thread, (size_t)b->threads, sizeof(float)));
    j.sums = tk_new(all);
    if (j.states && j.sums) {
        __builtin_memset(j.sums, 0, all);
        tk_parallel(part_of_heads, &j);
        for (int32_t h = 0; h < j.heads; h++)
            for (int32_t t = 0; t < j.positions; t++) {
                float *d = tk_grads(b, op->in[0]) + (size_t)t * tk_width(b->r, op->in[0]) + j.all;
                const float *own = j.sums + (size_t)h * sums + (size_t)t * both;
                for (size_t i = 0; i < both; i += 4) store4(d + i, load4(d + i) + load4(own + i));
            }
    }
    int32_t status = j.states && j.sums ? TK_DONE : TK_NO_MEMORY;
    if (j.states) tk_delete(j.states);
    if (j.sums) tk_delete(j.sums);
    return status;
}
