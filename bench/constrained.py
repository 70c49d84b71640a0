"""What a grammar costs a token: `python -m bench.constrained`.

A model of 15M parameters with random weights and 32,000 words writes a text with a grammar and one
without, turn about at each token; the median of the rounds is told, in time of the processor. A
random model writes strings that hardly repeat, so that many states are new: a real one finds more
of its masks made. "First text": no mask was there before. "Later": those of other texts were.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import thimble
from bench import models
from thimble import constrain
from thimble.constrain.masks import Shelf
from thimble.sampling import SamplingParams

TOKENS = 128
GRAMMARS = {
    "regex [a-z ]{2000}": constrain.regex("[a-z ]{2000}"),
    "regex [a-z ]+ without end": constrain.regex("[a-z ]+[0-9]{90}"),
    "JSON: list of objects": constrain.json_schema(
        {
            "type": "array",
            "minItems": 99,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 40},
                    "age": {"type": "integer", "minimum": 0, "maximum": 120},
                    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
                },
                "required": ["name", "age", "tags"],
            },
        }
    ),
}


def both(model: thimble.Model, grammar: constrain.Grammar, seed: int) -> tuple[float, float]:
    """Milliseconds of a token without a grammar and with it, the first one left out. The two texts
    take turns at every token: whatever else the machine does meets both."""
    sessions = [model.session(), model.session()]
    texts = [
        session.generate(
            "Once",
            SamplingParams(grammar=one, max_tokens=TOKENS, seed=seed, logit_bias={2: -1e6}),
        )
        for session, one in zip(sessions, (None, grammar), strict=True)
    ]
    for text in texts:
        next(text)
    times, count = [0.0, 0.0], 0
    for count in range(1, TOKENS):
        for which in (0, 1) if count % 2 else (1, 0):
            begun = time.process_time()
            next(texts[which])
            times[which] += time.process_time() - begun
    for session in sessions:
        session.close()
    return 1e3 * times[0] / count, 1e3 * times[1] / count


def cost(rounds: list[tuple[float, float]]) -> str:
    """In words: the medians, and the median of what it cost in each of the rounds."""
    plain, masked = (statistics.median(one[i] for one in rounds) for i in (0, 1))
    more = statistics.median(b / a - 1 for a, b in rounds)
    return f"without {plain:.3f} ms, with {masked:.3f} ms, {more:+.1%}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.constrained", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    shape, encoding = models.SHAPES["15M"], models.ENCODINGS["Q8_0"]
    with tempfile.TemporaryDirectory() as folder:
        model = thimble.load(models.ensure(Path(folder), shape, encoding))
        Shelf.of(model.kernel, model.tokenizer)  # made once for a model
        for name, grammar in GRAMMARS.items():
            firsts = []
            for seed in range(options.rounds):
                forget(model)
                firsts.append(both(model, grammar, seed))
            later = [both(model, grammar, seed) for seed in range(100, 100 + options.rounds)]
            print(f"{name}: first text: {cost(firsts)}; later: {cost(later)}")
        model.close()
    return 0


def forget(model: thimble.Model) -> None:
    """Let all masks go."""
    Shelf.of(model.kernel, model.tokenizer).grammars.clear()


if __name__ == "__main__":
    raise SystemExit(main())
