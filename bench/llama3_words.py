"""The vocabulary that MaskBench was published with: Llama 3's, 128,000 words and 256 special ones.

It comes with the PyPI package `llama-models`; texts are cut into tokens as its makers say, by byte
pairs in the order of their ranks.
"""

from __future__ import annotations

import base64
import itertools
import subprocess
import sys
import zipfile
from pathlib import Path

import regex

PACKAGE = "llama-models==0.3.0"
WORDS = "llama_models/llama3/tokenizer.model"
SPECIAL = 256
PIECES = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Llama3Words:
    """What masks ask of a tokenizer, and `encode`."""

    adds_space = False

    def __init__(self, ranks: dict[bytes, int]) -> None:
        self._ranks = ranks
        self._spelled = sorted(ranks, key=ranks.__getitem__)
        self._cut: dict[bytes, list[int]] = {}
        self.eog_ids = frozenset({len(ranks) + 1, len(ranks) + 9})

    @classmethod
    def load(cls, folder: Path) -> Llama3Words:
        """The vocabulary, downloaded into a folder once."""
        folder.mkdir(parents=True, exist_ok=True)
        if not list(folder.glob("llama_models-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
            subprocess.run([*command, "--dest", str(folder)], check=True)
        wheel = next(folder.glob("llama_models-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            lines = archive.read(WORDS).splitlines()
        return cls({base64.b64decode(word): int(rank) for word, rank in map(bytes.split, lines)})

    @property
    def n_vocab(self) -> int:
        return len(self._spelled) + SPECIAL

    def token_bytes(self, token: int) -> bytes:
        return self._spelled[token] if token < len(self._spelled) else b""

    def is_special(self, token: int) -> bool:
        return token >= len(self._spelled)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        tokens: list[int] = []
        for piece in PIECES.findall(text):
            data = piece.encode("utf-8", "surrogatepass")
            if data not in self._cut:
                self._cut[data] = self._pairs(data)
            tokens += self._cut[data]
        return tokens

    def _pairs(self, data: bytes) -> list[int]:
        if data in self._ranks:
            return [self._ranks[data]]
        parts = [data[i : i + 1] for i in range(len(data))]
        while len(parts) > 1:
            worst = len(self._ranks)
            ranks = [self._ranks.get(a + b, worst) for a, b in itertools.pairwise(parts)]
            best = min(ranks)
            if best == worst:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self._ranks[part] for part in parts]
