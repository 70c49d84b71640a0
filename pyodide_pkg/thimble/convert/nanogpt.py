"""A checkpoint of nanoGPT (`ckpt.pt`) with its vocabulary as a GGUF file of the architecture gpt2.

    convert_nanogpt("out-shakespeare-char/ckpt.pt", "data/shakespeare_char/meta.pkl", "out.gguf")

What it holds is said by nanoGPT's train.py and model.py, by Andrej Karpathy:
https://github.com/karpathy/nanoGPT. Matrices lie as GGUF has them, not transposed as OpenAI's;
without biases, those of the file are 0, which changes nothing, since llama.cpp wants them.
`nn.GELU` is exact there, which the key `gpt2.hidden_activation` tells our engine; llama.cpp's GPT-2
has OpenAI's, by tanh.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, OptionError, UnsupportedError
from ..header_keys import MAX_WIDTH
from ..kernel import Kernel
from ..quantize import type_named
from ..tokenizer.bpe import ALPHABET
from ..tokenizer.vocabulary import NORMAL, UNUSED, USER_DEFINED
from .config import MAX_LAYERS, Settings
from .encode import Converted
from .folder import Progress, write_model
from .names import KINDS
from .pickled import LONGEST, read_pickle, told
from .safetensors import Stored
from .tokenizer_json import tokenizer_keys
from .torch_file import Tensor, TorchFile

KIND = dataclasses.replace(KINDS["gpt2"], transposed=())
COMPILED = "_orig_mod."
"""What torch.compile puts before the names."""
END_TEXT = "<|endoftext|>"

_BIASES = {
    "attn_norm": "dim", "attn_qkv": "qkv", "attn_output": "dim", "ffn_norm": "dim",
    "ffn_up": "hidden", "ffn_down": "dim",
}  # fmt: skip
"""Of each layer, and how wide they are."""


def convert_nanogpt(
    source: str | os.PathLike[str],
    vocabulary: str | os.PathLike[str],
    target: str | os.PathLike[str],
    type: str = "f16",
    progress: Progress | None = None,
    *,
    kernel: Kernel | None = None,
) -> Converted:
    """Write the model in `source` to `target`, its matrices as `type`, which `type_named` knows.

    `vocabulary` is a `meta.pkl` of characters, or the `tokenizer.json` of GPT-2 or its folder.
    `target` appears whole or not at all. Raises OptionError for another type or vocabulary,
    FormatError for a file that is damaged or no checkpoint, UnsupportedError for one that holds
    more than data; NumericError for a weight that is not finite or too large for `type`; OSError.
    """
    wanted = type_named(type)
    path = Path(source)
    file = TorchFile(path)
    sizes = _config(file.tree, path.name)
    stored = _weights(file)
    tied = {"tie_word_embeddings": _are_tied(stored)}
    settings = Settings({**sizes, **tied}, {"nanogpt": KIND})
    return write_model(
        target,
        wanted,
        name=path.resolve().parent.name if path.stem == "ckpt" else path.stem,
        settings=settings,
        found=stored,
        tokenizer=_vocabulary_of(Path(vocabulary)),
        made=_missing_biases(settings, stored),
        more={"hidden_activation": "gelu"},
        progress=progress,
        kernel=kernel,
    )


def _config(tree: Any, name: str) -> dict[str, Any]:
    """A checkpoint's sizes, by the words of GPT-2's config.json."""
    arguments = tree.get("model_args") if isinstance(tree, dict) else None
    if not isinstance(arguments, dict) or not isinstance(tree.get("model"), dict):
        raise FormatError(
            f"{name!r} is no checkpoint of nanoGPT's: a dict with 'model' and 'model_args' is right"
        )
    words = {"n_layer": MAX_LAYERS, "n_head": MAX_WIDTH, "n_embd": MAX_WIDTH,
             "block_size": MAX_WIDTH}  # fmt: skip
    sizes: dict[str, Any] = {"model_type": "nanogpt"}
    for word, most in words.items():
        value = arguments.get(word)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise FormatError(
                f"{word} in model_args of {name!r} is {told(value)}; a number from 1 to {most} is "
                "right"
            )
        sizes[word] = value
    return {**sizes, "n_positions": sizes.pop("block_size")}


def _weights(file: TorchFile) -> dict[str, Stored]:
    """The model's tensors, by nanoGPT's names."""
    found: dict[str, Stored] = {}
    for name, tensor in file.tree["model"].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise FormatError(
                f"the model of {file.path.name!r} has {told(name)}, which is {told(tensor)}; names "
                "and tensors are right"
            )
        plain = name.removeprefix(COMPILED)
        if plain.endswith((".attn.bias", ".attn.masked_bias")):
            continue  # a mask of zeros and ones
        if plain in found:
            raise FormatError(f"the model of {file.path.name!r} has {plain!r:.100} twice")
        found[plain] = file.stored(plain, tensor)
    return found


def _are_tied(stored: dict[str, Stored]) -> bool:
    """Whether the output matrix is the embedding, which nanoGPT saves under both names."""
    output, embedding = stored.get("lm_head.weight"), stored.get("transformer.wte.weight")
    if output is None or embedding is None:
        return output is None
    return (output.offset, output.shape) == (embedding.offset, embedding.shape)


def _missing_biases(s: Settings, stored: dict[str, Stored]) -> dict[str, Any]:
    """Biases of 0 for a model that was trained without, by GGUF's names."""
    there = {KIND.name_of(name) for name in stored}
    widths = {"dim": s.dim, "qkv": 3 * s.dim, "hidden": 4 * s.dim}
    wanted = {"output_norm.bias": s.dim}
    for i in range(min(s.n_layers, len(stored))):
        wanted |= {f"blk.{i}.{name}.bias": widths[width] for name, width in _BIASES.items()}
    return {
        name: np.zeros(width, "<f4")
        for name, width in wanted.items()
        if name not in there and name.replace(".bias", ".weight") in there
    }


