"""Changing the model inside, and measuring what that does, as a visitor does it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import thimble
from tests.browser.conftest import too_wide, violations
from tests.browser.test_page import finish, open_ready
from tests.conftest import ROOT
from thimble import lens
from thimble.reference import softmax

PAIR = [f'Once upon a time, there was a girl named {name}. Her mom said, "Come here,'
        for name in ("Lucy", "Lily")]  # fmt: skip
SHORT = "One day a cat saw a dog.\nThe dog ran to the cat.\n"
OTHER = "The sun was hot. Tom and his mom sat in the boat and ate all of the red apples"
AWAY = "The cat sat on the mat."
LENGTH = 20
"""Tokens that Write writes."""

ENSEMBLE = "[data-panel=ensemble]"

Hooks = Sequence[Any]


@pytest.fixture(scope="module")
def changer(visit: Page) -> Page:
    """One page with its engine, for all of these tests."""
    open_ready(visit)
    return visit


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    """The shipped model natively, where what the page must say is measured."""
    loaded = thimble.load(ROOT / "web" / "models" / "story.gguf")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def answers(model: thimble.Model) -> list[int]:
    """The tokens of the pair's names."""
    return [model.tokenizer.encode(f" {name}", add_special=False)[0] for name in ("Lucy", "Lily")]


@pytest.fixture(scope="module")
def heads(model: thimble.Model, answers: list[int]) -> list[tuple[int, int]]:
    """Every head, the one that carries the pair's name over first."""
    grid = lens.patch_grid(
        model, PAIR[0], PAIR[1], answers[0], against=answers[1], site="attn.hook_z"
    ).values
    cells = [(layer, head) for layer, row in enumerate(grid) for head in range(len(row))]
    return sorted(cells, key=lambda at: -grid[at[0]][at[1]])


@pytest.fixture(scope="module")
def felt(model: thimble.Model, heads: list[tuple[int, int]]) -> tuple[int, int]:
    """A head without which Write writes something else."""
    before = told(model)
    return next(head for head in heads if told(model, lens.ablate_heads(model, [head])) != before)


def told(model: thimble.Model, hooks: Hooks = (), prompt: str = PAIR[0]) -> str:
    """What a model goes on with natively, greedily."""
    params = thimble.SamplingParams(temperature=0, max_tokens=LENGTH)
    session = model.hooked(hooks).session()
    try:
        return "".join(piece.text for piece in session.generate(prompt, params))
    finally:
        session.close()


def expected(model: thimble.Model, hooks: Hooks = ()) -> list[float]:
    """The probability of every token after the pair's first prompt, natively."""
    return list(softmax(model.run_with_hooks(PAIR[0], list(hooks))[-1]))


def open_view(page: Page, view: str) -> None:
    page.goto(f"/#panel=lens&view={view}")
    expect(page.locator(f"#lens-{view}")).to_be_visible()
    expect(page.locator("#lens-tokens .token").first).to_be_visible()  # the field has its text
    expect(page.locator("#lens-outcome")).to_have_text("")


def add_head(page: Page, head: tuple[int, int]) -> None:
    page.locator("#change-layer").fill(str(head[0]))
    page.locator("#change-unit").fill(str(head[1]))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#change-list li")).to_have_count(1)


def look(page: Page, text: str) -> None:
    """Look into a text in the view that is open."""
    page.locator("#lens-text").fill(text)
    page.locator("#lens-go").click()
    expect(page.locator("#lens-tokens .token-list")).to_have_text(text, use_inner_text=False)


def compared(page: Page) -> dict[str, tuple[float, ...]]:
    """What is shown to come next, by token: percent before and, where there is a change, after."""
    rows: list[list[str]] = page.locator("#change-next tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
    )
    number = {label: [cell.removeprefix("under ") for cell in cells] for label, *cells in rows}
    return {
        label: tuple(float(cell.split()[0]) for cell in found) for label, found in number.items()
    }


def agrees(page: Page, model: thimble.Model, hooks: Hooks) -> None:
    """What is shown is what the model says natively, without hooks and with them."""
    expect(page.locator("#change-next thead th")).to_have_count(3)
    before, after = expected(model), expected(model, hooks)
    found = compared(page)
    texts = [model.tokenizer.token_bytes(i).decode("utf-8", "replace") for i in range(len(before))]
    names = {f"“{text.replace(' ', '␣')}”": i for i, text in reversed(list(enumerate(texts)))}
    best = max(range(len(after)), key=after.__getitem__)
    assert f"“{texts[best].replace(' ', '␣')}”" in found
    for label, numbers in found.items():
        wanted = [100 * side[names[label]] for side in (before, after)]
        assert numbers == pytest.approx(wanted, abs=0.06)
    assert before != after


