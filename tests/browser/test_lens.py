"""Looking inside as a visitor does it: what is shown is what `thimble.lens` says natively."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import FilePayload, Page, expect

import thimble
from tests.browser.conftest import too_wide, violations
from tests.browser.test_page import open_ready
from tests.conftest import ROOT
from tests.tiny_models import TinySpec, make
from thimble import lens

TEXT = "Once there was a girl named Lily. Lily went to the park. The girl's name was"
VIEWS = ("attention", "logits", "parts", "neurons", "nearest", "weights")
NUMBER = re.compile(r"-?\d+\.\d+$")


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(ROOT / "web" / "models" / "story.gguf")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def looker(visit: Page) -> Page:
    """One page with its engine, for all of these tests."""
    open_ready(visit)
    return visit


CHOOSE = """(list, name) => {
  list.value = name;
  list.dispatchEvent(new Event("change"));
}"""


def look(page: Page, view: str, place: str = "", text: str = TEXT) -> None:
    """Come by a link, as somebody who was sent one."""
    query = text.replace(" ", "+")
    page.goto(f"/#panel=lens&view={view}{place}&text={query}")
    expect(page.locator(f"#lens-{view}")).to_be_visible()
    expect(page.locator("#lens-tokens .token-list")).to_have_text(text, use_inner_text=False)
    expect(page.locator("#lens-outcome")).to_be_empty()


def shown(page: Page) -> dict[str, str]:
    """What the address says."""
    values = parse_qs(urlparse(page.url).fragment)
    return {name: found[0] for name, found in values.items()}


def rows(page: Page, table: str) -> list[list[str]]:
    """The cells of a table, row by row."""
    found: list[list[str]] = page.locator(f"{table} tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return found


def test_a_heads_pattern_is_the_models(looker: Page, model: thimble.Model) -> None:
    look(looker, "attention", "&layer=4&head=3&at=19")
    expect(looker.locator("#lens-heads button")).to_have_count(24)
    expect(looker.locator("#lens-head-title")).to_have_text("Layer 4, head 3")
    _, cache = model.run_with_cache(TEXT, "blocks.4.attn.hook_pattern", last_only=True)
    pattern = cache["pattern", 4][3][19]
    best = sorted(range(20), key=lambda key: -pattern[key])[:3]
    found = rows(looker, "#lens-looks")
    assert [int(label.split()[0]) - 1 for label, _ in found[:3]] == best
    assert float(found[0][1].split()[0]) == pytest.approx(100 * pattern[best[0]], abs=0.06)
    # The keyboard moves over the picture, and is told what is there.
    large = looker.locator("#lens-head")
    large.focus()
    looker.keyboard.press("End")
    pair = looker.locator("#lens-pair")
    expect(pair).to_contain_text(f": {pattern[19]:.3f}")
    looker.keyboard.press("ArrowLeft")
    expect(pair).to_contain_text(f"19 “␣name”: {pattern[18]:.3f}")
    looker.keyboard.press("ArrowUp")
    expect(looker.locator("#lens-at-words")).to_contain_text("Token 19")
    assert shown(looker)["at"] == "18"
    # A pixel of the small picture is a number of the pattern.
    small = looker.get_by_role("button", name="Layer 4, head 3")
    expect(small).to_have_attribute("aria-pressed", "true")
    assert small.locator("canvas").evaluate("(canvas) => [canvas.width, canvas.height]") == [20, 20]
    looker.get_by_role("button", name="Layer 3, head 1").click()
    expect(looker.locator("#lens-head-title")).to_have_text("Layer 3, head 1")
    assert (shown(looker)["layer"], shown(looker)["head"]) == ("3", "1")


def test_a_cell_of_the_logit_lens_is_the_models(looker: Page, model: thimble.Model) -> None:
    look(looker, "logits", "&at=19")
    told = lens.logit_lens(model, TEXT, top=5)
    grid = looker.locator("#lens-grid tbody tr")
    expect(grid).to_have_count(len(told.cells))
    looker.locator("#lens-grid td[aria-selected]").focus()
    looker.keyboard.press("ArrowDown")
    looker.keyboard.press("ArrowDown")
    depth, cell = 4, told.cells[4][19]
    expect(looker.locator("#lens-cell-title")).to_have_text(
        f"After block {depth - 1}, after “␣was”"
    )
    expect(looker.locator("#lens-cell-words")).to_contain_text(f"has rank {cell.rank}.")
    texts = [model.tokenizer.token_bytes(token).decode() for token, _ in cell.top]
    found = rows(looker, "#lens-cell")
    assert [label for label, _ in found] == [f"“{text.replace(' ', '␣')}”" for text in texts]
    way = rows(looker, "#lens-way")
    assert [int(words.split()[-1]) for _, words in way] == [row[19].rank for row in told.cells][
        ::-1
    ]
    expect(looker.locator("#lens-grid td:focus")).to_have_text(texts[0].strip())


def test_an_attribution_is_the_models_and_leads_to_its_head(
    looker: Page, model: thimble.Model
) -> None:
    look(looker, "parts", "&at=19")
    expect(looker.locator("#lens-parts-list tbody tr")).to_have_count(31)
    token = model.tokenizer.encode(" Lily", add_special=False)[-1]
    looker.locator("#lens-word").select_option(str(token))
    expect(looker.locator("#lens-parts-words")).to_contain_text("The logit of “␣Lily”")
    told = lens.logit_attribution(model, TEXT, token, position=19)
    best = max(told.parts, key=lambda part: abs(part.value))
    label, value = rows(looker, "#lens-parts-list")[0]
    assert label == f"Layer {best.layer}, " + ("MLP" if best.kind == "mlp" else f"head {best.head}")
    assert float(value.replace("−", "-")) == pytest.approx(best.value, abs=0.006)
    looker.locator("#lens-against").select_option(index=1)
    expect(looker.locator("#lens-parts-words")).to_contain_text("The difference of the logits")
    looker.get_by_role("button", name="Layer 4, head 3").locator("visible=true").click()
    expect(looker.locator("#lens-attention")).to_be_visible()
    expect(looker.locator("#lens-head-title")).to_have_text("Layer 4, head 3")


def test_neurons_nearest_tokens_and_weights_are_the_models(
    looker: Page, model: thimble.Model
) -> None:
    look(looker, "neurons", "&layer=5&neuron=458&at=19")
    expect(looker.locator("#lens-promotes tbody tr")).to_have_count(12)
    _, cache = model.run_with_cache(TEXT, "blocks.5.mlp.hook_post", last_only=True)
    values = cache["post", 5][:, 458]
    assert float(rows(looker, "#lens-excites")[0][1]) == pytest.approx(abs(values).max(), abs=0.006)
    written = lens.neuron_writes(model, layer=5, neuron=458, most=1).promoted[0]
    text = model.tokenizer.token_bytes(written[0]).decode()
    assert rows(looker, "#lens-promotes")[0] == [f"“{text.replace(' ', '␣')}”", f"{written[1]:.2f}"]

    looker.get_by_role("tab", name="Embeddings").click()
    expect(looker.locator("#lens-nearest-list tbody tr")).to_have_count(12)
    ids = model.tokenizer.encode(TEXT, add_special=True)
    near = lens.similar_tokens(model, ids[19], most=1)[0]
    assert rows(looker, "#lens-nearest-list")[0][1] == f"{near[1]:.3f}"

    looker.get_by_role("tab", name="Weights").click()
    looker.locator("#lens-matrix").select_option("blk.0.attn_q.weight")
    words = looker.locator("#lens-weights-words")
    expect(words).to_contain_text("blk.0.attn_q.weight: 192 rows of 192, stored as Q8_0")
    weights = lens.matrix(model, "blk.0.attn_q.weight")
    size = float((weights.astype("float64") ** 2).mean() ** 0.5)
    expect(words).to_contain_text(f"Root mean square {size:.3g}")
    moved = lens.rounding(model, "blk.0.attn_q.weight").max()
    expect(looker.locator("#lens-moved-words")).to_contain_text(f"At most {moved:.2g}")


def test_step_opens_its_place_here(looker: Page) -> None:
    looker.goto("/#panel=step")
    looker.locator("#step-prompt").fill("Once upon a time")
    looker.locator("#step-begin").click()
    written = looker.locator("#step-view .token:not(.given)")
    expect(written).to_have_count(0)
    for step in range(3):
        looker.locator("#step-step").click()
        expect(written).to_have_count(step + 1)
    text = looker.locator("#step-view .token-view").text_content()
    looker.get_by_role("button", name="Look inside here").locator("visible=true").click()
    expect(looker.locator("[data-panel=lens]")).to_be_visible()
    tokens = looker.locator("#lens-tokens .token")
    expect(looker.locator("#lens-tokens .token-list")).to_have_text(
        text or "", use_inner_text=False
    )
    expect(looker.locator("#lens-at-words")).to_contain_text("it is the last one")
    count = tokens.count()
    assert shown(looker)["at"] == str(count - 1)
    # A token that was looked at opens where the one before it stands last.
    looker.goto("/#panel=step")
    chosen = written.nth(1)
    words = chosen.text_content() or ""
    chosen.click()
    looker.locator(".token-card").get_by_role("button", name="Look inside here").click()
    expect(looker.locator("#lens-at-words")).to_contain_text(f"Token {count - 2}")
    expect(looker.locator("#lens-at-words")).to_contain_text(words.strip())


def test_another_model_reads_the_text_and_not_the_tokens_of_the_one_before(looker: Page) -> None:
    looker.goto("/#panel=write")
    looker.locator("#prompt").fill("Once upon a time")
    looker.get_by_role("button", name="Write", exact=True).click()
    expect(looker.locator("#outcome")).to_contain_text("token")
    text = "Once upon a time" + (looker.locator("#written").text_content() or "")
    looker.goto("/#panel=lens&at=here&view=attention")
    tokens = looker.locator("#lens-tokens .token-list")
    expect(tokens).to_have_text(text, use_inner_text=False)
    for name in ("member-1", "story"):
        looker.locator("#model").evaluate(CHOOSE, name)
        expect(looker.locator("#lens-outcome")).to_be_empty()
        expect(looker.locator("#model")).to_have_value(name)
        expect(tokens).to_have_text(text, use_inner_text=False)
        expect(looker.locator("#lens-notice")).to_be_hidden()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 360)])
def test_nothing_bars_anyone(looker: Page, scheme: str, width: int) -> None:
    looker.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    looker.set_viewport_size({"width": width, "height": 800})
    look(looker, "attention", "&at=19")
    for view in VIEWS:
        looker.locator(f"#lens-tab-{view}").click()
        expect(looker.locator(f"#lens-{view}")).to_be_visible()
        expect(looker.locator("#lens-outcome")).to_be_empty()
        assert violations(looker, "[data-panel=lens]") == []
        assert too_wide(looker) == []
    looker.emulate_media(color_scheme="no-preference")
    looker.set_viewport_size({"width": 1280, "height": 720})


def test_tabs_go_by_the_arrow_keys(looker: Page) -> None:
    look(looker, "attention")
    looker.locator("#lens-tab-attention").focus()
    looker.keyboard.press("ArrowRight")
    expect(looker.locator("#lens-tab-logits")).to_be_focused()
    expect(looker.locator("#lens-logits")).to_be_visible()
    expect(looker.locator("#lens-attention")).to_be_hidden()
    assert shown(looker)["view"] == "logits"


def test_what_cannot_be_looked_at_is_told(looker: Page) -> None:
    look(looker, "attention")
    field = looker.get_by_role("textbox", name="The text to read")
    notice = looker.locator("#lens-notice")
    field.fill("")
    field.press("Control+Enter")
    expect(notice).to_contain_text("The text is empty")
    field.fill("cat " * 600)
    field.press("Control+Enter")
    expect(notice).to_contain_text("the context holds 512")
    field.fill(TEXT)
    field.press("Control+Enter")
    expect(notice).to_be_hidden()
    # An address may say anything.
    look(looker, "attention", "&layer=77&head=99&at=9999")
    expect(looker.locator("#lens-head-title")).to_have_text("Layer 5, head 3")


def test_what_is_typed_stays_out_of_the_address_until_a_link_is_copied(looker: Page) -> None:
    look(looker, "attention", "&at=3")
    assert shown(looker)["text"] == TEXT  # a link brought it
    typed = "My secret is a red duck."
    looker.locator("#lens-text").fill(typed)
    looker.get_by_role("button", name="Look inside", exact=True).click()
    expect(looker.locator("#lens-tokens .token-list")).to_have_text(typed, use_inner_text=False)
    looker.locator("#lens-tokens .token").nth(2).click()
    expect(looker.locator("#lens-at-words")).to_contain_text("Token 3")
    assert looker.title() == "Lens · Thimble"
    assert (shown(looker)["at"], "text" in shown(looker)) == ("2", False)
    assert looker.evaluate("() => JSON.stringify(history.state)") == "null"
    looker.locator("#lens-share").click()
    expect(looker.locator("#lens-outcome")).to_contain_text("Link copied")
    copied = looker.evaluate("() => navigator.clipboard.readText()")
    values = parse_qs(urlparse(copied).fragment)
    assert (values["text"], values["at"], values["model"]) == ([typed], ["2"], ["story"])
    assert "text" not in shown(looker)


def test_what_is_remembered_brings_nobody_back(looker: Page) -> None:
    """The address is written down as things change, also while somebody leaves."""
    look(looker, "attention", "&at=19")
    looker.evaluate("""() => {
      location.hash = "panel=write";
      document.getElementById("lens-tab-logits").click();
    }""")
    expect(looker.locator("[data-panel=write]")).to_be_visible()
    assert shown(looker) == {"panel": "write"}


def test_a_large_model_is_looked_into_when_the_visitor_knows_what_it_takes(looker: Page) -> None:
    """With so many tokens: whatever takes more than a second or two is asked about first."""
    large = make(TinySpec("Q4_0", 640, 8, 10, 2, 64, 2560, n_ctx=512, seed=43))
    file: FilePayload = {"name": "large.gguf", "mimeType": "", "buffer": large}
    looker.set_input_files("#model-file", [file])
    expect(looker.locator("#model")).to_have_value("large")
    words = looker.locator("#lens-asking-words")
    looker.goto(f"/#panel=lens&view=attention&text={'The+cat+sat+on+the+mat.+' * 20}")
    expect(words).to_contain_text(re.compile(r"it stores [\d.]+ MB .* and takes about [\d.,]+ m?s"))
    expect(looker.locator("#lens-view-parts")).to_be_hidden()
    looker.get_by_role("button", name="Compute it").click()
    expect(looker.locator("#lens-heads button")).to_have_count(80)
    expect(words).to_be_hidden()
    # What was allowed once holds for the text; a short one needs nobody's leave.
    look(looker, "attention", "", TEXT)
    expect(looker.locator("#lens-heads button")).to_have_count(80)
    # A text that is asked for while a model is on the way is not lost to the one before.
    for model, heads in (("story", 24), ("large", 80)):
        text = f"The {model} was red."
        looker.evaluate(
            """([model, link]) => {
              const list = document.getElementById("model");
              list.value = model;
              list.dispatchEvent(new Event("change"));
              location.hash = link;
            }""",
            [model, f"panel=lens&view=attention&text={text.replace(' ', '+')}"],
        )
        expect(looker.locator("#lens-heads button")).to_have_count(heads)
        expect(looker.locator("#lens-tokens .token-list")).to_have_text(text, use_inner_text=False)
    looker.locator("#model").evaluate("(list) => { list.value = 'story' }")
    looker.locator("#model").dispatch_event("change")
    expect(looker.locator("#lens-heads button")).to_have_count(24)
