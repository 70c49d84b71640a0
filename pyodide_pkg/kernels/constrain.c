/* Which tokens a grammar lets come next.
 *
 * The vocabulary is a tree of bytes, laid out in the order in which one walks it: of each node its
 * byte, its depth, where the walk goes on without what is under it, and the tokens that end there.
 * The grammar is a pushdown automaton (thimble/constrain/program.py): a row of moves for each state,
 * a record for each place in an object or a list that values are written into, and frames: where to
 * go on when a value is over. Rows and records are made when they are needed: what is missing is
 * said, and the walk goes on when it is there.
 *
 * Where a state leads back to itself with every byte under a node, all tokens there may come, and
 * are taken without a walk: bytes are put into groups, so that a set of them is one number. */
#include "mirrored.h"
#include "thimble.h"

enum { UNKNOWN = -2, ENDLESS = 1 << 30, FEW = 8, N_LOOPS = 16 };
#define NEVER (1u << 31)

/* The group of a byte, as a bit: characters that classes in expressions tend to have together. */
static uint32_t group(int32_t byte) {
    static const char marks[] = ":=?@_~\\";
    if (byte < 0x20 || byte >= 0x7f) return NEVER;
    if (byte < 0x30) return 1u << (byte - 0x20);
    if (byte <= '9') return 1u << 16;
    if (byte >= 'A' && byte <= 'Z') return byte <= 'F' ? 1u << 17 : 1u << 18;
    if (byte >= 'a' && byte <= 'z') return byte <= 'f' ? 1u << 19 : 1u << 20;
    for (int32_t i = 0; marks[i]; i++)
        if (marks[i] == byte) return 1u << (21 + i);
    return 1u << 28;
}

/* Of each node of a tree the groups of the bytes under it; NEVER where there are few tokens. */
TK_EXPORT tk_int tk_constrain_below(tk_int bytes, tk_int skips, tk_int firsts, tk_int n_nodes,
                                    tk_int out) {
    const int32_t *skip = (const int32_t *)skips, *first = (const int32_t *)firsts;
    const uint8_t *byte = (const uint8_t *)bytes;
    uint32_t *below = (uint32_t *)out;
    for (int32_t i = (int32_t)n_nodes - 1; i >= 0; i--) {
        below[i] = 0;
        for (int32_t child = i + 1; child < skip[i]; child = skip[child])
            below[i] |= group(byte[child]) | below[child];
    }
    for (int32_t i = 0; i < n_nodes; i++)
        if (first[skip[i]] - first[i + 1] < FEW) below[i] = NEVER;
    return 0;
}

/* A state, and the groups all of whose bytes lead from it to itself. */
typedef struct {
    int32_t state;
    int32_t record;
    uint32_t groups;
    int32_t counts; /* whether characters are counted there */
} loops;

static int ask(tk_walk *w, int32_t what, int32_t a, int32_t b) {
    w->missing = what;
    w->missing_a = a;
    w->missing_b = b;
    return -1;
}

/* One byte of a character that is counted. Returns 1, or 0 where too few are left. */
static inline int write(tk_walk *w, tk_place *p, int32_t state) {
    const int32_t *spans = (const int32_t *)(intptr_t)w->spans;
    int32_t begins = spans[3 * (size_t)p->state + 1];
    if (p->left - begins < spans[3 * (size_t)state]) {
        w->limited = 1;
        return 0;
    }
    if (begins && p->left < ENDLESS) p->left--;
    if (begins && p->need > 0) p->need--;
    p->state = state;
    return 1;
}

