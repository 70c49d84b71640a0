"""Bits per byte of a PyTorch model while it trains; `thimble eval` measures the file it becomes.

Both count alike: each story on its own, begun with the end token as BOS, cut at `context` tokens
with that one; the end of the story is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from .bpe import end_id
from .data import Ids, Rows, to_arrays
from .processes import Processes
from .recipe import Recipe
from .torch_model import Llama


def evaluation_batches(tokenizer: Tokenizer, stories: Sequence[str], r: Recipe) -> list[Rows]:
    """Return batches of whole stories, several in a row where they fit."""
    end = end_id(tokenizer)
    pieces = []
    for encoding in tokenizer.encode_batch(stories):
        ids = torch.tensor([end, *encoding.ids][: r.context]).numpy()
        if len(ids) > 1:
            pieces.append(ids)
    rows: list[list[Ids]] = []
    room = 0
    for piece in sorted(pieces, key=len):
        if len(piece) - 1 > room:
            rows.append([])
            room = r.context
        rows[-1].append(piece)
        room -= len(piece) - 1
    n = r.micro_tokens // r.context
    rows += [[] for _ in range(-len(rows) % n)]  # batches of one shape are compiled once
    return [to_arrays(rows[i : i + n], r.context) for i in range(0, len(rows), n)]


@torch.no_grad()
def bits_per_byte(
    model: Llama,
    tokenizer: Tokenizer,
    stories: Sequence[str],
    r: Recipe,
    *,
    processes: Processes,
    dtype: str = "float32",
) -> float:
    """Measure, each process its share, with matrices multiplied in `dtype`."""
    nats, size = 0.0, 0
    for batch in evaluation_batches(tokenizer, stories, r)[processes.rank :: processes.size]:
        inputs, targets, documents = (torch.from_numpy(a).to(processes.device) for a in batch)
        with torch.autocast(processes.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            nats += float(model(inputs, targets, documents))
        for row in batch.targets:
            size += len(tokenizer.decode(row[row >= 0].tolist()).encode())
    nats, size_sum = processes.sum(nats, size)
    return nats / math.log(2) / size_sum
