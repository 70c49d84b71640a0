# Several models as one: what each expects next, and what they write together.
# The panel Ensemble loads members; their names are the keys of page.models.
from math import exp

models = [m for m in thimble.page.models.values() if m.config.n_vocab == model.config.n_vocab]
if len(models) < 2:
    print(f"In memory: {', '.join(thimble.page.models)}. Load members in the panel Ensemble first.")
else:
    together = thimble.Ensemble(models, method="product")
    writing = together.session()
    params = thimble.SamplingParams(max_tokens=60, temperature=0.7, seed=3)
    text = "".join(chunk.text for chunk in writing.generate("One day, a fox", params))
    print(f"One day, a fox{text}\n")

    for one in (*models, together):
        alone = one.session()
        alone.append(tokenizer.encode("One day, a fox"))
        best = [
            f"{tokenizer.token_bytes(token).decode('utf-8', 'replace')!r} {exp(logprob):.0%}"
            for token, logprob in alone.token_logprob(0, top=4).top
        ]
        print(f"{one.name:>24.24}  {', '.join(best)}")
