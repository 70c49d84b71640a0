"""Threads in the page: there where it is isolated, never needed, and the same bits at any count."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route

from tests.fingerprint import load
from tests.tiny_models import TinySpec, make

# Large enough to be given to the threads, which `POOL_FROM` decides.
SPEC = TinySpec(
    tensor_type="Q8_0", dim=256, n_layers=20, n_heads=8, n_kv_heads=4, head_dim=32, hidden_dim=1056
)
IDS = [(i * 7919 + 13) % 300 for i in range(80)]
HASH = """async ([data, ids]) => {
  const { Thimble } = await import("/thimble.js");
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const session = await Thimble.create({ model: new Blob([bytes]) });
  const hash = await session.logitsHash(ids);
  const text = await session.prompt("Mia had", { temperature: 0.8, seed: 4, max_tokens: 40 });
  return { hash, text, threads: session.model.threads, isolated: crossOriginIsolated };
}"""


@functools.cache
def expected() -> tuple[str, str]:
    """The hash of the logits and a text, computed natively on one thread."""
    model = load(make(SPEC))
    session, digest = model.session(), hashlib.sha256()
    for token in IDS:
        session.append([token])
        digest.update(session.logits().tobytes())
    from thimble import SamplingParams

    params = SamplingParams(temperature=0.8, seed=4, max_tokens=40)
    text = "".join(piece.text for piece in model.session().generate("Mia had", params))
    return digest.hexdigest(), text


def in_page(page: Page) -> dict[str, Any]:
    page.goto("/healthz")
    page.goto("/")
    found: dict[str, Any] = page.evaluate(HASH, [base64.b64encode(make(SPEC)).decode(), IDS])
    assert (found["hash"], found["text"]) == expected()
    return found


def test_an_isolated_page_computes_on_all_cores(page: Page) -> None:
    found = in_page(page)
    assert found["isolated"]
    cores: int = page.evaluate("navigator.hardwareConcurrency")
    assert found["threads"] == min(cores, 8)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: there are no threads to lose")
def test_a_thread_that_dies_is_not_missed(page: Page, context: BrowserContext) -> None:
    def break_it(route: Route) -> None:
        script = route.fetch().text()
        assert "tk_worker(" in script
        headers = {"Cross-Origin-Embedder-Policy": "require-corp"}
        body = script.replace("tk_worker(", "tk_worker_is_gone(")
        route.fulfill(body=body, content_type="text/javascript", headers=headers)

    context.route("**/thread.*.js", break_it)
    assert in_page(page)["isolated"]


def test_threads_that_cannot_start_are_not_missed(page: Page, context: BrowserContext) -> None:
    context.route("**/kernels*.wasm", lambda route: route.abort())
    assert in_page(page)["threads"] == 1


def test_a_page_that_is_not_isolated_has_one_thread(page: Page, context: BrowserContext) -> None:
    def plain(route: Route) -> None:
        answer = route.fetch()
        headers = {k: v for k, v in answer.headers.items() if not k.startswith("cross-origin-")}
        route.fulfill(response=answer, headers=headers)

    context.route("**/*", plain)
    found = in_page(page)
    context.unroute_all(behavior="ignoreErrors")  # what is on its way has nobody to come to
    assert not found["isolated"]
    assert found["threads"] == 1
