# Two prompts, side by side: which next tokens one of them makes likelier.
from math import exp, log


def logprobs(prompt):
    copy = model.session()
    copy.append(tokenizer.encode(prompt))
    logits = copy.logits()
    largest = max(logits)
    norm = largest + log(sum(exp(x - largest) for x in logits))
    return [x - norm for x in logits]


a, b = "The king was very", "The bunny was very"
first, second = logprobs(a), logprobs(b)
change = [q - p for p, q in zip(first, second)]
likely = [i for i in range(len(change)) if max(first[i], second[i]) > log(0.02)]

print(f"{'token':>14}  {a!r:>22}  {b!r:>22}")
for token in sorted(likely, key=change.__getitem__, reverse=True):
    text = tokenizer.token_bytes(token).decode("utf-8", "replace")
    print(f"{text!r:>14}  {exp(first[token]):22.2%}  {exp(second[token]):22.2%}")

divergence = sum(exp(p) * (p - q) for p, q in zip(first, second))
print(f"They differ by {divergence / log(2):.3f} bits (Kullback–Leibler).")
