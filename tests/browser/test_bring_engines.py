"""Models of the visitor's own in Firefox and WebKit: fetched, kept, talked with, constrained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.browser import drivers, elsewhere
from tests.browser.drivers import Tab
from tests.browser.engines import other_engines
from tests.browser.places import Place
from tests.browser.test_offline_engines import MAY_KEEP, OPENED
from tests.tiny_models import SPECS, make

TINY = make(replace(SPECS["q8_0-tied"], n_ctx=192, seed=31))
"""Random, with a chat template."""

TOOLS = """
const until = async (what) => {
  const end = performance.now() + 100_000; // sooner than the driver, which cannot say for what
  while (!what()) {
    if (performance.now() > end) {
      const parts = ["incoming", "talk-outcome", "talk-notice", "talk-turns", "outcome"];
      const said = parts.map((id) => `${id}: ${at(id)?.innerText}`);
      throw new Error(`not in 100 s: ${what}; ${said.join("; ")}`);
    }
    await new Promise((next) => setTimeout(next, 50));
  }
};
const at = (id) => document.getElementById(id);
const type = (id, value) => { // what no event tells of, the page may set anew
  at(id).value = value;
  at(id).dispatchEvent(new Event("input", { bubbles: true }));
};
const title = () => at("incoming-title").textContent;
"""

# By the box, as a visitor does it. What the box says in the end.
FETCHED = """async () => {
  TOOLS
  await until(() => {
    at("model-address").click(); // to no end before the part of the page that hears it has come
    return !at("incoming").hidden;
  });
  at("incoming-url").value = ADDRESS;
  at("incoming-go").click();
  await until(() => title().startsWith("Load ") || title().includes("not saved"));
  const told = ["size", "kind", "memory"].map((name) => at(`incoming-${name}`).textContent);
  at("incoming-go").click();
  await until(() => title().includes(" saved"));
  await until(() => at("metrics").hidden === false && at("model").value === "tiny");
  return [title(), at("incoming-digest").textContent, ...told];
}"""

CHOSEN = """async () => {
  TOOLS
  await until(() => at("model").querySelector("[value=tiny]"));
  at("model").value = "tiny";
  at("model").dispatchEvent(new Event("change", { bubbles: true }));
  await until(() => at("metrics").hidden === false && at("model").value === "tiny");
}"""

TALKED = """async () => {
  TOOLS
  location.hash = "panel=talk";
  await until(() => at("talk-model")?.textContent.startsWith("tiny"));
  type("talk_max_tokens", 16);
  type("talk-text", "Who was sad?");
  await until(() => !at("talk-send").disabled);
  at("talk-form").requestSubmit();
  await until(() => /^(Answered|Cut)/.test(at("talk-outcome").textContent));
  const answer = document.querySelector(".turn.models .turn-text").textContent;
  return [at("talk-model").textContent, answer];
}"""

# What was read lies in the private file system, where a worker of this browser may write there.
KEPT = """async () => {
  TOOLS
  at("talk-ask-yes").click();
  await until(() => at("talk-ask").hidden);
  const sizes = async () => {
    const found = [];
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("thimble-prompt-caches").catch(() => null);
    for await (const handle of folder?.values() ?? []) found.push((await handle.getFile()).size);
    return found;
  };
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await sizes().catch(() => null);
    if (found === null) return 0;
    if (found[0] > 0) return found[0];
    await new Promise((next) => setTimeout(next, 50));
  }
  return 0;
}"""

GONE_ON_WITH = """async () => {
  TOOLS
  location.hash = "panel=talk";
  await until(() => at("talk-model")?.textContent.startsWith("tiny"));
  await until(() => document.querySelectorAll("#talk-turns .turn").length === 2);
  type("talk_max_tokens", 16);
  type("talk-text", "Why?");
  await until(() => !at("talk-send").disabled);
  at("talk-form").requestSubmit();
  await until(() => /^(Answered|Cut)/.test(at("talk-outcome").textContent));
  const turns = [...document.querySelectorAll("#talk-turns .turn-text")];
  return [turns.map((turn) => turn.textContent), Number(at("talk-reused").textContent)];
}"""

SCHEMA = {
    "type": "object",
    "properties": {"sad": {"type": "boolean"}, "who": {"enum": ["Mia", "Sam"]}},
    "required": ["sad", "who"],
    "additionalProperties": False,
}

# What was said of the text before must not be taken for what is said of this one.
WRITTEN = """async () => {
  TOOLS
  location.hash = "panel=write";
  type("seed", 7);
  at("outcome").textContent = "";
  at("write").click();
  await until(() => at("outcome").textContent.includes("token"));
  return at("written").textContent;
}"""

SHAPED = """async () => {
  TOOLS
  at("constraint-kind").value = "json_schema";
  at("constraint-kind").dispatchEvent(new Event("change", { bubbles: true }));
  type("constraint-source", SCHEMA);
  type("max_tokens", 100);
}"""

Start = Callable[[Path], AbstractContextManager[Tab]]


def asked(tab: Tab, function: str, **words: str) -> Any:
    """Evaluate one of the functions above, with its tools, and texts for its names."""
    for name, text in {
        "TOOLS": TOOLS,
        **{key: json.dumps(text) for key, text in words.items()},
    }.items():
        function = function.replace(name, text)
    return tab.evaluate(function)


@other_engines(drivers.firefox_tab, drivers.webkit_tab)
def test_other_engines_bring_models_in_talk_and_keep_to_a_constraint(
    start: Start, site: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    place = Place(site, tmp_path / "site").start()
    try:
        with elsewhere.serving() as other, start(tmp_path / "home") as tab:
            other.pages["/tiny.gguf"] = (TINY, {"Access-Control-Allow-Origin": "*"})
            tab.open(f"{place.address}/#panel=write")  # by a link, so that no text writes itself
            tab.evaluate(OPENED)
            if reason := tab.evaluate(MAY_KEEP):
                pytest.skip(f"this browser, driven like this, can keep no model: {reason}")
            title, digest, size, kind, memory = asked(
                tab, FETCHED, ADDRESS=f"{other.origin}/tiny.gguf"
            )
            assert (title, digest) == ("tiny is saved", hashlib.sha256(TINY).hexdigest())
            assert (size, kind.split(",")[0]) == (f"{len(TINY) / 1e6:.1f} MB", "llama")
            assert memory.startswith("It fits")
            first = asked(tab, WRITTEN)
            assert first

            template, answer = asked(tab, TALKED)
            assert template == "tiny · its own chat template"
            assert answer
            kept = asked(tab, KEPT)

            asked(tab, SHAPED, SCHEMA=json.dumps(SCHEMA))
            jsonschema.validate(json.loads(asked(tab, WRITTEN)), SCHEMA)

            other.pages.clear()
            tab.open(f"{place.address}/?again#panel=write")
            tab.evaluate(OPENED)
            asked(tab, CHOSEN)
            assert asked(tab, WRITTEN) == first
            turns, reused = asked(tab, GONE_ON_WITH)
            assert turns[:2] == ["Who was sad?", answer] and turns[3]
            assert (reused > 20) == (kept > 0)
    finally:
        place.end()
