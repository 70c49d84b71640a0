"""The shipped models, made again: `make models DATA=FOLDER`, or some of them by their names.

    python -m tools.train_models --data ../shared/data [--out build/models] [NAME ...]
    python -m tools.train_models --data ../shared/data --verify [--steps N] [NAME ...]

Each is trained by our own kernels from `web/models/NAME.recipe.json`; `model.gguf` and
`receipt.json` of its run are what lies there as `NAME.gguf` and `NAME.receipt.json`, to the last
bit. The second form trains again by those receipts and compares. Texts that a model is made of are
put together here from the files in `--data`, which docs/training.md names; members of an ensemble
take over the tokenizer of the first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from thimble import cli
from tools.fingerprint import BUILD, ROOT

SHIPPED = ROOT / "web" / "models"
SEPARATOR = "<|endoftext|>"
HELD_OUT_BOOKS = (12, 18, 27)
"""Of `fairytales.txt`, by their places from 0: 13 % of it is for measuring, never for training."""


PASSAGE = 700
"""Letters of a passage, at least."""


class Texts(NamedTuple):
    """What one model learns from, and what it is measured on."""

    learned: str
    heldout: str | None


class Shipped(NamedTuple):
    """How one model is made."""

    texts: Callable[[Path], Texts]
    encoding: str = "q8_0"
    tokenizer: str | None = None
    """The model whose tokenizer it takes over."""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def stories(data: Path) -> Texts:
    return Texts(_read(data / "tinystories-train.txt"), _read(data / "tinystories-heldout.txt"))


def fairytales(data: Path) -> Texts:
    """Whole books are held out, and measured passage by passage: what lies behind a model's context
    is not measured. A paragraph is a line, and a book to learn from is one long text."""
    books = _read(data / "fairytales.txt").split(SEPARATOR)
    learned = [book for place, book in enumerate(books) if place not in HELD_OUT_BOOKS]
    passages = [part for place in HELD_OUT_BOOKS for part in passages_of(books[place])]
    return Texts(SEPARATOR.join(learned).strip() + "\n", f"\n{SEPARATOR}\n".join(passages) + "\n")


def passages_of(book: str) -> list[str]:
    """A book in runs of whole lines, each about as long as a story."""
    passages: list[str] = []
    lines: list[str] = []
    for line in book.strip().splitlines():
        lines.append(line)
        if sum(map(len, lines)) >= PASSAGE:
            passages.append("\n".join(lines))
            lines = []
    return passages


def both(data: Path) -> Texts:
    """The stories, and as many bytes of fairy tales."""
    told = stories(data)
    assert told.heldout is not None
    return Texts(f"{told.learned.strip()}\n{SEPARATOR}\n{fairytales(data).learned}", told.heldout)


def names(data: Path) -> Texts:
    return Texts(_read(data / "names.txt"), None)


FIRST_MEMBER = "member-1"
MODELS: dict[str, Shipped] = {
    "names": Shipped(names),
    "story": Shipped(stories),
    "story-small": Shipped(stories, "q4_0"),
    FIRST_MEMBER: Shipped(stories),
    "member-2": Shipped(stories, tokenizer=FIRST_MEMBER),
    "member-3": Shipped(stories, tokenizer=FIRST_MEMBER),
    "member-4": Shipped(stories, tokenizer=FIRST_MEMBER),
    "member-fairy": Shipped(fairytales, tokenizer=FIRST_MEMBER),
    "member-plain": Shipped(both, tokenizer=FIRST_MEMBER),
    "story-four": Shipped(stories, tokenizer=FIRST_MEMBER),
}


def prepare(name: str, data: Path, folder: Path) -> list[str]:
    """Write a model's texts into `folder`; return `thimble`'s options for them."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = MODELS[name].texts(data)
    options = []
    for option, text in (("--data", texts.learned), ("--heldout", texts.heldout)):
        if text is not None:
            path = folder / f"{option[2:]}.txt"
            path.write_text(text, encoding="utf-8")
            options += [option, str(path)]
    return options


def tokenizer(name: str, out: Path) -> list[str]:
    """The option for a tokenizer that is taken over: from this run's model, or the shipped one."""
    taken = MODELS[name].tokenizer
    if taken is None:
        return []
    made = out / taken / "model.gguf"
    return ["--tokenizer", str(made if made.is_file() else SHIPPED / f"{taken}.gguf")]


def train(name: str, data: Path, out: Path, threads: int) -> int:
    """Train one model, or go on with it; return `thimble train`'s exit code."""
    folder = out / name
    if (folder / "receipt.json").is_file():
        print(f"{folder / 'receipt.json'} is there")
        return 0
    options = [*prepare(name, data, folder), *tokenizer(name, out), "--out", str(folder)]
    if (folder / "checkpoint.bin").is_file():
        options.append("--resume")
    recipe = str(SHIPPED / f"{name}.recipe.json")
    encoding = MODELS[name].encoding
    return cli.main(["train", recipe, *options, "--type", encoding, "--threads", str(threads)])


def verify(name: str, data: Path, out: Path, threads: int, steps: int | None) -> int:
    """Train again by a shipped receipt; return `thimble verify`'s exit code."""
    options = prepare(name, data, out / f"verify-{name}")[:2] + tokenizer(name, SHIPPED)
    if steps is not None:
        options += ["--steps", str(steps)]
    receipt = str(SHIPPED / f"{name}.receipt.json")
    return cli.main(["verify", receipt, *options, "--threads", str(threads)])


def ship(name: str, out: Path) -> None:
    """Put a run's model and receipt among the shipped ones."""
    shutil.copyfile(out / name / "model.gguf", SHIPPED / f"{name}.gguf")
    shutil.copyfile(out / name / "receipt.json", SHIPPED / f"{name}.receipt.json")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make models", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(MODELS)} (all)")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the texts")
    parser.add_argument("--out", type=Path, default=BUILD / "models", help="the runs' folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ship", action="store_true", help="replace what lies in web/models")
    parser.add_argument("--verify", action="store_true", help="train again by shipped receipts")
    parser.add_argument("--steps", type=int, help="verify the first so many steps only")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in MODELS:
            parser.error(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    for name in options.names or MODELS:
        print(f"== {name}", flush=True)
        if options.verify:
            code = verify(name, options.data, options.out, options.threads, options.steps)
        else:
            code = train(name, options.data, options.out, options.threads)
            if not code and options.ship:
                ship(name, options.out)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
