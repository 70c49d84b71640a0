/* Tokens among which one is drawn: put in order no further than has to be. */
#ifndef TK_CANDIDATES_H
#define TK_CANDIDATES_H

#include <stdint.h>

typedef struct {
    float weight;
    int32_t id;
} tk_candidate;

/* Whether candidate a comes before b: larger weight first, then smaller id. */
static inline int before(tk_candidate a, tk_candidate b) {
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

static inline void swap(tk_candidate *a, tk_candidate *b) {
    tk_candidate swapped = *a;
    *a = *b;
    *b = swapped;
}

/* Heap whose root is the last of its candidates. */
static inline void sift_down(tk_candidate *heap, int32_t n, int32_t i) {
    tk_candidate moved = heap[i];
    for (int32_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && before(heap[child], heap[child + 1])) child++;
        if (!before(moved, heap[child])) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static inline void sort_candidates(tk_candidate *c, int32_t n) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(c, n, i);
    for (int32_t end = n - 1; end > 0; end--) {
        swap(c, c + end);
        sift_down(c, end, 0);
    }
}

/* The k first of n values, unordered; returns how many. */
static inline int32_t select_top(tk_candidate *out, const float *x, int32_t n, int32_t k) {
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        if (count < k) {
            out[count++] = (tk_candidate){x[i], i};
            if (count == k)
                for (int32_t j = k / 2 - 1; j >= 0; j--) sift_down(out, k, j);
        } else if (x[i] > out[0].weight) {
            out[0] = (tk_candidate){x[i], i};
            sift_down(out, k, 0);
        }
    }
    return count;
}

/* A number's bin: its leading bits, which are ordered as numbers from 0 on are. */
enum { BINS = 2048 };
static inline int32_t leading_bits(float x, int shift) {
    union {
        float f;
        uint32_t u;
    } v = {x};
    return (int32_t)(v.u >> shift);
}

/* Weights are at most 1. */
static inline int32_t bin_of(float weight) { return leading_bits(weight, 19); }

/* Keeps of n candidates the best that together weigh at least `wanted`. Only those in the bin where
 * the sum is reached are put in order. Returns how many survive. */
static inline int32_t keep_mass(tk_candidate *c, int32_t n, double wanted) {
    double mass[BINS];
    __builtin_memset(mass, 0, sizeof mass);
    for (int32_t i = 0; i < n; i++) mass[bin_of(c[i].weight)] += (double)c[i].weight;
    double above = 0.0;
    int32_t edge = BINS - 1, sure = 0, maybe = 0;
    while (edge > 0 && (above + mass[edge] < wanted || above + mass[edge] <= 0.0))
        above += mass[edge--];
    for (int32_t i = 0; i < n; i++)
        if (bin_of(c[i].weight) > edge) swap(c + sure++, c + i);
    for (int32_t i = sure; i < n; i++)
        if (bin_of(c[i].weight) == edge) swap(c + sure + maybe++, c + i);
    sort_candidates(c + sure, maybe);
    int32_t survivors = sure;
    while (survivors < sure + maybe && (survivors == 0 || above < wanted))
        above += (double)c[survivors++].weight;
    return survivors;
}

/* The same where what counts is nearness: keeps the candidates with the smallest distances (which
 * stand in place of their weights, and are at least 0) up to the one with which their weights w add
 * up to more than `wanted`. The weights are put back. */
static inline int32_t keep_nearest(tk_candidate *c, const float *w, int32_t n, double wanted) {
    double mass[BINS], sum = 0.0;
    __builtin_memset(mass, 0, sizeof mass);
    for (int32_t i = 0; i < n; i++) mass[leading_bits(c[i].weight, 20)] += (double)w[c[i].id];
    int32_t edge = 0, sure = 0, maybe = 0;
    while (edge < BINS - 1 && sum + mass[edge] <= wanted) sum += mass[edge++];
    for (int32_t i = 0; i < n; i++)
        if (leading_bits(c[i].weight, 20) < edge) swap(c + sure++, c + i);
    for (int32_t i = sure; i < n; i++)
        if (leading_bits(c[i].weight, 20) == edge) swap(c + sure + maybe++, c + i);
    for (int32_t i = sure; i < sure + maybe; i++) c[i].weight = -c[i].weight; /* nearest first */
    sort_candidates(c + sure, maybe);
    int32_t survivors = sure;
    while (survivors < sure + maybe && (survivors == 0 || sum <= wanted))
        sum += (double)w[c[survivors++].id];
    for (int32_t i = 0; i < survivors; i++) c[i].weight = w[c[i].id];
    return survivors;
}

#endif
