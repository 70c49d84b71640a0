"""What a grammar costs a token: `python -m bench.constrained`, and with `--page` in Chromium.

A model of 15M parameters with random weights and 32,000 words writes a text with a grammar and one
without, turn about at each token; the median of the rounds is told, in time of the processor. A
random model writes strings that hardly repeat, so that many states are new: a real one finds more
of its masks made. "First text": no mask was there before. "Later": those of other texts were.
With `--keep` what was found is written to docs/bench/constrained.json.
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import json
import statistics
from typing import Any

from bench import in_page, machine, models
from bench.site import MODELS
from tools.fingerprint import ROOT

OUT = ROOT / "docs" / "bench" / "constrained.json"
TOKENS = 128
Rounds = list[tuple[float, float]]


def measured(path: str, variant: str, rounds: int, tokens: int) -> str:
    """Milliseconds of a token without each grammar and with it, of first texts and of later ones,
    as JSON; runs in the page, too, where this function's source is sent."""
    import json
    import time

    import thimble
    import thimble.kernel
    from thimble import constrain
    from thimble.constrain.masks import Shelf
    from thimble.sampling import SamplingParams

    person = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
        },
        "required": ["name", "age", "tags"],
    }
    grammars = {
        "regex [a-z ]{2000}": constrain.regex("[a-z ]{2000}"),
        "regex [a-z ]+ without end": constrain.regex("[a-z ]+[0-9]{90}"),
        "JSON: list of objects": constrain.json_schema(
            {"type": "array", "minItems": 99, "items": person}
        ),
    }
    if variant:
        thimble.kernel.choose_variant(variant)
    model = thimble.load(path)
    shelf = Shelf.of(model.kernel, model.tokenizer)  # made once for a model

    def both(grammar: constrain.Grammar, seed: int) -> tuple[float, float]:
        """The first token is left out. The two texts take turns at every token: whatever else the
        machine does meets both."""
        sessions = [model.session(), model.session()]
        texts = []
        for session, one in zip(sessions, (None, grammar), strict=True):
            params = SamplingParams(grammar=one, max_tokens=tokens, seed=seed, logit_bias={2: -1e6})
            texts.append(session.generate("Once", params))
        for text in texts:
            next(text)
        times = [0.0, 0.0]
        for count in range(1, tokens):
            for which in (0, 1) if count % 2 else (1, 0):
                begun = time.process_time()
                next(texts[which])
                times[which] += time.process_time() - begun
        for session in sessions:
            session.close()
        return 1e3 * times[0] / (tokens - 1), 1e3 * times[1] / (tokens - 1)

    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, grammar in grammars.items():
        firsts = []
        for seed in range(rounds):
            shelf.grammars.clear()
            firsts.append(both(grammar, seed))
        later = [both(grammar, seed) for seed in range(100, 100 + rounds)]
        found[name] = {"first text": firsts, "later": later}
    model.close()
    return json.dumps(found)


def cost(rounds: Rounds) -> str:
    """In words: the medians, and the median of what it cost in each of the rounds."""
    plain, masked = (statistics.median(one[i] for one in rounds) for i in (0, 1))
    more = statistics.median(b / a - 1 for a, b in rounds)
    return f"without {plain:.3f} ms, with {masked:.3f} ms, {more:+.1%}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.constrained", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", action="store_true", help="in Chromium, over the built site")
    parser.add_argument("--keep", action="store_true", help="write docs/bench/constrained.json")
    options = parser.parse_args()
    shape, encoding = models.SHAPES["15M"], models.ENCODINGS["Q8_0"]
    about: dict[str, Any] = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.describe(),
        "load": machine.load(),
    }
    path = models.ensure(MODELS, shape, encoding)
    if options.page:
        call = f'measured("{in_page.MODEL}", "relaxed", {options.rounds}, {TOKENS})'
        found, about["chromium"] = in_page.run(f"{inspect.getsource(measured)}\n{call}", path)
    else:
        found = measured(str(path), "", options.rounds, TOKENS)
    rounds: dict[str, dict[str, Rounds]] = json.loads(found)
    for name, texts in rounds.items():
        print(f"{name}: " + "; ".join(f"{which}: {cost(one)}" for which, one in texts.items()))
    if options.keep:
        text = json.dumps({**about, "milliseconds": rounds}, indent=1)
        OUT.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
