"""What a step in the Step panel costs, from the click to the painted result.

The wall time of a step on a busy machine says little, so it is taken apart by thread: how long the
page's thread worked, by its own clock, and what the worker's profile shows. There the kernels do
one decode and the draw with its stages. All the rest is the interface.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from bench import measure
from bench.browser import START_TIMEOUT_MS, Server
from bench.kernel_names import kernel_names
from bench.profile import SAMPLE_EVERY_US, WorkerSession, busy
from bench.results import Results, Stepping

STEPS = 30
FIRST = 5
"""Steps that do not count: what they run is compiled meanwhile."""

# A step as a visitor's, until the next draw stands there and a frame with it is made; when it began
# and ended, in milliseconds since the navigation.
STEP = """() => new Promise((resolve) => {
  const bits = document.getElementById("step-bits");
  const began = performance.now();
  new MutationObserver((_, watch) => {
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve([began, performance.now()])));
  }).observe(bits, { childList: true });
  document.getElementById("step-step").click();
})"""


def measure_stepping(
    results: Results, browser: Browser, server: Server, model: dict[str, Any]
) -> None:
    """Step through a text of the site's default model."""
    measure.tell(f"stepping, {model['name']}")
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"{server.address}/#panel=step")
        page.wait_for_selector("#step-step:enabled", timeout=START_TIMEOUT_MS)
        page.locator("#step-begin").click()
        page.wait_for_function("() => document.getElementById('step-bits').textContent")
        results.stepping.append(_stepped(page, model["name"]))
    finally:
        context.close()


def _stepped(page: Page, model: str) -> Stepping:
    thread, worker = Thread(page), WorkerSession(page)
    for _ in range(FIRST):
        page.evaluate(STEP)
    worker.send("Profiler.enable")
    worker.send("Profiler.setSamplingInterval", interval=SAMPLE_EVERY_US)
    worker.send("Profiler.start")
    found, times = Stepping(model), []
    for _ in range(STEPS):
        before = thread.worked()
        times.append(page.evaluate(STEP))
        found.page.append(thread.worked() - before)
    profile, names = worker.send("Profiler.stop")["profile"], kernel_names()
    zero = thread.navigated()
    for began, ended in times:
        places = busy(profile, names, (zero + 1000 * began, zero + 1000 * ended))
        found.kernels.append(places.get("kernels", 0.0))
        found.worker.append(sum(places.values()) - found.kernels[-1])
        found.wall.append(ended - began)
    return found


class Thread:
    """The page's thread, by the processor time that its tasks took."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked(self) -> float:
        """Milliseconds until now, without what this question takes."""
        found = self._metrics()
        return 1000 * (found["TaskDuration"] - found["DevToolsCommandDuration"])

    def navigated(self) -> float:
        """When the page's clock began, in microseconds of the machine's, which profiles have."""
        return 1e6 * self._metrics()["NavigationStart"]

    def _metrics(self) -> dict[str, float]:
        answer = self._session.send("Performance.getMetrics")
        return {one["name"]: one["value"] for one in answer["metrics"]}
