"""The documents: their links lead somewhere, and their pictures are shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from thimble.sampling_options import OPTIONS
from tools import claims_report, screens
from tools.fingerprint import ROOT

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "web/npm/*.md", "web/models/*.md")
    for path in ROOT.glob(pattern)
)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r'\]\(\s*<?([^)\s>]+)>?\s*\)|<(?:img|a)\s[^>]*?(?:src|href)="([^"]+)"')


def links(document: Path) -> Iterator[str]:
    """The targets of a document's links and images that are no addresses of the web."""
    for found in LINK.finditer(FENCED.sub("", document.read_text(encoding="utf-8"))):
        target = found[1] or found[2]
        if not urlsplit(target).scheme:
            yield target


def headings(document: Path) -> set[str]:
    """The anchors that GitHub and others make of a document's headings."""
    lines = FENCED.sub("", document.read_text(encoding="utf-8")).splitlines()
    titles = (line.lstrip("#").strip().lower() for line in lines if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in links(document):
        path, _, anchor = unquote(target).partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{target} is nowhere"
        if anchor and there.suffix == ".md":
            assert anchor in headings(there), f"{target}: no such heading"


BASES = [
    ROOT / folder
    for folder in (
        "",
        "pyodide_pkg",
        "pyodide_pkg/thimble",
        "web",
        "web/src",
        "tests",
        "tests/browser",
    )
]
NAMED = re.compile(r"`(?:[^`\s]*/[^`\s]*\.(?:py|ts|mjs|c|h|html|css)|test_\w+(?:\.py)?)`")
MOST_WORDS = 25_000
OLD = re.compile(r"`(?:\w+\.)*?([A-Za-z_]{4,}(?:\.py)?)(?:\([^`]*\))?=?`")
STILL = {
    "play", "chat", "debug", "storage", "machine", "Model", "Ensemble", "ByteMixture",
    "Speculative", "verify", "Shape", "Chunk", "Written", "ensemble.py", "Open",
}  # fmt: skip
"""Old names that are also the names of something of today."""
PLACEHOLDER = re.compile(r"[A-Z]{2}|[*<…]|://|/_")


@cache
def all_tests() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_tests_that_are_named_are_there(document: Path) -> None:
    tests = all_tests()
    for found in NAMED.finditer(document.read_text(encoding="utf-8")):
        name = found[0].strip("`").lstrip("/")
        if PLACEHOLDER.search(name) or document.name == "CHANGELOG.md":  # it has old names, too
            continue
        if name.startswith("test_") and "." not in name:
            assert f"def {name}(" in tests, f"there is no test {name}"
        else:
            assert any((base / name).exists() for base in BASES), f"{name} is nowhere"


def test_the_documents_stay_short() -> None:
    counted = [ROOT / "README.md", ROOT / "web" / "npm" / "README.md", *ROOT.glob("docs/**/*.md")]
    words = sum(len(path.read_text(encoding="utf-8").split()) for path in counted)
    assert words <= MOST_WORDS, f"{words} words: say in fewer what is there before you add"


def test_no_document_says_an_old_name() -> None:
    renamed = [
        line.split(" | ")[0]
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and " | " in line
    ]
    old = {name for line in renamed for name in OLD.findall(line)} - STILL
    assert {"unturned_every", "weigh", "shape_from", "Piece", "can_be_taken_apart"} <= old
    for document in DOCUMENTS:
        if document.name != "CHANGELOG.md":
            said = old & set(OLD.findall(document.read_text(encoding="utf-8")))
            assert not said, f"{document.name} says {sorted(said)}"


def test_the_pictures_that_are_kept_are_those_that_documents_show() -> None:
    shown = {
        (document.parent / target).resolve()
        for document in DOCUMENTS
        for target in links(document)
        if target.endswith(".png")
    }
    kept = set(screens.DOCS.iterdir())
    assert kept == set(screens.shown())
    assert kept <= shown


def test_the_published_claims_are_what_the_page_shows() -> None:
    report = json.loads(claims_report.REPORT.read_text(encoding="utf-8"))
    assert claims_report.about(report) in claims_report.PAGE.read_text(encoding="utf-8")
    assert claims_report.table(report) == claims_report.TABLE.read_text(encoding="utf-8")


def test_every_sampling_option_is_in_the_api_s_table() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in OPTIONS if f"| `{name}` |" not in page] == []
