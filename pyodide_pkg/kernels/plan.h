/* A model as a program: operations over named buffers, with its tensors and what it keeps of a text.
 *
 * Python compiles it (thimble/plan.py says what each operation reads and leaves) and plan.c runs it.
 * A buffer has a row for each token that is computed together. Where text is written, buffers that
 * are not needed at the same time share memory (`slot`); the lens gives each its own, and stops
 * between operations, or between the stages of one, to look at them and change them. */
#ifndef TK_PLAN_H
#define TK_PLAN_H

#include "mirrored.h"
#include "thimble.h"

enum { TK_MAX_BUFFERS = 128 };
enum { TK_STAGES = 4 };  /* a position in a program is TK_STAGES times an operation, and a stage */
enum { TK_IDS = 0 };     /* the buffer of token ids, int32 */

enum { TK_KEYS_VALUES, TK_ROWS, TK_FIXED }; /* what a layer keeps; see thimble/program.py */

struct tk_model {
    /* set by the caller, in this order, as int32 */
    int32_t n_layers, dim, n_vocab;
    int32_t n_ops, head;       /* operations; the first of those for the wanted rows only */
    int32_t n_buffers, n_states;
    int32_t stream, hidden, logits; /* buffers: behind the last layer, what the output matrix reads or
                                     * an encoder leaves, logits */
    int32_t widest;            /* columns of a matrix */
    tk_op *ops;
    tk_buffer *buffers;
    tk_state_form *states;
};

/* Positions of a state that were allocated together, of which forks share whole ones; or a state of
 * fixed size as it was behind so many positions, -1 for none. */
typedef struct {
    int32_t users, position;
} tk_segment;

enum { TK_SEGMENT_HEAD = 64 }; /* bytes before a segment's rows */

typedef struct {
    const tk_state_form *form;
    int32_t shift;    /* a segment has 1 << shift positions, of which a key group is a part */
    int32_t count;    /* segments that are there */
    int32_t room;     /* for their addresses */
    int32_t type;     /* TK_F32, TK_F16 or TK_Q8_0 */
    int32_t ring;     /* after so many segments the first is used again; 0 for never */
    int32_t first;    /* positions before this one are gone */
    int32_t interval; /* of fixed size: a copy is kept every so many positions */
    size_t group_bytes, row_bytes; /* of a head's keys of a group, of its values of a position */
    size_t head_bytes, values_at;  /* of a head in a segment; where its values begin */
    tk_segment **segments;
} tk_state;

/* A sequence: what is kept of it, and the scratch that computing its next tokens takes. */
struct tk_session {
    const tk_model *model;
    int32_t n_past, scores_room, rings; /* whether a state has a ring */
    int32_t n_states;                   /* its own: it may be freed after its model */
    tk_state *states; /* [n_states] */
    float *scores;    /* [TK_MAX_THREADS][scores_room] */
    void *at[TK_MAX_BUFFERS];
    uint8_t *scratch; /* what `at` points into, TK_BATCH rows each */
    int16_t *act_q;
    int8_t *act_narrow;
    float *act_scale;
    int32_t *act_sum;
};

/* Tokens that pass through the operations together. */
typedef struct {
    tk_session *s;
    const tk_model *m;
    void **at;               /* where each buffer lies; NULL for one that nobody asked for */
    int32_t tokens, wanted;  /* rows; and of the head, for which `rows` is then this */
    int32_t rows;
} tk_run;

TK_INLINE float *tk_rows(const tk_run *r, int32_t buffer) {
    return buffer < 0 ? NULL : (float *)r->at[buffer];
}
TK_INLINE size_t tk_width(const tk_run *r, int32_t buffer) {
    return (size_t)r->m->buffers[buffer].width;
}
TK_INLINE const tk_tensor *tk_op_tensor(const tk_op *op, int i) {
    return (const tk_tensor *)(intptr_t)op->tensor[i];
}
TK_INLINE const float *tk_op_vector(const tk_op *op, int i) {
    const tk_tensor *t = tk_op_tensor(op, i);
    return t ? (const float *)t->data : NULL;
}

/* What an operation says: all is well, a value is not finite, there is no memory, something asks for
 * a position that a ring has let go of, a number is too large for what keeps it, there is no such
 * expert; there is no such operation. */
enum { TK_DONE, TK_NOT_FINITE, TK_NO_MEMORY, TK_GONE, TK_TOO_LARGE, TK_NO_EXPERT, TK_UNKNOWN };

/* An expert's matrix, out of the tensor of all of them. */
TK_INLINE const tk_tensor *tk_op_expert(const tk_op *op, int i, int32_t expert) {
    return (const tk_tensor *)(intptr_t)((const int64_t *)(intptr_t)op->tensor[i])[expert];
}

