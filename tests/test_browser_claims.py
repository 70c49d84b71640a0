"""What the panel of claims asks the engine: a head switched off, beside the lens's own figures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_browser import ask, fails, load
from thimble import lens
from thimble.browser import Engine
from thimble.browser.claims import PASSAGES

STORIES = [f"Mia had {n} red boats, and {n} ducks swam to the boat." for n in range(PASSAGES + 3)]


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    load(made)
    return made


def measured(engine: Engine, session: int, text: str) -> Any:
    total = ask(engine, "claims.ablate", session, text)["total"]
    seen = []
    while True:
        step = ask(engine, "claims.work", 0)
        seen.append(step["done"])
        if step["result"] is not None:
            assert seen == list(range(1, total + 1))
            return step["result"]


def test_the_head_that_is_switched_off_costs_what_the_lens_says(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    found = measured(engine, session, "\n\n".join(STORIES))
    model = engine.opened(session).model
    layer, head, score = lens.detect_heads(model).best("previous_token")
    assert (found["layer"], found["head"], found["score"]) == (layer, head, score)
    ranking = lens.rank_heads(model, STORIES[:PASSAGES])
    [effect] = [one for one in ranking.heads if (one.layer, one.head) == (layer, head)]
    assert found["bits"] == pytest.approx([ranking.bits_per_byte, effect.bits_per_byte], rel=1e-12)
    assert len(found["passages"]) == PASSAGES
    assert all(seconds > 0 for *_, seconds in found["passages"])


def test_a_measurement_is_ended_and_an_empty_text_refused(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    assert "empty" in fails(engine, "claims.ablate", session, " \n")[1]
    ask(engine, "claims.ablate", session, STORIES[0])
    ask(engine, "claims.end")
    assert "no head" in fails(engine, "claims.work", 5)[1]
