/* Trains a small network for some steps on made-up tokens, without Python, and prints a hash of the
 * weights: for machines that are only emulated. Linked with the kernels. */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>

tk_int tk_train_new(tk_int ints, tk_int reals);
tk_int tk_train_part(tk_int train, tk_int which);
tk_int tk_train_init(tk_int train, tk_int low, tk_int high, tk_int deviation);
tk_int tk_train_settle(tk_int train, tk_int exact);
tk_int tk_train_micro(tk_int train, tk_int n_tokens, tk_int n_segments, tk_int learning, tk_int low,
                      tk_int high);
tk_int tk_train_update(tk_int train);
tk_int tk_threads(tk_int n);

enum { VOCABULARY = 101, CONTEXT = 40, TOKENS = 100, SEGMENT = 25 };

/* Every token follows from the one before, more often than not. */
static void fill_batch(const tk_train *t, uint64_t step) {
    for (int32_t i = 0; i < TOKENS; i++) {
        uint64_t drawn = tk_draw(step, (uint64_t)i);
        int32_t before = i ? t->targets[i - 1] : 0;
        t->ids[i] = before;
        t->targets[i] = drawn & 3 ? (before * 7 + 3) % VOCABULARY : (int32_t)(drawn >> 8) & 63;
    }
    for (int32_t s = 0; s <= TOKENS / SEGMENT; s++) t->starts[s] = s * SEGMENT;
}

static uint64_t hash(const void *data, size_t bytes) {
    uint64_t found = 14695981039346656037ull; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++) found = (found ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return found;
}

/* train_runner STEPS MUON ENCODING THREADS */
int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int steps = atoi(argv[1]);
    int32_t ints[] = {2,          32,      2,      1,           16,           64,
                      VOCABULARY, CONTEXT, TOKENS, atoi(argv[2]), atoi(argv[3])};
    double reals[] = {1e-5, 0.1, 10000.0}, deviation = 0.03;
    tk_threads(atoi(argv[4]));
    tk_int train = tk_train_new((tk_int)ints, (tk_int)reals);
    if (train <= 0) return 1;
    tk_train *t = (tk_train *)train;
    tk_train_init(train, 42, 7, (tk_int)&deviation);
    double power1 = 1.0, power2 = 1.0, first = 0.0;
    for (int step = 0; step < steps; step++) {
        power1 *= 0.9;
        power2 *= 0.95;
        double io[] = {1.0 / TOKENS, 1.0, 0.01, 0.9, 0.95, 1.0 / (1.0 - power1),
                       1.0 / (1.0 - power2), 0.1, 0.02, 0.95, 0.1};
        for (size_t i = 0; i < sizeof io / sizeof *io; i++) t->io[i] = io[i];
        fill_batch(t, (uint64_t)step);
        tk_train_settle(train, 0);
        if (tk_train_micro(train, TOKENS, TOKENS / SEGMENT, 1, step, 1)) return 1;
        if (!step) first = t->io[TK_IO_NATS];
        if (tk_train_update(train)) return 1;
    }
    /* It must have learned something, or the hash says little. */
    if (!(t->io[TK_IO_NATS] < 0.95 * first)) return 3;
    printf("%016llx\n", (unsigned long long)hash(t->master, t->n_params * sizeof(float)));
    return 0;
}
