"""Sets of characters by what Unicode says of them: categories, scripts, cases.

Categories and cases are asked of the interpreter (`unicodedata`, `str.casefold`) when an expression
first names one. Scripts it does not know: the table has the ranges of Scripts.txt of Unicode 17
(https://www.unicode.org/Public/17.0.0/ucd/Scripts.txt) for those that people write expressions in.
"""

from __future__ import annotations

import functools
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import groupby

from .nodes import LAST, Range, others, union

_SCRIPTS = {
    "Arabic": """
        600-604 606-60B 60D-61A 61C-61E 620-63F 641-64A 656-66F 671-6DC 6DE-6FF 750-77F 870-891
        897-8E1 8E3-8FF FB50-FD3D FD40-FDCF FDF0-FDFF FE70-FE74 FE76-FEFC 10E60-10E7E
        10EC2-10EC7 10EC9-10EEE 10EF0-10EFF 1EE00-1EE03 1EE05-1EE1F 1EE21-1EE22 1EE24 1EE27
        1EE29-1EE32 1EE34-1EE37 1EE39 1EE3B 1EE42 1EE47 1EE49 1EE4B 1EE4D-1EE4F 1EE51-1EE52
        1EE54 1EE57 1EE59 1EE5B 1EE5D 1EE5F 1EE61-1EE62 1EE64 1EE67-1EE6A 1EE6C-1EE72
        1EE74-1EE77 1EE79-1EE7C 1EE7E 1EE80-1EE89 1EE8B-1EE9B 1EEA1-1EEA3 1EEA5-1EEA9
        1EEAB-1EEBB 1EEF0-1EEF1""",
    "Armenian": "531-556 558-58F FB13-FB17",
    "Bengali": """
        980-983 985-98C 98F-990 993-9A8 9AA-9B0 9B2 9B6-9B9 9BC-9C4 9C7-9C8 9CB-9CE 9D7 9DC-9DD
        9DF-9E3 9E6-9FE 11DF0-11DF1""",
    "Cyrillic": """
        400-484 487-52F 1C80-1C8A 1D2B 1D78 2DE0-2DFF A640-A69F FE2E-FE2F 1E030-1E06D 1E08F""",
    "Devanagari": "900-950 955-963 966-97F A8E0-A8FF 11B00-11B0A",
    "Ethiopic": """
        1200-1248 124A-124D 1250-1256 1258 125A-125D 1260-1288 128A-128D 1290-12B0 12B2-12B5
        12B8-12BE 12C0 12C2-12C5 12C8-12D6 12D8-1310 1312-1315 1318-135A 135D-137C 1380-1399
        2D80-2D96 2DA0-2DA6 2DA8-2DAE 2DB0-2DB6 2DB8-2DBE 2DC0-2DC6 2DC8-2DCE 2DD0-2DD6
        2DD8-2DDE AB01-AB06 AB09-AB0E AB11-AB16 AB20-AB26 AB28-AB2E 1E7E0-1E7E6 1E7E8-1E7EB
        1E7ED-1E7EE 1E7F0-1E7FE""",
    "Georgian": """
        10A0-10C5 10C7 10CD 10D0-10FA 10FC-10FF 1C90-1CBA 1CBD-1CBF 2D00-2D25 2D27 2D2D""",
    "Greek": """
        370-373 375-377 37A-37D 37F 384 386 388-38A 38C 38E-3A1 3A3-3E1 3F0-3FF 1D26-1D2A
        1D5D-1D61 1D66-1D6A 1DBF 1F00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B
        1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FC4 1FC6-1FD3 1FD6-1FDB 1FDD-1FEF 1FF2-1FF4 1FF6-1FFE
        2126 AB65 10140-1018E 101A0 1D200-1D245 1DFF3-1DFF4""",
    "Gujarati": """
        A81-A83 A85-A8D A8F-A91 A93-AA8 AAA-AB0 AB2-AB3 AB5-AB9 ABC-AC5 AC7-AC9 ACB-ACD AD0
        AE0-AE3 AE6-AF1 AF9-AFF""",
    "Gurmukhi": """
        A01-A03 A05-A0A A0F-A10 A13-A28 A2A-A30 A32-A33 A35-A36 A38-A39 A3C A3E-A42 A47-A48
        A4B-A4D A51 A59-A5C A5E A66-A76""",
    "Han": """
        2E80-2E99 2E9B-2EF3 2F00-2FD5 3005 3007 3021-3029 3038-303B 3400-4DBF 4E00-9FFF
        F900-FA6D FA70-FAD9 16FE2-16FE3 16FF0-16FF6 20000-2A6DF 2A700-2B81E 2B820-2CEAD
        2CEB0-2EBE0 2EBF0-2EE5D 2F800-2FA1D 30000-3134A 31350-33479""",
    "Hangul": """
        1100-11FF 302E-302F 3131-318E 3200-321E 3260-327E A960-A97C AC00-D7A3 D7B0-D7C6
        D7CB-D7FB FFA0-FFBE FFC2-FFC7 FFCA-FFCF FFD2-FFD7 FFDA-FFDC""",
    "Hebrew": "591-5C9 5D0-5EA 5EF-5F4 FB1D-FB36 FB38-FB3C FB3E FB40-FB41 FB43-FB44 FB46-FB4F",
    "Hiragana": "3041-3096 309D-309F 1B001-1B11F 1B123 1B132 1B150-1B152 1F200",
    "Kannada": """
        C80-C8C C8E-C90 C92-CA8 CAA-CB3 CB5-CB9 CBC-CC4 CC6-CC8 CCA-CCD CD5-CD6 CDC-CDE CE0-CE3
        CE6-CEF CF1-CF3""",
    "Katakana": """
        30A1-30FA 30FD-30FF 31F0-31FF 32D0-32FE 3300-3357 FF66-FF6F FF71-FF9D 1AFF0-1AFF3
        1AFF5-1AFFB 1AFFD-1AFFE 1B000 1B120-1B122 1B124-1B128 1B155 1B164-1B168""",
    "Khmer": "1780-17DD 17E0-17E9 17F0-17F9 19E0-19FF",
    "Latin": """
        41-5A 61-7A AA BA C0-D6 D8-F6 F8-2B8 2E0-2E4 1D00-1D25 1D2C-1D5C 1D62-1D65 1D6B-1D77
        1D79-1DBE 1E00-1EFF 2071 207F 2090-209F 212A-212B 2132 214E 2160-2188 2C60-2C7F
        A722-A787 A78B-A7DD A7E2 A7F1-A7FF AB30-AB5A AB5C-AB64 AB66-AB69 AB6C-AB6D FB00-FB06
        FF21-FF3A FF41-FF5A 10780-10785 10787-107B0 107B2-107BF 1DF00-1DF81 1DF90-1DF96
        1DFCD-1DFF2 1DFF5-1DFFF""",
    "Malayalam": "D00-D0C D0E-D10 D12-D44 D46-D48 D4A-D4F D54-D63 D66-D7F",
    "Tamil": """
        B82-B83 B85-B8A B8E-B90 B92-B95 B99-B9A B9C B9E-B9F BA3-BA4 BA8-BAA BAE-BB9 BBE-BC2
        BC6-BC8 BCA-BCD BD0 BD7 BE6-BFA 11FC0-11FF1 11FFF""",
    "Telugu": """
        C00-C0C C0E-C10 C12-C28 C2A-C39 C3C-C44 C46-C48 C4A-C4D C55-C56 C58-C5A C5C-C5D C60-C63
        C66-C6F C77-C7F""",
    "Thai": "E01-E3A E40-E5B",
}  # fmt: skip
_CATEGORIES = {
    "letter": "L", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt",
    "casedletter": "LC", "modifierletter": "Lm", "otherletter": "Lo", "mark": "M",
    "combiningmark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me",
    "number": "N", "decimalnumber": "Nd", "digit": "Nd", "letternumber": "Nl", "othernumber": "No",
    "punctuation": "P", "punct": "P", "connectorpunctuation": "Pc", "dashpunctuation": "Pd",
    "openpunctuation": "Ps", "closepunctuation": "Pe", "initialpunctuation": "Pi",
    "finalpunctuation": "Pf", "otherpunctuation": "Po", "symbol": "S", "mathsymbol": "Sm",
    "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So", "separator": "Z",
    "spaceseparator": "Zs", "lineseparator": "Zl", "paragraphseparator": "Zp", "other": "C",
    "control": "Cc", "cntrl": "Cc", "format": "Cf", "surrogate": "Cs", "privateuse": "Co",
    "unassigned": "Cn",
}  # fmt: skip
_SHORT = {name.lower(): name for name in set(_CATEGORIES.values())}
# Long runs of one category, which is the same in every version: nobody asks for each of theirs.
_RUNS = ((0x3400, 0x4DB5, "Lo"), (0x4E00, 0x9FA5, "Lo"), (0xAC00, 0xD7A3, "Lo"),
         (0xD800, 0xDFFF, "Cs"), (0xE000, 0xF8FF, "Co"), (0x20000, 0x2A6D6, "Lo"),
         (0x34000, 0xE0000, "Cn"), (0xE0200, 0xEFFFF, "Cn"), (0xF0000, 0xFFFFD, "Co"),
         (0x100000, 0x10FFFD, "Co"))  # fmt: skip
