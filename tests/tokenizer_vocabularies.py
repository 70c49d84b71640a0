"""Vocabularies made on the spot, as GGUF metadata, for the tests of tokenizers.

`pairs` is the severe one: every pair of bytes merges, in a scrambled order, so that a word that
begins or ends one byte off gives other ids nearly always.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.tiny_models import bpe_vocab, spm_vocab
from thimble.tokenizer.bpe import ALPHABET
from tools.real_model import TEXT

Metadata = dict[str, Any]


def bpe(pre: str = "gpt-2") -> Metadata:
    """A small byte-level BPE with a control token and a user-defined one."""
    tokens, merges = bpe_vocab()
    tokens = [t for t in tokens if t != "<|endoftext|>"] + ["<|end|>", "<|user|>", "<mood>"]
    n = len(tokens)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (n - 3) + [3, 3, 4],
        "tokenizer.ggml.merges": [*merges],
        "tokenizer.ggml.bos_token_id": n - 3,
        "tokenizer.ggml.eos_token_id": n - 3,
    }


def spm() -> Metadata:
    """A small SentencePiece vocabulary with byte fallback."""
    tokens, scores, types = spm_vocab()
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*tokens],
        "tokenizer.ggml.scores": [*scores],
        "tokenizer.ggml.token_type": [*types],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def pairs(pre: str) -> Metadata:
    """All bytes, all pairs of bytes, and merges of all pairs in an order that looks random."""
    both = [a + b for a in ALPHABET for b in ALPHABET]
    # An odd multiplier modulo 2**16 visits every pair once.
    merges = [both[i * 40503 % 65536] for i in range(65536)]
    tokens = [*ALPHABET, *both, "<|endoftext|>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 65792 + [3],
        "tokenizer.ggml.merges": [f"{m[0]} {m[1]}" for m in merges],
        "tokenizer.ggml.bos_token_id": 65792,
        "tokenizer.ggml.eos_token_id": 65792,
    }


HARD_TEXTS = (
    "it's we'RE I'LL 'tis  don't\n\n  x",
    "\t\t\n \r\n a   b    \n",
    "w048 7tuijk 1234567 12 3.50",
    "١٢٣٤ ½ Ⅷ 三 ²",
    "naïve e\u0301 \u0903x नमस्ते",
    "\u00a0\u2003x\u0085y\u001c\u001dz\u3000 q",
    "日本語 テスト 한국어 ខ្មែរ",
    "🦙🚀👩\u200d👩\u200d👧 !?",
    "a~b~~c `x` $5.00 <=> ^_^ |",
    "HELLO World's iPhone FOObar ΩμέΓΑ",
    "ǅ ʔ \u1fd3 \u2126 \u212a \u1fbe ß ＡＢｃ！。",
    "\u0378 \ue000 \ufffd \U000e0001 \U0001f1e6",
    # Unassigned, added by Unicode 15, by 15.1, by 16.
    "a\u0cf3b a\U00011f02b 1\U0001e4f02 a\U0002ebf0b a\u1c89b 1\U00010d402 .\u1b4e.",
)
"""Each has something that pre-tokenizers treat differently."""

SMOLLM2_TEXTS = (*(text.replace("\x1d", "") for text in HARD_TEXTS[:-1]), TEXT)
"""Those of them that SmolLM2's vocabulary can say: it has no token for the byte 0x1D."""

UNIGRAM = Path(__file__).parent / "vectors" / "unigram.json"
"""Small unigram models of SentencePiece's, and what it makes of texts."""


@cache
def unigram_record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(UNIGRAM.read_text(encoding="utf-8"))
    return found


def unigram_metadata(described: dict[str, Any]) -> Metadata:
    """A model of SentencePiece's as a GGUF file has it; types have the same numbers."""
    pieces = described["pieces"]
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": [piece for piece, _, _ in pieces],
        "tokenizer.ggml.scores": [score for _, score, _ in pieces],
        "tokenizer.ggml.token_type": [kind for _, _, kind in pieces],
        "tokenizer.ggml.precompiled_charsmap": [*base64.b64decode(described["charsmap"])],
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def unigram(kind: str = "unknown") -> Metadata:
    """The recorded model that has an unknown token, or `bytes`."""
    return unigram_metadata(unigram_record()[kind])
