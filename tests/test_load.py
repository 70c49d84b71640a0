"""The load test's own parts: that it counts right, and that it would notice what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import server
from tests.test_server import MODULE, write_site
from tools import load_test, visit_report
from tools.load_client import Ask, Tally, load
from tools.marked import put_between

PATH = "/assets/page.1a2b3c4d.js"


def ask(address: str, *asks: Ask, connections: int = 3) -> Tally:
    port = int(address.rstrip("/").rpartition(":")[2])
    return asyncio.run(load("127.0.0.1", port, asks, seconds=0.4, connections=connections))


def test_answers_are_counted_on_both_sides(tmp_path: Path) -> None:
    counter = visit_report.Counter(server.create_app(write_site(tmp_path / "site")))
    with visit_report.serving(counter) as address:
        tally = ask(address, Ask(PATH, 200, len(MODULE)), Ask("/thimble.js", 200, 23))
    assert tally.errors == {}
    assert len(tally.latencies) == len(counter.answers) > 10
    assert {answer.path for answer in counter.answers} == {PATH, "/thimble.js"}
    assert tally.received > counter.take()["body_bytes"] > 0
    assert 0 < tally.quantile(0.5) <= tally.quantile(0.99) <= tally.quantile(1.0)
    assert 0.4 <= tally.seconds < 10


def test_a_wrong_answer_is_an_error(tmp_path: Path) -> None:
    counter = visit_report.Counter(server.create_app(write_site(tmp_path / "site")))
    with visit_report.serving(counter) as address:
        assert set(ask(address, Ask(PATH, 304, 0)).errors) == {"status 200"}
        assert set(ask(address, Ask(PATH, 200, 5)).errors) == {"another length"}


def test_what_a_visit_cost_is_summed(tmp_path: Path) -> None:
    counter = visit_report.Counter(server.create_app(write_site(tmp_path / "site")))
    with visit_report.serving(counter) as address:
        ask(address, Ask("/assets/story.1a2b3c4d.gguf", 200, 256 * 64), connections=1)
    row = counter.take()
    assert row["model_bytes"] == row["body_bytes"] == row["requests"] * 256 * 64
    assert (row["not_modified"], row["failed"]) == (0, [])
    assert counter.take()["requests"] == 0


def row(**changes: Any) -> dict[str, Any]:
    return {
        "seconds": 60.0, "requests_per_second": 5000, "rounds_per_second": 500.0,
        "requests_per_cpu_second": 6000,
        "megabytes_per_second": 50.0, "p50_ms": 3.1, "p99_ms": 9.5, "errors": 0,
        "memory_first_bytes": 50_000_000, "memory_last_bytes": 50_100_000, "memory_flat": True,
        "others_cores": 0.1, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"requests_per_second": 1999}, {"p99_ms": 20.1}, {"errors": 1}, {"memory_flat": False}],
)
def test_the_goal_is_missed_by_any_of_its_parts(change: dict[str, Any]) -> None:
    assert load_test.held(row())
    assert not load_test.held(row(**change))


def test_the_table_says_what_was_measured() -> None:
    about = {"processor": "a processor", "cores": 2, "system": "Linux", "python": "3.11"}
    connections = {"cached_assets": 32, "first_visit": 4}
    rows = {name: row() for name in load_test.NAMES}
    text = load_test.table({**rows, "machine": about, "connections": connections})
    assert "| 5,000 | 6,000 |  | 50.0 | 3.1 ms | 9.5 ms | 0 | 50.0 → 50.1 MB |" in text
    assert "a processor" in text and "32 connections" in text


def test_a_part_of_a_document_is_written_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("Before.\n\n<!-- one: written by a test -->\nold\n<!-- /one -->\nAfter.\n")
    for _ in range(2):
        put_between(document, "one", "| new \\1 |")
    assert document.read_text() == (
        "Before.\n\n<!-- one: written by a test -->\n| new \\1 |\n<!-- /one -->\nAfter.\n"
    )
    with pytest.raises(ValueError, match="two"):
        put_between(document, "two", "")
