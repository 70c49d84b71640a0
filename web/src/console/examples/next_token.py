# What comes next: the model's own probabilities after a text.
from math import exp, log

text = "Once upon a time, there was a little"
copy = model.session()  # one of its own: the page's text stays as it is
copy.append(tokenizer.encode(text))
logits = copy.logits()  # one number for each token of the vocabulary

largest = max(logits)
norm = largest + log(sum(exp(x - largest) for x in logits))
best = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)

print(text, "…")
for token in best[:10]:
    text = tokenizer.token_bytes(token).decode("utf-8", "replace")
    print(f"{exp(logits[token] - norm):7.2%}  {text!r}")
