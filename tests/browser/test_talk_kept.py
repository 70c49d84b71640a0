"""Conversations that are kept on the machine: found again, taken away and brought back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import resting, too_wide, turn_to, violations
from tests.browser.test_talk import open_tiny, say

START = "/#talk_max_tokens=8&talk_seed=3&talk_temperature=0.8&panel=talk"

IN_STORE = """async ([store, change]) => {
  const open = indexedDB.open("thimble-talk");
  const db = await new Promise((done) => { open.onsuccess = () => done(open.result); });
  const at = db.transaction(store, "readwrite").objectStore(store);
  const ask = at.getAll();
  await new Promise((done) => { ask.onsuccess = done; });
  for (const value of ask.result) if (change) at.put({ ...value, ...change });
  await new Promise((done) => { at.transaction.oncomplete = done; });
  db.close();
  return ask.result;
}"""


def stored(page: Page, store: str, change: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What a store has; each changed, where that is said."""
    return list(page.evaluate(IN_STORE, [store, change]))


@pytest.fixture(scope="module")
def talk(visit: Page) -> Page:
    visit.goto(START)
    expect(visit.locator("#talk-model")).to_contain_text("a plain transcript")
    open_tiny(visit)
    return visit


def forget_the_model(page: Page) -> None:
    """Let the next visit begin with the site's own model, not with the last one."""
    page.evaluate("localStorage.removeItem('thimble.model')")


def databases(page: Page) -> list[str]:
    names = page.evaluate("async () => (await indexedDB.databases()).map(({ name }) => name)")
    return [name for name in names if name == "thimble-talk"]


def kept(page: Page, title: str) -> Any:
    return page.locator("#talk-list .kept", has_text=title)


def outcome(page: Page, words: str) -> None:
    expect(page.locator("#talk-kept-outcome")).to_have_text(re.compile(words))


def test_nothing_is_saved_until_the_visitor_wants_it_who_is_asked_once(talk: Page) -> None:
    ask, lede = talk.locator("#talk-ask"), talk.locator(".lede:visible")
    expect(ask).to_be_hidden()
    first = say(talk, "Who was sad?")
    expect(ask).to_be_visible()
    expect(lede).to_contain_text("not sent, not saved")
    assert databases(talk) == []
    talk.get_by_role("button", name="Keep them").first.click()
    expect(lede).to_contain_text("kept in this browser, and not sent")
    expect(ask).to_be_hidden()
    (body,) = stored(talk, "bodies")
    assert [turn["text"] for turn in body["turns"]] == ["Who was sad?", first]
    talk.get_by_role("button", name="Conversations").click()
    expect(kept(talk, "Who was sad?")).to_contain_text("tiny · 2 messages")


def test_after_a_reload_it_is_back_with_its_branches_prompt_settings_and_model(talk: Page) -> None:
    talk.get_by_role("button", name="System prompt").click()
    talk.locator("#talk-system-text").fill("Be brief.")
    talk.locator("#talk_temperature").evaluate(
        "(field) => { field.value = 0.5; field.dispatchEvent(new Event('input')); }"
    )
    talk.get_by_role("button", name="Another answer").click()
    expect(talk.locator(".turn-versions")).to_contain_text("2 / 2")
    expect(talk.locator("#talk-stop")).to_be_hidden()
    second = talk.locator(".turn.models .turn-text").inner_text()
    expect(kept(talk, "Who was sad?")).to_contain_text("3 messages")
    forget_the_model(talk)
    talk.reload()
    expect(talk.locator(".turn.models .turn-text")).to_have_text(second)
    expect(talk.locator(".turn-versions")).to_contain_text("2 / 2")
    expect(talk.locator("#talk-with-words")).to_contain_text("The last answer is by tiny.")
    assert talk.locator("#talk-system-text").input_value() == "Be brief."
    assert talk.locator("#talk_temperature").input_value() == "0.5"
    talk.locator("#talk-with-load").click()
    expect(talk.locator("#talk-model")).to_have_text("tiny · its own chat template")
    expect(talk.locator("#talk-with")).to_be_hidden()
    say(talk, "Why?")
    expect(talk.locator(".turn")).to_have_count(4)
    ask = talk.locator("#talk-ask")
    expect(ask).to_be_hidden()


def test_it_is_named_pinned_and_found_by_title_and_by_message(talk: Page) -> None:
    talk.get_by_role("button", name="New conversation").click()
    say(talk, "A duck with a <b>hat</b>.")
    talk.get_by_role("button", name="Conversations").click()
    rows = talk.locator("#talk-list .kept")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("A duck with a <b>hat</b>.")
    kept(talk, "Who was sad?").get_by_role("button", name=re.compile("^More")).click()
    talk.get_by_role("button", name="Pin", exact=True).click()
    expect(rows.first).to_contain_text("Pinned Who was sad?")
    talk.get_by_role("button", name="Rename").click()
    name = talk.get_by_role("textbox", name="Title")
    name.fill("  Sad   people ")
    name.press("Enter")
    expect(rows.first).to_contain_text("Sad people")
    search = talk.get_by_role("searchbox", name="Search titles and messages")
    for words, found in (("WHY?", "Sad people"), ("duck", "A duck"), ("sad p", "Sad people")):
        search.fill(words)
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(found)
    search.fill("nobody said this")
    expect(rows).to_have_count(0)
    expect(talk.locator("#talk-list-empty")).to_be_visible()
    search.fill("")
    for width in (360, 1440):
        talk.set_viewport_size({"width": width, "height": 800})
        assert too_wide(talk) == []
    for scheme in ("light", "dark"):
        talk.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(talk, "[data-panel=talk]") == []


