"""The element and the frame in Firefox and WebKit: on another origin, with the same text."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

import thimble
from tests.browser import station
from tests.browser.engines import other_engines
from tests.browser.test_engines import PATIENCE, Start
from tests.conftest import ROOT

# The element begins because it is seen; the frame is asked, and answers, by messages.
PAGE = """<!doctype html><meta charset="utf-8"><title>widget</title>
<thimble-lm prompt="Once upon a time" seed="3" max-tokens="20"></thimble-lm>
<iframe src="SERVER/embed/story/?prompt=A+cat&amp;reveal=manual" width="600" height="300"></iframe>
<script type="module">
const element = document.querySelector("thimble-lm");
const outcome = (resolve) => {
  for (const name of ["finish", "error"]) {
    element.addEventListener(name, ({ detail }) => resolve(detail));
  }
};
const answered = (resolve) => addEventListener("message", ({ data, origin, source }) => {
  if (origin !== "SERVER" || data.thimble !== 1) return;
  const options = { seed: 3, max_tokens: 20 };
  if (data.type === "ready") source.postMessage({ thimble: 1, type: "prompt", options }, origin);
  if (data.type === "finish" || data.type === "error") resolve(data);
});
const promises = [new Promise(outcome), new Promise(answered)];
await import("SERVER/widget.js");
const found = (await Promise.all(promises)).map(({ text, message }) => text ?? message);
await fetch("found", { method: "POST", body: JSON.stringify(found) });
</script>"""


def natively(prompt: str) -> str:
    """What the package writes from the element's own defaults."""
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    session = model.session()
    params = thimble.SamplingParams(max_tokens=20, temperature=0.8, top_p=0.95, seed=3)
    text = "".join(piece.text for piece in session.generate(prompt, params))
    session.close()
    model.close()
    return text


@other_engines(station.firefox_at, station.webkit_at)
def test_other_engines_show_the_same_text_on_other_origins(
    start: Start, server: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "home").mkdir()
    place = station.Station(tmp_path / "empty", PAGE.replace("SERVER", server), {})
    try:
        with start(place.address, tmp_path / "home"):
            found = place.found.get(timeout=PATIENCE)
    except queue.Empty:
        pytest.fail(f"the browser did not answer within {PATIENCE} s")
    finally:
        place.close()
    assert found == [natively("Once upon a time"), natively("A cat")]
