# Where the parameters are: by kind of tensor, over all layers.
from collections import Counter

counts = Counter()
for tensor in model.tensors:
    kind = tensor.name.split(".", 2)[2] if tensor.name.startswith("blk.") else tensor.name
    counts[kind] += tensor.n_elements

for kind, n in counts.most_common():
    print(f"{n:>12,}  {n / model.n_params:6.1%}  {kind}")
print(f"{model.n_params:>12,}  in {len(model.tensors)} tensors, {model.nbytes:,} bytes in memory")
