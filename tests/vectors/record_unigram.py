"""Trains a small unigram model of SentencePiece's, and records it with the ids that it gives.

    python -m venv build/peers
    build/peers/bin/pip install sentencepiece==0.2.3 numpy tokenizers gguf==0.19.0
    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_unigram
    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_unigram nmt_nfkc

The first writes `unigram.json`: pieces, scores, the compiled normalizer, and the ids of `TEXTS` by
SentencePiece, with byte fallback and without. Its normalizer has NFKC's rules for what `TEXTS` and
their neighbours hold, composed and decomposed, and white space that is a space. The second records
nothing: it takes SentencePiece's own normalizer, which is too large to keep, compares ids on many
random texts, and prints how many are equal.
"""

from __future__ import annotations

import base64
import importlib
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

from tests.tokenizer_vocabularies import HARD_TEXTS, UNIGRAM, unigram_metadata
from tests.vectors.record_architectures import ENCODED
from thimble.tokenizer import tokenizer_from_metadata
from tools.real_model import TEXT

TEXTS = (*HARD_TEXTS, TEXT, *ENCODED, "", " ", "   ", "  two  spaces ", "\n")
SIZE = 400
RANDOM = 20_000


def rules() -> str:
    """NFKC's rules, a line each, of what the texts hold and of more of the same kinds."""
    held = {ord(c) for text in TEXTS for c in unicodedata.normalize("NFD", text) + text}
    near = {*range(0xA0, 0x180), *range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07), 0xFDFA}
    found: dict[str, str] = dict.fromkeys("\t\n\f\r\u2028\u200b", " ")
    for code in sorted(held | near):
        character = chr(code)
        wanted = unicodedata.normalize("NFKC", character)
        for form in {character, unicodedata.normalize("NFD", character)} - {wanted}:
            found.setdefault(form, wanted)
    lines = ("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in one)
             for one in sorted(found.items()))  # fmt: skip
    return "\n".join(lines) + "\n"


def train(place: Path, *, fallback: bool, **options: Any) -> Any:
    """A processor with a model of the texts."""
    spm: Any = importlib.import_module("sentencepiece")
    (place / "text.txt").write_text("\n".join(TEXTS) * 3, encoding="utf-8")
    spm.SentencePieceTrainer.train(
        input=str(place / "text.txt"), model_prefix=str(place / "m"), model_type="unigram",
        vocab_size=SIZE + 256 * fallback, byte_fallback=fallback, character_coverage=0.98,
        hard_vocab_limit=False, minloglevel=2, num_threads=1, **options,
    )  # fmt: skip
    return spm.SentencePieceProcessor(model_file=str(place / "m.model"))


def described(place: Path, processor: Any) -> dict[str, Any]:
    """What a model's file says, without the names that special pieces have."""
    proto: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString((place / "m.model").read_bytes())
    return {
        "pieces": [[piece.piece, piece.score, piece.type] for piece in proto.pieces],
        "charsmap": base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode(),
        "ids": [processor.encode(text) for text in TEXTS],
    }


def record() -> None:
    found = {"sentencepiece": importlib.import_module("sentencepiece").__version__}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "rules.tsv").write_text(rules(), encoding="utf-8")
        for kind, fallback in (("unknown", False), ("bytes", True)):
            rule = str(place / "rules.tsv")
            processor = train(place, fallback=fallback, normalization_rule_tsv=rule)
            found[kind] = described(place, processor)
    UNIGRAM.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    print(UNIGRAM, UNIGRAM.stat().st_size)


def compare() -> None:
    rng = random.Random(1)
    places = [chr(c) for c in range(1, 0x30000) if not 0xD800 <= c < 0xE000]
    common = "".join(TEXTS) + "abc  \n\u0301\u0308\u1100\u1161\u11a8\u304b\u3099\ufb01"
    texts = ["".join(rng.choice((rng.choice(places), rng.choice(common), rng.choice(common)))
                     for _ in range(rng.randrange(1, 40))) for _ in range(RANDOM)]  # fmt: skip
    for fallback in (False, True):
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            theirs = train(place, fallback=fallback, normalization_rule_name="nmt_nfkc")
            ours = tokenizer_from_metadata(unigram_metadata(described(place, theirs)))
        wrong = [text for text in (*TEXTS, *texts)
                 if ours.encode(text, add_special=False) != theirs.encode(text)]  # fmt: skip
        print(f"{len(wrong)} of {len(TEXTS) + len(texts)} texts differ", *map(ascii, wrong[:5]))


if __name__ == "__main__":
    compare() if sys.argv[1:] else record()
