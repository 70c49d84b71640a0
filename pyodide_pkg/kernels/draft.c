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

enum { CLASSES = sizeof(((tk_draft *)0)->chance) / sizeof(double) };

/* Where the draw stands after one more token. Behind the ids before the draw there is space for a
 * draft's. */
static void move_on(tk_sampling *s, int32_t id) {
    s->position++;
    s->mu = s->next_mu;
    s->dry_limit++;
    if (s->last) ((int32_t *)(intptr_t)s->last)[s->n_last++] = id;
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
