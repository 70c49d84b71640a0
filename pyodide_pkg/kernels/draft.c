/* Tokens computed and drawn in one call: the next one, or a draft of several. */
#include "numeric.h"
#include "plan.h"
#include "sample.h"

/* Computes n tokens and chooses the next: see tk_forward and tk_sample, whose errors come back as
 * they are. */
TK_EXPORT tk_int tk_step(tk_int session, tk_int ids, tk_int n, tk_int logits, tk_int sampling,
                         tk_int scratch, tk_int choice) {
    tk_int bad = n ? tk_forward(session, ids, n, 0, logits) : 0;
    if (bad) return bad;
    return tk_sample(logits, ((const tk_session *)session)->model->n_vocab, sampling, scratch,
                     choice);
}

enum { MOST_DRAFTED = 15, CLASSES = 8 };

/* A draft for another model to check; mirrored in thimble/speculate.py. */
typedef struct {
    double least;           /* the chance of being read that a token must have to be drafted */
    double chance[CLASSES]; /* of a token by the probability that the draft gives it */
    int32_t most, found;
    int32_t ids[MOST_DRAFTED], classes[MOST_DRAFTED];
} tk_draft;

/* Where the draw stands after one more token. */
static void move_on(tk_sampling *s, int32_t id) {
    s->position++;
    if (s->repetition_penalty == 1.0) return;
    int32_t *recent = (int32_t *)(intptr_t)s->recent, i = 0;
    while (i < s->n_recent && recent[i] != id) i++;
    if (i == s->n_recent && i < RECENT) recent[s->n_recent++] = id;
}

/* Computes n tokens and writes on, as long as the text is likely enough to be what the other model
 * says. The tokens that it drafts, all but the last, are computed too. See tk_step for the rest and
 * for what is returned. */
TK_EXPORT tk_int tk_draft_tokens(tk_int session, tk_int ids, tk_int n, tk_int logits,
                                 tk_int sampling, tk_int scratch, tk_int choice, tk_int draft) {
    tk_draft *d = (tk_draft *)draft;
    const tk_choice *chosen = (const tk_choice *)choice;
    double chance = 1.0;
    for (d->found = 0; d->found < d->most; d->found++) {
        tk_int bad = tk_step(session, ids, n, logits, sampling, scratch, choice);
        if (bad) return bad;
        int32_t class = (int32_t)(tk_exp((double)chosen->logprob) * CLASSES);
        class = class < CLASSES ? class : CLASSES - 1;
        chance *= d->chance[class];
        if (chance < d->least) break;
        d->ids[d->found] = chosen->id;
        d->classes[d->found] = class;
        move_on((tk_sampling *)sampling, chosen->id);
        ids = (tk_int)(d->ids + d->found);
        n = 1;
    }
    return 0;
}
