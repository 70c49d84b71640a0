# Softmax and top-p by hand, with NumPy: it comes when it is first imported.
import numpy

copy = model.session()
copy.append(tokenizer.encode("She looked up and saw a"))
logits = numpy.asarray(copy.logits())  # float32, no copy
print(logits.shape, logits.dtype)

for temperature in (0.5, 1.0, 2.0):
    z = numpy.exp((logits - logits.max()) / temperature)
    p = z / z.sum()
    order = numpy.argsort(-p)
    kept = int(numpy.searchsorted(numpy.cumsum(p[order]), 0.9)) + 1
    best = tokenizer.token_bytes(int(order[0])).decode("utf-8", "replace")
    entropy = float(-(p * numpy.log(p + 1e-30)).sum())
    print(f"T={temperature}: top-p 0.9 keeps {kept} tokens, entropy {entropy:.2f}, best {best!r}")
