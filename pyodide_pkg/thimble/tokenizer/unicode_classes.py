"""Which characters are letters, numbers, marks, punctuation or white space, as one letter each.

Python's `re` has no `\\p{L}`. So a text gets a shadow: a string of the same length in which ASCII
stays what it is and every other character becomes a stand-in for its class. Patterns match on the
shadow, and what they find is cut from the text. `LETTER`, `NUMBER`, ... are what goes between the
brackets of a character class there, ASCII members included.

Classes are those of Unicode 15.1, which llama.cpp has, whatever the interpreter's own tables know:
Python 3.11 has Unicode 14 and Python 3.14 has 16, and a text must give the same tokens under both.
An interpreter with tables beyond Unicode 16 may know letters that count as unassigned here.
"""

from __future__ import annotations

import unicodedata

_LETTER, _NUMBER, _MARK, _PUNCTUATION, _OTHER = "\xc0\xc1\xc2\xc3\xc4"
_BLANK = "\x0b"  # a vertical tab: white space, but neither a space nor a line end

LETTER = "A-Za-z" + _LETTER
LOWER_OR_UNCASED = "a-z" + _LETTER  # patterns that tell the cases apart do so in ASCII only
UPPER_OR_UNCASED = "A-Z" + _LETTER
NUMBER = "0-9" + _NUMBER
MARK = _MARK
PUNCTUATION = "!-#%-*,-/:;?@\\[-\\]_{}" + _PUNCTUATION
SPACE = "\\t-\\r "

# White space beyond ASCII: the property White_Space, the same since Unicode 6.3.
SPACES = frozenset((0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
                     0x3000))  # fmt: skip

# Hexadecimal ranges of unicode.org's UnicodeData.txt: what Unicode 15 and 15.1 added to 14 ...
_ADDED = {
    _LETTER: """
        1123F-11240 11F02 11F04-11F10 11F12-11F33 1342F 13441-13446 1B132 1B155 1DF25-1DF2A
        1E030-1E06D 1E4D0-1E4EB 2B739 2EBF0-2EE5D 31350-323AF""",
    _NUMBER: "11F50-11F59 1D2C0-1D2D3 1E4F0-1E4F9",
    _MARK: """
        CF3 ECE 10EFD-10EFF 11241 11F00-11F01 11F03 11F34-11F3A 11F3E-11F42 13440 13447-13455
        1E08F 1E4EC-1E4EF""",
    _PUNCTUATION: "11B00-11B09 11F43-11F4F",
}
# ... and what Unicode 16 added to 15.1, whatever it is.
_LATER = """
    897 1B4E-1B4F 1B7F 1C89-1C8A A7CB-A7CD A7DA-A7DC 105C0-105F3 10D40-10D65 10D69-10D85
    10EC2-10EC4 10EFC 11380-11389 1138B 1138E 11390-113B5 113B7-113C0 113C2 113C5
    113C7-113CA 113CC-113D5 113D7-113D8 113E1-113E2 116D0-116E3 11BC0-11BE1 11BF0-11BF9
    11F5A 13460-143FA 16100-16139 16D40-16D79 18CFF 1CCF0-1CCF9 1E5D0-1E5FA 1E5FF"""
_CLASS_OF = {"L": _LETTER, "N": _NUMBER, "M": _MARK, "P": _PUNCTUATION}


class _Shadows(dict[int, str]):
    """Code point -> stand-in, found out when first asked for."""

    def __missing__(self, code: int) -> str:
        if code < 0x80:
            stand_in = chr(code)
        elif code in SPACES:
            stand_in = _BLANK
        else:
            stand_in = _class_in_unicode_15(code)
        self[code] = stand_in
        return stand_in


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """`"41-5A B5"` as `[(0x41, 0x5A), (0xB5, 0xB5)]`."""
    ranges = []
    for word in text.split():
        first, _, last = word.partition("-")
        ranges.append((int(first, 16), int(last or first, 16)))
    return ranges


def shadow(text: str) -> str:
    """`text` with a stand-in for every character beyond ASCII, of the same length."""
    return text if text.isascii() else text.translate(_SHADOWS)


def blank_spaces(text: str) -> str:
    """`text` with a vertical tab for every white space beyond ASCII, of the same length."""
    return text if text.isascii() else text.translate(_BLANKED)


def _class_in_unicode_15(code: int) -> str:
    for stand_in, ranges in _CORRECTIONS:
        if any(first <= code <= last for first, last in ranges):
            return stand_in
    return _CLASS_OF.get(unicodedata.category(chr(code))[0], _OTHER)


_CORRECTIONS = [
    (stand_in, parse_ranges(text)) for stand_in, text in (*_ADDED.items(), (_OTHER, _LATER))
]
_SHADOWS = _Shadows()
_BLANKED = dict.fromkeys(SPACES, _BLANK)
