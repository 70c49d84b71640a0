"""The texts that the training panel offers, written by rules: names, sums and stories.

    python -m tools.corpora [--out build/corpora]

Each is the same on every machine and for ever: the dice are our own, and a test knows the digests.
No line of the names and sums comes twice, so what is held out from training was never seen in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.corpora_stories import stories
from tools.dice import Dice
from tools.fingerprint import BUILD

OUT = BUILD / "corpora"
N_NAMES = 14_000
N_STORIES = 800
N_SAMPLE, SAMPLE_SEED = 60, 4
"""Stories to measure models on: by other dice than those that are learned from."""
LARGEST = 99
"""Of the numbers that are added and taken away."""
SEPARATOR = "\n"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text, and what the page says of it."""

    name: str
    title: str
    words: str
    write: Callable[[], Iterator[str]]
    recipe: dict[str, Any]
    """What of a recipe (`thimble/train/recipe.py`) depends on the text."""
    prompts: tuple[str, ...]
    """How the texts of a sample begin."""
    tokens: int
    """Of the longest text of a sample."""

    def text(self) -> str:
        return "".join(part + SEPARATOR for part in self.write())


# Names of places. Five lands, each with sounds of its own, so that a name tells where it lies.

FIRST = """alder amber ash badger barley barrow birch black bram briar cold copper crow elder
elm fallow fern fox frost gold grey hare hart hazel heather heron honey iron ivy kestrel lamb
lark linden long marsh meadow mill mist moon moss nettle oak otter owl pebble quarry raven reed
rook rose rush salt sedge silver sloe snow sparrow star stone storm swan tall thistle thorn wain
west white willow wind wolf wren yarrow""".split()
SECOND = """bourne bridge brook bury combe cote croft cross dale den fell field ford gate ham haven
hithe hollow holm holt hurst ley lock mere moor mouth pool shaw stead stoke thorpe ton wade well
wick wood worth""".split()
ADDED = "Great Little Upper Nether Old Long High Market Castle".split()
WATERS = "Arrow Bourne Cray Dove Eddle Fenny Isle Lark Mease Ouzel Rill Tarn Wey".split()
SAINTS = "Brannoc Clover Edda Hild Marrow Orla Piran Swithen Tamsin Wulfric".split()

NORTH_ONSETS = "b bj d dr f fj fr g gr h hr hv j k kr l m n r s sk skj st sv t th tr v".split()
NORTH_CODAS = "l ld ll lm n nd nn r rd rk rn rv s sk st t v".split()
NORTH_ENDS = "vik ness heim dal fjord gard sund by stad vatn berg foss".split()

WEST_ONSETS = "b br c car ced dyl f g gl gw h ll m mor n p pen r rh t tal tre w".split()
WEST_CODAS = "c dd ff ll n nt r rn s th".split()
WEST_HEADS = "Aber Caer Glan Llan Pen Porth Tre".split()

SOUTH_ONSETS = "b c ch d f g l m n p r s t v z br cr tr st".split()
SOUTH_ENDS = "ara ella enna ento etta iano illo ina ino ona ora orra ossa uzza".split()
SOUTH_HEADS = "Castel Monte Porto Rocca Santa Valle Villa".split()

EAST_ONSETS = "b d h j k m n r s sh t ts y z".split()
EAST_ENDS = "bara gawa hama kazu mori no-se shima taki yama zuka".split()


def weald(dice: Dice) -> str:
    """Two words of the country, and sometimes a river, a saint or a size: "Nether Foxcombe"."""
    core = (dice.pick(FIRST) + dice.pick(SECOND)).capitalize()
    match dice.below(10):
        case 0 | 1:
            return f"{dice.pick(ADDED)} {core}"
        case 2:
            return f"{core}-on-{dice.pick(WATERS)}"
        case 3:
            return f"{core} St {dice.pick(SAINTS)}"
    return core


def north(dice: Dice) -> str:
    """One or two syllables whose vowels are all bright or all dark, and an end: "Skarnvik"."""
    vowels = dice.pick(("aou", "eiy"))
    first = dice.pick(NORTH_ONSETS) + dice.pick(vowels) + dice.pick(NORTH_CODAS)
    middle = dice.pick(vowels) if dice.below(4) == 0 else ""
    return (first + middle + dice.pick(NORTH_ENDS)).capitalize()


def west(dice: Dice) -> str:
    """A head word and a soft tail: "Llangwarth", "Caer Dylan"."""
    tail = dice.pick(WEST_ONSETS) + dice.pick("aeiowy") + dice.pick(WEST_CODAS)
    if dice.below(2):
        tail += dice.pick("aeiy") + dice.pick(WEST_CODAS)
    head = dice.pick(WEST_HEADS)
    return f"{head} {tail.capitalize()}" if dice.below(2) else head + tail


