# Which tokens the model takes to be alike: nearest neighbours among its embeddings.
from math import sqrt

words = [" king", " cat", " happy", " ran"]
size = model.config.dim


def unit(token):
    row = model.weights.row("token_embd.weight", token, size)
    length = sqrt(sum(x * x for x in row)) or 1.0
    return [x / length for x in row]


table = [unit(token) for token in range(tokenizer.n_vocab)]
for word in words:
    token = tokenizer.encode("x" + word, add_special=False)[-1]
    here = table[token]
    alike = [sum(x * y for x, y in zip(here, other)) for other in table]
    best = sorted(range(len(alike)), key=alike.__getitem__, reverse=True)[1:6]
    names = [tokenizer.token_bytes(i).decode("utf-8", "replace") for i in best]
    found = tokenizer.token_bytes(token).decode("utf-8", "replace")
    print(f"{found!r:>10}:", ", ".join(f"{n!r} {alike[i]:.2f}" for n, i in zip(names, best)))
