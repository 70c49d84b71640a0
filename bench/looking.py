"""What a look inside the model costs: from the click to the painted patterns of all heads.

The panel “Look inside” takes a text of 64 tokens apart and draws a picture of each head. By the
clock it is measured without a profiler; then the same looks are taken apart by thread, as the steps
of the debugger are: what the page's thread worked, what the kernels did, and the rest of the
worker, which is Python and the way of the numbers to the page.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

import thimble
from bench import measure
from bench.browser import START_TIMEOUT_MS, Server
from bench.kernel_names import kernel_names
from bench.profile import SAMPLE_EVERY_US, WorkerSession, busy
from bench.results import Looking, Results
from bench.stepping import Thread
from tools.fingerprint import ROOT

TOKENS = 64
LOOKS = 20
FIRST = 5
"""Looks that do not count: what they run is compiled meanwhile."""
STORY = (
    "Once there was a girl named Lily. Lily went to the park. The girl saw a big dog and a small "
    "cat. They played with the ball all day. Then mom came and said it was time to go home. The "
    "girl was sad but she said goodbye to the dog and to the cat. At home she had soup and bread."
)

# A look as a visitor's, until the heads stand there and a frame with them is made; when it began
# and ended, in milliseconds since the navigation.
LOOK = """() => new Promise((resolve) => {
  const title = document.getElementById("lens-looks");
  const began = performance.now();
  new MutationObserver((_, watch) => {
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve([began, performance.now()])));
  }).observe(title, { childList: true });
  document.getElementById("lens-go").click();
})"""


def measure_looking(
    results: Results, browser: Browser, server: Server, model: dict[str, Any]
) -> None:
    """Look into the site's default model."""
    measure.tell(f"a look inside, {model['name']}")
    text = _text(model["name"])
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"{server.address}/#panel=lens&view=attention")
        page.wait_for_selector("#lens-looks table", timeout=START_TIMEOUT_MS)
        page.locator("#lens-text").fill(text)
        results.looking.append(_looked(page, model["name"]))
    finally:
        context.close()


def _text(model: str) -> str:
    """As much of a story as has so many tokens, with the BOS that the model puts before it."""
    loaded = thimble.load(ROOT / "web" / "models" / f"{model}.gguf")
    try:
        ids = loaded.tokenizer.encode(STORY, add_special=True)
        return loaded.tokenizer.decode(ids[1:TOKENS])
    finally:
        loaded.close()


def _looked(page: Page, model: str) -> Looking:
    for _ in range(FIRST):
        page.evaluate(LOOK)
    found = Looking(model, int(page.locator("#lens-count").inner_text()))
    for _ in range(LOOKS):
        began, ended = page.evaluate(LOOK)
        found.wall.append(ended - began)
    thread, worker = Thread(page), WorkerSession(page)
    worker.send("Profiler.enable")
    worker.send("Profiler.setSamplingInterval", interval=SAMPLE_EVERY_US)
    worker.send("Profiler.start")
    times = []
    for _ in range(LOOKS):
        before = thread.worked()
        times.append(page.evaluate(LOOK))
        found.page.append(thread.worked() - before)
    profile, names = worker.send("Profiler.stop")["profile"], kernel_names()
    zero = thread.navigated()
    for began, ended in times:
        places = busy(profile, names, (zero + 1000 * began, zero + 1000 * ended))
        found.kernels.append(places.get("kernels", 0.0))
        found.worker.append(sum(places.values()) - found.kernels[-1])
    return found
