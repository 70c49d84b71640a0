"""The eleven claims, measured as a visitor does it, beside what the test measures itself."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

import thimble
from tests.browser.conftest import new_visitor, too_wide, turn_to, violations
from tests.conftest import ROOT
from thimble import lens
from thimble.train.verifying import verify
from tools import corpora

PANEL = "[data-panel=claims]"
PATIENCE_MS = 280_000
"""Under five minutes, as the page says; on a machine that does other work meanwhile."""
FACTOR = 8
"""How far a timing of ours and one of the page may be apart: they only have to be of one kind."""
MODELS = ROOT / "web" / "models"


class Visit:
    """One visitor who has measured everything once, and what the test saw meanwhile."""

    def __init__(self, page: Page, report: dict[str, Any], seconds: float, first: int) -> None:
        self.page = page
        self.report = report
        self.seconds = seconds
        self.first_bytes = first
        """Bytes of the first visit's answers, as they came, before the model was ready."""

    def result(self, claim: str) -> dict[str, Any]:
        return next(one for one in self.report["results"] if one["claim"] == claim)

    def quantity(self, claim: str, name: str) -> dict[str, Any]:
        return next(one for one in self.result(claim)["quantities"] if one["id"] == name)


@pytest.fixture(scope="module")
def claims(
    chromium: Browser, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visit]:
    context = new_visitor(chromium, server)
    page = context.new_page()
    sizes: list[int] = []
    counting = [True]

    def count(request: Request) -> None:
        if counting[0]:
            sizes.append(request.sizes()["responseBodySize"])

    context.on("requestfinished", count)
    page.goto("/")
    expect(page.locator("#metrics")).to_be_visible()
    counting[0] = False
    turn_to(page, "Claims")
    page.get_by_label("A million tokens cost elsewhere").fill("2.5")
    page.get_by_label("Milliseconds to the first token elsewhere").fill("400")
    began = time.monotonic()
    run_all(page)
    seconds = time.monotonic() - began
    yield Visit(page, saved(page, tmp_path_factory.mktemp("claims")), seconds, sum(sizes))
    context.close()


def run_all(page: Page) -> None:
    page.get_by_role("button", name="Measure all").click()
    expect(page.get_by_role("button", name="Measure all")).to_be_visible(timeout=PATIENCE_MS)


def card(page: Page, claim: str) -> Locator:
    return page.locator(f"{PANEL} [data-claim={claim}].claim")


def measure(page: Page, claim: str) -> Locator:
    """Measure one claim; its card, when it is done."""
    card(page, claim).locator("button.measure").click()
    expect(page.locator("#claims-run")).to_be_visible(timeout=PATIENCE_MS)
    return card(page, claim)


def saved(page: Page, folder: Path) -> dict[str, Any]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as JSON").click()
    path = folder / "report.json"
    waiting.value.save_as(path)
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def near(ours: float, theirs: float) -> bool:
    return ours / FACTOR < theirs < ours * FACTOR


def former(report: dict[str, Any]) -> dict[str, Any]:
    """The report as version 0.1 wrote it."""
    rest = dict(report)
    return {"ledger": rest.pop("claims"), **rest}


def test_every_claim_is_measured_in_time(claims: Visit) -> None:
    assert claims.seconds < PATIENCE_MS / 1000
    failed = {
        one["claim"]: one["error"] for one in claims.report["results"] if one["status"] != "done"
    }
    assert failed == {}
    assert len(claims.report["results"]) == 11
    for result in claims.report["results"]:
        found = card(claims.page, result["claim"])
        expect(found.locator(".claim-number strong")).to_have_text(re.compile(r"\d"))
        for quantity in result["quantities"]:
            assert quantity["n"] == len(quantity["samples"])
            assert quantity["median"] == statistics.median(quantity["samples"])
            assert quantity["lowest"] == min(quantity["samples"])
            assert quantity["highest"] == max(quantity["samples"])