def test_two_tabs_with_one_conversation_lose_nothing(talk: Page) -> None:
    forget_the_model(talk)
    with talk.context.new_page() as other:
        other.goto(START)
        expect(other.locator("#talk-model")).to_contain_text("story")
        other.get_by_role("button", name="Conversations").click()
        kept(other, "A duck").get_by_role("button").first.click()
        other.get_by_role("button", name="Talk anyway").click()
        say(other, "First said elsewhere.")
        expect(talk.locator(".turn.yours .turn-text").last).to_have_text("First said elsewhere.")
        with resting(other):  # both are asked before either has answered
            field = other.get_by_role("textbox", name="Your message", exact=True)
            field.fill("Said elsewhere.")
            field.press("Enter")
            expect(other.locator("#talk-stop")).to_be_visible()
            say(talk, "Said here.")
        expect(other.locator("#talk-stop")).to_be_hidden()
        for page in (talk, other):
            expect(page.locator(".turn-versions").last).to_contain_text(re.compile("[12] / 2"))
        texts = {turn["text"] for body in stored(talk, "bodies") for turn in body["turns"]}
        assert {"Said elsewhere.", "Said here."} <= texts


def test_it_is_exported_deleted_brought_back_and_imported(talk: Page, tmp_path: Path) -> None:
    with talk.expect_download() as markdown:
        talk.get_by_role("button", name="Markdown").click()
    assert markdown.value.suggested_filename == "Sad people.md"
    text = Path(markdown.value.path()).read_text(encoding="utf-8")
    assert text.startswith(
        "# Sad people\n\n## System prompt\n\nBe brief.\n\n## You\n\nWho was sad?"
    )
    with talk.expect_download() as all_of_them:
        talk.get_by_role("button", name="Export all").click()
    exported = Path(all_of_them.value.path()).read_bytes()
    before = sorted(stored(talk, "bodies"), key=lambda body: str(body["id"]))
    kept(talk, "A duck").get_by_role("button", name=re.compile("^More")).click()
    talk.get_by_role("button", name="Delete", exact=True).click()
    outcome(talk, "Deleted “A duck")
    expect(talk.locator(".turn")).to_have_count(0)  # it was the one that is shown
    assert len(stored(talk, "words")) == 1
    talk.get_by_role("button", name="Undo").click()
    outcome(talk, "It is back")
    assert sorted(stored(talk, "bodies"), key=lambda body: str(body["id"])) == before
    talk.get_by_role("button", name="Delete all…").click()
    talk.get_by_role("group", name="Delete all").get_by_role("button", name="Delete all").click()
    outcome(talk, "All are deleted")
    assert databases(talk) == []

    def bring(data: bytes) -> None:
        file: FilePayload = {"name": "a.json", "mimeType": "", "buffer": data}
        talk.set_input_files("#talk-file", [file])

    bring(exported)
    outcome(talk, "2 conversations imported")
    assert sorted(stored(talk, "bodies"), key=lambda body: str(body["id"])) == before
    bring(exported)
    outcome(talk, "0 conversations imported. 2 are here already")
    bring(exported[:-20])
    outcome(talk, "“a.json” is not JSON")
    hostile = json.loads(exported)
    for one in hostile["conversations"]:
        one["head"]["id"] = one["body"]["id"] = one["body"]["id"][::-1]
        one["head"] |= {"title": "<img src=x onerror='window.ran=1'>", "named": True}
        one["body"]["turns"][0]["text"] = "<script>window.ran=1</script>"
        one["body"]["turns"].append({"id": "x", "parent": "nowhere"})
    bring(json.dumps(hostile).encode())
    outcome(talk, "2 conversations imported. 2 messages could not be read")
    kept(talk, "<img src=x").first.get_by_role("button").first.click()
    expect(talk.locator(".turn.yours .turn-text").first).to_have_text(
        "<script>window.ran=1</script>"
    )
    assert not talk.evaluate("window.ran")


