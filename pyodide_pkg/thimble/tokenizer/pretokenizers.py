"""How a text is split into words before byte-pair encoding, by the name in `tokenizer.ggml.pre`.

`PRETOKENIZERS` is the table: to add one, add an entry with its pattern. A pre-tokenizer is one or
more steps; each cuts what the steps before it left into what its pattern matches and what lies
between. This file knows patterns. It does not know bytes, merges or vocabularies.

The patterns are those of the models' own tokenizers as llama.cpp runs them, so that ids agree with
it where it deviates from the originals (https://github.com/ggml-org/llama.cpp, src/llama-vocab.cpp
and src/unicode.cpp). Where ids are compared with vectors of llama.cpp's own is said in
`tests/test_tokenizer_vectors.py`.
"""

from __future__ import annotations

import re
from functools import cached_property

from .unicode_classes import (
    LETTER,
    LOWER_OR_UNCASED,
    MARK,
    NUMBER,
    PUNCTUATION,
    SPACE,
    UPPER_OR_UNCASED,
    blank_spaces,
    parse_ranges,
    shadow,
)


class PreTokenizer:
    """One way to split a text.

    `steps` are patterns on the shadow of the text; one that begins with `LITERALLY` names
    characters themselves and matches on the text. `ignore_merges`: a word that is a token becomes
    that token at once. `add_bos`: what holds where the file does not say.
    """

    def __init__(self, *steps: str, ignore_merges: bool = False, add_bos: bool = False) -> None:
        self.steps = steps
        self.ignore_merges = ignore_merges
        self.add_bos = add_bos

    @cached_property
    def _compiled(self) -> list[tuple[re.Pattern[str], bool]]:
        return [
            (re.compile(step.removeprefix(LITERALLY)), step.startswith(LITERALLY))
            for step in self.steps
        ]

    def split(self, text: str) -> list[str]:
        """The words of `text`, which together are `text`."""
        if len(self._compiled) == 1 and text.isascii():  # the usual case, at the speed of C
            words: list[str] = self._compiled[0][0].findall(text)
            if sum(map(len, words)) == len(text):
                return words
        classes = shadow(text)
        literal = blank_spaces(text)
        ends = [len(text)] if text else []
        for pattern, is_literal in self._compiled:
            ends = _cut(pattern, literal if is_literal else classes, ends)
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _cut(pattern: re.Pattern[str], text: str, ends: list[int]) -> list[int]:
    """Ends of words: those there are, and both ends of what `pattern` finds within a word."""
    finer = []
    start = 0
    for end in ends:
        for match in pattern.finditer(text, start, end):
            first, last = match.span()
            if first > start:
                finer.append(first)
            if last > first:
                finer.append(last)
                start = last
        if start < end:
            finer.append(end)
            start = end
    return finer


LITERALLY = "(?#literally)"

# Radford et al. 2019: English contractions, then letters, numbers or other characters with one
# space before them; of several spaces the last goes to the word behind.
_GPT2 = (
    rf"'(?:[stmd]|re|ve|ll)| ?[{LETTER}]+| ?[{NUMBER}]+| ?[^{SPACE}{LETTER}{NUMBER}]+"
    rf"|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
)
_ANY_CASE = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_LINES = rf"[{SPACE}]*[\r\n]+|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
_SIGNS = rf" ?[^{SPACE}{LETTER}{NUMBER}]+"
_WORD = rf"[^\r\n{LETTER}{NUMBER}]?[{LETTER}]+"
_LLAMA3 = rf"{_ANY_CASE}|{_WORD}|[{NUMBER}]{{1,3}}|{_SIGNS}[\r\n]*|{_LINES}"
_QWEN2 = rf"{_ANY_CASE}|{_WORD}|[{NUMBER}]|{_SIGNS}[\r\n]*|{_LINES}"
_QWEN35 = (
    rf"{_ANY_CASE}|[^\r\n{LETTER}{NUMBER}]?[{LETTER}{MARK}]+|[{NUMBER}]"
    rf"| ?[^{SPACE}{LETTER}{MARK}{NUMBER}]+[\r\n]*|{_LINES}"
)
_GPT4O = (
    rf"[^\r\n{LETTER}{NUMBER}]?[{UPPER_OR_UNCASED}]*[{LOWER_OR_UNCASED}]+(?:{_ANY_CASE})?"
    rf"|[^\r\n{LETTER}{NUMBER}]?[{UPPER_OR_UNCASED}]+[{LOWER_OR_UNCASED}]*(?:{_ANY_CASE})?"
    rf"|[{NUMBER}]{{1,3}}|{_SIGNS}[\r\n/]*|{_LINES}"
)
_TEKKEN = (
    rf"[^\r\n{LETTER}{NUMBER}]?[{UPPER_OR_UNCASED}]*[{LOWER_OR_UNCASED}]+"
    rf"|[^\r\n{LETTER}{NUMBER}]?[{UPPER_OR_UNCASED}]+[{LOWER_OR_UNCASED}]*"
    rf"|[{NUMBER}]|{_SIGNS}[\r\n/]*|{_LINES}"
)
_DIGIT = f"[{NUMBER}]"
_DIGITS = f"[{NUMBER}]+"
_THREE_DIGITS = "[0-9][0-9][0-9]"

