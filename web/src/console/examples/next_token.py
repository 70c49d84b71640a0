# What comes next: the logits after a text, as probabilities.
from math import exp, log

text = "Once upon a time, there was a little"
fresh = model.session()
fresh.append(tokenizer.encode(text))
logits = fresh.logits()

largest = max(logits)
norm = largest + log(sum(exp(x - largest) for x in logits))
best = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)
print(text, "…")
for token in best[:10]:
    piece = tokenizer.token_bytes(token).decode("utf-8", "replace")
    print(f"{exp(logits[token] - norm):7.2%}  {piece!r}")
