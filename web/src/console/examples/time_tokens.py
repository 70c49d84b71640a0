# How long a token takes: alone, in a batch as a prompt is read, and per layer.
from statistics import median
from time import perf_counter

ids = tokenizer.encode("Once upon a time there was a little girl who lived in a big house. " * 4)
ids = ids[: min(len(ids), model.config.n_ctx)]

copy = model.session()
alone = []
for token in ids:
    began = perf_counter()
    copy.append([token])
    alone.append(perf_counter() - began)

batched = model.session()
began = perf_counter()
batched.append(ids)
together = (perf_counter() - began) / len(ids)

each = median(alone)
print(f"alone     {1000 * each:8.3f} ms a token, {1 / each:,.0f} tokens a second")
print(f"in batch  {1000 * together:8.3f} ms a token, {1 / together:,.0f} tokens a second")
layers = model.config.n_layers
print(f"alone, over {layers} layers: {1e6 * each / layers:.0f} µs each, at most")
