"""Fifty schemas in the page: its masks and verdicts are those that are found natively."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

import thimble
from tests.browser.test_python import new_panel
from tests.conftest import ROOT
from tests.test_constrain_schema import recorded

COUNT = 50
JUDGE = """
import hashlib
from thimble import constrain
from thimble.json_options import AS_STANDARD


def judge(model, entries):
    told = []
    for schema, texts in entries:
        grammar = constrain.json_schema(schema, AS_STANDARD)
        verdicts, masks = "", hashlib.sha256()
        for text in texts:
            constraint = constrain.Constraint(model.kernel, model.tokenizer, grammar, 0, True)
            written = []
            for token in model.tokenizer.encode(text, add_special=False):
                bits = model.kernel.read(constraint.mask(written), model.config.n_vocab // 8)
                masks.update(bits)
                if not bits[token >> 3] >> (token & 7) & 1:
                    verdicts += "-"
                    break
                written.append(token)
            else:
                verdicts += "+" if constraint.accepts(written) else "-"
        told.append(verdicts + masks.hexdigest()[:12])
    return told
"""


def entries() -> tuple[list[tuple[Any, list[str]]], list[str]]:
    """Every so many of what pydantic and zod write, with the first instance that is valid and the
    first that is not; and what is right."""
    features = [*recorded("pydantic.json"), *recorded("zod.json")]
    chosen = [features[at * len(features) // COUNT] for at in range(COUNT)]
    found, right = [], []
    for feature in chosen:
        tests = [
            next((test for test in feature["tests"] if test["valid"] == valid), None)
            for valid in (True, False)
        ]
        told = [test for test in tests if test is not None]
        found.append((feature["schema"], [json.dumps(test["data"]) for test in told]))
        right.append("".join("+" if test["valid"] else "-" for test in told))
    return found, right


@pytest.fixture(scope="module")
def native() -> tuple[list[tuple[Any, list[str]]], list[str]]:
    """The schemas with their instances, and what is told of them natively."""
    found, right = entries()
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    names: dict[str, Any] = {}
    exec(JUDGE, names)
    told: list[str] = names["judge"](model, found)
    model.close()
    assert [one[:-12] for one in told] == right
    return found, told


def test_fifty_schemas_have_the_same_masks_in_the_page(
    visitor: BrowserContext, native: tuple[list[tuple[Any, list[str]]], list[str]]
) -> None:
    found, told = native
    given = base64.b64encode(json.dumps(found).encode()).decode()
    panel = new_panel(visitor, "/#panel=python&model=story")
    code = f"import base64, json\nentries = json.loads(base64.b64decode('{given}'))\n{JUDGE}"
    panel.run(code)
    run = panel.run("print('Told:', *judge(model, entries))")
    expect(run).to_contain_text(told[-1])
    shown = (run.text_content() or "").split()
    assert shown[-len(told) :] == told
    panel.page.close()
