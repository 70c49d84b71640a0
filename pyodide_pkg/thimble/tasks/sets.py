"""Example sets to try: five small jobs, written by rules, the same on every machine and for ever.

    table = example_set("intent")

They are in the public domain (CC0-1.0). Each text comes once; answers follow from the rule that
made it, so they are right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import OptionError
from ..train.counter import draw, key
from .tables import Table

LICENSE = "CC0-1.0"
N = 300
"""Examples of each."""


class _Dice:
    """Choices out of one stream."""

    def __init__(self, *numbers: int) -> None:
        self._key, self._n = key(*numbers), 0

    def below(self, n: int) -> int:
        self._n += 1
        return draw(self._key, self._n) * n >> 64

    def pick(self, items: Sequence[str]) -> str:
        return items[self.below(len(items))]


Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """A job, and the rule that writes its examples."""

    name: str
    title: str
    columns: tuple[str, str]
    kind: str
    make: Callable[[_Dice], Pair]

    def table(self) -> Table:
        """Return its examples, the same every time."""
        dice, rows = _Dice(24, len(self.name), ord(self.name[0])), dict[str, str]()
        while len(rows) < N:
            given, wanted = self.make(dice)
            rows.setdefault(given, wanted)
        return Table(self.columns, tuple(rows.items()))


THINGS = "ball book cake chair coat cup doll hat kite lamp pen ring shirt shoe toy train".split()
SHOPS = "shop store bakery market bank park library school".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NAMES = "Anna Ben Lily Tom Max Sue Tim Mia Sam Jack Lucy Amy Bob Sara Leo Emma".split()
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
GREETINGS = ("", "Hello, ", "Hi, ", "Please, ", "Good day, ", "Excuse me, ")
INTENTS = {
    "order": ("I want to buy a {thing}", "can I get a {thing} and a {other}",
              "I need a new {thing}", "send me one {thing}", "I would like a {thing} for {name}"),
    "cancel": ("I do not want the {thing} any more", "stop my {thing}, I changed my mind",
               "do not send the {thing} on {day}", "take the {thing} off my list",
               "{name} does not need the {thing} now"),
    "refund": ("the {thing} is broken, give me my money back",
               "I want my money back for the {thing}",
               "my {thing} came with a hole in it and I want to be paid back",
               "the {thing} is too small, I will send it back for my money"),
    "where": ("where is my {thing}", "my {thing} has not come yet", "when will the {thing} be here",
              "{name} waits for the {thing} since {day}", "did you send the {thing} on {day}"),
    "hours": ("when does the {shop} open on {day}", "is the {shop} open on {day}",
              "how late can I come to the {shop}", "what time does the {shop} close on {day}"),
    "thanks": ("thank you for the {thing}", "the {thing} is lovely, thank you",
               "{name} loves the {thing}, you are so kind", "that {thing} made {name} very happy"),
}  # fmt: skip


def _intent(dice: _Dice) -> Pair:
    label = dice.pick(list(INTENTS))
    words = dice.pick(INTENTS[label]).format(
        thing=dice.pick(THINGS), other=dice.pick(THINGS), name=dice.pick(NAMES),
        shop=dice.pick(SHOPS), day=dice.pick(DAYS),
    )  # fmt: skip
    begun = dice.pick(GREETINGS) + words
    return begun[0].upper() + begun[1:] + dice.pick((".", "!", "")), label


SUBJECTS = "food room bed music story game cake soup garden ending song bread".split()
GOOD = "lovely great nice perfect wonderful warm fun sweet tasty beautiful".split()
BAD = "awful bad cold sad ugly boring dirty terrible broken horrible".split()
HOW = ("", "very ", "so ", "really ", "a bit ")


def _sentiment(dice: _Dice) -> Pair:
    said, signs = [], []
    for _ in range(2):
        sign = dice.below(2)
        signs.append(sign)
        words = dice.pick(GOOD if sign else BAD)
        said.append(f"the {dice.pick(SUBJECTS)} was {dice.pick(HOW)}{words}")
    joined = (" and " if signs[0] == signs[1] else dice.pick((" but ", ", yet "))).join(said)
    label = "mixed" if signs[0] != signs[1] else "good" if signs[0] else "bad"
    return joined[0].upper() + joined[1:] + dice.pick((".", "!")), label


def _fields(dice: _Dice) -> Pair:
    name, month = dice.pick(NAMES), dice.below(12)
    day = 1 + dice.below(28)
    form = dice.pick((
        "{name} was born on {day} {month}.", "On {month} {day} {name} went to the {shop}.",
        "The party of {name} is on {day} {month}.", "{name} lost a {thing} on {month} {day}.",
        "We will see {name} at the {shop} on {day} {month}.",
    ))  # fmt: skip
    said = form.format(
        name=name, day=day, month=MONTHS[month], shop=dice.pick(SHOPS), thing=dice.pick(THINGS)
    )
    return said, json.dumps({"name": name, "day": day, "month": MONTHS[month]})


UNITS = (("m", "cm", 100), ("km", "m", 1000), ("cm", "mm", 10), ("kg", "g", 1000),
         ("h", "min", 60), ("min", "s", 60), ("l", "ml", 1000), ("feet", "inches", 12))  # fmt: skip


def _units(dice: _Dice) -> Pair:
    large, small, times = UNITS[dice.below(len(UNITS))]
    n = 1 + dice.below(60)
    form = dice.pick(("{n} {a} in {b}", "How many {b} are {n} {a}?", "{n} {a} to {b}"))
    return form.format(n=n, a=large, b=small), f"{n * times} {small}"


DEEDS = "give send show bring sell lend find fix clean wash".split()


def _tone(dice: _Dice) -> Pair:
    deed, thing, whom = dice.pick(DEEDS), dice.pick(THINGS), dice.pick(("the", "that", "a new"))
    form = dice.below(3)
    if form == 0:
        return (
            f"I want you to {deed} {whom} {thing} now!",
            f"Could you please {deed} {whom} {thing}?",
        )
    if form == 1:
        name = dice.pick(NAMES)
        return f"{name}, {deed} {whom} {thing}!", f"{name}, could you please {deed} {whom} {thing}?"
    where = dice.pick(SHOPS)
    return (
        f"Get out of the {where} and {deed} {whom} {thing}!",
        f"Could you please leave the {where} and {deed} {whom} {thing}?",
    )


SETS = {
    one.name: one
    for one in (
        ExampleSet("intent", "Intent of a message", ("message", "intent"), "label", _intent),
        ExampleSet(
            "sentiment", "Sentiment of a review", ("review", "sentiment"), "label", _sentiment
        ),
        ExampleSet("fields", "Name and date as JSON", ("sentence", "fields"), "json", _fields),
        ExampleSet("units", "Unit converter", ("question", "answer"), "text", _units),
        ExampleSet("tone", "Tone rewriter", ("sentence", "reply"), "text", _tone),
    )
}


def example_set(name: str) -> Table:
    """Return a set's table. Raises OptionError for one that there is not."""
    if name not in SETS:
        raise OptionError(f"there is no example set {name!r:.40}; there are {', '.join(SETS)}")
    return SETS[name].table()