SPACES = ((9, 13), (32, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
          (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000))  # fmt: skip
"""White_Space, the same since Unicode 6.3."""
# Other_Alphabetic that is no mark: the circled and squared letters.
_ROUND_LETTERS = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))


def named(name: str) -> tuple[Range, ...] | None:
    """The characters of `\\p{name}`: a category, script or property; None for an unknown one."""
    key, is_named, value = name.partition("=")
    key, value = _plain(key), _plain(value)
    if is_named:
        if key in ("gc", "generalcategory"):
            return _of_category(value)
        return _of_script(value) if key in ("sc", "script") else None
    found = _of_category(key)
    return found if found is not None else _PROPERTIES.get(key, lambda: _of_script(key))()


def digits() -> tuple[Range, ...]:
    """Decimal digits of every script."""
    return category("Nd")


@functools.cache
def words() -> tuple[Range, ...]:
    """Letters, marks, digits and joiners of every script: `\\w` where it knows Unicode."""
    kinds = [one for kind in ("L", "M", "Nd", "Nl", "Pc") for one in category(kind)]
    return union([*kinds, *_ROUND_LETTERS, (0x200C, 0x200D)])


def category(short: str) -> tuple[Range, ...]:
    """The characters of a category, as in "Lu", or of all that begin so, as in "L"."""
    kinds = ("Lu", "Ll", "Lt") if short == "LC" else (short,)
    return union(
        one for kind, ranges in _by_category().items() if kind.startswith(kinds) for one in ranges
    )


