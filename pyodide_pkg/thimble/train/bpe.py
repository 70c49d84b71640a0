"""The tokenizer: byte-level BPE with GPT-2's way of cutting text to words.

It knows how one is trained, and what a GGUF file has to say of it (`tokenizer.ggml.model` "gpt2",
`tokenizer.ggml.pre` "gpt-2"). How such a tokenizer works is in `thimble/tokenizer`.

Sources: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909; Radford et al. 2019 (GPT-2).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..errors import OptionError
from ..gguf_writer import GGUFWriter

END = "<|endoftext|>"
"""The one special token: it begins a text (BOS) and ends it (EOS)."""

NORMAL, CONTROL = 1, 3
"""Token types, by llama.cpp's numbers."""


def train_bpe(stories: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train on stories. All 256 bytes are tokens, so every text can be written.

    Raises `OptionError` where the text has too few words for that many tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(stories, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        found = tokenizer.get_vocab_size()
        raise OptionError(f"vocab_size is {vocab_size}; this text gives only {found} tokens")
    return tokenizer


def load_bpe(path: str | os.PathLike[str]) -> Tokenizer:
    return Tokenizer.from_file(os.fspath(path))


def end_id(tokenizer: Tokenizer) -> int:
    """Return the number of the end token."""
    found: int | None = tokenizer.token_to_id(END)
    if found is None:
        raise OptionError(f"the tokenizer has no token {END!r}")
    return found


def add_to_gguf(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    """Add the `tokenizer.ggml.` keys."""
    written: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(written["vocab"], key=written["vocab"].__getitem__)
    # Newer versions of `tokenizers` write a merge as a pair, older ones as one string.
    merges = [m if isinstance(m, str) else " ".join(m) for m in written["merges"]]
    end = end_id(tokenizer)
    writer.add("tokenizer.ggml.model", "gpt2")
    writer.add("tokenizer.ggml.pre", "gpt-2")
    writer.add("tokenizer.ggml.tokens", tokens)
    writer.add("tokenizer.ggml.token_type", [CONTROL if t == END else NORMAL for t in tokens])
    writer.add("tokenizer.ggml.merges", merges)
    writer.add("tokenizer.ggml.bos_token_id", end)
    writer.add("tokenizer.ggml.eos_token_id", end)
    writer.add("tokenizer.ggml.add_bos_token", True)
