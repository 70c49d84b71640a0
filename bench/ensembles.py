"""What ensembles bring, in one table: `make ensembles`, or `python -m bench --only ensembles`.

Bits per byte on held-out text of each model, of pairs and of all together, beside one model as
large as all; the mixture of a story teller and a teller of fairy tales with fitted weights; what a
token of an ensemble costs; and how fast a draft makes its target. Native, one thread, processor
time. It writes ensembles.json and ensembles.md; the second holds nothing that is not in the first.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import thimble
from bench import ensembles_report as report
from bench import machine
from thimble.errors import ThimbleError
from thimble.evaluate import split_stories, story_choices
from tools import train_models
from tools.fingerprint import ROOT

DOCS = ROOT / "docs" / "bench"
DATA = ROOT.parent / "shared" / "data"
RESAMPLES = 2_000
PROMPTS = (
    "Once upon a time", "One day, a little girl", "Tom and Sue were", "The big dog", "A boy had",
)  # fmt: skip
COST_METHODS = ("mixture", "product")
COST_MEMBERS = (2, 4)


class Score(NamedTuple):
    """A model on some texts: for each text, nats and bytes."""

    nats: NDArray[np.float64]
    bytes: NDArray[np.float64]

    @property
    def bits_per_byte(self) -> float:
        return float(self.nats.sum() / self.bytes.sum() / math.log(2))


def score(model: thimble.LanguageModel, texts: Sequence[str], n_ctx: int) -> Score:
    """Each text on its own, cut at the shortest context."""
    nats, sizes = [], []
    for text in texts:
        found = story_choices(model, text, n_ctx)
        nats.append(-math.fsum(choice.logprob for choice in found))
        sizes.append(sum(len(model.tokenizer.token_bytes(choice.id)) for choice in found))
    return Score(np.array(nats), np.array(sizes, np.float64))


def gain(better: Score, than: Score, seed: int = 0) -> dict[str, float]:
    """By how many percent fewer bits a byte takes, with the interval that holds 95 % of what comes
    out when texts are drawn anew (Efron 1979)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(better.nats), (RESAMPLES, len(better.nats)))
    rates = [one.nats[drawn].sum(1) / one.bytes[drawn].sum(1) for one in (better, than)]
    low, high = np.percentile(100 * (1 - rates[0] / rates[1]), [2.5, 97.5])
    middle = 100 * (1 - better.bits_per_byte / than.bits_per_byte)
    return {"percent": middle, "low": float(low), "high": float(high)}