def south(dice: Dice) -> str:
    """Open syllables: "Monterosca", "Velina"."""
    core = _open(dice, SOUTH_ONSETS, "aeio") + dice.pick(SOUTH_ONSETS) + dice.pick(SOUTH_ENDS)
    core = core.capitalize()
    return f"{dice.pick(SOUTH_HEADS)} {core}" if dice.below(4) == 0 else core


def east(dice: Dice) -> str:
    """A consonant, a vowel, and so on, and an end: "Kitamori"."""
    return (_open(dice, EAST_ONSETS, "aiuo") + dice.pick(EAST_ENDS)).capitalize()


def _open(dice: Dice, onsets: Sequence[str], vowels: str) -> str:
    """One or two syllables that end in a vowel."""
    return "".join(dice.pick(onsets) + dice.pick(vowels) for _ in range(1 + dice.below(2)))


UNWANTED = "anal anus crap cock cum dick fag nazi nig porn rap sex shit slut tit".split()
"""What a dice would put together and nobody wants to read."""
LANDS = (weald, weald, weald, north, west, south, east)
"""As often as they stand here."""


def names() -> Iterator[str]:
    """Names of places that nobody has been to, each once."""
    dice, seen = Dice(1), set[str]()
    while len(seen) < N_NAMES:
        name = dice.pick(LANDS)(dice)
        if name not in seen and not any(part in name.lower() for part in UNWANTED):
            seen.add(name)
            yield name


# Sums.


def sums() -> Iterator[str]:
    """Every sum and difference of numbers up to 99, in any order: "23+45=68"."""
    numbers = range(LARGEST + 1)
    lines = [f"{a}+{b}={a + b}" for a in numbers for b in numbers]
    lines += [f"{a}-{b}={a - b}" for a in numbers for b in range(a + 1)]
    yield from Dice(2).shuffled(lines)


ASKED = "23+45= 7+8= 64+19= 38+57= 5+46= 99+99= 90-34= 72-68= 15-9= 81-27= 60-12= 33-33=".split()
"""A sample of sums: some easy, some with a carry."""


def _recipe(**choices: Any) -> dict[str, Any]:
    """Every line a text, looked at often."""
    return {"separator": "\n", **choices, "log_every": 10, "eval_every": 20}


CORPORA: Sequence[Corpus] = (
    Corpus(
        "names", "Names of places", "14,000 invented names, five lands with sounds of their own.",
        names, recipe=_recipe(size=0.1, context=64, steps=400), prompts=("",) * 12, tokens=40,
    ),
    Corpus(
        "sums", "Small arithmetic", "Sums and differences up to 99; no line comes twice.",
        sums, recipe=_recipe(size=0.2, context=32, steps=800), prompts=tuple(ASKED), tokens=6,
    ),
    Corpus(
        "stories", "Very short stories", "A character, a place, a wish, and how it came true.",
        lambda: stories(N_STORIES), prompts=("",), tokens=250,
        recipe=_recipe(size=0.37, vocab_size=512, context=256, steps=400),
    ),
)  # fmt: skip


def sample() -> str:
    """A text to measure models on: stories of which none is in what they learn from."""
    learned = set(stories(N_STORIES))
    fresh = (story for story in stories(2 * N_SAMPLE, SAMPLE_SEED) if story not in learned)
    return "\n".join(itertools.islice(fresh, N_SAMPLE)) + "\n"


def write(folder: Path) -> list[Path]:
    """Write every text to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for corpus in CORPORA:
        path = folder / f"{corpus.name}.txt"
        path.write_text(corpus.text(), encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def add_to_site(site: Path) -> list[dict[str, Any]]:
    """Write every text to the site's assets; what `build.json` says of them."""
    listed = []
    for corpus in CORPORA:
        data = corpus.text().encode()
        digest = hashlib.sha256(data).hexdigest()
        name = f"assets/{corpus.name}.{digest[:8]}.txt"
        (site / name).write_bytes(data)
        said = dataclasses.asdict(corpus)
        del said["write"]
        listed.append({**said, "file": name, "bytes": len(data), "sha256": digest})
    return listed


def add_sample(site: Path) -> dict[str, Any]:
    """Write the text to measure on to the site's assets; what `build.json` says of it."""
    data = sample().encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"assets/sample.{digest[:8]}.txt"
    (site / name).write_bytes(data)
    return {"title": "60 very short stories", "file": name, "bytes": len(data), "sha256": digest}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="the folder (build/corpora)")
    for path in write(parser.parse_args().out):
        data = path.read_bytes()
        print(f"{path}  {len(data):,} bytes  sha256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
