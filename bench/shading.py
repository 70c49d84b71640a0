"""What a text's probabilities cost: decoding with and without them, in turns."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser

import thimble
from bench import measure
from bench.browser import RunnerPage, Server
from bench.results import Results, Shading
from tools.fingerprint import ROOT

PROMPT = "Once upon a time"
TOKENS = 500
SHORT = 5
"""A text takes a seventh of a second, so so many times as many are written."""
WAYS = ("text", "probabilities", "alternatives", "shaded")


def measure_shading(
    results: Results, browser: Browser, server: Server, model: dict[str, Any], runs: int
) -> None:
    """Let the site's default model write the same 500 tokens in every way."""
    measure.tell(f"shading, {model['name']}")
    loaded = thimble.load(ROOT / "web" / "models" / f"{model['name']}.gguf")
    banned = sorted(loaded.tokenizer.eog_ids)
    left = loaded.config.n_ctx - len(loaded.tokenizer.encode(PROMPT)) - 1
    loaded.close()
    tokens = min(TOKENS, left)
    page = RunnerPage(browser, server.address, "thimble")
    found = {way: Shading(model["name"], tokens, way) for way in WAYS}
    results.shading.extend(found.values())
    for run in range(SHORT * runs + 1):
        # Every round begins with another way, and the first does not count.
        at = run % len(WAYS)
        for way in WAYS[at:] + WAYS[:at]:
            wanted = {"model": model["name"], "prompt": PROMPT, "tokens": tokens}
            wanted |= {"seed": run, "banned": banned}
            milliseconds = page.page.evaluate(
                "([way, wanted]) => bench.shading(way, wanted)", [way, wanted]
            )
            if run:
                found[way].milliseconds.append(milliseconds)
    page.close()