def test_what_is_damaged_or_of_another_version_is_said_and_can_be_removed(talk: Page) -> None:
    turn_to(talk, "This machine")
    expect(talk.locator("#kinds")).to_contain_text("4 conversations")
    turn_to(talk, "Talk")
    stored(talk, "bodies", {"turns": "cut sh"})
    toggle = talk.get_by_role("button", name="Conversations")
    kept(talk, "Sad people").get_by_role("button").first.click()
    outcome(talk, "It is damaged")
    stored(talk, "bodies", {"format": 2})
    kept(talk, "Sad people").get_by_role("button").first.click()
    outcome(talk, "A newer version of this page wrote it")
    stored(talk, "heads", {"title": 7})
    toggle.click()
    toggle.click()
    damaged = kept(talk, "A conversation that cannot be read")
    expect(damaged).to_have_count(4)
    damaged.first.get_by_role("button", name="Delete").click()
    expect(damaged).to_have_count(3)
    turn_to(talk, "This machine")
    talk.get_by_role("button", name="Remove 3 conversations").click()
    expect(talk.locator("#machine-outcome")).to_contain_text("removed")
    assert databases(talk) == []
    turn_to(talk, "Talk")
    toggle.click()
    toggle.click()
    expect(damaged).to_have_count(0)


def test_a_conversation_of_a_model_that_is_gone_and_keeping_switched_off(talk: Page) -> None:
    talk.get_by_role("button", name="New conversation").click()
    say(talk, "Who was glad?")
    (body,) = stored(talk, "bodies")
    answer = {**body["turns"][1], "model": "gone"}
    stored(talk, "bodies", {"turns": [body["turns"][0], answer]})
    kept(talk, "Who was glad?").get_by_role("button").first.click()
    expect(talk.locator("#talk-with-words")).to_contain_text(
        "gone, which is not on this machine any more"
    )
    expect(talk.locator("#talk-with-load")).to_be_hidden()
    talk.get_by_role("switch", name="Keep conversations").uncheck()
    expect(talk.locator(".lede:visible")).to_contain_text("not sent, not saved")
    say(talk, "And not saved?")
    (body,) = stored(talk, "bodies")
    assert len(body["turns"]) == 2


def test_files_go_with_a_message_and_their_tokens_are_counted(talk: Page) -> None:
    def bring(name: str, data: bytes) -> None:
        file: FilePayload = {"name": name, "mimeType": "", "buffer": data}
        talk.set_input_files("#talk-attach-file", [file])

    bring("notes.md", "# Ducks\n\nSad ❤ ducks.\n".encode())
    row = talk.locator("#talk-attached li")
    expect(row).to_contain_text(re.compile(r"notes\.md\s+\d+ tokens"))
    bring("none.csv", b"a\0b")
    expect(talk.locator("#talk-notice-words")).to_contain_text("“none.csv” is not text")
    talk.get_by_role("button", name="New conversation").click()
    say(talk, "What?")
    expect(row).to_have_count(0)
    message = talk.locator(".turn.yours .turn-text")
    message.locator("summary").click()
    expect(message).to_have_text("notes.md# Ducks\n\nSad ❤ ducks.What?")
    # Keys: the last message again, the list, and a new conversation.
    talk.locator("#talk-text").press("ArrowUp")
    edit = talk.get_by_role("textbox", name="Edit your message")
    expect(edit).to_have_value("File “notes.md”:\n\n```\n# Ducks\n\nSad ❤ ducks.\n```\n\nWhat?")
    edit.press("Escape")
    talk.get_by_role("button", name="Conversations").click()
    expect(talk.locator("#talk-kept")).to_be_hidden()
    talk.keyboard.press("Control+k")
    expect(talk.locator("#talk-kept")).to_be_visible()
    talk.keyboard.press("Control+Shift+o")
    expect(talk.locator(".turn")).to_have_count(0)
    talk.get_by_role("button", name="System prompt").click()
    talk.get_by_role("button", name="Correct").click()
    expect(talk.locator("#talk-system-text")).to_have_value(re.compile("^Correct the spelling"))


# A machine's own voice, and one that is a server.
VOICES = """
  globalThis.spoken = [];
  const voices = [
    { localService: false, lang: "en-US", name: "far" },
    { localService: true, lang: "en-GB", name: "near" },
  ];
  const Said = class { constructor(text) { this.text = text; } };
  Object.defineProperty(globalThis, "SpeechSynthesisUtterance", { value: Said });
  Object.defineProperty(globalThis, "speechSynthesis", { value: {
    getVoices: () => voices, cancel: () => spoken.push("cancel"), addEventListener: () => undefined,
    speak: (said) => spoken.push([said.voice.name, said.text]) } });
"""


def test_an_answer_is_read_aloud_by_a_voice_of_this_machine_only(talk: Page) -> None:
    talk.add_init_script(VOICES)
    forget_the_model(talk)
    talk.reload()
    talk.get_by_role("button", name=re.compile("^Talk anyway")).click()
    answer = say(talk, "Who?")
    talk.get_by_role("button", name="Read aloud").click()
    spoken = talk.evaluate("spoken")
    assert {voice for voice, _ in spoken} == {"near"}
    assert "".join("".join(text.split()) for _, text in spoken) == "".join(answer.split())
    talk.get_by_role("button", name="Stop reading").click()
    assert talk.evaluate("spoken.at(-1)") == "cancel"
    expect(talk.get_by_role("button", name="Read aloud")).to_be_visible()
