"""MaskBench: which of thousands of real JSON Schemas are understood: `python -m bench.maskbench`.

Each schema is compiled, and each of its instances fed token by token, as the benchmark's own runner
does it (guidance-ai/jsonschemabench, `maskbench/runner.py`): the mask is made, the instance's next
token must be in it, and so on; a schema is right when every valid instance comes through and every
invalid one is stopped, at the latest where the text would end. Instances are JSON as Python writes
it. The vocabulary is Llama 3's. Texts may be what the standard allows (`AS_STANDARD`); with
`--usual` as they are written unless asked for otherwise, which instances need not be. With
`--journal` what is found is written down schema by schema, and a run that was ended goes on there.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bench.llama3_words import Llama3Words
from thimble import constrain
from thimble.constrain.masks import Constraint, Shelf
from thimble.errors import OptionError
from thimble.json_options import AS_STANDARD, AS_USUAL, JsonOptions
from thimble.kernel import default_kernel

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "maskbench-half.jsonl.gz"
VECTORS = ROOT / "tests" / "vectors"
RIGHT, LOST, LET_THROUGH, REFUSED = "right", "valid refused", "invalid accepted", "not understood"


@dataclass(slots=True)
class Outcome:
    """What became of one schema."""

    name: str
    outcome: str
    why: str = ""
    compile_ms: float = 0.0
    mask_us: list[float] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Where the schema comes from, as the benchmark names it."""
        return re.split(r"---|_(?=(?:java|simple|sql|multiple|parallel|\d))", self.name)[0]


class Judge:
    """Compiles schemas and feeds instances."""

    def __init__(self, words: Llama3Words, options: JsonOptions) -> None:
        self._words, self._options = words, options
        self._kernel = default_kernel()
        self._shelf = Shelf.of(self._kernel, words)  # type: ignore[arg-type]
        _ = self._shelf.vocabulary.plain(1)  # made once for a vocabulary, not for a schema

    def judge(self, entry: dict[str, Any]) -> Outcome:
        found = Outcome(entry["name"], RIGHT, keywords=sorted(set(_keywords(entry["schema"]))))
        self._shelf.grammars.clear()
        begun = time.thread_time()
        try:
            grammar = constrain.json_schema(entry["schema"], self._options)
            self._shelf.masks(grammar)
        except OptionError as error:
            found.outcome, found.why = REFUSED, str(error)
            return found
        found.compile_ms = 1e3 * (time.thread_time() - begun)
        for number, test in enumerate(entry["tests"]):
            accepted, why = self._feed(grammar, test["data"], found.mask_us)
            if accepted != test["valid"]:
                found.outcome = LET_THROUGH if accepted else LOST
                found.why = f"instance {number}: {why}"
                if accepted:
                    break
        return found

    def _feed(self, grammar: constrain.Grammar, data: Any, times: list[float]) -> tuple[bool, str]:
        tokens = self._words.encode(json.dumps(data, ensure_ascii=False))
        constraint = Constraint(self._kernel, self._words, grammar, 0, False)  # type: ignore[arg-type]
        written: list[int] = []
        try:
            for token in tokens:
                begun = time.thread_time()
                mask = constraint.mask(written)
                word = self._kernel.read(mask + 4 * (token >> 5), 4)
                times.append(1e6 * (time.thread_time() - begun))
                if not int.from_bytes(word, "little") >> (token & 31) & 1:
                    return False, f"token {len(written)}"
                written.append(token)
            return constraint.accepts(written), "its end"
        except OptionError as error:
            return False, str(error)


def _keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for word, value in schema.items():
            yield word
            yield from _keywords(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _keywords(value)


def entries(path: Path, every: int) -> Iterator[dict[str, Any]]:
    """Every so many of the schemas."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number % every == 0:
                yield json.loads(line)


def run(path: Path, every: int, options: JsonOptions, journal: Path | None) -> list[Outcome]:
    """Judge the schemas, but for those that the journal has."""
    found: dict[str, Outcome] = {}
    if journal is not None and journal.exists():
        lines = journal.read_text(encoding="utf-8").splitlines()
        found = {one["name"]: Outcome(**one) for one in map(json.loads, lines)}
    judge: Judge | None = None
    outcomes = []
    for entry in entries(path, every):
        if judge is None and entry["name"] not in found:
            judge = Judge(Llama3Words.load(ROOT / "build" / "maskbench"), options)
        one = found.get(entry["name"]) or cast(Judge, judge).judge(entry)
        outcomes.append(one)
        if one.outcome != RIGHT:
            print(f"{one.name}: {one.outcome}: {one.why[:150]}", flush=True)
        if journal is not None and one.name not in found:
            with journal.open("a", encoding="utf-8") as lines_out:
                lines_out.write(json.dumps(dataclasses.asdict(one)) + "\n")
    return outcomes


def elsewhere() -> dict[str, list[Outcome]]:
    """What becomes of the schemas that the tests have: what pydantic and zod write, and the
    standard's own, to which formats are annotations."""
    words = Llama3Words.load(ROOT / "build" / "maskbench")
    judge = Judge(words, AS_STANDARD)
    found = {}
    for name, file in (("pydantic 2", "pydantic.json"), ("zod 4", "zod.json")):
        features = json.loads((VECTORS / file).read_text(encoding="utf-8"))["features"]
        found[name] = list(map(judge.judge, features))
    judge = Judge(words, dataclasses.replace(AS_STANDARD, formats="passed"))
    suite = entries(VECTORS / "schema_suite.jsonl.gz", 1)
    found["JSON-Schema-Test-Suite"] = list(map(judge.judge, suite))
    return found


def main() -> int:
    from bench import maskbench_report

    parser = argparse.ArgumentParser(prog="python -m bench.maskbench", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="schemas with their instances")
    parser.add_argument("--every", type=int, default=1, help="only one schema out of so many")
    parser.add_argument("--usual", action="store_true", help="texts as they are usually written")
    parser.add_argument("--journal", type=Path, help="file of what was found, to go on with")
    parser.add_argument("--keep", action="store_true", help="write docs/bench/structured.md anew")
    options = parser.parse_args()
    how = AS_USUAL if options.usual else AS_STANDARD
    found = run(options.data, options.every, how, options.journal)
    report = maskbench_report.report(found)
    print(report)
    if options.keep:
        maskbench_report.keep(found, elsewhere(), ROOT / "docs" / "bench")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
