"""The page, as a visitor uses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import kill_engine, resting, too_wide, violations

# Press Write and tell which buttons there are then, before anything can have come of it.
PRESS_WRITE = """async () => {
  document.getElementById("write").click();
  await new Promise((next) => setTimeout(next));
  return ["write", "stop"].filter((id) => !document.getElementById(id).hidden);
}"""

# Keep what the page says of its stages, each of which may be over before a test looks.
KEEP_STAGES = """document.addEventListener("DOMContentLoaded", () => {
  const stage = document.getElementById("stage");
  globalThis.stages = [stage.textContent];
  new MutationObserver(() => globalThis.stages.push(stage.textContent))
    .observe(stage, { childList: true, characterData: true, subtree: true });
});"""


@pytest.fixture(scope="module")
def open_page(visit: Page) -> Page:
    """One page with its engine for all tests that need no fresh one."""
    open_ready(visit)
    return visit


@pytest.fixture
def desk(open_page: Page) -> Page:
    """The open page with its form as at first."""
    open_page.keyboard.press("Escape")
    expect(open_page.get_by_role("button", name="Write")).to_be_visible()
    if open_page.locator("#settings").is_visible():
        open_page.get_by_role("button", name="Settings").click()
    open_page.evaluate("() => document.getElementById('desk').reset()")
    return open_page


def open_ready(page: Page, address: str = "/") -> None:
    page.goto(address)
    expect(page.locator("#metrics")).to_be_visible()


def written(page: Page) -> str:
    return page.locator("#written").text_content() or ""


def finish(page: Page) -> str:
    """Wait until the model has finished; what it wrote."""
    expect(page.locator("#outcome")).to_contain_text(re.compile("token"))
    return written(page)


def set_number(page: Page, name: str, value: object) -> None:
    if not page.locator("#settings").is_visible():
        page.get_by_role("button", name="Settings").click()
    page.locator(f"#{name}").fill(str(value))


@pytest.mark.parametrize(
    ("named", "title"),
    [
        ("play", "Write"), ("chat", "Talk"), ("debug", "Step"), ("ledger", "Claims"),
        ("storage", "This machine"), ("lens", "Lens"), ("nonsense", "Write"),
    ],
)  # fmt: skip
def test_an_address_opens_its_panel_by_what_it_was_called_too(
    open_page: Page, named: str, title: str
) -> None:
    open_page.evaluate("(panel) => { location.hash = `panel=${panel}`; }", named)
    link = open_page.locator("nav").get_by_role("link", name=title, exact=True)
    expect(link).to_have_attribute("aria-current", "page")


def test_a_visitor_sees_text_stops_it_and_has_it_again(
    page: Page, context: BrowserContext, server: str
) -> None:
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    open_ready(page)
    with resting(page):
        page.get_by_role("button", name="Write").click()
        expect(page.locator("#written")).not_to_be_empty()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#outcome")).to_contain_text("Stopped after")
    beginning = written(page)
    assert beginning

    page.get_by_role("button", name="Regenerate").click()
    whole = finish(page)
    assert whole.startswith(beginning)
    assert len(whole) > len(beginning)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("#written")).to_have_text(whole, use_inner_text=False)

    hosts = {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(server).netloc}
    # The worker's requests were seen too.
    assert [url for url in requests if url.endswith(".gguf")]
    assert [url for url in requests if url.endswith(".wasm")]


def test_writing_again_tells_another_story(desk: Page) -> None:
    desk.get_by_role("button", name="Write").click()
    first = finish(desk)
    seed = desk.locator("#seed").input_value()
    desk.get_by_role("button", name="Write").click()
    expect(desk.locator("#seed")).not_to_have_value(seed)
    assert finish(desk) != first


def test_pressing_write_while_the_model_loads_writes_when_it_is_there(page: Page) -> None:
    page.goto("/", wait_until="domcontentloaded")
    expect(page.get_by_role("button", name="Write")).to_be_enabled()
    assert page.evaluate(PRESS_WRITE) == ["stop"]
    assert finish(page)


def test_the_way_to_ready_is_told_in_bytes_and_stages(page: Page) -> None:
    page.add_init_script(KEEP_STAGES)
    page.goto("/")
    expect(page.locator("#bytes")).to_contain_text(re.compile(r"[\d.]+ of [\d.]+ MB"))
    expect(page.locator("#metrics")).to_be_visible()
    # Model and Python come side by side: which of them is waited for is a matter of their speed.
    stages = {*page.evaluate("() => stages")}
    assert stages & {"Downloading", "Starting Python", "Loading the model"}
    expect(page.locator("#m-context")).to_contain_text("0 / ")


def test_continue_goes_on_as_a_longer_text_would_have(desk: Page) -> None:
    set_number(desk, "max_tokens", 30)
    desk.get_by_role("button", name="Write").click()
    expect(desk.locator("#outcome")).to_contain_text("30 tokens, and the text can continue")
    half = written(desk)
    desk.get_by_role("button", name="Continue").click()
    expect(desk.locator("#written")).not_to_have_text(half, use_inner_text=False)
    expect(desk.locator("#outcome")).to_contain_text("30 tokens, and the text can continue")
    continued = written(desk)
    assert continued.startswith(half)

    # The draws depend on seed and position only, so one run of 60 gives the same text.
    set_number(desk, "max_tokens", 60)
    desk.get_by_role("button", name="Write").click()
    expect(desk.locator("#outcome")).to_contain_text("60 tokens")
    assert written(desk) == continued


def test_arabic_stands_on_the_right(desk: Page) -> None:
    desk.locator("#prompt").fill("كان يا ما كان")
    desk.get_by_role("button", name="Write").click()
    finish(desk)
    ways = "(element) => getComputedStyle(element).direction"
    assert [desk.locator(id).evaluate(ways) for id in ("#prompt", "#story")] == ["rtl", "rtl"]
    desk.locator("#prompt").fill("Once")
    assert desk.locator("#prompt").evaluate(ways) == "ltr"


def test_measures_are_shown(desk: Page) -> None:
    desk.get_by_role("button", name="Write").click()
    finish(desk)
    assert int(desk.locator("#m-tokens").inner_text().replace(",", "")) > 0
    assert float(desk.locator("#m-speed").inner_text().replace(",", "")) > 0
    assert re.fullmatch(r"[\d.,]+ m?s", desk.locator("#m-first").inner_text())
    assert re.fullmatch(r"[\d,]+ / [\d,]+", desk.locator("#m-context").inner_text())


def test_a_link_restores_everything_and_runs_nothing(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_ready(page)
    page.locator("#prompt").fill("The cat & the dog\nwent #1 out")
    set_number(page, "temperature", 0.7)
    set_number(page, "max_tokens", 25)
    set_number(page, "seed", 4242)
    page.get_by_role("button", name="Write").click()
    text = finish(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#announce")).to_have_text("Copied")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert "?" not in link  # a fragment: no server ever sees it

    other = context.new_page()
    open_ready(other, link)
    assert other.locator("#prompt").input_value() == "The cat & the dog\nwent #1 out"
    for name, value in (("temperature", "0.7"), ("max_tokens", "25"), ("seed", "4242")):
        assert other.locator(f"#{name}").input_value() == value
    assert written(other) == ""
    other.get_by_role("button", name="Write").click()
    assert finish(other) == text


def test_a_link_with_nonsense_says_so_and_the_page_works(page: Page) -> None:
    open_ready(page, "/#prompt=Hi&temperature=hot&seed=-3&model=none&panel=&x=%E0%A4%A")
    expect(page.locator("#outcome")).to_contain_text("seed -3")
    expect(page.locator("#outcome")).to_contain_text('no model "none"')
    assert page.locator("#temperature").input_value() == "0.8"
    page.get_by_role("button", name="Write").click()
    assert finish(page)


def test_a_link_cannot_bring_markup_in(desk: Page) -> None:
    open_ready(desk, "/#prompt=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&max_tokens=5")
    desk.get_by_role("button", name="Write").click()
    finish(desk)
    assert desk.locator("#text img").count() == 0
    assert "<img" in (desk.locator("#given").text_content() or "")


def test_text_and_link_can_be_copied(desk: Page) -> None:
    desk.get_by_role("button", name="Write").click()
    text = finish(desk)
    desk.get_by_role("button", name="Copy text").click()
    expect(desk.locator("#announce")).to_have_text("Copied")
    assert desk.evaluate("() => navigator.clipboard.readText()") == "Once upon a time" + text


def test_the_keyboard_is_enough(page: Page) -> None:
    open_ready(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the prompt")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab") if not page.locator("#prompt:focus").count() else None
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("A dog")
    page.keyboard.press("Control+Enter")
    assert finish(page)
    assert page.locator("#given").text_content() == "A dog"

    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Write")).to_be_focused()
    with resting(page):
        page.keyboard.press("Enter")
        expect(page.locator("#written")).not_to_be_empty()
        expect(page.get_by_role("button", name="Stop")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#outcome")).to_contain_text("Stopped after")
    expect(page.get_by_role("button", name="Write")).to_be_focused()


def test_a_screen_reader_hears_when_it_begins_and_ends_and_not_every_token(desk: Page) -> None:
    desk.evaluate("""() => {
      window.heard = [];
      const region = document.getElementById("announce");
      new MutationObserver(() => window.heard.push(region.textContent))
        .observe(region, { childList: true, characterData: true, subtree: true });
    }""")
    desk.get_by_role("button", name="Write").click()
    finish(desk)
    heard = desk.evaluate("() => window.heard")
    assert heard[0] == "Writing."
    assert "token" in heard[-1]
    assert len(heard) <= 4


def test_a_prompt_longer_than_the_context_is_refused_readably(desk: Page) -> None:
    desk.get_by_role("button", name="Write").click()
    before = finish(desk)
    desk.locator("#prompt").fill("a word and another " * 4000)
    desk.get_by_role("button", name="Write").click()
    expect(desk.get_by_role("alert")).to_contain_text(re.compile(r"[\d,]+ tokens.*context holds"))
    assert written(desk) == before  # what was there stays
    desk.locator("#prompt").fill("A bird")
    desk.get_by_role("button", name="Write").click()
    assert finish(desk)
    expect(desk.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", "-1", "temperature"),
        ("top_p", "1.5", "top_p"),
        ("max_tokens", "2.5", "max_tokens"),
        ("seed", "-7", "seed"),
    ],
)
def test_a_setting_out_of_range_is_refused_readably(
    desk: Page, name: str, value: str, words: str
) -> None:
    set_number(desk, name, value)
    desk.get_by_role("button", name="Write").click()
    expect(desk.get_by_role("alert")).to_contain_text(re.compile(words, re.IGNORECASE))
    expect(desk.get_by_role("alert")).to_contain_text(value)
    expect(desk.get_by_role("button", name="Write")).to_be_enabled()


def truncated(body: bytes) -> bytes:
    return body[: len(body) // 2]


def flipped(body: bytes) -> bytes:
    at = len(body) - len(body) // 4
    return body[:at] + bytes(byte ^ 0x55 for byte in body[at : at + 64]) + body[at + 64 :]


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_a_damaged_model_is_refused_and_can_be_loaded_again(
    page: Page, damage: Callable[[bytes], bytes]
) -> None:
    def spoil(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=damage(response.body()))

    page.route("**/*.gguf", spoil)
    page.goto("/")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    assert re.search(r"\d", alert.inner_text()) or "GGUF" in alert.inner_text()
    page.unroute("**/*.gguf")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#metrics")).to_be_visible()
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Write").click()
    assert finish(page)


def test_a_model_that_does_not_come_is_told(page: Page) -> None:
    page.route("**/*.gguf", lambda route: route.fulfill(status=404))
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("404")


def test_a_model_cut_off_by_the_network_is_told(page: Page) -> None:
    page.route("**/*.gguf", lambda route: route.abort("connectionreset"))
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("check the connection")


def test_an_engine_that_dies_is_replaced(page: Page) -> None:
    open_ready(page)
    page.get_by_role("button", name="Write").click()
    text = finish(page)
    kill_engine(page)
    page.get_by_role("button", name="Regenerate").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("engine died")
    assert written(page) == text  # what was there stays
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Regenerate")).to_be_enabled()
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Regenerate").click()
    assert finish(page) == text


def test_nothing_jumps_while_the_model_writes(desk: Page) -> None:
    desk.get_by_role("button", name="Write").click()
    finish(desk)  # an earlier test's message is gone, which may move things
    # What stands below the text moves down as it grows, and the caret along it; nothing else moves.
    desk.evaluate("""() => {
      window.moved = [];
      new PerformanceObserver((list) => {
        const nodes = list.getEntries().flatMap((entry) => entry.sources.map(({ node }) => node));
        for (const node of nodes) {
          const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
          if (!element?.closest(".colophon, .foot, #caret")) window.moved.push(String(element?.id));
        }
      }).observe({ type: "layout-shift" });
    }""")
    # On the page, not in the window: pressing a button may scroll to it.
    place = "() => document.getElementById('toolbar').getBoundingClientRect().top + scrollY"
    places = []
    for _ in range(2):
        places.append(desk.evaluate(place))
        desk.get_by_role("button", name="Write").click()
        finish(desk)
    places.append(desk.evaluate(place))
    assert places[0] == places[1] == places[2]
    assert desk.evaluate("() => window.moved") == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_fits_its_width(desk: Page, width: int) -> None:
    desk.set_viewport_size({"width": width, "height": 740})
    desk.get_by_role("button", name="Settings").click()
    desk.get_by_role("button", name="Write").click()
    finish(desk)
    assert too_wide(desk) == []
    outside = desk.evaluate("""() => [...document.querySelectorAll("button, input, select, dd")]
      .filter((one) => one.checkVisibility())
      .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
      .map((one) => one.id)""")
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violations(page: Page, scheme: str) -> None:
    # Colours at rest: half-way from one to another they are neither.
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    page.goto("/")
    assert violations(page) == []  # loading
    expect(page.locator("#metrics")).to_be_visible()
    page.get_by_role("button", name="Settings").click()
    set_number(page, "temperature", "-1")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []  # failed
    set_number(page, "temperature", "0.8")
    page.get_by_role("button", name="Write").click()
    finish(page)
    assert violations(page) == []  # written


def test_the_theme_is_kept_on_this_machine(page: Page) -> None:
    page.goto("/")
    button = page.get_by_role("button", name="Theme: Auto")
    button.click()
    page.get_by_role("button", name="Theme: Light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_nothing_is_said_on_the_console(page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    open_ready(page)
    page.get_by_role("button", name="Write").click()
    finish(page)
    assert said == []
