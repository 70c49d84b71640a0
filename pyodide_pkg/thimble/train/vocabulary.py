"""The tokenizer that is trained: byte-level BPE in plain Python, the same for the same text.

It makes what a GGUF file says of a tokenizer (`tokenizer.ggml.…`); `thimble/tokenizer` encodes and
decodes with that. Token 0 begins and ends a text, tokens 1 to 255 are the bytes 0x00 to 0xFE (0xFF
is in no UTF-8), and the rest are merges in the order in which they were found.

Source: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, with GPT-2's way of cutting words.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from ..errors import FormatError, OptionError
from ..gguf import read_file_header
from ..gguf_lists import plain
from ..tokenizer.bpe import ALPHABET
from ..tokenizer.pretokenizers import PRETOKENIZERS
from .recipe import BYTES

END = "<|endoftext|>"
END_ID = 0
PRE = "gpt-2"
NORMAL, CONTROL = 1, 3
"""Token types, by llama.cpp's numbers."""

KEYS = (
    "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token",
)  # fmt: skip
"""What a file says of a tokenizer of ours."""

Pair = tuple[int, int]


def train_vocabulary(stories: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """Return the metadata of a tokenizer with `vocab_size` tokens.

    Raises `OptionError` where the text gives fewer: no two tokens stand side by side twice.
    """
    tokens = [END, *ALPHABET[:255]]
    merges: list[str] = []
    if vocab_size > BYTES:
        for left, right in _merges(_count_words(stories), vocab_size - BYTES):
            merges.append(f"{tokens[left]} {tokens[right]}")
            tokens.append(tokens[left] + tokens[right])
    if len(tokens) < vocab_size:
        raise OptionError(f"vocab_size is {vocab_size}; this text gives only {len(tokens)} tokens")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": PRE,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL] + [NORMAL] * (len(tokens) - 1),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": END_ID,
        "tokenizer.ggml.eos_token_id": END_ID,
        "tokenizer.ggml.add_bos_token": True,
    }


def vocabulary_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of the tokenizer in a GGUF file that `train_vocabulary` once made.

    Raises `FormatError` where the file's tokenizer is of another kind.
    """
    found = read_file_header(path).metadata
    known = {key: found[key] for key in KEYS if key in found}
    if len(known) < len(KEYS) or known["tokenizer.ggml.pre"] != PRE:
        raise FormatError(f"{os.fspath(path)} has a tokenizer that was not trained by Thimble")
    return plain(known)


def vocabulary_sha256(metadata: dict[str, Any]) -> str:
    """Return the hash by which receipts know a tokenizer: of its keys as compact JSON, sorted."""
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _count_words(stories: Iterable[str]) -> Counter[str]:
    split = PRETOKENIZERS[PRE].split
    words: Counter[str] = Counter()
    for story in stories:
        words.update(split(story))
    return words


def _merges(words: Counter[str], wanted: int) -> Iterable[Pair]:
    """Yield the most frequent pair again and again, each time joined in all words; of pairs that
    are as frequent, the one of the lowest ids. None is joined that comes only once."""
    spelled = [[byte + 1 for byte in word.encode()] for word in words]
    counts = list(words.values())
    frequency: dict[Pair, int] = defaultdict(int)
    places: dict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(spelled):
        for pair in pairwise(word):
            frequency[pair] += counts[index]
            places[pair].add(index)
    heap = [(-n, pair) for pair, n in frequency.items()]
    heapq.heapify(heap)
    new = BYTES
    while heap and new < BYTES + wanted:
        n, pair = heapq.heappop(heap)
        if -n != frequency.get(pair):
            continue  # an old entry; the pair's present one is further down
        if n > -2:
            return
        yield pair
        changed: set[Pair] = set()
        for index in places.pop(pair):
            spelled[index] = _join(spelled[index], pair, new, counts[index], frequency, changed)
            for found in pairwise(spelled[index]):
                if new in found:
                    places[found].add(index)
        del frequency[pair]
        changed.discard(pair)
        for found in changed:
            if frequency[found]:
                heapq.heappush(heap, (-frequency[found], found))
            else:
                del frequency[found]
        new += 1


def _join(
    word: list[int], pair: Pair, new: int, count: int, frequency: dict[Pair, int],
    changed: set[Pair],
) -> list[int]:  # fmt: skip
    """Return the word with the pair joined from the left; keep the pairs' frequencies."""
    left, right = pair
    joined: list[int] = []
    i = 0
    while i < len(word):
        if word[i] == left and i + 1 < len(word) and word[i + 1] == right:
            joined.append(new)
            i += 2
        else:
            joined.append(word[i])
            i += 1
    if len(joined) == len(word):
        return word  # joined with a neighbour before
    for sign, ids in ((-count, word), (count, joined)):
        for found in pairwise(ids):
            frequency[found] += sign
            changed.add(found)
    return joined