def write(page: Page, prompt: str = PAIR[0]) -> str:
    """What Write makes of a prompt, greedily."""
    values = {"panel": "write", "prompt": prompt, "temperature": "0", "max_tokens": str(LENGTH)}
    page.goto("/#" + "&".join(f"{name}={value}" for name, value in values.items()))
    page.locator("#write").click()
    return finish(page)


def test_a_head_that_is_off_is_felt_in_every_panel_until_it_is_on_again(
    changer: Page, model: thimble.Model, felt: tuple[int, int]
) -> None:
    page = changer
    off = lens.ablate_heads(model, [felt])
    assert write(page) == told(model)
    open_view(page, "change")
    look(page, PAIR[0])
    expect(page.locator("#change-next thead th")).to_have_count(2)
    add_head(page, felt)
    agrees(page, model, off)
    expect(page.locator("#change-next-words")).to_contain_text("bits of KL divergence")
    assert not violations(page, "[data-panel=lens]")

    assert write(page) == told(model, off) != told(model)
    for panel in ("write", "step", "read"):
        page.goto(f"/#panel={panel}")
        words = page.locator(f"[data-panel={panel}] [data-changes-words]")
        expect(words).to_have_text(
            f"Changes inside the model: layer {felt[0]}, head {felt[1]} off."
        )
    assert page.locator("[data-panel=ensemble] [data-changes-words]").text_content()
    page.goto("/#panel=write")
    page.locator("#copy-link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert f"change=head%3A{felt[0]}%3A{felt[1]}%3Azero" in link

    page.locator("[data-panel=write] [data-changes]").get_by_role("button").click()
    expect(page.locator("[data-panel=write] [data-changes]")).to_be_hidden()
    assert write(page) == told(model)
    open_view(page, "change")
    remove(page)


def remove(page: Page) -> None:
    """Take the only change out of the list."""
    page.get_by_role("button", name=re.compile("^Remove")).click()
    expect(page.locator("#change-list li")).to_have_count(0)
    expect(page.locator("#change-none")).to_be_visible()


def test_a_direction_from_two_texts_steers_what_is_written(
    changer: Page, model: thimble.Model
) -> None:
    page, layer = changer, model.config.n_layers // 2
    direction = lens.steering_vector(model, OTHER, AWAY, layer=layer)
    steered = {
        strength: lens.steer(model, direction, layer=layer, strength=strength)
        for strength in (2.0, 4.0, 8.0, 30.0)
    }
    strength = next(s for s, hooks in steered.items() if told(model, hooks) != told(model))
    open_view(page, "change")
    look(page, PAIR[0])
    page.locator("#change-kind").select_option("steer")
    page.locator("#change-layer").fill(str(layer))
    page.locator("#change-factor").fill(str(strength))
    page.locator("#change-towards").fill(OTHER)
    page.locator("#change-away").fill(AWAY)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#change-list li")).to_contain_text(f"steered {strength:g} times")
    agrees(page, model, steered[strength])
    assert write(page) == told(model, steered[strength])
    # It is taken off where it is shown; switched off it stays in the list.
    open_view(page, "change")
    page.locator("#change-list").get_by_role("switch").uncheck()
    expect(page.locator("#change-next thead th")).to_have_count(2)
    assert write(page) == told(model)
    open_view(page, "change")
    remove(page)


def test_values_of_another_text_take_the_place_of_these(
    changer: Page, model: thimble.Model
) -> None:
    page, name = changer, "blocks.0.hook_resid_pre"
    _, cache = model.run_with_cache(OTHER, name, last_only=True)
    patched = lens.patch(model, cache, name)
    open_view(page, "change")
    look(page, PAIR[0])
    page.locator("#change-kind").select_option("patch")
    page.locator("#change-layer").fill("0")
    page.locator("#change-unit").fill("")
    page.locator("#change-towards").fill(OTHER)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#change-list li")).to_contain_text("What layer 0 is given, taken from")
    agrees(page, model, patched)
    assert write(page) == told(model, patched) != told(model)
    open_view(page, "change")
    remove(page)


def bits(page: Page) -> str:
    """Of the logits after the prompt's next token, as Step tells them."""
    page.goto("/#panel=step")
    page.locator("#step-prompt").fill(PAIR[0])
    page.locator("#step-begin").click()
    tokens = page.locator("#step-view .token:not(.given)")
    expect(tokens).to_have_count(0)
    page.locator("#step-step").click()
    expect(tokens).to_have_count(1)
    found = page.locator("#step-bits")
    expect(found).to_have_text(re.compile("^logits [0-9a-f]{8}$"))
    return found.inner_text()


def test_changing_nothing_changes_no_bit(changer: Page, felt: tuple[int, int]) -> None:
    """A part times 1 and a direction 0 times stand in the model, and the logits are the same."""
    page = changer
    before = bits(page)
    nothing = ["head:0:1:scale", "mlp:1::scale", "steer:1::zero:0:sad:happy"]
    page.goto("/#panel=lens&view=change&" + "&".join(f"change={one}" for one in nothing))
    expect(page.locator("#change-list li")).to_have_count(3)
    look(page, PAIR[0])
    expect(page.locator("#change-next-words")).to_contain_text(": 0.000 bits of KL divergence")
    assert all(was == now for was, now in compared(page).values())
    assert bits(page) == before
    page.goto(f"/#panel=lens&view=change&change=head:{felt[0]}:{felt[1]}:zero")
    expect(page.locator("#change-list li")).to_have_count(1)
    assert bits(page) != before
    open_view(page, "change")
    remove(page)


def test_a_link_brings_its_changes(changer: Page) -> None:
    page = changer.context.new_page()
    page.goto("/#panel=write&change=head:3:1:zero&change=-mlp:0::mean")
    words = page.locator("[data-panel=write] [data-changes-words]")
    expect(words).to_have_text(re.compile(r"layer 3, head 1 off\.$"))
    page.goto("/#panel=write&change=heart:1")
    expect(page.locator("[data-panel=write] [data-changes-words]")).to_contain_text("head")
    open_view(page, "change")
    expect(page.locator("#change-notice-words")).to_contain_text("“heart:1” is none of head, mlp")
    expect(page.locator("#change-list li")).to_have_count(2)
    page.close()


def test_a_link_may_bring_another_model_and_its_changes_at_once(changer: Page) -> None:
    """Each model has a list of its own, whichever was open when the link came."""
    page = changer.context.new_page()
    page.goto("/#panel=write&change=head:1:1:zero")
    words = page.locator("[data-panel=write] [data-changes-words]")
    expect(words).to_have_text(re.compile(r"layer 1, head 1 off\.$"))
    for layer in (2, 3):
        for name in ("story-small", "story"):
            model = f"model={name}&change=head:{layer}:0:zero"
            page.evaluate("(link) => { location.hash = link; }", f"panel=write&{model}")
            expect(page.locator("#model")).to_have_value(name)
            expect(words).to_have_text(re.compile(rf"layer {layer}, head 0 off\.$"))
    page.close()


def test_what_the_model_does_not_have_is_refused(changer: Page) -> None:
    open_view(changer, "change")
    changer.locator("#change-layer").fill("77")
    changer.get_by_role("button", name="Add", exact=True).click()
    expect(changer.locator("#change-notice-words")).to_contain_text("There is no layer 77")


def test_heads_are_ranked_and_a_ranking_is_cancelled(changer: Page, model: thimble.Model) -> None:
    open_view(changer, "change")
    changer.locator("#rank-start").click()
    changer.locator("#effect-cancel").click()
    expect(changer.locator("#effect-words")).to_have_text("Cancelled.")
    expect(changer.locator("#rank-found")).to_be_hidden()
    changer.get_by_text("The texts", exact=True).click()
    changer.locator("#effect-text").fill(SHORT)
    changer.locator("#rank-start").click()
    expect(changer.locator("#rank-found")).to_be_visible()
    best = lens.rank_heads(model, SHORT.splitlines()).heads[0]
    row = changer.locator("#rank-bars tbody tr").first
    expect(row.locator("th")).to_have_text(f"Layer {best.layer}, head {best.head}")
    expect(row.locator("td")).to_contain_text(f"{best.change:+.4f}".replace("-", "−"))
    changer.get_by_role("button", name="Estimate the ranking").click()
    expect(changer.locator("#rank-words")).to_contain_text("estimated by gradients")
    best = lens.attribution_ranking(model, SHORT.splitlines()).heads[0]
    expect(row.locator("th")).to_have_text(f"Layer {best.layer}, head {best.head}")
    expect(row.locator("td")).to_contain_text(f"{best.change:+.4f}".replace("-", "−"))


def test_patterns_are_the_lens_s_and_go_into_the_report(
    changer: Page, model: thimble.Model, heads: list[tuple[int, int]]
) -> None:
    open_view(changer, "probes")
    changer.locator("#probe-start").click()
    expect(changer.locator("#probe-maps table")).to_have_count(3)
    layer, head, score = lens.detect_heads(model).best("previous_token")
    best = f"previous token layer {layer}, head {head} with {score:.2f}"
    expect(changer.locator("#probe-words")).to_contain_text(best)
    changer.locator("#grid-answer").fill("Lucy")
    changer.locator("#grid-against").fill("Lily")
    changer.locator("#grid-start").click()
    expect(changer.locator("#grid-words")).to_contain_text("“␣Lucy” leads “␣Lily”")
    expect(changer.locator("#grid-words")).to_contain_text(
        f"layer {heads[0][0]}, head {heads[0][1]}"
    )
    changer.locator("#grid-how").select_option("estimate")
    changer.locator("#grid-start").click()
    expect(changer.locator("#grid-words")).to_contain_text("as gradients estimate")
    expect(changer.locator("#grid-words")).to_contain_text(
        f"layer {heads[0][0]}, head {heads[0][1]}"
    )
    assert not violations(changer, "[data-panel=lens]")
    with changer.expect_download() as saved:
        changer.get_by_role("button", name="Download JSON").click()
    report = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert report["probes"]["previous_token"][layer][head] == pytest.approx(score)
    assert report["grid"]["answer"] == " Lucy"
    changer.get_by_role("button", name="Copy as text").click()
    expect(changer.locator("#report-words")).to_have_text("Report copied.")
    assert f"L{layer}H{head}  {score:.3f}" in changer.evaluate("navigator.clipboard.readText()")


def test_a_step_of_the_tour_is_measured_after_a_guess(
    changer: Page, model: thimble.Model, heads: list[tuple[int, int]]
) -> None:
    copier = heads[0]
    changer.set_viewport_size({"width": 360, "height": 740})
    open_view(changer, "tour")
    expect(changer.locator("#tour-place")).to_have_text("Experiment 1 of 7")
    for _ in range(2):
        changer.get_by_role("button", name="Next").click()
    step = changer.locator("[data-step=copies]")
    run = step.get_by_role("button", name="Run the experiment")
    expect(run).to_be_disabled()
    step.get_by_role("radio").first.check()
    run.click()
    expect(changer.locator("#tour-words")).to_contain_text(f"layer {copier[0]}, head {copier[1]}")
    third = step.locator(".tour-choice").nth(3 * copier[0] // model.config.n_layers)
    expect(third).to_have_class(re.compile("right"))
    assert not violations(changer, "[data-panel=lens]")
    assert too_wide(changer) == []
    changer.set_viewport_size({"width": 1280, "height": 720})


def test_an_ensemble_writes_with_a_change_in_one_member(changer: Page) -> None:
    """The live session's model is the one that is changed, and a member beside another."""
    page, names = changer, ("member-1", "member-2")
    loaded = [thimble.load(ROOT / "web" / "models" / f"{name}.gguf") for name in names]
    page.goto(f"/#panel=write&model={names[0]}&prompt=Once")
    expect(page.locator("#m-context")).to_have_text(f"0 / {loaded[0].config.n_ctx}")
    page.goto(f"/#panel=write&model={names[0]}&prompt=Once&change=mlp:0::zero")
    expect(page.locator("[data-panel=write] [data-changes-words]")).to_have_text(
        "Changes inside the model: layer 0, the whole MLP off."
    )
    page.goto("/#panel=ensemble")
    expect(page.locator("#ensemble-loaded")).not_to_have_text("Waiting for the page’s script")
    for box in page.locator("#ensemble-picks input").all():
        box.set_checked(box.input_value() in names)
    page.get_by_role("button", name="Load 2 models").click()
    expect(page.locator("#ensemble-desk")).to_be_visible()
    page.locator("#ensemble-prompt").fill(PAIR[0])
    page.locator("#ensemble-temperature").fill("0")
    page.locator("#ensemble-length").fill(str(LENGTH))
    off = loaded[0].hooked(lens.ablate_mlps(loaded[0], [0]))
    wanted = [told_together(first, loaded[1]) for first in (off, loaded[0])]
    assert wanted[0] != wanted[1]
    text = page.locator("#ensemble-view .token-list")
    page.locator("#ensemble-prompt").press("Control+Enter")
    expect(text).to_have_text(wanted[0], use_inner_text=False)
    changes = page.locator(f"{ENSEMBLE} [data-changes]")
    changes.get_by_role("button").click()
    expect(changes).to_be_hidden()
    page.locator("#ensemble-prompt").press("Control+Enter")
    expect(text).to_have_text(wanted[1], use_inner_text=False)
    for model in loaded:
        model.close()


def told_together(*models: thimble.Model) -> str:
    """What an ensemble goes on with natively, greedily."""
    params = thimble.SamplingParams(temperature=0, max_tokens=LENGTH)
    session = thimble.Ensemble(models).session()
    try:
        return "".join(piece.text for piece in session.generate(PAIR[0], params))
    finally:
        session.close()
