"""Finding a model on Hugging Face: a stand-in answers as the hub's API does, and not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import new_visitor, too_wide, violations
from tests.tiny_models import SPECS, make

DUCK = make(replace(SPECS["q8_0-tied"], seed=51))
GOOSE = make(replace(SPECS["q8_0-tied"], seed=52))
OPEN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}


def file(path: str, data: bytes, **changes: Any) -> dict[str, Any]:
    """A file of a repository, as the hub lists it."""
    digest = hashlib.sha256(data).hexdigest()
    lfs = {"oid": digest, "size": len(data), "pointerSize": 130} | changes
    return {"type": "file", "oid": "0" * 40, "path": path, "size": lfs["size"], "lfs": lfs}


class Hub:
    """What the stand-in has, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.down = False
        self.found: Any = [
            {
                "id": "me/duck-GGUF", "downloads": 1200, "gated": False,
                "tags": ["gguf", "license:mit"],
            },
            {"id": "me/gated", "downloads": 7, "gated": "manual", "tags": []},
            {"id": "me/none"}, {"id": "me/gone"}, {"id": "me/locked"}, {"id": "../../evil"}, 7,
        ]  # fmt: skip
        self.trees: dict[str, Any] = {
            "me/duck-GGUF": [file("duck-Q8_0.gguf", DUCK), {"type": "directory", "path": "more"}],
            "me/duck-GGUF 2": [
                file("more/goose.Q4_K_M.gguf", GOOSE, oid="ab" * 32),
                file("huge-F16.gguf", b"", size=9_000_000_000),
                file("mmproj-F16.gguf", GOOSE), file("a-00001-of-00002.gguf", GOOSE),
                file("bad.gguf", GOOSE, oid="no digest"), {"type": "file", "path": "README.md"},
            ],
            "me/gated": [file("gated-Q8_0.gguf", DUCK)],
            "me/none": [{"type": "file", "path": "README.md"}],
        }  # fmt: skip
        self.files = {"duck-Q8_0.gguf": DUCK, "more/goose.Q4_K_M.gguf": GOOSE}

    def answer(self, route: Route) -> None:
        request = route.request
        url = urlsplit(request.url)
        self.asked.append((request.method, request.url, request.headers))
        if self.down:
            return route.abort("connectionrefused")
        if url.path == "/api/models":
            return self._json(route, self.found)
        if listed := re.fullmatch(r"/api/models/(me/[\w-]+)/tree/main", url.path):
            return self._tree(route, listed[1], parse_qs(url.query))
        name = url.path.partition("/resolve/main/")[2]
        if name not in self.files:
            return route.fulfill(status=404, headers=OPEN)
        return self._file(route, self.files[name])

    def _tree(self, route: Route, name: str, query: dict[str, list[str]]) -> None:
        if name == "me/locked":
            return route.fulfill(status=401, headers=OPEN)
        if name not in self.trees:
            return route.fulfill(status=404, headers=OPEN)
        page = " 2" if "cursor" in query else ""
        more = f"https://huggingface.co/api/models/{name}/tree/main?recursive=true&cursor=x"
        link = {"Link": f'<{more}>; rel="next"'} if f"{name} 2" in self.trees and not page else {}
        return self._json(route, self.trees[name + page], **link)

    def _json(self, route: Route, value: Any, **headers: str) -> None:
        body = value if isinstance(value, str) else json.dumps(value)
        route.fulfill(body=body, headers={**OPEN, "Content-Type": "application/json", **headers})

    def _file(self, route: Route, data: bytes) -> None:
        ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", route.request.headers.get("range", ""))
        start, end = 0, len(data)
        headers = {**OPEN, "ETag": '"1"', "Content-Type": "application/octet-stream"}
        if ranged:
            start = int(ranged[1])
            end = min(end, int(ranged[2] or end) + 1)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        headers["Content-Length"] = str(end - start)
        route.fulfill(status=206 if ranged else 200, headers=headers, body=data[start:end])


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub()


