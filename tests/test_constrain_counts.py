"""Strings whose characters are counted: what may be written is what fits, and masks are shared."""

from __future__ import annotations

import itertools
import json
import re

import pytest

import thimble
from thimble import constrain
from thimble.constrain.machine import Machine, Place
from thimble.constrain.masks import Constraint, Masks, Shelf
from thimble.constrain.program import ENDLESS
from thimble.constrain.vocabulary import Vocabulary
from thimble.json_options import AS_STANDARD
from thimble.kernel import default_kernel

PATTERNS = (
    ".*", "^a*$", "^(ab)*b$", "^a{2,4}(b|é)?$", "b.a", "^(?:[^ ]+ +){0,2}[^ ]+$", "^(a|bab|é{4})$",
    "^(?!a)", "é$", "\\n|aa", "^$|a$",
)  # fmt: skip
ALPHABET = "abé \n"


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("bounds", [(0, 3), (2, 3), (1, 4), (3, None), (0, 0), (4, 4)])
def test_what_can_be_written_is_the_beginning_of_a_text_that_fits(
    pattern: str, bounds: tuple[int, int | None]
) -> None:
    low, high = bounds
    longest = 4 if high is not None else 5
    words = ["".join(w) for n in range(longest + 1) for w in itertools.product(ALPHABET, repeat=n)]
    meant = re.compile(pattern.replace("$", r"\Z"))
    most = ENDLESS if high is None else high
    fits = {word for word in words if meant.search(word) and low <= len(word) <= most}
    schema: dict[str, object] = {"type": "string", "pattern": pattern, "minLength": low}
    if high is not None:
        schema["maxLength"] = high
    if not fits:
        return
    program = constrain.json_schema(json.dumps(schema), AS_STANDARD).program(16)
    machine = Machine(default_kernel(), program, 16)
    program.begin()
    beginnings = {word[:n] for word in fits for n in range(len(word) + 1)}
    for word in words:
        if high is None and len(word) == longest:
            continue
        text = json.dumps(word, ensure_ascii=False).encode()
        place = machine.step(machine.start(), text[:-1], bytearray())
        if high is not None:
            assert (place is not None) == (word in beginnings), word
        whole = machine.step(place, text[-1:], bytearray()) if place is not None else None
        assert (whole is not None) == (word in fits), word
        if whole is not None:
            assert machine.accepts(whole) and (whole.left, whole.need) == (ENDLESS, 0)


class Words:
    """A vocabulary of stretches of a few letters."""

    eog_ids = frozenset({0})

    def __init__(
        self, letters: tuple[str, ...] = ("a", "b", "é", " ", "\\n", '"', "}", "\\")
    ) -> None:
        words = itertools.chain(*(itertools.product(letters, repeat=n) for n in (1, 2, 3)))
        self.spelled = [b"", *("".join(word).encode() for word in words)]

    @property
    def n_vocab(self) -> int:
        return len(self.spelled)

    def token_bytes(self, token: int) -> bytes:
        return self.spelled[token]

    def is_special(self, token: int) -> bool:
        return token == 0


def _bits(masks: Masks, place: Place) -> set[int]:
    size = 4 * masks.vocabulary.n_words
    data = masks.vocabulary.kernel.read(masks.mask(place), size)
    return {i for i in range(masks.vocabulary.n_vocab) if data[i >> 3] >> (i & 7) & 1}


