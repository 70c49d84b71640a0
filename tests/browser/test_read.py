"""Reading a text for how expected it was, seeing a text's probabilities and its latency, as a
visitor does it: mostly with the keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import thimble
from tests.browser.conftest import kill_engine, violations
from tests.browser.test_page import open_ready
from tests.conftest import ROOT

STORY = "Once upon a time, there was a cat.\nShe saw a zebra.\n\nThe end."

# The contrast of ink on every level of the scale, by the colours that the browser made of them.
CONTRASTS = """() => {
  const host = document.createElement("div");
  host.className = "token-view";
  document.body.append(host);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
      const x = byte / 255;
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (let level = 0; level <= 100; level += 10) {
    const token = document.createElement("span");
    token.className = "token";
    token.style.setProperty("--level", `${level}%`);
    host.append(token);
    const { color, backgroundColor } = getComputedStyle(token);
    const [a, b] = [luminance(color), luminance(backgroundColor)];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), b]);
  }
  host.remove();
  return found;
}"""


@pytest.fixture(scope="module")
def reader(visit: Page) -> Page:
    """One page with its engine, for all of these tests."""
    open_ready(visit)
    return visit


def read(page: Page, text: str) -> None:
    """Put a text into the field and read it, by the keys."""
    page.goto("/#panel=read")
    field = page.get_by_role("textbox", name="Your text")
    field.fill(text)
    # What is said next is of this text, and not of the one before.
    page.locator("#read-outcome").evaluate("(outcome) => { outcome.textContent = ''; }")
    field.press("Control+Enter")


def read_file(page: Page, path: Path, text: str) -> None:
    """The same from a file: Chromium takes half a minute to type 2,000 lines into a field."""
    page.goto("/#panel=read")
    expect(page.get_by_role("button", name="Open file")).to_be_enabled()
    path.write_text(text, encoding="utf-8")
    page.locator("#read-file").set_input_files(path)


def begin_file(page: Page, path: Path, text: str) -> None:
    """Read a file until its first tokens are there, and not those of the text before."""
    read_file(page, path, text)
    expect(page.locator("#read-outcome")).to_have_text("Reading.")
    expect(page.locator("#read-view .token").first).to_be_visible()


def test_a_text_is_shaded_and_its_bits_per_byte_are_the_engines(reader: Page) -> None:
    read(reader, STORY)
    expect(reader.locator("#read-outcome")).to_contain_text("Read by the model")
    shown = reader.locator("#read-view .token-list")
    expect(shown).to_have_text(STORY, use_inner_text=False)
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    evaluation = thimble.evaluate_text(model, [STORY])
    ids = model.tokenizer.encode(STORY, add_special=False)
    model.close()
    expect(reader.locator("#read-bpb")).to_have_text(f"{evaluation.bits_per_byte:.3f}")
    expect(reader.locator("#read-tokens")).to_have_text(f"{len(ids)} / {len(ids)}")
    # What is rarely said in stories has the stronger shade.
    level = "(token) => parseFloat(token.style.getPropertyValue('--level'))"
    tokens = reader.locator("#read-view .token")
    expected = tokens.filter(has_text=re.compile("upon")).first.evaluate(level)
    surprise = tokens.filter(has_text=re.compile("^ z")).first.evaluate(level)
    assert surprise > expected + 20
    # Three lines, one of them the most surprising; the numbers are in a table too.
    expect(reader.locator("#read-chart figcaption")).to_contain_text("most surprising line 2")
    reader.locator("#read-chart summary").click()
    expect(reader.locator("#read-chart tbody tr")).to_have_count(3)


def test_a_token_tells_everything_to_the_keyboard(reader: Page) -> None:
    read(reader, STORY)
    expect(reader.locator("#read-outcome")).to_contain_text("Read by the model")
    tokens = reader.get_by_role("listbox", name="The text as tokens").locator("visible=true")
    reader.locator("#read-by").focus()
    reader.keyboard.press("Tab")
    expect(tokens.locator(".token").first).to_be_focused()
    card = reader.locator("#read-view .token-card")
    expect(card).to_contain_text("“Once”")
    reader.keyboard.press("ArrowRight")
    expect(card).to_contain_text(re.compile(r"“.upon”.*id \d+.*Probability.*Entropy", re.DOTALL))
    expect(card.locator("tbody tr")).to_have_count(10)
    expect(card.locator("tr[aria-current]")).to_contain_text("upon")
    reader.keyboard.press("ArrowDown")
    below = tokens.locator(".token:focus")
    assert float(below.evaluate("(token) => token.offsetTop")) > 0
    reader.keyboard.press("End")
    expect(tokens.locator(".token").last).to_be_focused()
    reader.keyboard.press("Enter")
    expect(card).to_have_class(re.compile("pinned"))
    reader.keyboard.press("Escape")
    expect(card).to_be_hidden()
    reader.keyboard.press("Home")
    expect(card).to_be_visible()
    reader.mouse.move(0, 0)
    reader.keyboard.press("Tab")
    expect(card).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(reader: Page, scheme: str) -> None:
    reader.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    read(reader, STORY)
    expect(reader.locator("#read-outcome")).to_contain_text("Read by the model")
    reader.locator("#read-view .token").nth(2).focus()
    reader.locator("#read-list summary").click()
    assert violations(reader) == []
    contrasts = reader.evaluate(CONTRASTS)
    assert min(contrast for contrast, _ in contrasts) >= 4.5
    # Lightness alone tells the levels apart.
    luminances = [luminance for _, luminance in contrasts]
    assert luminances == sorted(luminances, reverse=scheme == "light")
    reader.locator("#read-list summary").click()
    reader.emulate_media(color_scheme="no-preference")


def test_a_long_text_is_read_in_windows_and_can_be_cancelled(reader: Page, tmp_path: Path) -> None:
    line = "Once upon a time, there was a cat. She saw a zebra and said hello to it.\n"
    read_file(reader, tmp_path / "long.txt", line * 40)
    expect(reader.locator("#read-outcome")).to_contain_text("in windows of 512 tokens")
    total = reader.locator("#read-tokens").inner_text()
    assert int(total.partition("/")[2].replace(",", "")) > 512
    reader.get_by_role("button", name="Next").click()
    expect(reader.locator("#read-page")).to_contain_text(re.compile("^601 to"))
    reader.locator("#read-list summary").click()
    reader.get_by_role("button", name=re.compile(r"^1\s+Once")).click()
    expect(reader.locator("#read-page")).to_contain_text(re.compile("^1 to"))
    expect(reader.locator("#read-view .token").first).to_be_focused()
    reader.locator("#read-list summary").click()

    begin_file(reader, tmp_path / "longer.txt", line * 2000)
    reader.locator("#read-text").press("Escape")
    expect(reader.locator("#read-outcome")).to_contain_text("Cancelled after")
    expect(reader.get_by_role("button", name="Read", exact=True)).to_be_visible()
    assert reader.locator("#read-view .token").count() > 0


def test_what_is_no_text_is_refused_by_name(reader: Page, tmp_path: Path) -> None:
    notice = reader.locator("#read-notice")
    read(reader, "")
    expect(notice).to_contain_text("The text is empty")
    read(reader, "x" * 1_000_001)
    expect(notice).to_contain_text("1,000,001 characters; at most 1,000,000")
    reader.evaluate("() => (document.getElementById('read-text').value = 'half \\ud83d a pair')")
    reader.get_by_role("button", name="Read", exact=True).click()
    expect(notice).to_contain_text("half a surrogate pair")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    reader.locator("#read-file").set_input_files(picture)
    expect(notice).to_contain_text("“picture.png” is not text")
    story = tmp_path / "story.txt"
    story.write_text("\ufeffThe end.\r\nReally.\n", encoding="utf-16")
    reader.locator("#read-file").set_input_files(story)
    expect(notice).to_be_hidden()
    expect(reader.locator("#read-view .token-list")).to_have_text(
        "The end.\nReally.\n", use_inner_text=False
    )


def test_an_engine_that_dies_in_the_middle_is_told_and_replaced(
    reader: Page, tmp_path: Path
) -> None:
    begin_file(reader, tmp_path / "long.txt", "Once upon a time, there was a cat.\n" * 15_000)
    kill_engine(reader)
    expect(reader.locator("#read-notice")).to_contain_text("engine died")
    expect(reader.locator("#read-outcome")).to_contain_text(re.compile("^Ended after"))
    # Typing into a field that holds half a million characters takes a browser long.
    reader.evaluate("() => (document.getElementById('read-text').value = '')")
    read(reader, STORY)
    expect(reader.locator("#read-outcome")).to_contain_text("Read by the model")


def test_the_text_shows_its_probabilities_while_it_is_written(reader: Page) -> None:
    reader.goto("/#panel=write")
    expect(reader.locator("#metrics")).to_be_visible()
    switch = reader.get_by_role("switch", name="Show probabilities")
    switch.focus()
    reader.keyboard.press("Space")
    expect(switch).to_be_checked()
    reader.locator("#prompt").press("Control+Enter")
    expect(reader.locator("#shaded .token").first).to_be_visible()
    expect(reader.locator("#outcome")).to_contain_text("token")
    written = reader.locator("#written").text_content() or ""
    assert written
    expect(reader.locator("#shaded .token-list")).to_have_text(written, use_inner_text=False)
    tokens = int(reader.locator("#m-tokens").inner_text())
    expect(reader.locator("#shaded .token")).to_have_count(tokens)
    reader.locator("#shaded .token").nth(3).hover()
    card = reader.locator("#shaded .token-card")
    expect(card.locator("tbody tr")).to_have_count(10)
    expect(card.locator("tbody tr").first.locator("th")).not_to_have_text("(no text)")
    before = reader.locator("#shaded .token").nth(3).get_attribute("style")
    reader.locator("#shade-by").select_option("probability")
    assert reader.locator("#shaded .token").nth(3).get_attribute("style") != before
    reader.locator("#shaded .token").nth(3).click()
    reader.get_by_role("button", name="Open in Step").click()
    expect(reader.locator("[data-panel=step]")).to_be_visible()
    reader.goto("/#panel=write")
    switch.uncheck()
    expect(reader.locator("#story")).to_be_visible()
    expect(reader.locator("#written")).to_have_text(written, use_inner_text=False)


def test_latency_is_seen_and_can_be_reported(reader: Page) -> None:
    reader.goto("/#panel=write")
    reader.locator("#prompt").press("Control+Enter")
    expect(reader.locator("#outcome")).to_contain_text("token")
    tokens = int(reader.locator("#m-tokens").inner_text())
    reader.locator("#latency > summary").press("Enter")
    caption = reader.locator("#latency figcaption")
    expect(caption).to_contain_text(f"{tokens - 1} tokens, half of them within")
    expect(reader.locator("#latency canvas")).to_be_visible()
    reader.get_by_role("button", name="Measure the limit").click()
    expect(reader.locator("#latency .note")).to_contain_text("A token reads 3.2 MB")
    values = reader.locator("#latency dl.metrics").inner_text()
    assert re.search(r"Of the limit\s+\d+ %", values)
    reader.get_by_role("button", name="Copy report").click()
    expect(reader.locator("#latency .note")).to_contain_text("Report copied")
    report = reader.evaluate("() => navigator.clipboard.readText()")
    assert "Once upon a time" not in report
    for words in ("Thimble", "First token:", "median", "Limit:", "Browser:", "parameters"):
        assert words in report
    assert violations(reader) == []
