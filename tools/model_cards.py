"""The cards of the models that `tools/train_models.py` makes: web/models/NAME.md from its receipt.

    python -m tools.model_cards --data ../shared/data [NAME ...]

Figures come from the receipt and from measuring the file; what is said in words is here.
`--verified DATE` adds that `make models ARGS=--verify` ended well on that day; once said, it stays
for as long as the file is the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import thimble
from thimble import SamplingParams
from thimble.evaluate import Evaluation, evaluate_text
from thimble.train.corpus import split
from tools.train_models import MODELS, SHIPPED

STORIES = (
    "TinyStories (Eldan & Li 2023, https://arxiv.org/abs/2305.07759), 11,590 of its stories, "
    "CDLA-Sharing-1.0"
)
TALES = "30 books of fairy tales and other stories for children, public domain"
NAMES = "32,033 first names, MIT"
MEMBER = "One of the members that [ensembles](../../docs/ensembles.md) are made of: "
ONCE = "Once upon a time"


class About(NamedTuple):
    """What a model is, what it learned from, how its sample begins, and what it cannot do."""

    what: str
    learned: str
    prompt: str = ONCE
    limits: str = """\
- It knows the world of the stories that it has read: animals, parks, toys, mothers. It knows no
  facts, answers no questions, follows no instructions, and speaks no language but simple English.
- It holds a scene for some sentences. Over a whole story, names, things and reasons slip: who owned
  the ball may change, and a moral need not follow from what happened.
- It has not seen more than {context} tokens at once.
- Its stories carry the habits of their source, which a larger model wrote: who does what in a
  family, which names there are, that everything ends well. It was not examined for harm; a sampled
  text may be unsuitable for children."""


TALES_LIMITS = """\
- It holds a sentence or two. It knows no facts, answers no questions and follows no instructions.
- It has not seen more than {context} tokens at once.
- What it has read is old, with the manners and prejudices of its time. It was not examined for
  harm; a sampled text may be unsuitable for children."""

ABOUT = {
    "names": About(
        "It invents first names.", NAMES, "",
        "- It knows how names are made of letters, and nothing else. Some that it writes are real.",
    ),
    "story": About(
        "It writes stories for small children. It is what the page opens with.", STORIES
    ),
    "story-small": About(
        "It writes stories for small children, as `story.gguf` does, in a third of its size.",
        STORIES,
    ),
    "member-1": About(MEMBER + "the first of four that differ by seed.", STORIES),
    "member-2": About(MEMBER + "the second of four that differ by seed.", STORIES),
    "member-3": About(MEMBER + "the third of four that differ by seed.", STORIES),
    "member-4": About(MEMBER + "the fourth of four that differ by seed.", STORIES),
    "member-fairy": About(
        MEMBER + "the one that knows fairy tales.", TALES, "There was once a king", TALES_LIMITS
    ),
    "member-plain": About(
        MEMBER + "the one that has read some of everything.", f"{STORIES}; {TALES}", ONCE,
        TALES_LIMITS,
    ),
    "story-four": About(
        "As large as the four story members together, for comparison with them.", STORIES
    ),
}  # fmt: skip

CARD = """# {title}

{what} {parameters:,} parameters.

| | |
|---|---|
| file | `{name}.gguf`, {type}, {bytes:,} bytes |
| SHA-256 | `{sha256}` |
| network | llama: {n_layers} layers, width {dim}, {heads} of {head_dim}, hidden {hidden}, \
context {context}, output tied to the embedding |
| tokenizer | byte-level BPE of {vocab_size:,} tokens; `<|endoftext|>` begins and ends a text |
| licence | {license}, by this project |
| trained on | {learned} |

## How good it is

{measured}

## What it writes

`{command}`, the first seed tried:

> {sample}

## How it was trained

By our own kernels from [{name}.recipe.json]({name}.recipe.json): {steps:,} steps, {tokens:,}
tokens, {core_seconds:,.0f} core-seconds on a machine that did other work meanwhile.
[The receipt]({name}.receipt.json) names the text's hash and the weights' as they grew. To make it
again, and to check it:

```
make models DATA=FOLDER ARGS={name}
make models DATA=FOLDER ARGS="--verify {name}"
```

{verified}

## What it cannot do

