"""The tokenizers of `tests/tiny_folders.py`, as tokenizer.json files of Hugging Face's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny_models import CHAT_TEMPLATE, bpe_vocab, spm_vocab
from tests.tokenizer_vocabularies import unigram_record

WORDPIECE = ("bert", "bert-first", "nomic-bert")
UNIGRAM = ("xlm-roberta",)
BYTES_AROUND = ("modern-bert",)
SENTENCEPIECE = (
    "gemma-embedding", "gemma-embedding-dense", "mistral", "gemma", "gemma2", "gemma3", "phi3",
    "phi3-long",
)  # fmt: skip

PHI3_TOKENS = ("<|endoftext|>", "<|end|>", "<|user|>")
"""What llama.cpp looks for in a model called Phi-3, behind whose tokens white space is dropped."""


def n_vocab(name: str) -> int:
    if name in WORDPIECE:
        return len(wordpiece_vocab())
    if name in UNIGRAM:
        return len(unigram_pieces("unknown"))
    n = len(spm_vocab()[0] if name in SENTENCEPIECE else bpe_vocab()[0])
    return n + (len(PHI3_TOKENS) if "phi3" in name else 0)


def write_tokenizer(folder: Path, name: str) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    whole = _sentencepiece(name) if name in SENTENCEPIECE else _byte_level(name in BYTES_AROUND)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if name not in SENTENCEPIECE:
        special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    if name in WORDPIECE:
        whole = _wordpiece()
        special = {
            "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]",
        }  # fmt: skip
    if name in UNIGRAM:
        whole = unigram("unknown")
        special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**special, "chat_template": CHAT_TEMPLATE})
    )


def _added(i: int, text: str, *, special: bool = True, rstrip: bool = False) -> dict[str, Any]:
    return {
        "id": i, "content": text, "special": special, "rstrip": rstrip, "lstrip": False,
        "single_word": False, "normalized": False,
    }  # fmt: skip


def wordpiece_vocab() -> list[str]:
    """BERT's special tokens, what is printable in ASCII, alone and inside of words, and pieces."""
    alone = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    inside = [f"##{c}" for c in alone if c.isalnum()]
    pieces = ["little", "red", "boat", "swam", "the", "##ck", "##im", "##ia", "duc", "sw"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *alone, *inside, *pieces]


def _wordpiece() -> dict[str, Any]:
    tokens = wordpiece_vocab()
    special = {t: {"id": t, "ids": [i], "tokens": [t]} for i, t in enumerate(tokens[:5])}
    return {
        "version": "1.0",
        "added_tokens": [_added(i, text) for i, text in enumerate(tokens[:5])],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": special,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {text: i for i, text in enumerate(tokens)},
        },
    }  # fmt: skip


def unigram_pieces(kind: str) -> list[list[Any]]:
    """A recorded model's pieces with their scores, in XLM-RoBERTa's order."""
    pieces = [[piece, score] for piece, score, _ in unigram_record()[kind]["pieces"]]
    return [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], *pieces[3:], ["<mask>", 0]]


def unigram(kind: str) -> dict[str, Any]:
    """A tokenizer.json as XLM-RoBERTa has it."""
    pieces, text = unigram_pieces(kind), {"Sequence": {"id": "A", "type_id": 0}}
    around = [{"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>")]
    special = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (("<s>", 0), ("</s>", 2))}
    return {
        "version": "1.0",
        "added_tokens": [_added(i, pieces[i][0]) for i in range(4)]
        + [_added(len(pieces) - 1, "<mask>") | {"lstrip": True}],
        "normalizer": {
            "type": "Precompiled", "precompiled_charsmap": unigram_record()[kind]["charsmap"],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        ]},
        "post_processor": {
            "type": "TemplateProcessing", "single": [around[0], text, around[1]], "pair": [],
            "special_tokens": special,
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "model": {
            "type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": kind == "bytes",
        },
    }  # fmt: skip


def _byte_level(around: bool = False) -> dict[str, Any]:
    """`around`: with a token before a text and behind it, as encoders have them."""
    tokens, merges = bpe_vocab()
    end = {"SpecialToken": {"id": tokens[-1], "type_id": 0}}
    processor = {
        "type": "TemplateProcessing",
        "single": [end, {"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [],
        "special_tokens": {
            tokens[-1]: {"id": tokens[-1], "ids": [len(tokens) - 1], "tokens": tokens[-1:]}
        },
    }
    step = {
        "type": "ByteLevel", "add_prefix_space": False, "use_regex": True, "trim_offsets": True
    }  # fmt: skip
    return {
        "version": "1.0",
        "added_tokens": [_added(len(tokens) - 1, tokens[-1])],
        "pre_tokenizer": step,
        "post_processor": processor if around else None,
        "decoder": step,
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens[:-1])},
            "merges": merges,
        },
    }


def _sentencepiece(name: str) -> dict[str, Any]:
    tokens, scores, _ = spm_vocab()
    ids = {token: i for i, token in enumerate(tokens)}
    # As transformers makes them of a SentencePiece model: each way of cutting a piece in two, in
    # the order of the pieces' scores.
    merges = [
        [token[:cut], token[cut:]]
        for _, token in sorted(zip(scores, tokens, strict=True), reverse=True)
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids and not token.startswith("<")
    ]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Prepend", "prepend": "▁"}
    gemma = "gemma" in name
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    added = [_added(i, tokens[i]) for i in range(3)]
    if "phi3" in name:
        added += [_added(len(tokens) + i, text, rstrip=i > 0) for i, text in enumerate(PHI3_TOKENS)]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": replace if gemma else {"type": "Sequence", "normalizers": [prepend, replace]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": ids,
            "merges": merges,
        },
    }