def _of_category(name: str) -> tuple[Range, ...] | None:
    short = _SHORT.get(name) or _CATEGORIES.get(name)
    return category(short) if short else None


def _of_script(name: str) -> tuple[Range, ...] | None:
    for script, ranges in _SCRIPTS.items():
        if script.lower() == name:
            pairs = (one.partition("-") for one in ranges.split())
            return tuple((int(low, 16), int(high or low, 16)) for low, _, high in pairs)
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").replace(" ", "").replace("-", "").lower()


@functools.cache
def _by_category() -> dict[str, list[Range]]:
    found: dict[str, list[Range]] = {}
    for low, high, kind in _RUNS:
        found.setdefault(kind, []).append((low, high))
    for low, high in others(tuple((low, high) for low, high, _ in _RUNS)):
        at = low
        for kind, run in groupby(map(unicodedata.category, map(chr, range(low, high + 1)))):
            size = sum(1 for _ in run)
            found.setdefault(kind, []).append((at, at + size - 1))
            at += size
    return found


def _where(test: Callable[[str], bool]) -> tuple[Range, ...]:
    cased = [*category("L"), *category("Nl"), *category("So"), *category("Mn")]
    points = (point for low, high in cased if high - low < 9_999 for point in range(low, high + 1))
    return union((point, point) for point in points if test(chr(point)))


_PROPERTIES: dict[str, Callable[[], tuple[Range, ...] | None]] = {
    "any": lambda: ((0, LAST),),
    "ascii": lambda: ((0, 127),),
    "assigned": lambda: others(category("Cn")),
    "whitespace": lambda: SPACES,
    "space": lambda: SPACES,
    "uppercase": lambda: _where(str.isupper),
    "lowercase": lambda: _where(str.islower),
}


def either_case(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The ranges with all that differs from one of theirs in case only (simple case folding)."""
    found = list(ranges)
    if all(high < 0x80 for _, high in ranges):
        for low, high in ranges:
            upper, lower = (max(low, 65), min(high, 90)), (max(low, 97), min(high, 122))
            found += [(a + 32, b + 32) for a, b in (upper,) if a <= b]
            found += [(a - 32, b - 32) for a, b in (lower,) if a <= b]
            for letters, point in (("Kk", 0x212A), ("Ss", 0x17F)):
                found += [(point, point) for c in letters if low <= ord(c) <= high]
        return union(found)
    starts, members = _cases()
    for low, high in union(ranges):
        for at in range(bisect_left(starts, low), bisect_right(starts, high)):
            found += [(point, point) for point in members[at]]
    return union(found)


@functools.cache
def _cases() -> tuple[list[int], list[tuple[int, ...]]]:
    """Characters that have another case, in order, and of each all that it is equal to."""
    alike: dict[str, list[int]] = {}
    for point in _cased():
        alike.setdefault(chr(point).casefold(), []).append(point)
    members = {p: tuple(group) for group in alike.values() if len(group) > 1 for p in group}
    return sorted(members), [members[point] for point in sorted(members)]


def _cased() -> Iterator[int]:
    for kind in ("Lu", "Ll", "Lt", "Mn", "Nl", "So"):
        for low, high in category(kind):
            yield from range(low, high + 1)
