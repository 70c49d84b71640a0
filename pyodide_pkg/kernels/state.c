/* What a session keeps of its text, layer by layer: rows for each position, in segments of some
 * positions, so that a text grows without a copy and forks share what is complete.
 *
 * A layer that looks back so far and no further uses its segments in turn. A state of fixed size is
 * kept as it is now, as it was a step before, and every so many positions. This file answers what of
 * it all takes memory, how it is copied, and up to where it can be kept when a text is cut. */
#include "kv.h"

enum { LONGEST = 8 };  /* a segment has 1 << 8 positions, or fewer where the text is short */
enum { SLOTS = 6 };    /* copies of a state of fixed size, the present one included */
enum { INTERVAL = 64 }; /* positions between them at first; doubled where they do not suffice */
enum { SLACK = 256 };  /* positions that a ring keeps beyond its window, so that texts can be cut */

/* Bytes of a head's keys of a group of positions, and of its values of one; rows alone are values that
 * are kept exactly. */
static size_t group_bytes(const tk_state_form *f, int32_t type) {
    return f->kind == TK_ROWS ? 0 : tk_kv_group(type, f->width);
}
static size_t row_bytes(const tk_state_form *f, int32_t type) {
    return tk_kv_row(f->kind == TK_ROWS ? TK_F32 : type, f->width);
}

/* Bytes of one segment's rows: of each head its keys, and behind them its values. */
static size_t segment_bytes(const tk_state_form *f, int32_t type, int32_t shift) {
    if (f->kind == TK_FIXED) return tk_size((size_t)f->width, (size_t)f->heads, sizeof(float));
    size_t groups = ((size_t)1 << shift) / TK_KEY_GROUP;
    size_t keys = tk_size(group_bytes(f, type), groups, 1);
    size_t values = tk_size(row_bytes(f, type), (size_t)1 << shift, 1);
    return tk_size(tk_sum(keys, values), (size_t)f->heads, 1);
}

static int32_t segments_for(int32_t positions, int32_t shift) {
    return (int32_t)(((int64_t)positions + (1 << shift) - 1) >> shift);
}

/* How many segments are used in turn for a window; 0 where all are kept. */
static int32_t ring_of(const tk_state_form *f, int32_t shift) {
    if (f->window == 0 || f->window > INT32_MAX - SLACK - TK_BATCH) return 0;
    return segments_for(f->window + TK_BATCH + SLACK, shift);
}

static void release(tk_segment *segment) {
    if (segment && --segment->users == 0) tk_delete(segment);
}

void tk_states_free(tk_session *s) {
    for (int32_t i = 0; s->states && i < s->n_states; i++) {
        for (int32_t j = 0; j < s->states[i].count; j++) release(s->states[i].segments[j]);
        tk_delete(s->states[i].segments);
    }
    tk_delete(s->states);
    s->states = NULL;
}

/* Empty states, of segments for a text of about `hint` positions; `ring`: whether layers with a
 * window let go of what is behind it. Returns 0 where there is no memory. */
int32_t tk_states_new(tk_session *s, int32_t hint, int32_t ring, int32_t type) {
    int32_t shift = 5;
    while (shift < LONGEST && (1 << shift) < hint) shift++;
    s->n_states = s->model->n_states;
    s->states = tk_new(tk_size((size_t)s->n_states, sizeof(tk_state), 1));
    if (!s->states) return 0;
    for (int32_t i = 0; i < s->model->n_states; i++) {
        tk_state *k = s->states + i;
        k->form = s->model->states + i;
        k->shift = shift;
        k->ring = ring ? ring_of(k->form, shift) : 0;
        k->type = type;
        k->interval = INTERVAL;
        k->group_bytes = group_bytes(k->form, type);
        k->row_bytes = row_bytes(k->form, type);
        k->head_bytes = segment_bytes(k->form, type, shift) / (size_t)k->form->heads;
        k->values_at = (((size_t)1 << shift) / TK_KEY_GROUP) * k->group_bytes;
        s->rings |= k->ring;
    }
    return 1;
}

/* A place for the address of one more segment. */
static int32_t widen(tk_state *k) {
    if (k->count < k->room) return 1;
    int32_t room = k->room ? 2 * k->room : 4;
    tk_segment **wider = tk_new(tk_size((size_t)room, sizeof *wider, 1));
    if (!wider) return 0;
    tk_move(wider, k->segments, (size_t)k->count * sizeof *wider);
    tk_delete(k->segments);
    k->segments = wider;
    k->room = room;
    return 1;
}

static int32_t extend(tk_state *k, int32_t positions) {
    int32_t wanted = segments_for(positions, k->shift);
    if (k->ring && wanted > k->ring) wanted = k->ring;
    if (k->form->kind == TK_FIXED) wanted = SLOTS;
    while (k->count < wanted) {
        size_t bytes = tk_sum(segment_bytes(k->form, k->type, k->shift), TK_SEGMENT_HEAD);
        tk_segment *made = widen(k) ? tk_new(bytes) : NULL;
        if (!made) return 0;
        made->users = 1;
        made->position = -1;
        k->segments[k->count++] = made;
    }
    return 1;
}

