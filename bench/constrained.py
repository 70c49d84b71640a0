"""What a grammar costs a token: `python -m bench.constrained`.

A model of 15M parameters with random weights and 32,000 words writes with a grammar and without,
turn about; the median of the rounds is told, in time of the processor. A random model writes
strings that hardly repeat, so that many states are new: a real one finds more of its masks made.
"First" is the first text of a grammar, in which all its masks are made.
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
from thimble.sampling import SamplingParams

TOKENS = 128
SHAPES = {
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


def milliseconds(model: thimble.Model, grammar: constrain.Grammar | None, seed: int) -> float:
    """Of a token, the first one left out."""
    session = model.session()
    params = SamplingParams(grammar=grammar, max_tokens=TOKENS, seed=seed, logit_bias={2: -1e6})
    times = [time.process_time() for _ in session.generate("Once", params)]
    session.close()
    return 1e3 * (times[-1] - times[0]) / (len(times) - 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.constrained", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    shape, encoding = models.SHAPES["15M"], models.ENCODINGS["Q8_0"]
    with tempfile.TemporaryDirectory() as folder:
        model = thimble.load(models.ensure(Path(folder), shape, encoding))
        milliseconds(model, None, 0)
        for name, grammar in SHAPES.items():
            first = milliseconds(model, grammar, 0)
            plain, kept = [], []
            for seed in range(1, options.rounds + 1):
                plain.append(milliseconds(model, None, seed))
                kept.append(milliseconds(model, grammar, seed))
            a, b = statistics.median(plain), statistics.median(kept)
            cost = f"without {a:.3f} ms, with {b:.3f} ms, {b / a - 1:+.1%}; first {first:.3f} ms"
            print(f"{name}: {cost}")
        model.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
