"""What no compiler says of the front end's sources: how modules depend on each other, and whether
the elements that they look for are in the page."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

WEB = Path(__file__).parent.parent / "web"
SRC = WEB / "src"

IMPORT = re.compile(r'(?:from|import\()\s*"(\.[^"]+)"|^import "(\.[^"]+)"', re.MULTILINE)
"""Types are imported too, and modules that are loaded when they are first wanted."""


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def imports(path: Path) -> set[Path]:
    found = set()
    for one, other in IMPORT.findall(without_comments(path)):
        named = (path.parent / (one or other)).resolve()
        for file in (named.with_name(f"{named.name}.ts"), named / "index.ts"):
            if file.is_file():
                found.add(file)
    return found


def test_no_module_depends_on_itself() -> None:
    graph = {path: imports(path) for path in SRC.rglob("*.ts")}
    assert graph[SRC / "page.ts"] >= {SRC / "live.ts", SRC / "panels.ts"}  # they are found at all
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        names = [path.relative_to(SRC).as_posix() for path in circle.args[1]]
        raise AssertionError(" → ".join(names)) from None


def test_every_element_that_is_looked_for_is_in_the_page() -> None:
    page = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("templates/**/*.html"))
    written = re.findall(r'\bid="([^"]+)"', page) + re.findall(r'"id": "([^"]+)"', page)
    # A part of a name that the template fills in may be anything.
    there = re.compile(
        "|".join(re.sub(r"\\\{\\\{.*?\\\}\\\}", ".+", re.escape(one)) for one in written)
    )
    missing = [
        f"{path.relative_to(SRC)}: {name}"
        for path in SRC.rglob("*.ts")
        for name in re.findall(r'\bbyId\("([\w-]+)"', without_comments(path))
        if not there.fullmatch(name)
    ]
    assert missing == []


def test_every_class_that_is_styled_is_used() -> None:
    styles = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("styles/**/*.css"))
    # Texts first: "./panels/*.css" begins no comment.
    for left_out in (r'"[^"\n]*"', r"/\*.*?\*/", r"url\([^)]*\)"):
        styles = re.sub(left_out, "", styles, flags=re.DOTALL)
    sources = [*SRC.rglob("*.ts"), *WEB.glob("templates/**/*.html")]
    used = set(re.findall(r"[\w-]+", "".join(one.read_text(encoding="utf-8") for one in sources)))
    unused = set(re.findall(r"\.([a-zA-Z][\w-]*)", styles)) - used
    assert {name for name in unused if not name.startswith("u-")} == set()  # uPlot's own