/* Operations of more than one stage are told from which on and up to which. */

/* ops.c */
int32_t tk_op_embed(const tk_run *r, const tk_op *op);
int32_t tk_op_positions(const tk_run *r, const tk_op *op);
int32_t tk_op_rotations(const tk_run *r, const tk_op *op);
int32_t tk_op_norm(const tk_run *r, const tk_op *op, int32_t from, int32_t to);
int32_t tk_op_halves(const tk_run *r, const tk_op *op);
int32_t tk_op_head_norm(const tk_run *r, const tk_op *op);
int32_t tk_op_temper(const tk_run *r, const tk_op *op);
int32_t tk_op_rope(const tk_run *r, const tk_op *op);
int32_t tk_op_activate(const tk_run *r, const tk_op *op);
int32_t tk_op_add(const tk_run *r, const tk_op *op);
int32_t tk_op_multiply(const tk_run *r, const tk_op *op);
int32_t tk_op_last(const tk_run *r, const tk_op *op);
int32_t tk_op_pool(const tk_run *r, const tk_op *op);
int32_t tk_op_soft_cap(const tk_run *r, const tk_op *op);
int32_t tk_op_scale(const tk_run *r, const tk_op *op);
int32_t tk_op_check(const tk_run *r, const tk_op *op);
/* products.c */
tk_act tk_activations(const tk_run *r, const float *f, int32_t rows, int32_t cols);
int32_t tk_op_products(const tk_run *r, const tk_op *op);
int32_t tk_op_heads_out(const tk_run *r, const tk_op *op, int32_t from, int32_t to);
/* experts.c */
int32_t tk_op_route(const tk_run *r, const tk_op *op);
int32_t tk_op_experts_in(const tk_run *r, const tk_op *op);
int32_t tk_op_experts_out(const tk_run *r, const tk_op *op);
/* recurrent.c */

/* Tokens of a pass from one kept state to the next. */
typedef struct {
    const tk_run *r;
    const tk_op *op;
    const float *from; /* [heads][width][size], or NULL for zeros */
    float *to;
    int32_t first, last;
} tk_stretch;
int32_t tk_op_short_conv(const tk_run *r, const tk_op *op);
int32_t tk_op_scan(const tk_run *r, const tk_op *op);
int32_t tk_over_stretches(const tk_run *r, const tk_op *op, tk_state *kept, int64_t work,
                          void (*part)(void *argument, int32_t part, int32_t parts));
/* delta.c */
int32_t tk_op_delta(const tk_run *r, const tk_op *op);
/* attention.c */
int32_t tk_op_attend(const tk_run *r, const tk_op *op, int32_t from, int32_t to);
float tk_exponentials(float *scores, int32_t n);

/* state.c */
int32_t tk_fixed_begin(tk_state *k, int32_t past);
int32_t tk_fixed_stop(const tk_state *k, int32_t pos, int32_t end);
const float *tk_fixed_at(const tk_state *k, int32_t pos);
float *tk_fixed_next(tk_state *k, int32_t from, int32_t past, int32_t to);
int32_t tk_states_new(tk_session *s, int32_t hint, int32_t ring, int32_t type);
void tk_states_free(tk_session *s);
int32_t tk_states_reserve(tk_session *s, int32_t positions);
int32_t tk_states_capacity(const tk_session *s);
void tk_states_written(tk_session *s, int32_t end);
tk_int tk_session_truncate(tk_int session, tk_int n);

TK_INLINE uint8_t *tk_segment_of(const tk_state *k, int32_t pos) {
    int32_t i = pos >> k->shift;
    if (k->ring) i %= k->ring;
    return (uint8_t *)k->segments[i] + TK_SEGMENT_HEAD;
}

TK_INLINE int32_t tk_segment_begins(const tk_state *k, int32_t pos) {
    return (pos & ((1 << k->shift) - 1)) == 0;
}

/* The keys of one head's group of positions that `pos` is in. */
TK_INLINE uint8_t *tk_keys_at(const tk_state *k, int32_t head, int32_t pos) {
    size_t group = (size_t)(pos & ((1 << k->shift) - 1)) / TK_KEY_GROUP;
    return tk_segment_of(k, pos) + (size_t)head * k->head_bytes + group * k->group_bytes;
}

/* The values of one head at a position. */
TK_INLINE uint8_t *tk_values_at(const tk_state *k, int32_t head, int32_t pos) {
    size_t in = (size_t)(pos & ((1 << k->shift) - 1));
    return tk_segment_of(k, pos) + (size_t)head * k->head_bytes + k->values_at + in * k->row_bytes;
}

#endif
