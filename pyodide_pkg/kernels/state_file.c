/* What a session keeps, laid open for whoever writes it to a file and reads it back: how each state
 * lies in memory, and where its segments are. Whoever fills segments says at the end what they hold;
 * what cannot be true of them is not taken. */
#include "plan.h"

/* How a state lies in memory, as int64s at `out`: positions of a segment as a power of two, segments of
 * its ring, segments that are there, the first position that is kept, positions between two copies of a
 * fixed size, whether it is of fixed size, bytes of a segment. Returns 0 where there is no such state. */
TK_EXPORT tk_int tk_state_layout(tk_int session, tk_int state, tk_int out) {
    const tk_session *s = (const tk_session *)session;
    if (state < 0 || state >= s->n_states) return 0;
    const tk_state *k = s->states + state;
    int64_t *told = (int64_t *)out;
    told[0] = k->shift;
    told[1] = k->ring;
    told[2] = k->count;
    told[3] = k->first;
    told[4] = k->interval;
    told[5] = k->form->kind == TK_FIXED;
    told[6] = (int64_t)(k->head_bytes * (size_t)k->form->heads);
    return 1;
}

/* Where a segment's bytes begin; 0 where there is no such segment. */
TK_EXPORT tk_int tk_state_segment(tk_int session, tk_int state, tk_int index) {
    const tk_state *k = ((const tk_session *)session)->states + state;
    if (index < 0 || index >= k->count) return 0;
    return (tk_int)((uint8_t *)k->segments[index] + TK_SEGMENT_HEAD);
}

/* Behind how many positions a segment of fixed size is what it holds; -1 for none. */
TK_EXPORT tk_int tk_state_position(tk_int session, tk_int state, tk_int index) {
    return ((const tk_session *)session)->states[state].segments[index]->position;
}

/* Says of a segment that was filled behind how many positions it is what it holds. */
TK_EXPORT tk_int tk_state_place(tk_int session, tk_int state, tk_int index, tk_int position) {
    ((const tk_session *)session)->states[state].segments[index]->position = (int32_t)position;
    return 0;
}

/* Says from which position on a state that was filled is there, and how far apart its copies are. */
TK_EXPORT tk_int tk_state_filled(tk_int session, tk_int state, tk_int first, tk_int interval) {
    tk_state *k = ((const tk_session *)session)->states + state;
    k->first = (int32_t)first;
    k->interval = (int32_t)interval;
    return 0;
}

/* Says that a session whose states were filled has n positions; returns how many of them it can keep. */
TK_EXPORT tk_int tk_session_filled(tk_int session, tk_int n) {
    ((tk_session *)session)->n_past = (int32_t)n;
    return tk_session_truncate(session, n);
}
