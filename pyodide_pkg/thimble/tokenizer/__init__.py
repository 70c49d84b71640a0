"""Text to ids and back: the tokenizers that GGUF files carry, read from their metadata.

Which kind a file has is said by `tokenizer.ggml.model`; `KINDS` is the table of those that run.
The package knows strings and ids. It does not know models, or how a conversation is written down
(`chat.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import OptionError, UnsupportedError
from .base import StreamDecoder, Tokenizer
from .bpe import BPETokenizer
from .sentencepiece import SentencePieceTokenizer
from .unigram import UnigramTokenizer
from .vocabulary import PREFIX, read_name
from .wordpiece import WordPieceTokenizer

__all__ = ["KINDS", "StreamDecoder", "Tokenizer", "tokenizer_from_metadata"]

KINDS: dict[str, Callable[[Mapping[str, object]], Tokenizer]] = {
    "llama": SentencePieceTokenizer,
    "gpt2": BPETokenizer,
    "bert": WordPieceTokenizer,
    "t5": UnigramTokenizer,
}


def tokenizer_from_metadata(metadata: Mapping[str, object]) -> Tokenizer:
    """The tokenizer that a GGUF file's metadata describes.

    Raises UnsupportedError for a kind or a pre-tokenizer that we do not run, and FormatError for
    metadata that contradicts itself.
    """
    if not isinstance(metadata, Mapping):
        raise OptionError(f"metadata is a mapping, not {type(metadata).__name__}")
    kind = read_name(metadata, "model")
    make = KINDS.get(kind)
    if make is None:
        raise UnsupportedError(
            f"{PREFIX}model is {kind!r:.60}; those that run are {', '.join(sorted(KINDS))}"
        )
    return make(metadata)