def _vocabulary_of(path: Path) -> Callable[[int], dict[str, Any]]:
    """What gives the tokenizer's keys for so many rows of an embedding."""
    if path.is_dir() or path.name == "tokenizer.json":
        folder = path if path.is_dir() else path.parent
        return lambda n_rows: _gpt2_keys(folder, n_rows)
    if path.suffix == ".pkl":
        return lambda n_rows: character_keys(path, n_rows)
    raise OptionError(
        f"the tokenizer is {str(path)!r:.100}; of a model of nanoGPT's, a meta.pkl, a "
        "tokenizer.json or its folder is right"
    )


def _gpt2_keys(folder: Path, n_rows: int) -> dict[str, Any]:
    """GPT-2's tokens; the rows by which nanoGPT fills its embedding up to 50304 stay, unused."""
    found = tokenizer_keys(folder, n_rows)
    tokens = found["tokenizer.ggml.tokens"]
    if END_TEXT in tokens:  # also where no tokenizer_config.json says so
        for name in ("bos", "eos"):
            found.setdefault(f"tokenizer.ggml.{name}_token_id", tokens.index(END_TEXT))
    return found


def character_keys(path: Path, n_rows: int) -> dict[str, Any]:
    """The keys of a vocabulary of characters, `itos` of a meta.pkl.

    It becomes byte-level BPE without merges, in which a character of ASCII is one byte; any other
    is a token that is found in a text before that is cut into words. So both engines take a text
    apart into the same characters as nanoGPT. There is no token that ends a text.
    """
    if path.stat().st_size > LONGEST:
        raise FormatError(f"{path.name!r} has more than {LONGEST:,} bytes, which are read")
    whole = read_pickle(path.read_bytes(), repr(path.name), {})
    characters = whole.get("itos") if isinstance(whole, dict) else None
    if isinstance(characters, list):
        characters = dict(enumerate(characters))
    if not isinstance(characters, dict) or not characters:
        raise FormatError(f"{path.name!r} has no characters by number (itos)")
    if len(characters) > n_rows:
        raise FormatError(
            f"{path.name!r} has {len(characters)} characters; the embedding has {n_rows} rows"
        )
    tokens = [f"[PAD{i}]" for i in range(n_rows)]
    types = [UNUSED] * n_rows
    known = {c for c in characters.values() if isinstance(c, str)}
    for i, character in characters.items():
        _check_character(path.name, i, character, n_rows)
        spelled = ALPHABET[ord(character)] if ord(character) < 128 else None
        if spelled is None or (spelled != character and spelled in known):
            tokens[i], types[i] = character, USER_DEFINED
        else:
            tokens[i], types[i] = spelled, NORMAL
    if len(known) < len(characters):
        raise FormatError(f"{path.name!r} has a character twice")
    found = {
        "model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": types, "merges": [],
        "add_bos_token": False, "add_eos_token": False,
    }  # fmt: skip
    return {f"tokenizer.ggml.{key}": value for key, value in found.items()}


def _check_character(name: str, i: Any, character: Any, n_rows: int) -> None:
    if not isinstance(i, int) or not 0 <= i < n_rows:
        raise FormatError(f"{name!r} has the number {told(i)}; 0 to {n_rows - 1} are right")
    if not isinstance(character, str) or len(character) != 1:
        raise UnsupportedError(
            f"{name!r} has {told(character)} for number {i}; single characters are converted here"
        )
    if "\ud800" <= character <= "\udfff":
        raise FormatError(f"{name!r} has half a surrogate pair, U+{ord(character):04X}")
