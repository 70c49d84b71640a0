# Beam search of width 3: the likeliest texts, not the likeliest next token.
from math import exp, log

width, steps = 3, 16
prompt = "The little bird wanted to"

start = model.session()
start.append(tokenizer.encode(prompt))
beams = [(0.0, start, [])]
for _ in range(steps):
    longer = []
    for total, beam, written in beams:
        logits = beam.logits()
        largest = max(logits)
        norm = largest + log(sum(exp(x - largest) for x in logits))
        best = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)[:width]
        longer += [(total + logits[token] - norm, beam, written, token) for token in best]
    longer.sort(key=lambda candidate: candidate[0], reverse=True)
    beams = []
    for total, beam, written, token in longer[:width]:
        branch = beam.fork()  # keys and values are copied, not computed again
        branch.append([token])
        beams.append((total, branch, [*written, token]))

for total, _, written in beams:
    text = b"".join(tokenizer.token_bytes(token) for token in written).decode("utf-8", "replace")
    print(f"{total:7.2f}  {prompt}{text}")
