"""What a model has read of a kept conversation is not read again after a reload."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import turn_to
from tests.browser.test_python import Panel
from tests.browser.test_talk import number, open_tiny, say
from tests.browser.test_talk_kept import START, kept

# The files by name, with their bytes and when they were written; each damaged, where that is asked.
FILES = """async (damage) => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("thimble-prompt-caches").catch(() => null);
  const files = [];
  for await (const handle of folder?.values() ?? []) {
    const file = await handle.getFile();
    files.push([handle.name, file.size, file.lastModified]);
    if (!damage) continue;
    const writable = await handle.createWritable({ keepExistingData: true });
    const data = new Uint8Array([1, 2, 3]);
    await writable.write({ type: "write", position: file.size >> 1, data });
    await writable.close();
  }
  return files;
}"""


def files(page: Page, *, damage: bool = False) -> list[tuple[str, int, int]]:
    return [(name, size, at) for name, size, at in page.evaluate(FILES, damage)]


def written(page: Page, *, after: int = 0) -> tuple[str, int, int]:
    """The one that is kept, once it is written anew."""
    for _ in range(200):
        found = [one for one in files(page) if one[1] > 0 and one[2] > after]
        if found:
            return found[0]
        page.wait_for_timeout(50)
    raise AssertionError("nothing is kept")


def come_back(page: Page) -> None:
    page.evaluate("(hash) => { location.hash = hash; }", START[1:])  # with short answers
    page.reload()  # it begins with the model that was chosen last
    expect(page.locator("#talk-model")).to_have_text("tiny · its own chat template")


@pytest.fixture(scope="module")
def talk(visitor: BrowserContext) -> Page:
    page = visitor.new_page()
    page.goto(START)
    expect(page.locator("#talk-model")).to_contain_text("a plain transcript")
    open_tiny(page)
    return page


def test_nothing_is_kept_of_a_conversation_that_is_not(talk: Page) -> None:
    say(talk, "Who was sad?")
    expect(talk.locator("#talk-ask")).to_be_visible()
    talk.wait_for_timeout(1500)
    assert files(talk) == []


def test_after_a_reload_nothing_that_was_read_is_read_again(talk: Page) -> None:
    talk.get_by_role("button", name="Keep them").first.click()
    say(talk, "Why was she so very sad, and who made her so?")
    written(talk)
    context = number(talk, "context")
    come_back(talk)
    say(talk, "Who?")
    # The template writes the answer down as its own tokens: at most the last of them is another.
    assert context - 2 <= number(talk, "reused") <= context
    assert number(talk, "read") < 30


def test_a_damaged_one_is_refused_and_the_text_is_read(talk: Page) -> None:
    _, _, at = written(talk)
    talk.wait_for_timeout(1500)
    files(talk, damage=True)
    said: list[str] = []
    talk.on("console", lambda message: said.append(message.text))
    come_back(talk)
    say(talk, "And then?")
    assert number(talk, "reused") == 0
    assert any("it is damaged" in words for words in said)
    written(talk, after=at)


def test_it_is_shown_and_goes_with_its_conversation(talk: Page) -> None:
    turn_to(talk, "This machine")
    row = talk.locator("#kinds li", has_text="Of 1 conversation")
    expect(row).to_contain_text(re.compile(r"At most [\d,.]+ MB; those not used for longest"))
    turn_to(talk, "Talk")
    talk.get_by_role("button", name="Conversations").click()
    kept(talk, "Who was sad?").get_by_role("button", name=re.compile("^More")).click()
    talk.get_by_role("button", name="Delete", exact=True).click()
    expect(talk.locator("#talk-kept-outcome")).to_contain_text("Deleted")
    assert files(talk) == []


# Room for one and a half files like this one: a tenth of what the browser offers may be used.
LITTLE_ROOM = """(bytes) => {
  StorageManager.prototype.estimate = () => Promise.resolve({ quota: 15 * bytes, usage: 0 });
}"""


def test_the_one_that_was_not_used_for_longest_makes_room(talk: Page) -> None:
    say(talk, "Who was glad, and why was she so very glad?")
    name, size, at = written(talk)
    for worker in talk.workers:
        worker.evaluate(LITTLE_ROOM, size)
    talk.get_by_role("button", name="New conversation").click()
    say(talk, "Who was sad, and why was she so very sad, and who made her so?")
    other, _, _ = written(talk, after=at)
    assert other != name
    assert [one for one, _, _ in files(talk)] == [other]
    come_back(talk)
    say(talk, "Who?")
    assert number(talk, "reused") > 20


def test_an_engine_that_has_run_code_of_the_visitor_s_keeps_and_reads_none(talk: Page) -> None:
    talk.wait_for_timeout(1500)  # the answer before is kept
    _, _, before = written(talk)
    say(talk, "One more?")
    _, _, at = written(talk, after=before)
    panel = Panel(talk)
    turn_to(talk, "Python")
    expect(panel.run("print(1 + 1)")).to_contain_text("2")
    turn_to(talk, "Talk")
    say(talk, "And another?")
    assert number(talk, "reused") > 0
    talk.wait_for_timeout(2000)
    assert [one[2] for one in files(talk)] == [at]