/* See to it that there is a place for so many positions. Returns 0 where there is no memory; what
 * there was is still there. */
int32_t tk_states_reserve(tk_session *s, int32_t positions) {
    for (int32_t i = 0; i < s->model->n_states; i++)
        if (!extend(s->states + i, positions)) return 0;
    return 1;
}

/* Bytes that the states of a session take; those that it shares with forks count whole. */
TK_EXPORT tk_int tk_session_bytes(tk_int session) {
    const tk_session *s = (const tk_session *)session;
    size_t total = 0;
    for (int32_t i = 0; i < s->model->n_states; i++)
        total += (size_t)s->states[i].count * segment_bytes(s->states[i].form, s->states[i].type, s->states[i].shift);
    return (tk_int)total;
}

/* Bytes of the states of a text of so many positions, by their forms alone and the type of keys and
 * values, to the uint64 at `bytes`: what a model will take, also where no memory here holds it. */
TK_EXPORT tk_int tk_state_bytes(tk_int forms, tk_int count, tk_int positions, tk_int type,
                                tk_int bytes) {
    const tk_state_form *f = (const tk_state_form *)forms;
    int32_t shift = 5;
    while (shift < LONGEST && (1 << shift) < positions) shift++;
    *(uint64_t *)bytes = 0;
    for (tk_int i = 0; i < count; i++, f++) {
        if (f->kind == TK_FIXED) {
            *(uint64_t *)bytes += SLOTS * (uint64_t)segment_bytes(f, TK_F32, shift);
            continue;
        }
        int32_t n = segments_for((int32_t)positions, shift), ring = ring_of(f, shift);
        uint64_t groups = (uint64_t)(ring && n > ring ? ring : n) << (shift - 5);
        uint64_t group = group_bytes(f, (int32_t)type);
        group += TK_KEY_GROUP * (uint64_t)row_bytes(f, (int32_t)type);
        *(uint64_t *)bytes += groups * group * (uint64_t)f->heads;
    }
    return 0;
}

/* To how many positions, n at most, a state can be cut: so many that what the next one looks back at is
 * there. */
static int32_t keeps(const tk_state *k, int32_t n) {
    int32_t best = 0;
    if (k->form->kind == TK_FIXED) {
        for (int32_t i = 0; i < k->count; i++) {
            int32_t position = k->segments[i]->position;
            if (position > best && position <= n) best = position;
        }
        return best;
    }
    return k->first == 0 || n - (k->form->window - 1) >= k->first ? n : 0;
}

/* Forgets what a state of fixed size was behind more than n positions. */
static void forget(tk_state *k, int32_t n) {
    for (int32_t i = 0; i < k->count; i++)
        if (k->segments[i]->position > n) k->segments[i]->position = -1;
    if (n == 0) k->interval = INTERVAL;
}

/* Before a step of a state of fixed size: whether it is there as it was behind `past` positions. What
 * an attempt before has left behind them is forgotten. */
int32_t tk_fixed_begin(tk_state *k, int32_t past) {
    forget(k, past);
    return past == 0 || tk_fixed_at(k, past);
}

/* Up to where a step from a position goes, `end` at most, so that a copy is kept. */
int32_t tk_fixed_stop(const tk_state *k, int32_t pos, int32_t end) {
    int32_t next = (pos / k->interval + 1) * k->interval;
    return next < end ? next : end;
}

/* A state as it was behind so many positions; NULL behind none, where it is zeros. */
const float *tk_fixed_at(const tk_state *k, int32_t pos) {
    for (int32_t i = 0; i < k->count; i++)
        if (pos > 0 && k->segments[i]->position == pos)
            return (const float *)((uint8_t *)k->segments[i] + TK_SEGMENT_HEAD);
    return NULL;
}

/* A place for what it becomes behind `to` positions: a free one, or that of the oldest copy that is not
 * needed; those behind `from` and `past` are. */
float *tk_fixed_next(tk_state *k, int32_t from, int32_t past, int32_t to) {
    tk_segment *found = NULL;
    for (int32_t i = 0; i < k->count && !found; i++)
        if (k->segments[i]->position < 0) found = k->segments[i];
    for (; !found; k->interval *= 2) {
        for (int32_t i = 0; i < k->count; i++) {
            tk_segment *one = k->segments[i];
            int32_t p = one->position;
            if (p == from || p == past || p % k->interval == 0) continue;
            if (!found || p < found->position) found = one;
        }
        if (found) break;
    }
    found->position = to;
    return (float *)((uint8_t *)found + TK_SEGMENT_HEAD);
}