def test_the_report_keeps_to_the_published_schema(claims: Visit, server: str) -> None:
    answer = claims.page.request.get(f"{server}/schemas/claims.schema.json")
    schema = answer.json()
    assert schema == json.loads((ROOT / "web" / "schemas" / "claims.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    assert [error.message for error in checker.iter_errors(claims.report)] == []
    assert (
        claims.report["model"]["sha256"]
        == hashlib.sha256((MODELS / "story.gguf").read_bytes()).hexdigest()
    )
    broken = {**claims.report, "results": [{**claims.result("train"), "quantities": []}]}
    assert list(checker.iter_errors(broken))


def test_what_version_0_1_published_still_holds(claims: Visit, server: str) -> None:
    def text(address: str) -> str:
        answer = claims.page.request.get(f"{server}/{address}")
        assert answer.ok
        return answer.text()

    schema = json.loads(text("schemas/ledger.schema.json"))
    checker = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in checker.iter_errors(former(claims.report))] == []
    assert list(checker.iter_errors({**claims.report, "ledger": 1}))
    for name in ("quality.recipe.json", "short.recipe.json", "short.receipt.json"):
        assert text(f"ledger/{name}") == text(f"claims/{name}")


def test_training_is_what_it_is_natively(claims: Visit) -> None:
    text = next(corpus.text() for corpus in corpora.CORPORA if corpus.name == "names")
    receipt = json.loads((ROOT / "web" / "claims" / "short.receipt.json").read_text())
    began = time.monotonic()
    checks = list(verify(receipt, text))
    seconds = time.monotonic() - began
    assert checks[-1].step == receipt["steps"]
    assert all(check.agrees for check in checks)
    facts = claims.result("reproduce")["facts"]
    assert facts["weights"] == receipt["weights"]["sha256"]
    assert near(seconds, claims.quantity("reproduce", "seconds")["median"])
    steps = claims.quantity("train", "steps")["samples"]
    assert len(set(steps)) == 1  # the same recipe, so the same bits
    # A step of one recipe is a step of the other.
    per_step = seconds / receipt["steps"]
    assert near(per_step * steps[0], claims.quantity("train", "seconds")["median"])
    [curve] = claims.result("train")["series"]
    assert (
        curve["points"][-1][1] <= claims.result("train")["facts"]["quality"] < curve["points"][0][1]
    )


def test_what_depends_on_no_machine_is_exact(claims: Visit) -> None:
    text = corpora.sample()
    stories = [story for story in text.split("\n") if story]
    members = [thimble.load(path) for path in sorted(MODELS.glob("member-[0-9].gguf"))]
    together = thimble.evaluate_text(thimble.Ensemble(members), stories)
    for model in members:
        model.close()
    assert claims.quantity("ensemble", "together")["median"] == pytest.approx(
        together.bits_per_byte, rel=1e-9
    )
    model = thimble.load(MODELS / "story.gguf")
    facts = claims.result("lens")["facts"]
    layer, head, score = lens.detect_heads(model).best("previous_token")
    assert (facts["layer"], facts["head"], facts["score"]) == (layer, head, score)
    off = model.hooked(lens.ablate_heads(model, [(layer, head)]))
    before = thimble.evaluate_text(model, stories[:12])
    after = thimble.evaluate_text(off, stories[:12])
    assert claims.quantity("lens", "before")["median"] == pytest.approx(
        before.bits_per_byte, rel=1e-9
    )
    assert claims.quantity("lens", "after")["median"] == pytest.approx(
        after.bits_per_byte, rel=1e-9
    )
    facts = claims.result("debug")["facts"]
    session = model.session()
    params = thimble.SamplingParams(seed=7, temperature=0.8, top_p=0.95, max_tokens=24)
    ids = [piece.id for piece in session.generate(facts["prompt"], params)]
    assert facts["tokens"] == " ".join(map(str, ids))
    session.close()
    model.close()


def test_speed_and_latency_are_of_the_kind_that_the_test_measures(claims: Visit) -> None:
    """The test's own clock in the page, through the public API."""
    tokens = 120
    first, whole = claims.page.evaluate(
        """async (tokens) => {
          const { Thimble } = await import(new URL("thimble.js", document.baseURI));
          const session = await Thimble.create();
          await session.prompt("Once upon a time", { max_tokens: tokens, seed: 1 });
          const began = performance.now();
          const reader = session
            .promptStreaming("Once upon a time", { max_tokens: tokens, seed: 2 })
            .getReader();
          await reader.read();
          const first = performance.now() - began;
          while (!(await reader.read()).done);
          session.destroy();
          return [first, performance.now() - began];
        }""",
        tokens,
    )
    assert near(1000 * tokens / whole, claims.quantity("hardware", "speed")["median"])
    assert near(whole / tokens, claims.quantity("cost", "visitor")["median"])
    assert near(first, claims.quantity("latency", "first")["median"])
    facts = claims.result("latency")["facts"]
    assert facts["token_p50"] <= facts["token_p90"] <= facts["token_p99"]
    assert claims.quantity("latency", "elsewhere")["median"] == 400
    assert claims.quantity("cost", "price")["median"] == 0.0025


def test_a_first_visits_bytes_are_those_that_came(claims: Visit) -> None:
    found = claims.quantity("edge", "bytes")["median"]
    assert found == pytest.approx(claims.first_bytes, rel=0.1)
    assert claims.quantity("edge", "memory")["median"] % 65536 == 0
    assert claims.result("edge")["facts"]["from"] in ("snapshot", "packages")


def test_requests_are_counted_as_the_test_counts_them(claims: Visit) -> None:
    page = claims.page
    seen: list[Request] = []

    def note(request: Request) -> None:
        seen.append(request)

    assert claims.quantity("local", "requests_online")["samples"] == [0] * claims.report["samples"]
    page.context.on("request", note)
    measure(page, "local")
    asked = [request.url for request in seen]
    # The two that were made on purpose, to see that the counter tells of them.
    assert len(asked) == 2
    assert all(url.endswith("/build.json") for url in asked)
    seen.clear()
    measure(page, "deploy")
    heads = [request for request in seen if request.method == "HEAD"]
    page.context.remove_listener("request", note)
    sizes = [
        int((request.response() or pytest.fail()).headers["content-length"]) for request in heads
    ]
    assert claims.quantity("deploy", "files")["median"] == len({request.url for request in heads})
    assert claims.quantity("deploy", "bytes")["median"] == sum(sizes)


def test_offline_it_writes_all_the_same(claims: Visit) -> None:
    claims.page.context.set_offline(True)
    try:
        found = measure(claims.page, "local")
        expect(found.locator("[data-quantity=requests_offline]")).to_contain_text("0 requests")
        expect(found.locator("[data-quantity=requests_online]")).to_contain_text("0 requests")
        found = measure(claims.page, "latency")
        expect(found.locator(".claim-doubts")).to_contain_text("did not answer")
    finally:
        claims.page.context.set_offline(False)


def test_one_that_fails_leaves_the_others_and_is_marked(claims: Visit, tmp_path: Path) -> None:
    page = claims.page
    page.route("**/*.gguf", lambda route: route.fulfill(status=503))
    found = measure(page, "deploy")
    expect(found.locator(".claim-failed")).to_contain_text("The server answered 503")
    row = page.locator(f"{PANEL} .claims-table [data-claim=deploy]")
    expect(row).to_have_class("failed")
    expect(row).to_contain_text("the server answered 503")
    report = saved(page, tmp_path)
    statuses = {one["claim"]: one["status"] for one in report["results"]}
    assert statuses.pop("deploy") == "failed"
    assert set(statuses.values()) == {"done"}
    page.unroute("**/*.gguf")
    expect(measure(page, "deploy").locator(".claim-number")).to_contain_text("files")


def test_it_is_cancelled_half_way_and_what_was_measured_stays(claims: Visit) -> None:
    page = claims.page
    before = card(page, "hardware").locator(".claim-number").inner_text()
    page.get_by_role("button", name="Measure all").click()
    expect(page.locator("#claims-words")).to_contain_text("1 of 11")
    page.get_by_role("button", name="Cancel").locator("visible=true").press("Enter")
    expect(page.get_by_role("button", name="Measure all")).to_be_focused()
    assert card(page, "hardware").locator(".claim-number").inner_text() == before
    expect(card(page, "train").locator(".claim-number")).to_contain_text("bits per byte")


def test_it_waits_while_the_tab_is_hidden_and_says_so(claims: Visit) -> None:
    page = claims.page
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    card(page, "hardware").locator("button.measure").click()
    expect(card(page, "hardware").locator(".claim-state")).to_contain_text(
        "Paused while the tab is hidden"
    )
    page.evaluate(hide, False)
    expect(page.locator("#claims-run")).to_be_visible()
    expect(card(page, "hardware").locator(".claim-doubts")).to_contain_text(
        "while the tab was hidden"
    )
    page.evaluate("() => delete document.hidden")


def test_a_second_run_agrees_within_its_spread(claims: Visit, tmp_path: Path) -> None:
    page = claims.page
    for claim in ("debug", "lens", "reproduce"):
        measure(page, claim)
    again = {one["claim"]: one for one in saved(page, tmp_path)["results"]}
    for claim in ("debug", "lens", "reproduce"):
        for first, second in zip(
            claims.result(claim)["quantities"], again[claim]["quantities"], strict=True
        ):
            assert first["id"] == second["id"]
            if first["exact"]:
                assert first["samples"] == second["samples"]
            else:
                assert first["lowest"] / FACTOR < second["highest"]
                assert second["lowest"] < first["highest"] * FACTOR


def test_another_report_is_checked_beside_this_one(claims: Visit, tmp_path: Path) -> None:
    page = claims.page

    def load(report: dict[str, Any] | str) -> None:
        text = report if isinstance(report, str) else json.dumps(report)
        path = tmp_path / "other.json"
        path.write_text(text, encoding="utf-8")
        page.locator("#claims-file").set_input_files(path)

    load(claims.report)
    checks = page.locator(f"{PANEL} .claims-checks li")
    expect(checks.filter(has_text="Holds").first).to_contain_text("medians and ranges")
    expect(checks.filter(has_text="published ones")).to_have_attribute("data-holds", "true")
    expect(checks.filter(has_text="Does not hold")).to_have_count(0)
    expect(page.locator(f"{PANEL} .claims-table thead")).to_contain_text("there")

    forged = json.loads(json.dumps(claims.report))
    results = {one["claim"]: one for one in forged["results"]}
    results["hardware"]["quantities"][0]["median"] *= 2
    results["reproduce"]["facts"]["weights"] = "0" * 64
    results["ensemble"]["quantities"][0]["samples"] = [1.0]
    load(forged)
    expect(checks.filter(has_text="Does not hold")).to_have_count(3)
    load(former(claims.report))
    expect(checks.filter(has_text="published ones")).to_have_attribute("data-holds", "true")
    expect(checks.filter(has_text="Does not hold")).to_have_count(0)
    notice = page.locator("#claims-notice")
    load('{"claims": 2}')
    expect(notice).to_contain_text("Its format is 2; this page reads 1")
    page.get_by_role("button", name="Close the other report").click()
    expect(checks).to_have_count(0)


def test_the_picture_is_one(claims: Visit, tmp_path: Path) -> None:
    with claims.page.expect_download() as waiting:
        claims.page.get_by_role("button", name="Save as picture").click()
    waiting.value.save_as(tmp_path / "claims.png")
    data = (tmp_path / "claims.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") == 1200
    assert len(data) > 20_000


def test_what_is_entered_wrong_is_named(claims: Visit) -> None:
    price = claims.page.get_by_label("A million tokens cost elsewhere")
    price.fill("-1")
    card(claims.page, "cost").locator("button.measure").click()
    notice = claims.page.locator("#claims-notice")
    expect(notice).to_contain_text("is -1; it must be a number from 0 on")
    price.fill("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(claims: Visit, scheme: str) -> None:
    page = claims.page
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    assert violations(page, PANEL) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert too_wide(page) == []
    assert violations(page, PANEL) == []
    page.emulate_media(media="print")
    expect(page.locator(f"{PANEL} .claims")).to_be_hidden()
    expect(page.locator(f"{PANEL} .claims-table")).to_be_visible()
    page.emulate_media(media="screen", color_scheme="no-preference")
    page.set_viewport_size({"width": 1280, "height": 720})
