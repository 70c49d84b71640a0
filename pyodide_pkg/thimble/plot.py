"""Small charts as SVG, for consoles that show what has a `_repr_svg_`.

    thimble.plot.line(entropies, title="Entropy", labels=words)

Two kinds, hardly an option: whoever wants more has Matplotlib natively. It knows no models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 34, 48
MOST_LABELS = 48
"""More would lie on one another."""

# An image has none of the page's style sheets; it knows whether it is dark where it stands.
_STYLE = """
svg{color-scheme:light dark;font:12px system-ui,sans-serif}
text{fill:#5b574f}.title{font-weight:600;fill:#2b2823}
.grid{stroke:#dedad2}.mark{fill:#1f6b66}.line{fill:none;stroke:#1f6b66;stroke-width:2}
@media (prefers-color-scheme:dark){
text{fill:#b5afa5}.title{fill:#ece8e1}
.grid{stroke:#47433c}.mark{fill:#5fbcb2}.line{stroke:#5fbcb2}}
""".replace("\n", "")


class Chart:
    """A chart: an SVG whose title says in words what it shows."""

    def __init__(self, svg: str, words: str) -> None:
        self.svg = svg
        self.words = words

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<{self.words}>"


def bars(values: Iterable[float], labels: Sequence[object] | None = None, title: str = "") -> Chart:
    """A bar for each value, from zero."""
    numbers, scale = _numbers(values)
    step = (WIDTH - LEFT - RIGHT) / len(numbers)
    marks = []
    for i, value in enumerate(numbers):
        top, bottom = sorted((scale.y(value), scale.y(0.0)))
        x, width = LEFT + i * step + 0.1 * step, 0.8 * step
        marks.append(
            f'<rect class="mark" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{max(bottom - top, 0.5):.1f}"/>'
        )
    return _chart("Bar chart", "".join(marks), numbers, scale, labels, title)


def line(values: Iterable[float], labels: Sequence[object] | None = None, title: str = "") -> Chart:
    """The values, joined by a line."""
    numbers, scale = _numbers(values)
    step = (WIDTH - LEFT - RIGHT) / len(numbers)
    points = [(LEFT + (i + 0.5) * step, scale.y(value)) for i, value in enumerate(numbers)]
    marks = '<polyline class="line" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
    few = dots if len(dots) <= 2 * MOST_LABELS else []
    return _chart("Line chart", f'{marks}"/>{"".join(few)}', numbers, scale, labels, title)


class _Scale:
    """Values to heights, zero included, with round numbers at the lines."""

    def __init__(self, low: float, high: float) -> None:
        rough = (high - low) / 4
        size = 10.0 ** math.floor(math.log10(rough))
        self.step = next(n * size for n in (1, 2, 2.5, 5, 10) if n * size >= rough * 0.999)
        self.low = math.floor(low / self.step) * self.step
        self.high = math.ceil(high / self.step) * self.step

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)


def _numbers(values: Iterable[float]) -> tuple[list[float], _Scale]:
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("there are no values to draw")
    for i, value in enumerate(numbers):
        if not math.isfinite(value):
            raise ValueError(f"value {i} is {value}; only finite numbers can be drawn")
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    return numbers, _Scale(low, high if high > low else low + 1.0)


def _chart(
    kind: str, marks: str, numbers: list[float], scale: _Scale,
    labels: Sequence[object] | None, title: str,
) -> Chart:  # fmt: skip
    if labels is not None and len(labels) != len(numbers):
        raise ValueError(f"there are {len(labels)} labels for {len(numbers)} values")
    words = f"{kind} “{title}”" if title else kind
    words += f": {len(numbers)} values from {min(numbers):.4g} to {max(numbers):.4g}"
    lines = []
    for i in range(round((scale.high - scale.low) / scale.step) + 1):
        y = scale.y(value := scale.low + i * scale.step)
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    step = (WIDTH - LEFT - RIGHT) / len(numbers)
    for i, label in enumerate(labels if labels is not None and len(labels) <= MOST_LABELS else ()):
        x, y = LEFT + (i + 0.5) * step, HEIGHT - BOTTOM + 14
        lines.append(
            f'<text x="{x:.1f}" y="{y}" text-anchor="end" '
            f'transform="rotate(-40 {x:.1f} {y})">{escape(str(label).strip() or "␣")[:24]}</text>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img"><title>{escape(words)}</title><style>{_STYLE}</style>'
        f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>{"".join(lines)}{marks}</svg>'
    )
    return Chart(svg, words)
