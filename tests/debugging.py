"""A debugger on a tiny model, for the tests of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import thimble
from tests.tiny_models import SPECS, make
from thimble.debug import Debugger

PARAMS = thimble.SamplingParams(temperature=0.9, top_k=30, top_p=0.9, min_p=0.02, seed=7)
PROMPT = "Mia had a little"


def tiny() -> thimble.Model:
    loader = thimble.ModelLoader()
    loader.feed(make(SPECS["q8_0"]))
    return loader.finish()


@contextmanager
def debugging(model: thimble.Model) -> Iterator[Debugger]:
    session = model.session()
    made = Debugger(session, PARAMS)
    made.begin(PROMPT)
    yield made
    made.close()
    session.close()


def ids(debugger: Debugger) -> list[int]:
    return [node.step.id for node in debugger.node.path() if node.step]


def steps(debugger: Debugger, n: int) -> list[int]:
    for _ in range(n):
        debugger.step()
    return ids(debugger)