class Bench:
    """The models, the texts, and what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.found: dict[str, Any] = {
            "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine.describe(),
            "load": machine.load(),
            "kernels": machine.kernel_hashes()["sources"],
        }

    def model(self, name: str) -> thimble.LanguageModel | None:
        """A model of the folder, by the name of its file; None where it is not there."""
        path: Path = self.options.models / f"{name}.gguf"
        if not path.is_file():
            tell(f"{path} is not there: what needs it is left out")
            return None
        model = thimble.load(str(path))
        model.name = name
        return model

    def row(self, model: thimble.LanguageModel, found: Score, **more: Any) -> dict[str, Any]:
        receipt = self.options.models / f"{model.name}.receipt.json"
        seconds = None
        if receipt.is_file():
            seconds = json.loads(receipt.read_text(encoding="utf-8")).get("core_seconds")
        return {
            "name": model.name, "parameters": model.n_params, "bits_per_byte": found.bits_per_byte,
            "core_seconds": seconds, **more,
        }  # fmt: skip

    def stories(self) -> None:
        """Story tellers that differ by their seeds, alone and together."""
        members = [m for name in self.options.members if (m := self.model(name)) is not None]
        if len(members) < 2:
            return
        text = train_models.stories(self.options.data).heldout or ""
        texts = split_stories(text)[: self.options.texts]
        n_ctx = min(member.config.n_ctx for member in members)
        alone = {member.name: score(member, texts, n_ctx) for member in members}
        best = min(alone, key=lambda name: alone[name].bits_per_byte)
        rows = [self.row(member, alone[member.name]) for member in members]
        large = self.model(self.options.large)
        if large:
            rows.append(self.row(large, score(large, texts, n_ctx), large=True))
        groups: list[tuple[thimble.LanguageModel, ...]] = [*itertools.combinations(members, 2)]
        groups += [tuple(members)] if len(members) > 2 else []
        for method in ("mixture", "product"):
            for group in groups:
                tell(f"{method} of {', '.join(member.name for member in group)}")
                both = thimble.combine(group, method=method)
                found = score(both, texts, n_ctx)
                names = [member.name for member in group]
                rows.append({
                    "name": both.name, "parameters": both.n_params, "method": method,
                    "members": names, "bits_per_byte": found.bits_per_byte,
                    "gain": gain(found, alone[best]),
                })  # fmt: skip
        size = float(alone[best].bytes.sum())
        self.found["stories"] = {
            "texts": len(texts), "bytes": size, "tokens": n_ctx, "best": best, "rows": rows,
        }  # fmt: skip

    def mixed(self) -> None:
        """A story teller and a teller of fairy tales on text of both kinds."""
        pair = [self.model(self.options.members[0]), self.model(self.options.fairy)]
        members = [member for member in pair if member is not None]
        if len(members) < 2:
            return
        learn, test = mixed_texts(self.options.data, self.options.texts)
        n_ctx = min(member.config.n_ctx for member in members)
        tell("fitting weights")
        weights = thimble.fit_weights(members, learn)
        alone = [score(member, test, n_ctx) for member in members]
        better = min(alone, key=lambda one: one.bits_per_byte)
        rows = [self.row(m, found) for m, found in zip(members, alone, strict=True)]
        plain = self.model(self.options.plain)
        if plain:
            rows.append(self.row(plain, score(plain, test, n_ctx)))
        for name, shares in (("equal weights", (1.0, 1.0)), ("fitted weights", weights)):
            tell(f"mixture with {name}")
            both = thimble.combine(members, weights=shares)
            found = score(both, test, n_ctx)
            rows.append({
                "name": f"mixture, {name}", "parameters": both.n_params,
                "weights": list(both.member_weights), "bits_per_byte": found.bits_per_byte,
                "gain": gain(found, better),
            })  # fmt: skip
        self.found["mixed"] = {
            "learnt_from": len(learn), "texts": len(test), "bytes": float(better.bytes.sum()),
            "tokens": n_ctx, "rows": rows,
        }  # fmt: skip

    def cost(self) -> None:
        """A token of k equal members against k tokens of one: the same file, k times in memory."""
        members = [self.model(self.options.members[0]) for _ in range(max(COST_MEMBERS))]
        models = [member for member in members if member is not None]
        if len(models) < max(COST_MEMBERS):
            return
        tell("cost")
        params = thimble.SamplingParams(max_tokens=self.options.tokens, seed=1)
        runs: dict[tuple[str, int], thimble.LanguageModel] = {("", 1): models[0]}
        for method, count in itertools.product(COST_METHODS, COST_MEMBERS):
            runs[method, count] = thimble.combine(models[:count], method=method)
        taken: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for _ in range(self.options.rounds):
            for key, model in runs.items():
                taken[key].append(token_seconds(model, params, PROMPTS[:1]).seconds)
        single = taken["", 1]
        self.found["cost"] = {
            "model": models[0].name, "parameters": models[0].n_params, "rounds": len(single),
            "tokens": params.max_tokens, "single": single,
            "rows": [
                {"method": method, "members": count, "seconds": taken[method, count]}
                for method, count in runs if method
            ],
        }  # fmt: skip

    def speculation(self) -> None:
        """Targets with a draft, greedy: their speed, and that the tokens are theirs."""
        rows = []
        params = thimble.SamplingParams(max_tokens=self.options.tokens, temperature=0.0)
        for words in self.options.drafts:
            names = words.split(":")
            pair = [self.model(name) for name in names]
            target, draft = pair
            if target is None or draft is None:
                continue
            tell(f"{names[0]}, drafted by {names[1]}")
            quick = thimble.Speculative(target, draft)
            alone, drafted = [], []
            for _ in range(self.options.rounds):
                alone.append(token_seconds(target, params, PROMPTS))
                drafted.append(token_seconds(quick, params, PROMPTS))
                if alone[-1].ids != drafted[-1].ids:
                    raise RuntimeError(f"{quick.name} wrote other tokens than {target.name} alone")
            small = [token_seconds(draft, params, PROMPTS).seconds for _ in range(3)]
            rows.append({
                "target": names[0], "draft": names[1], "tokens": len(alone[0].ids),
                "parameters": [target.n_params, draft.n_params],
                "alone": [one.seconds for one in alone], "drafted": [o.seconds for o in drafted],
                "draft_alone": small, "told": drafted[-1].told, "rows_cost": rows_cost(target),
            })  # fmt: skip
        if rows:
            self.found["speculation"] = {"rounds": self.options.rounds, "rows": rows}


class Taken(NamedTuple):
    """Processor seconds a token, what was written, and what drafting brought."""

    seconds: float
    ids: list[int]
    told: dict[str, Any]


def token_seconds(
    model: thimble.LanguageModel, params: thimble.SamplingParams, prompts: Sequence[str]
) -> Taken:
    """Write from each prompt, after it has been read. The processor's time and not the clock's:
    other programs are at work on most machines."""
    seconds, ids = 0.0, []
    told: dict[str, Any] = {}
    for prompt in prompts:
        session = model.session()
        session.append(model.tokenizer.encode(prompt))
        began = time.process_time()
        ids += [chunk.id for chunk in session.generate([], params)]
        seconds += time.process_time() - began
        speculation = getattr(session, "speculation", None)
        if speculation is not None:
            told = {key: told.get(key, 0) + n for key, n in speculation._asdict().items()}
        session.close()
    return Taken(seconds / len(ids), ids, told)


def rows_cost(model: thimble.LanguageModel, past: int = 100, runs: int = 25) -> dict[str, float]:
    """What computing several tokens together costs, in times what one costs: the least of some
    runs. It bounds what any draft can bring."""
    session = model.session()
    session.append([1] * past)
    found = {}
    for count in (1, 2, 4, 8):
        seconds = []
        for _ in range(runs):
            began = time.process_time()
            session.append([1] * count)
            seconds.append(time.process_time() - began)
            session.rollback(past)
        found[str(count)] = min(seconds)
    session.close()
    return {count: seconds / found["1"] for count, seconds in found.items()}


def mixed_texts(data: Path, most: int | None) -> tuple[list[str], list[str]]:
    """Held-out stories and passages of held-out fairy tales, as many bytes of both, in turns: what
    weights are fitted to, and what they are measured on."""
    stories = split_stories(train_models.stories(data).heldout or "")
    tales = split_stories(train_models.fairytales(data).heldout or "")
    size = min(sum(len(text.encode()) for text in kind) for kind in (stories, tales))
    kinds = [cut(stories, size)[:most], cut(tales, size)[:most]]
    parts = [[text for kind in kinds for text in kind[start::2]] for start in (0, 1)]
    return parts[0], parts[1]


def cut(texts: Sequence[str], size: int) -> list[str]:
    """The first texts, as many as begin within `size` bytes."""
    begins = itertools.accumulate((len(text.encode()) for text in texts), initial=0)
    return [text for text, begin in zip(texts, begins, strict=False) if begin < size]


def tell(words: str) -> None:
    print(f"ensembles: {words}", file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make ensembles")
    add = parser.add_argument
    add("--models", type=Path, default=train_models.SHIPPED, metavar="FOLDER")
    add(
        "--data", type=Path, default=DATA, metavar="FOLDER", help="docs/training.md names its files"
    )
    add("--members", default="member-1,member-2,member-3,member-4", metavar="NAME,NAME,...")
    add("--large", default="story-four", metavar="NAME", help="as large as all members together")
    add("--fairy", default="member-fairy", metavar="NAME")
    add("--plain", default="member-plain", metavar="NAME")
    add("--drafts", default="story-four:member-1", metavar="TARGET:DRAFT,...")
    add("--texts", type=int, metavar="N", help="only the first N of each kind")
    add("--tokens", type=int, default=200, help="that a timed generation writes at most")
    add("--rounds", type=int, default=9, help="of everything that is timed")
    add("--part", choices=tuple(report.PARTS), help="one part; the others stay as they were")
    add("--out", type=Path, default=DOCS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    options.members = options.members.split(",")
    options.drafts = [words for words in options.drafts.split(",") if words]
    for words in options.drafts:
        if words.count(":") != 1:
            parser.error(f"--drafts has {words!r}; it must be TARGET:DRAFT")
    if options.rounds < 1 or options.tokens < 1:
        parser.error("--rounds and --tokens are 1 or more")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    bench = Bench(options)
    parts: dict[str, Callable[[], None]] = {
        "stories": bench.stories, "mixed": bench.mixed, "cost": bench.cost,
        "speculation": bench.speculation,
    }  # fmt: skip
    saved = options.out / "ensembles.json"
    try:
        for name, measure in parts.items():
            if options.part in (None, name):
                measure()
    except (ThimbleError, OSError) as error:
        print(f"ensembles: {error}", file=sys.stderr)
        return 1
    if options.part and saved.is_file():
        bench.found = json.loads(saved.read_text(encoding="utf-8")) | bench.found
    options.out.mkdir(parents=True, exist_ok=True)
    saved.write_text(json.dumps(bench.found, indent=1) + "\n", encoding="utf-8")
    words = report.page(bench.found)
    (options.out / "ensembles.md").write_text(words, encoding="utf-8")
    print(words)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