# Letters with case, as deepseek-llm's own tokenizer lists them, code point by code point.
_DEEPSEEK_LETTERS = """
    41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386
    388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA
    1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59
    1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC
    1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139
    213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B
    A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F
    104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"""
_DEEPSEEK_SIGNS = "21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002"
_DEEPSEEK_EAST_ASIAN = "4E00-9FA5 800-4E00 AC00-D7FF"


def _characters(ranges: str) -> str:
    """Hexadecimal ranges as the inside of a character class."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in parse_ranges(ranges))


_DEEPSEEK_LLM = PreTokenizer(
    r"[\r\n]",
    rf"{LITERALLY}[{SPACE}]?[{_characters(_DEEPSEEK_LETTERS)}]+",
    rf"{LITERALLY}[{SPACE}]?[{_characters(_DEEPSEEK_SIGNS)}]+",
    rf"[{SPACE}]+$",
    f"{LITERALLY}[{_characters(_DEEPSEEK_EAST_ASIAN)}]+",
    _DIGITS,
)
_DEEPSEEK_CODER = PreTokenizer(
    r"[\r\n]",
    rf"[{SPACE}]?[{LETTER}]+",
    rf"[{SPACE}]?[{PUNCTUATION}]+",
    f"{LITERALLY}[{_characters(_DEEPSEEK_EAST_ASIAN)}]+",
    _DIGIT,
)

_TABLE: tuple[tuple[str, PreTokenizer], ...] = (
    ("default", PreTokenizer(rf"[{PUNCTUATION}$+<=>^~|]+", _GPT2, _DIGITS, _THREE_DIGITS)),
    (
        "gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum"
        " modern-bert",
        PreTokenizer(_GPT2),
    ),
    (
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        PreTokenizer(_LLAMA3, ignore_merges=True, add_bos=True),
    ),
    ("dbrx smaug-bpe chatglm-bpe glm4", PreTokenizer(_LLAMA3)),
    (
        "qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan solar-open kormo grok-2",
        PreTokenizer(_QWEN2),
    ),
    ("qwen35", PreTokenizer(_QWEN35)),
    (
        "smollm starcoder refact command-r codeshell exaone minerva-7b",
        PreTokenizer(_DIGIT, _GPT2),
    ),
    ("falcon", PreTokenizer(rf"[{PUNCTUATION}$+<=>^~|`]+", _GPT2, _THREE_DIGITS)),
    ("deepseek-llm", _DEEPSEEK_LLM),
    ("deepseek-coder", _DEEPSEEK_CODER),
    ("gpt-4o llama4 kanana2", PreTokenizer(_GPT4O)),
    ("tekken", PreTokenizer(_TEKKEN, ignore_merges=True, add_bos=True)),
)

PRETOKENIZERS = {name: pretokenizer for names, pretokenizer in _TABLE for name in names.split()}
