"""The Prompt API on the real engine: the examples of its explainer that are text."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

TOOLS = """async (site) => {
  await import(`${site}/language-model.js?force`);
  globalThis.failure = (promise) => promise.then(String, (error) => error.name);
}"""


@pytest.fixture(scope="module")
def page(bare_page: Page, server: str) -> Page:
    bare_page.evaluate(TOOLS, server)
    return bare_page


def run(page: Page, script: str) -> Any:
    return page.evaluate(f"async () => {{ {script} }}")


def test_a_session_reports_its_way_and_answers_whole_and_in_pieces(page: Page) -> None:
    heard, again, there, answer, pieces, kind = run(
        page,
        """
      const loads = [];
      const monitor = (m) => m.addEventListener("downloadprogress", (e) => loads.push(e.loaded));
      const session = await LanguageModel.create({ monitor, seed: 3 });
      const first = loads.splice(0);
      await LanguageModel.create({ monitor });
      const there = await LanguageModel.availability({ expectedInputs: [{ type: "text" }] });
      const answer = await session.prompt("Write me a poem.");
      const other = await LanguageModel.create({ seed: 3 });
      let pieces = "";
      for await (const chunk of other.promptStreaming("Write me a poem.")) pieces += chunk;
      return [first, loads, there, answer, pieces, session instanceof EventTarget];""",
    )
    assert heard[0] == 0 and heard[-1] == 1 and heard == sorted(heard)
    assert again == [0, 1]
    assert there == "available"
    assert answer == pieces != ""
    assert kind


def test_system_words_examples_and_clones(page: Page) -> None:
    usages, results = run(
        page,
        """
      const system = { role: "system", content: "Pretend to be an eloquent hamster." };
      const one = await LanguageModel.create({ initialPrompts: [system], seed: 1 });
      const two = await LanguageModel.create({ seed: 1 });
      await two.append([system]);
      const three = await LanguageModel.create({ seed: 1 });
      const ask = "What is your favorite food?";
      const results = [await one.prompt(ask), await two.prompt(ask),
        await three.prompt([system, { role: "user", content: ask }])];
      const base = await LanguageModel.create({ initialPrompts: [system,
        { role: "user", content: "LGTM" }, { role: "assistant", content: "Fine." }] });
      const before = base.contextUsage;
      const fresh = await base.clone({ signal: new AbortController().signal });
      await fresh.prompt("Back to the drawing board");
      return [[before, base.contextUsage, fresh.contextUsage], results];""",
    )
    assert results[0] == results[1] == results[2] != ""
    assert 0 < usages[0] == usages[1] < usages[2]


def test_answers_keep_to_constraints_and_go_on_from_prefixes(page: Page) -> None:
    rating, letters, more, usage = run(
        page,
        """
      const schema = { type: "object", required: ["rating"], additionalProperties: false,
        properties: { rating: { type: "integer", minimum: 0, maximum: 5 } } };
      const session = await LanguageModel.create();
      const rated = await session.prompt("Rate it.", { responseConstraint: schema });
      const { rating } = JSON.parse(rated);
      const options = { responseConstraint: /[a-c]{3}/, omitResponseConstraintInput: true };
      const letters = await session.prompt("Three letters.", options);
      const more = await session.prompt([{ role: "user", content: "Name a name" },
        { role: "assistant", content: "My name is", prefix: true }], { responseConstraint: / [A-Z]/,
        omitResponseConstraintInput: true });
      const usage = [await session.measureContextUsage("Q"),
        await session.measureContextUsage("Q", { responseConstraint: schema })];
      return [rating, letters, more, usage];""",
    )
    assert rating in range(6)
    assert set(letters) <= set("abc") and len(letters) == 3
    assert more[0] == " " and more[1:].isupper()
    assert 0 < usage[0] < usage[1]


def test_a_full_context_drops_its_oldest_turns_and_refuses_what_cannot_fit(page: Page) -> None:
    overflows, within, error, after, names = run(
        page,
        """
      const system = { role: "system", content: "S" };
      const session = await LanguageModel.create({ initialPrompts: [system] });
      let overflows = 0;
      session.addEventListener("contextoverflow", () => (overflows += 1));
      const one = { responseConstraint: /[a-z]{40}/, omitResponseConstraintInput: true };
      for (let turn = 0; turn < 60 && overflows < 2; turn += 1) {
        await session.prompt("a dog and a cat ".repeat(4), one);
      }
      const within = session.contextUsage <= session.contextWindow;
      const long = await session.prompt("a dog ".repeat(session.contextWindow)).catch((e) => e);
      const error = [long.name, long.requested > long.quota, long.quota === session.contextWindow];
      const after = await session.prompt("a", one);
      const stop = new AbortController();
      const pending = session.prompt("Once", { signal: stop.signal });
      const queued = failure(session.prompt("Twice", { signal: stop.signal }));
      stop.abort();
      const names = [await failure(pending), await queued];
      const last = failure(session.prompt("Once"));
      session.destroy();
      return [overflows, within, error, after, [...names, await last]];""",
    )
    assert overflows == 2
    assert within
    assert error == ["QuotaExceededError", True, True]
    assert len(after) == 40
    assert names == ["AbortError"] * 3