/* One byte on. Returns 1, 0 where it cannot come, -1 where something is missing. */
static int advance(tk_walk *w, int32_t byte, tk_place *p) {
    const uint8_t *classes = (const uint8_t *)(intptr_t)w->classes;
    const int32_t *rows = (const int32_t *)(intptr_t)w->rows;
    const int32_t *numbers = (const int32_t *)(intptr_t)w->numbers;
    tk_frame *frames = (tk_frame *)(intptr_t)w->frames;
    const tk_record *records = (const tk_record *)(intptr_t)w->records;
    int32_t answered = 0;
    for (;;) {
        const int32_t *row = rows + (size_t)p->state * (size_t)w->n_classes;
        if (row[0] == -MISSING_ROW) return ask(w, ROW, p->state, 0);
        int32_t move = row[classes[byte]];
        if (move >= 0) {
            p->state = move;
            return 1;
        }
        int32_t kind = -move & 31, number = -move >> 5, said = number;
        if (kind == REJECT) return 0;
        if (kind == ENTER) {
            const int32_t *entered = (const int32_t *)(intptr_t)w->enters + 2 * (size_t)number;
            p->state = entered[0];
            p->record = entered[1];
            return 1;
        }
        if (kind == INTO) {
            const int32_t *entered = (const int32_t *)(intptr_t)w->enters + 2 * (size_t)number;
            if (p->top >= w->most_frames) return ask(w, FRAMES, 0, 0);
            frames[p->top] = (tk_frame){entered[2], entered[3], p->frame};
            p->frame = p->top++;
            p->state = entered[0];
            p->record = entered[1];
            continue;
        }
        if (kind == CHARACTER) return write(w, p, number);
        if (kind == COUNT) {
            const int32_t *entered = (const int32_t *)(intptr_t)w->enters + 2 * (size_t)number;
            p->state = entered[0];
            p->left = entered[2];
            p->need = entered[3];
            return 1;
        }
        if (kind == END) {
            if (p->need > 0) return 0;
            p->left = ENDLESS;
        }
        const tk_record *record = records + p->record;
        if (kind != POP && kind != END && !record->filled) return ask(w, RECORD, p->record, 0);
        switch (kind) {
        case IN_KEY: {
            const int32_t *span = (const int32_t *)(intptr_t)w->spans + 3 * (size_t)number;
            int there = span[2] && record->others;
            if (!there && span[0] < span[1])
                there = !record->next || numbers[record->next + span[0]] < span[1];
            p->state = number;
            return there;
        }
        case KEY_END: {
            int32_t behind = UNKNOWN;
            if (w->exact) {
                if (answered < w->n_answers) behind = w->answers[answered++];
            } else if (number < record->n_names)
                behind = numbers[record->names + number];
            if (behind == UNKNOWN) return ask(w, BEHIND_KEY, p->record, number);
            if (behind < 0) return 0;
            p->record = behind;
            p->state = w->colon;
            return 1;
        }
        case CALL:
            if (record->child < 0) return 0;
            if (p->top >= w->most_frames) return ask(w, FRAMES, 0, 0);
            frames[p->top] = (tk_frame){number, p->record, p->frame};
            p->frame = p->top++;
            p->state = record->child;
            p->record = record->child_record;
            continue;
        case JUMP:
            p->state = record->child;
            p->record = record->child_record;
            continue;
        case KEY_START:
            if (record->key < 0) return 0;
            p->state = record->key;
            return 1;
        case MORE_ITEMS:
            if (record->child < 0) return 0;
            p->state = number;
            return 1;
        case MORE_MEMBERS:
            if (record->key < 0) return 0;
            p->state = number;
            return 1;
        case CLOSE:
            said = record->close;
            if (said < 0) return 0;
            break;
        default: break; /* POP, END */
        }
        if (p->frame == 0) return 0;
        const tk_frame *frame = frames + p->frame;
        const tk_record *outer = records + frame->record;
        if (!outer->filled) return ask(w, RECORD, frame->record, 0);
        int32_t behind = UNKNOWN;
        if (w->exact && outer->exact) {
            if (answered < w->n_answers) behind = w->answers[answered++];
        } else if (said < outer->n_behind)
            behind = numbers[outer->behind + said];
        if (behind == UNKNOWN)
            return ask(w, kind == POP ? BEHIND_NUMBER : BEHIND_VALUE, frame->record, said);
        if (behind < 0) return 0;
        p->state = frame->state;
        p->record = behind;
        p->frame = frame->below;
        if (kind != POP) return 1;
    }
}

/* Whether these groups of bytes, in any order and as many as a token has, leave a place where it
 * is, but for characters that are counted, of which enough are left; `byte` is one of theirs. */