{limits}
"""
VERIFIED = "Checked from the first step to the last on {}: every bit agreed."
UNVERIFIED = (
    "It has not been checked from the first step to the last yet; the tests check its beginning."
)


def measure(name: str, data: Path, heldout: float | None, recipe: dict[str, Any]) -> str:
    """How well the file predicts what it was not trained on, beside its float32 weights."""
    model = thimble.load(SHIPPED / f"{name}.gguf")
    text = MODELS[name].texts(data).heldout
    if text is None or heldout is None:
        return (
            f"{heldout:.4f} bits per byte, by its weights in float32, on the held-out twentieth of "
            "its text (the receipt's figure)."
        )
    found: Evaluation = evaluate_text(model, split(text, recipe["separator"]))
    model.close()
    head = f"| | bits per byte |\n|---|---|\n| `{name}.gguf` | {found.bits_per_byte:.4f} |\n"
    on = (
        f"On {found.stories:,} texts that it has not seen, each on its own, cut at its context: "
        f"{found.bytes:,} bytes."
    )
    if recipe["quantize"] != "none":
        return (
            f"{head}\n{on} From step {recipe['quantize_start']:,} on its matrices were rounded to "
            f"{recipe['quantize']} whenever they were used, so that the file is what was trained."
        )
    worse = 100 * (found.bits_per_byte / heldout - 1)
    return (
        f"{head}| the same weights in float32 | {heldout:.4f} |\n\n"
        f"{on} Rounding the weights costs {worse:.2f} %."
    )


def sample(name: str, prompt: str) -> tuple[str, str]:
    """The command of a sample, and what it writes."""
    model = thimble.load(SHIPPED / f"{name}.gguf")
    params = SamplingParams(temperature=0.8, seed=1, max_tokens=200)
    texts = []
    for seed in range(1, 2 if prompt else 13):
        session = model.session()
        one = SamplingParams(temperature=0.8, seed=seed, max_tokens=params.max_tokens)
        texts.append(prompt + "".join(piece.text for piece in session.generate(prompt, one)))
        session.close()
    model.close()
    words = "\n> ".join(texts[0].split("\n")) if prompt else ", ".join(texts)
    seeds = "--seed 1" if prompt else "--seed 1 (to 12)"
    return (
        f'thimble generate web/models/{name}.gguf --prompt "{prompt}" --temperature 0.8 {seeds}'
        " --max-tokens 200",
        words,
    )


def heads(recipe: dict[str, Any]) -> str:
    """How many heads of attention there are."""
    queries, keys = recipe["n_heads"], recipe["n_kv_heads"]
    return (
        f"{queries} heads" if keys in (None, queries) else f"{queries} query and {keys} key heads"
    )


def card(name: str, data: Path, verified: str | None) -> str:
    """The card's text."""
    receipt: dict[str, Any] = json.loads(
        (SHIPPED / f"{name}.receipt.json").read_text(encoding="utf-8")
    )
    recipe, path = receipt["recipe"], SHIPPED / f"{name}.md"
    about = ABOUT[name]
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    verdict = next((line for line in before.splitlines() if line.startswith(VERIFIED[:30])), None)
    if verdict is None or receipt["model"]["sha256"] not in before:
        verdict = UNVERIFIED
    command, text = sample(name, about.prompt)
    return CARD.format(
        **recipe | receipt["model"],
        name=name,
        what=about.what,
        learned=f"{about.learned}; {receipt['data']['bytes']:,} bytes with SHA-256 "
        f"`{receipt['data']['sha256']}`",
        parameters=receipt["weights"]["count"],
        heads=heads(recipe),
        head_dim=recipe["dim"] // recipe["n_heads"],
        measured=measure(name, data, receipt["heldout_bits_per_byte"], recipe),
        command=command,
        sample=text,
        tokens=receipt["tokens"],
        core_seconds=receipt["core_seconds"],
        verified=VERIFIED.format(verified) if verified else verdict,
        limits=about.limits.format(**recipe),
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="(all)")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the texts")
    parser.add_argument("--verified", metavar="DATE", help="of a whole check that ended well")
    options = parser.parse_args(arguments)
    for name in options.names or ABOUT:
        words = card(name, options.data, options.verified)
        (SHIPPED / f"{name}.md").write_text(words, encoding="utf-8")
        print(SHIPPED / f"{name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
