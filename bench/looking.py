"""What a look inside the model costs: from the click to the painted patterns of all heads; ranking
all heads by their effect; and ordinary decoding afterwards.

The Lens panel takes a text of 64 tokens apart and draws a picture of each head. By the
clock it is measured without a profiler; then the same looks are taken apart by thread, as the steps
of the debugger are: what the page's thread worked, what the kernels did, and the rest of the
worker, which is Python and the way of the numbers to the page.

Whether decoding is slower where somebody has looked inside is asked of two pages in turns, one that
has looked and one that has not.
"""

from __future__ import annotations

import re
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
RANKINGS = 3
RANKED_ON = 20
HELDOUT = ROOT.parent / "shared" / "data" / "tinystories-heldout.txt"
"""Stories that the model has not seen; without them nothing is ranked."""
TEXTS = 25
"""Of each page, to compare their decoding."""
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

# Seconds from the click to the bars of every head.
RANK = """() => new Promise((resolve) => {
  const found = document.getElementById("rank-found");
  found.hidden = true;
  const began = performance.now();
  new MutationObserver((_, watch) => {
    if (found.hidden) return;
    watch.disconnect();
    resolve((performance.now() - began) / 1000);
  }).observe(found, { attributeFilter: ["hidden"] });
  document.getElementById("rank-start").click();
})"""

# Tokens a second from the first piece to the last, by the engine that the page has.
DECODE = """async ([seed, banned]) => {
  const { Thimble } = await import("/thimble.js");
  const logit_bias = Object.fromEntries(banned.map((token) => [token, -1000]));
  const session = await Thimble.create({ seed, temperature: 1, max_tokens: 450, logit_bias });
  let [tokens, first] = [0, 0];
  for await (const _ of session.promptStreaming("Once upon a time")) {
    first ||= performance.now();
    tokens ||= session.contextUsage;
  }
  const seconds = (performance.now() - first) / 1000;
  tokens = session.contextUsage - tokens;
  session.destroy();
  return tokens / seconds;
}"""


def measure_looking(
    results: Results, browser: Browser, server: Server, model: dict[str, Any]
) -> None:
    """Look into the site's default model."""
    measure.tell(f"a look inside, {model['name']}")
    text, banned = _text(model["name"])
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"{server.address}/#panel=lens&view=attention")
        page.wait_for_selector("#lens-looks table", timeout=START_TIMEOUT_MS)
        page.locator("#lens-text").fill(text)
        found = _looked(page, model["name"])
        results.looking.append(found)
        _decode(page, context.new_page(), found, server, banned)
        if HELDOUT.is_file():
            _rank(page, found)
    finally:
        context.close()


def _text(model: str) -> tuple[str, list[int]]:
    """As much of a story as has so many tokens, with the BOS that the model puts before it; and the
    tokens that would end a text."""
    loaded = thimble.load(ROOT / "web" / "models" / f"{model}.gguf")
    try:
        ids = loaded.tokenizer.encode(STORY, add_special=True)
        return loaded.tokenizer.decode(ids[1:TOKENS]), sorted(loaded.tokenizer.eog_ids)
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


def _rank(page: Page, found: Looking) -> None:
    measure.tell("ranking every head")
    stories = thimble.split_stories(HELDOUT.read_text(encoding="utf-8"))[:RANKED_ON]
    page.evaluate("() => { location.hash = 'panel=lens&view=change'; }")
    page.wait_for_selector("#rank-start:enabled", state="attached")
    page.evaluate(
        "(texts) => { document.getElementById('effect-text').value = texts; }",
        "\n\n".join(re.sub(r"\n+", "\n", story) for story in stories),
    )
    for _ in range(RANKINGS):
        found.ranking.append(page.evaluate(RANK))


def _decode(looked: Page, plain: Page, found: Looking, server: Server, banned: list[int]) -> None:
    """Both pages write the same texts, and begin in turns."""
    measure.tell("decoding with and without a look")
    plain.goto(f"{server.address}/#prompt=Once")  # a link: nothing is written by itself
    plain.wait_for_selector("#metrics:not([hidden])", timeout=START_TIMEOUT_MS)
    places = [(looked, found.looked), (plain, found.plain)]
    for page, _ in places:
        page.evaluate(DECODE, [0, banned])  # does not count: what it runs is compiled meanwhile
    for seed in range(1, TEXTS + 1):
        for page, speeds in places if seed % 2 else reversed(places):
            page.bring_to_front()  # a page in the background is held back
            speeds.append(page.evaluate(DECODE, [seed, banned]))