/* What is written from position n on is this session's alone. Returns the position up to which all
 * of it is kept: n, or less where there was no memory for a copy. */
static int32_t unshare(tk_state *k, int32_t n) {
    if (k->form->kind == TK_FIXED) return n; /* these are never shared */
    for (int32_t i = k->ring ? k->count : n >> k->shift; i < k->count; i++) {
        tk_segment *old = k->segments[i];
        if (old->users == 1) continue;
        size_t bytes = TK_SEGMENT_HEAD + segment_bytes(k->form, k->type, k->shift);
        tk_segment *own = (i << k->shift) < n ? tk_new(bytes) : NULL;
        if (own) {
            tk_move(own, old, bytes);
            own->users = 1;
            release(old);
            k->segments[i] = own;
            continue;
        }
        for (int32_t j = i; j < k->count; j++) release(k->segments[j]);
        k->count = i;
        return (i << k->shift) < n ? i << k->shift : n;
    }
    return n;
}

/* Cuts the text to n positions or, where a layer has let go of what comes before them, to as many as
 * can be kept; returns how many those are. Who asked computes the rest again. */
TK_EXPORT tk_int tk_session_truncate(tk_int session, tk_int n) {
    tk_session *s = (tk_session *)session;
    int32_t kept = (int32_t)n, before;
    do {
        before = kept;
        for (int32_t i = 0; i < s->model->n_states; i++)
            kept = keeps(s->states + i, kept);
        for (int32_t i = 0; i < s->model->n_states; i++) {
            int32_t own = unshare(s->states + i, kept);
            if (own < kept) kept = own;
        }
    } while (kept < before);
    for (int32_t i = 0; i < s->model->n_states; i++) {
        if (kept == 0) s->states[i].first = 0;
        if (s->states[i].form->kind == TK_FIXED) forget(s->states + i, kept);
    }
    s->n_past = kept;
    return kept;
}

/* After positions up to `end` were written: what a ring has lost by it. */
void tk_states_written(tk_session *s, int32_t end) {
    if (!s->rings) return;
    for (int32_t i = 0; i < s->model->n_states; i++) {
        tk_state *k = s->states + i;
        int32_t first = k->ring ? end - (k->ring << k->shift) : 0;
        if (first > k->first) k->first = first;
    }
}

/* Gives an empty session the first n positions of another of the same model; whole segments are
 * shared, and a ring is copied. Returns how many it has then, 0 where a ring has let go of what comes
 * before them, or -1 where there is no memory. */
TK_EXPORT tk_int tk_session_copy(tk_int to, tk_int from, tk_int n) {
    tk_session *dst = (tk_session *)to;
    const tk_session *src = (const tk_session *)from;
    for (tk_int before = n + 1; n < before;) {
        before = n;
        for (int32_t i = 0; i < src->model->n_states; i++) n = keeps(src->states + i, (int32_t)n);
    }
    for (int32_t i = 0; i < src->model->n_states; i++) {
        tk_state *k = dst->states + i;
        const tk_state *other = src->states + i;
        int32_t copied = other->ring || other->form->kind == TK_FIXED;
        int32_t whole = copied ? 0 : (int32_t)n >> other->shift;
        for (int32_t j = 0; j < k->count; j++) release(k->segments[j]);
        k->count = 0;
        k->shift = other->shift;
        k->ring = other->ring;
        k->first = n ? other->first : 0;
        k->type = other->type;
        k->group_bytes = other->group_bytes;
        k->row_bytes = other->row_bytes;
        k->head_bytes = other->head_bytes;
        k->values_at = other->values_at;
        for (; k->count < whole; k->count++) {
            if (!widen(k)) return -1;
            k->segments[k->count] = other->segments[k->count];
            k->segments[k->count]->users++;
        }
        k->interval = other->interval;
        if (!extend(k, (int32_t)n)) return -1;
        for (int32_t j = whole; j < k->count; j++) {
            k->segments[j]->position = other->segments[j]->position;
            tk_move((uint8_t *)k->segments[j] + TK_SEGMENT_HEAD,
                    (uint8_t *)other->segments[j] + TK_SEGMENT_HEAD,
                    segment_bytes(k->form, k->type, k->shift));
        }
        if (other->form->kind == TK_FIXED) forget(k, (int32_t)n);
    }
    dst->n_past = (int32_t)n;
    dst->rings = src->rings;
    return n;
}

/* How many positions there is a place for. */
int32_t tk_states_capacity(const tk_session *s) {
    int32_t least = INT32_MAX;
    for (int32_t i = 0; i < s->model->n_states; i++) {
        const tk_state *k = s->states + i;
        int32_t any = (k->ring && k->count == k->ring) || (k->form->kind == TK_FIXED && k->count);
        int32_t n = any ? INT32_MAX : k->count << k->shift;
        if (n < least) least = n;
    }
    return least;
}