@pytest.fixture(scope="module")
def page(chromium: Browser, server: str, hub: Hub) -> Iterator[Page]:
    context = new_visitor(chromium, server)
    context.route("https://huggingface.co/**", hub.answer)
    page = context.new_page()
    page.goto("/#panel=machine")
    expect(page.locator("#kinds")).to_contain_text("Thimble Story")
    yield page
    context.close()


def search(page: Page, words: str) -> Locator:
    field = page.get_by_role("searchbox", name="Words of a model's name")
    field.fill(words)
    field.press("Enter")
    return page.locator("#find-list > li")


def opened(page: Page, name: str) -> Locator:
    row = page.locator("#find-list > li", has_text=name)
    row.get_by_role("button").first.click()
    return row


def test_nothing_is_asked_until_the_visitor_searches_and_then_the_words_alone(
    page: Page, hub: Hub
) -> None:
    assert hub.asked == []
    rows = search(page, "duck & co")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("me/duck-GGUF")
    expect(rows.first).to_contain_text("mit · 1,200 downloads")
    expect(rows.nth(1)).to_contain_text("gated: its owner lets people in")
    [(method, url, headers)] = hub.asked
    query = parse_qs(urlsplit(url).query)
    assert (method, query["search"], query["filter"]) == ("GET", ["duck & co"], ["gguf"])
    assert "referer" not in headers and "cookie" not in headers


def test_a_repository_shows_its_files_with_size_speed_and_whether_they_fit(page: Page) -> None:
    row = opened(page, "me/duck-GGUF")
    files = row.locator(".find-files li")
    expect(files).to_have_count(3)  # of both pages; what is no model by itself is left out
    expect(files.nth(0)).to_contain_text(re.compile(r"Q8_0, 0\.\d MB, fits, at best [\d,.]+ tok"))
    expect(files.nth(1)).to_contain_text("Q4_K_M")
    expect(files.nth(2)).to_contain_text(re.compile(r"F16, 9\.0 GB, does not fit"))
    expect(files.nth(2).get_by_role("button", name="Get")).to_be_disabled()
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert too_wide(page) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(page, "[data-panel=machine]") == []


def test_one_button_gets_a_file_which_is_used_only_with_the_digest_that_the_hub_said(
    page: Page,
) -> None:
    page.get_by_role("button", name="Get duck-Q8_0.gguf").click()
    expect(page.locator("#incoming-title")).to_have_text("Load duck-Q8_0.gguf?")
    expect(page.locator("#incoming-digest")).to_have_text(hashlib.sha256(DUCK).hexdigest())
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#incoming-title")).to_have_text("duck-Q8_0 is saved")
    page.get_by_role("button", name="Get duck-Q8_0.gguf").click()
    expect(page.locator("#incoming-title")).to_have_text("duck-Q8_0 is here already")
    page.get_by_role("button", name="Get more/goose.Q4_K_M.gguf").click()
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#incoming-words")).to_contain_text("is not the expected model")
    expect(page.locator("#kinds")).not_to_contain_text("goose")


def test_what_cannot_be_had_says_why(page: Page, hub: Hub) -> None:
    for name, words in (
        ("me/none", "has no GGUF file"),
        ("me/gone", "is not on huggingface.co any more"),
        ("me/locked", "is gated, or private"),
    ):
        expect(opened(page, name)).to_contain_text(words)
    gated = opened(page, "me/gated")
    expect(gated.get_by_role("button", name="Get gated-Q8_0.gguf")).to_be_disabled()
    outcome = page.locator("#find-outcome")
    for found, words in (
        ([], "No repository with GGUF files has “swan” in its name"),
        ({"error": "x"}, "something that is no list"),
        ("<html>", "something that is not JSON"),
    ):
        hub.found = found
        search(page, "swan")
        expect(outcome).to_contain_text(words)
    hub.down = True
    search(page, "swan")
    expect(outcome).to_contain_text("Hugging Face does not answer")