static int stays(const tk_walk *w, const tk_place *p, uint32_t below, int32_t byte, loops *known) {
    const int32_t *row = (const int32_t *)(intptr_t)w->rows + (size_t)p->state * (size_t)w->n_classes;
    const int32_t *span = (const int32_t *)(intptr_t)w->spans + 3 * (size_t)p->state;
    const uint8_t *classes = (const uint8_t *)(intptr_t)w->classes;
    int32_t first = row[classes[byte]];
    if (row[0] == -MISSING_ROW || (first < 0 ? -first >> 5 : first) != p->state) return 0;
    loops *one = known + ((uint32_t)(p->state + 5 * p->record) % N_LOOPS);
    if (one->state != p->state || one->record != p->record) {
        const tk_record *record = (const tk_record *)(intptr_t)w->records + p->record;
        int names = record->filled && record->others && span[2];
        uint32_t others = NEVER;
        *one = (loops){p->state, p->record, 0, 0};
        for (int32_t other = 0x20; other < 0x7f; other++) {
            int32_t move = row[classes[other]], kind = move < 0 ? -move & 31 : 0;
            int there = (move < 0 ? -move >> 5 : move) == p->state;
            if (kind == CHARACTER)
                one->counts = 1;
            else if (kind)
                there = there && kind == IN_KEY && names;
            if (!there) others |= group(other);
        }
        one->groups = ~others;
    }
    return !(below & ~one->groups) && (!one->counts || p->left - w->deepest >= span[0]);
}

/* Sets the bits of the tokens that may come, from node `at` on, and counts them. Returns 1 where
 * something is missing, 0 when the walk is over. */
TK_EXPORT tk_int tk_constrain_walk(tk_int walk) {
    tk_walk *w = (tk_walk *)walk;
    const uint8_t *bytes = (const uint8_t *)(intptr_t)w->bytes;
    const uint8_t *classes = (const uint8_t *)(intptr_t)w->classes;
    const int32_t *depths = (const int32_t *)(intptr_t)w->depths;
    const int32_t *skips = (const int32_t *)(intptr_t)w->skips;
    const int32_t *firsts = (const int32_t *)(intptr_t)w->firsts;
    const int32_t *tokens = (const int32_t *)(intptr_t)w->tokens;
    const int32_t *rows = (const int32_t *)(intptr_t)w->rows;
    tk_place *stack = (tk_place *)(intptr_t)w->stack;
    uint32_t *mask = (uint32_t *)(intptr_t)w->mask;
    size_t n_classes = (size_t)w->n_classes;
    const uint32_t *below = (const uint32_t *)(intptr_t)w->below;
    loops known[N_LOOPS];
    for (int32_t one = 0; one < N_LOOPS; one++) known[one].state = -1;
    int32_t i = w->at, found = w->found;
    if (i == 0) stack[0] = w->place;
    while (i < w->n_nodes) {
        int32_t depth = depths[i];
        const tk_place *here = stack + depth;
        const int32_t *row = rows + (size_t)here->state * n_classes;
        int32_t move = row[classes[bytes[i]]];
        if (move == -REJECT && row[0] != -MISSING_ROW) {
            i = skips[i];
            continue;
        }
        tk_place *next = stack + depth + 1;
        *next = *here;
        if (move >= 0 && row[0] != -MISSING_ROW)
            next->state = move;
        else {
            int there = (-move & 31) == CHARACTER && row[0] != -MISSING_ROW
                            ? write(w, next, -move >> 5)
                            : advance(w, bytes[i], next);
            if (there < 0) {
                w->at = i;
                w->found = found;
                return 1;
            }
            if (!there) {
                i = skips[i];
                continue;
            }
        }
        int32_t first = firsts[i++];
        if (below[i - 1] < NEVER && stays(w, next, below[i - 1], bytes[i], known)) i = skips[i - 1];
        for (int32_t t = first; t < firsts[i]; t++) mask[tokens[t] >> 5] |= 1u << (tokens[t] & 31);
        found += firsts[i] - first;
    }
    w->at = i;
    w->found = found;
    return 0;
}

/* Steps over the text's `n_nodes` bytes, from byte `at` on and from the place, which is behind them
 * when it is over. Returns 0 then, 1 where something is missing, 2 where byte `at` cannot come. */
TK_EXPORT tk_int tk_constrain_step(tk_int walk) {
    tk_walk *w = (tk_walk *)walk;
    const uint8_t *text = (const uint8_t *)(intptr_t)w->text;
    for (; w->at < w->n_nodes; w->at++) {
        tk_place next = w->place;
        int there = advance(w, text[w->at], &next);
        if (there < 0) return 1;
        if (!there) return 2;
        w->place = next;
        w->n_answers = 0;
    }
    return 0;
}
