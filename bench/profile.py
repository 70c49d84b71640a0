"""Where the time between two tokens goes in Thimble's worker: a sampling profile, summed by place.

A place is what the innermost frame of a sample belongs to: the kernels (a WebAssembly module of
their own), Python (Pyodide's module), calls between WebAssembly and JavaScript, JavaScript itself,
messages to the page, the garbage collector, or nobody, which is waiting and not counted.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from bench import models
from bench.browser import RunnerPage, Server
from bench.kernel_names import kernel_names
from bench.measure import model_spec
from bench.models import Encoding, Shape
from bench.results import Profile, Results
from bench.site import BenchError

SAMPLE_EVERY_US = 200
MOST_FUNCTIONS = 25
PYTHON_HAS = 1000
"""Pyodide's module has thousands of functions, and the kernels' a few dozen."""
BROWSERS_OWN = {
    "(idle)": "waiting",
    "(program)": "browser",
    "(root)": "browser",
    "(garbage collector)": "garbage collector",
    "postMessage": "messages",
}


class WorkerSession:
    """A page's worker, through the page's own debugging session."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._workers: list[str] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._count = 0
        self._session.on("Target.attachedToTarget", self._attached)
        self._session.on("Target.receivedMessageFromTarget", self._received)
        self._session.send(
            "Target.setAutoAttach",
            {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False},
        )

    def _attached(self, event: dict[str, Any]) -> None:
        if event["targetInfo"]["type"] == "worker":
            self._workers.append(event["sessionId"])

    def _received(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the first worker, which is the one that Python runs in."""
        if not self._workers:
            raise BenchError("the page has no worker to profile")
        self._count += 1
        message = json.dumps({"id": self._count, "method": method, "params": params})
        self._session.send(
            "Target.sendMessageToTarget", {"sessionId": self._workers[0], "message": message}
        )
        for _ in range(600):
            if self._count in self._answers:
                answer = self._answers.pop(self._count)
                if "error" in answer:
                    raise BenchError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._page.wait_for_timeout(50)
        raise BenchError(f"{method}: no answer")


def measure_profile(
    results: Results, browser: Browser, server: Server, shape: Shape, encoding: Encoding
) -> None:
    """Profile one decoding of one model."""
    page = RunnerPage(browser, server.address, "thimble")
    try:
        page.load(model_spec(shape, encoding), 1)
        prompt = models.prompt(shape.vocab)
        tokens = 4 * shape.new_tokens if shape.dim < 512 else shape.new_tokens
        tokens = min(tokens, models.CONTEXT - len(prompt[1]))
        page.generate(prompt, tokens)
        worker = WorkerSession(page.page)
        worker.send("Profiler.enable")
        worker.send("Profiler.setSamplingInterval", interval=SAMPLE_EVERY_US)
        worker.send("Profiler.start")
        sample = page.generate(prompt, tokens)
        profile = worker.send("Profiler.stop")["profile"]
    finally:
        page.close()
    shares = spent(profile, kernel_names())
    largest = [[*key, share] for key, share in list(shares.items())[:MOST_FUNCTIONS]]
    results.profiles.append(Profile(shape.name, encoding.name, sample, by_place(shares), largest))


def modules(frames: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Which WebAssembly module is whose, by its address: V8 calls functions by their numbers."""
    most: Counter[str] = Counter()
    for frame in frames:
        number = re.search(r"\[(\d+)\]$", frame["functionName"])
        if frame["url"].startswith("wasm:") and number:
            most[frame["url"]] = max(most[frame["url"]], int(number[1]))
    names = {url: "Python" if count >= PYTHON_HAS else "kernels" for url, count in most.items()}
    # Pyodide makes small modules of one function, to call between C and JavaScript.
    return {url: "calls" if most[url] == 0 else name for url, name in names.items()}


def place(frame: dict[str, Any], owners: dict[str, str]) -> str:
    """What a frame belongs to."""
    name, url = frame["functionName"], frame["url"]
    if name in BROWSERS_OWN:
        return BROWSERS_OWN[name]
    if "-to-js" in name or "js-to-" in name:
        return "calls"
    return owners.get(url, "JavaScript")


def busy(
    profile: dict[str, Any], kernels: dict[int, str], window: tuple[float, float]
) -> dict[str, float]:
    """Milliseconds by place, waiting left out, between two times in the profile's microseconds."""
    found: defaultdict[str, float] = defaultdict(float)
    for (where, _), microseconds in _counted(profile, kernels, window).items():
        found[where] += microseconds / 1000
    return dict(found)


def spent(profile: dict[str, Any], kernels: dict[int, str]) -> dict[tuple[str, str], float]:
    """Share of the time, waiting left out, by place and function, the largest first."""
    found = _counted(profile, kernels)
    total = sum(found.values()) or 1
    return {key: part / total for key, part in found.most_common()}


def _counted(
    profile: dict[str, Any],
    kernels: dict[int, str],
    window: tuple[float, float] = (0.0, math.inf),
) -> Counter[tuple[str, str]]:
    """Microseconds by place and function, waiting left out."""
    frames = {node["id"]: node["callFrame"] for node in profile["nodes"]}
    owners = modules(frames.values())
    found: Counter[tuple[str, str]] = Counter()
    now = profile["startTime"]
    for node, delta in zip(profile["samples"], profile["timeDeltas"], strict=True):
        now += delta
        frame = frames[node]
        where = place(frame, owners)
        if where != "waiting" and window[0] <= now <= window[1]:
            found[where, function_name(frame, where, kernels)] += max(0, delta)
    return found


def function_name(frame: dict[str, Any], where: str, kernels: dict[int, str]) -> str:
    name = str(frame["functionName"] or "(anonymous)")
    if where != "kernels":
        return name
    number = re.search(r"\[(\d+)\]$", name)
    return kernels.get(int(number[1]), name) if number else name


def by_place(shares: dict[tuple[str, str], float]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for (where, _), share in shares.items():
        found[where] += share
    return dict(sorted(found.items(), key=lambda item: -item[1]))
