"""Decode rates as an SVG chart: one panel a model, one bar a runner, each panel on its own scale.

Colours follow the reader's light or dark theme; whiskers go from the lowest to the highest sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from bench.goals import number
from bench.report import runner_name
from bench.results import Rate, Results, Spread

WIDTH = 760
LABELS = 210
"""Room for the runners' names."""
FIGURES = 110
"""Room for the figures behind the bars."""
BAR = 16
STEP = 22
PANEL_HEAD = 34
PANEL_GAP = 18

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px }
  .quiet { fill: #57606a }
  .ours { fill: #0b6e8f }
  .peer { fill: #a8b1bb }
  .native { fill: #d5dade }
  .whisker { stroke: #24292f; stroke-width: 1.2; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .ours { fill: #4cb4d6 }
    .peer { fill: #656d76 }
    .native { fill: #3d444d }
    .whisker { stroke: #e6edf3 }
  }
"""


def chart(results: Results) -> str:
    """The whole picture."""
    body: list[str] = []
    top = 8.0
    for model, encoding in results.measured():
        bars = [
            (rate, decode)
            for rate in results.rates
            if (rate.model, rate.encoding) == (model, encoding)
            and rate.missing is None
            and (decode := rate.decode) is not None
        ]
        if not bars:
            continue
        body += _panel(f"{model} {encoding}", bars, top)
        top += PANEL_HEAD + STEP * len(bars) + PANEL_GAP
    title = "Tokens a second while decoding, by model and runner"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'width="{WIDTH}" height="{top:.0f}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _panel(title: str, bars: list[tuple[Rate, Spread]], top: float) -> Iterator[str]:
    full = max(decode.high for _, decode in bars)
    scale = (WIDTH - LABELS - FIGURES) / full
    yield f'<text class="title" x="0" y="{top + 16:.1f}">{escape(title)}</text>'
    yield f'<text class="quiet" x="{LABELS}" y="{top + 16:.1f}">tokens/s</text>'
    for at, (rate, decode) in enumerate(bars):
        yield from _bar(rate, decode, top + PANEL_HEAD + STEP * at, scale)


def _bar(rate: Rate, decode: Spread, top: float, scale: float) -> Iterator[str]:
    name = runner_name(rate.runner) + (f", {rate.threads} threads" if rate.threads > 1 else "")
    kind = "native" if rate.runner.endswith("native") else "peer"
    if rate.runner.startswith("thimble"):
        kind = "ours"
    middle, text_line = top + BAR / 2, top + BAR - 3.5
    low, high = LABELS + scale * decode.low, LABELS + scale * decode.high
    whisker = f"M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} "
    yield f'<text x="{LABELS - 8}" y="{text_line:.1f}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect class="{kind}" x="{LABELS}" y="{top:.1f}" '
        f'width="{max(1.0, scale * decode.median):.1f}" height="{BAR}" rx="2"/>'
    )
    yield f'<path class="whisker" d="{whisker}{middle - 4:.1f}v8"/>'
    words = number(decode.median)
    yield f'<text class="quiet" x="{high + 8:.1f}" y="{text_line:.1f}">{words}</text>'
