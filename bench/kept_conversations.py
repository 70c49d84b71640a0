"""Finding one of many kept conversations in Talk: `python -m bench.kept_conversations`.

Fills a fresh browser's IndexedDB with 1,000 conversations of 100 messages, their words out of our
documents, and takes the time from the visitor's act until the list stands there, laid out. Every
visit opens the list and searches for words that are common, rare and nowhere.
"""

from __future__ import annotations

from playwright.sync_api import Page, expect, sync_playwright

import server
from tools import browsers
from tools.fingerprint import ROOT
from tools.visit_report import SITE, Counter, serving

VISITS = 3
SOUGHT = ("the", "zanzibar", "gradient", "no such words")

# What web/src/talk/record.ts says; one conversation alone has the rare word.
FILL = """async (text) => {
  const words = text.split(/\\s+/);
  const asked = indexedDB.open("thimble-talk");
  const db = await new Promise((done) => { asked.onsuccess = () => done(asked.result); });
  let state = 7;
  const below = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
  let characters = 0;
  for (let i = 0; i < 1000; i += 1) {
    const turns = [];
    for (let j = 0; j < 100; j += 1) {
      const from = below(words.length - 60);
      const text = words.slice(from, from + 20 + below(40)).join(" ");
      characters += text.length;
      const [id, parent] = [`t${i}-${j}`, j ? `t${i}-${j - 1}` : null];
      const role = j % 2 ? "assistant" : "user";
      turns.push({ id, parent, role, text, tokens: 60, finish: "stop" });
    }
    const id = `c${i}`;
    const done = db.transaction(["heads", "bodies", "words"], "readwrite");
    done.objectStore("heads").put({
      format: 1, id, title: turns[0].text.slice(0, 60), named: false, pinned: i % 97 === 0,
      created: 1e12, changed: 1e12 + i * 1e6, model: "tiny", turns: 100, bytes: 30000,
    });
    done.objectStore("bodies").put({
      format: 1, id, system: "", settings: {}, turns, leaf: turns.at(-1).id,
    });
    const said = turns.map(({ text }) => text).join("\\n").toLowerCase();
    done.objectStore("words").put({ id, text: i === 500 ? said + " zanzibar" : said });
    await new Promise((ok) => { done.oncomplete = ok; });
  }
  db.close();
  return characters;
}"""

# A search draws at once, a list that is opened once it is read.
TIMED = """async (sought) => {
  const list = document.getElementById("talk-list");
  const began = performance.now();
  if (sought === null) {
    const drawn = new Promise((done) => {
      new MutationObserver(done).observe(list, { childList: true });
    });
    document.getElementById("talk-kept-toggle").click();
    await drawn;
  } else {
    const search = document.getElementById("talk-search");
    search.value = sought;
    search.dispatchEvent(new Event("input"));
  }
  list.getBoundingClientRect();
  return performance.now() - began;
}"""


def ready(page: Page) -> None:
    expect(page.locator("#talk-model")).to_contain_text("transcript", timeout=120_000)
    page.wait_for_timeout(1500)  # what the page does when it is idle


def main() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md")))
    with serving(Counter(server.create_app(SITE))) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsers.find("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_context(reduced_motion="reduce").new_page()
        page.add_init_script("localStorage.setItem('thimble.talk.keep', 'yes')")
        page.goto(f"{address}#panel=talk")
        ready(page)
        page.get_by_role("button", name="Talk anyway").click()
        page.locator("#talk-text").fill("Hello")
        page.locator("#talk-text").press("Enter")
        expect(page.locator("#talk-outcome")).not_to_have_text("Writing.", timeout=120_000)
        page.wait_for_timeout(1500)
        print(f"{page.evaluate(FILL, text):,} characters")
        for _ in range(VISITS):
            page.reload()
            ready(page)
            times = {"the list": page.evaluate(TIMED, None)}
            page.wait_for_timeout(3000)  # as long as one takes to type
            times |= {f"“{words}”": page.evaluate(TIMED, words) for words in SOUGHT}
            print(", ".join(f"{what} {ms:.0f} ms" for what, ms in times.items()))
        browser.close()


if __name__ == "__main__":
    main()