@pytest.mark.parametrize(
    "limits",
    [
        {"maxLength": 40},
        {"minLength": 12, "maxLength": 30},
        {"pattern": "^(?:[ab]+ +){0,7}[abé]+$", "maxLength": 33},
        {"pattern": "^(a|b|é| ){20,}$", "maxLength": 24},
        {"pattern": "^é*[ab]{0,60}$", "minLength": 3, "maxLength": 50},
    ],
)
def test_a_mask_that_is_shared_is_the_one_that_each_place_has(limits: dict[str, object]) -> None:
    kernel, words = default_kernel(), Words()
    grammar = constrain.json_schema({"type": "string", **limits})
    vocabulary = Vocabulary(kernel, words)
    masks = Masks(vocabulary, grammar.program(vocabulary.deepest))
    place, turn, text = masks.start, 0, bytearray()
    passed: list[tuple[Place, set[int]]] = []
    while not masks.complete(place):
        allowed = {
            token
            for token, data in enumerate(words.spelled)
            if data and masks.machine.step(place, data) is not None
        }
        passed.append((place, allowed))
        ahead = sorted(t for t in allowed if b'"' not in words.spelled[t]) or sorted(allowed)
        token = ahead[turn * 7 % len(ahead)]
        found = masks.after(place, token, text, spaced=False)
        assert found is not None
        text += words.spelled[token]
        place, turn = found, turn + 1
    assert turn > 8
    json.loads(text)
    # From the end on: what few characters rule out must not be said of places that have many.
    for place, allowed in [*reversed(passed), *passed]:
        assert _bits(masks, place) - {0} == allowed


@pytest.mark.parametrize(
    "grammar",
    [
        constrain.regex("[ab ]+é*[ab]{0,9}"),
        constrain.regex("(?:[ab]+[ :{}]+)*é[^a]*"),
        constrain.json_schema({"type": "string", "pattern": "^[ab :]*é?[^{}]*$"}),
        constrain.json_schema({"additionalProperties": {"maxLength": 9}, "maxProperties": 3}),
        constrain.json_schema(
            {
                "type": "object",
                "properties": {"ab": {"type": "string"}, "abba": {"type": "string"}},
                "patternProperties": {"^b[ab ]*$": {"type": "string", "pattern": "^a*$"}},
                "additionalProperties": False,
            }
        ),
    ],
)
def test_tokens_that_come_as_a_whole_subtree_are_those_that_come_one_by_one(
    grammar: constrain.Grammar,
) -> None:
    kernel, words = default_kernel(), Words(("a", "b", "é", " ", '"', "{", "}", ":"))
    vocabulary = Vocabulary(kernel, words)
    masks = Masks(vocabulary, grammar.program(vocabulary.deepest))
    place, text = masks.start, bytearray()
    for turn in range(25):
        allowed = {
            token
            for token, data in enumerate(words.spelled)
            if data and masks.machine._step(place, data, False, b"") is not None
        }
        assert _bits(masks, place) - {0} == allowed
        if masks.complete(place):
            break
        token = sorted(allowed)[turn * 7 % len(allowed)]
        found = masks.after(place, token, text, spaced=False)
        assert found == masks.machine._step(place, words.spelled[token], True, text)
        assert found is not None
        text += words.spelled[token]
        place = found
    assert turn > 3


def test_masks_far_from_the_longest_text_are_one() -> None:
    kernel, words = default_kernel(), Words()
    for limits in ({"maxLength": 500}, {"pattern": "^([ab]+ )*é?[ab]*$", "maxLength": 500}):
        grammar = constrain.json_schema({"type": "string", **limits})
        constraint = Constraint(kernel, words, grammar, 0, False)  # type: ignore[arg-type]
        token = {data: number for number, data in enumerate(words.spelled)}
        tokens = [token[b'"'], *[token[b"aba"]] * 150]
        for count in range(len(tokens)):
            constraint.mask(tokens[:count])
        assert constraint._masks.n_masks <= 3
        assert constraint._masks.program.size < 60


def test_a_grammar_that_cannot_be_followed_leaves_nothing_behind() -> None:
    ways = "|".join(f".*{chr(97 + i)}.{{9}}" for i in range(26))
    grammar = constrain.regex(f"(?:{ways})(?:.{{0,99}}e.{{0,99}}){{9}}")
    kernel, words = default_kernel(), Words()
    constraint = Constraint(kernel, words, grammar, 0, False)  # type: ignore[arg-type]
    tokens: list[int] = []
    with pytest.raises(thimble.OptionError, match="simpler"):
        for turn in range(200):
            constraint.mask(tokens)
            tokens.append(words.spelled.index(b"aba" if turn % 2 else b"b a"))
    assert grammar not in Shelf.of(kernel, words).grammars  # type: ignore[arg-type]
