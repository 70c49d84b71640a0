/* Which tokens a grammar lets come next.
 *
 * The vocabulary is a tree of bytes, laid out in the order in which one walks it: of each node its
 * byte, its depth, where the walk goes on without what is under it, and the tokens that end there.
 * The grammar is rows of states (thimble/constrain/automaton.py): where a class of bytes leads from
 * a state. A row may be missing; then the walk stops, says whose, and goes on when it is there. */
#include "thimble.h"

/* Mirrored in thimble/constrain/masks.py. */
typedef struct {
    int64_t bytes;   /* uint8 [nodes] */
    int64_t depths;  /* int32 [nodes]: 0 for the first byte of a token */
    int64_t skips;   /* int32 [nodes]: the first node that is not under this one */
    int64_t firsts;  /* int32 [nodes + 1]: where a node's tokens begin */
    int64_t tokens;  /* int32 */
    int64_t classes; /* uint8 [256] */
    int64_t rows;    /* int32 [states][n_classes] */
    int64_t stack;   /* int32 [deepest + 2]: the state before each depth */
    int64_t mask;    /* uint32: a bit a token */
    int32_t n_nodes, n_classes, at, found; /* found: bits that were set, of all tokens */
} tk_walk;

enum { MISSING = -2 }; /* stands in the first class of a row that is not there */

/* Sets the bits of the tokens that may come, from node `at` on, and counts them. Returns the state
 * whose row is missing, or -1 when the walk is over. */
TK_EXPORT tk_int tk_constrain_walk(tk_int walk) {
    tk_walk *w = (tk_walk *)walk;
    const uint8_t *bytes = (const uint8_t *)(intptr_t)w->bytes;
    const uint8_t *classes = (const uint8_t *)(intptr_t)w->classes;
    const int32_t *depths = (const int32_t *)(intptr_t)w->depths;
    const int32_t *skips = (const int32_t *)(intptr_t)w->skips;
    const int32_t *firsts = (const int32_t *)(intptr_t)w->firsts;
    const int32_t *tokens = (const int32_t *)(intptr_t)w->tokens;
    const int32_t *rows = (const int32_t *)(intptr_t)w->rows;
    int32_t *stack = (int32_t *)(intptr_t)w->stack;
    uint32_t *mask = (uint32_t *)(intptr_t)w->mask;
    int32_t i = w->at, found = w->found;
    while (i < w->n_nodes) {
        int32_t depth = depths[i], state = stack[depth], next = -1;
        const int32_t *row = rows + (size_t)state * (size_t)w->n_classes;
        if (row[0] == MISSING) {
            w->at = i;
            w->found = found;
            return state;
        }
        /* What stands beside each other comes from one state, up to the first with more under it. */
        do {
            next = row[classes[bytes[i]]];
            if (next < 0) {
                i = skips[i];
                continue;
            }
            for (int32_t t = firsts[i]; t < firsts[i + 1]; t++)
                mask[tokens[t] >> 5] |= 1u << (tokens[t] & 31);
            found += firsts[i + 1] - firsts[i];
            i++;
            if (skips[i - 1] != i) {
                stack[depth + 1] = next;
                break;
            }
        } while (i < w->n_nodes && depths[i] == depth);
    }
    w->at = i;
    w->found = found;
    return -1;
}
