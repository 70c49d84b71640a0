"""The Python panel, as a visitor uses it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.browser.conftest import new_visitor, violations

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
ENDLESS = "n = 0\nwhile True:\n    n += 1"
DEEP = '"not " * 20_000 + "1"'
"""An expression that a page's stack is too short for."""


class Panel:
    """What a visitor does in the panel."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.editor: Locator = page.get_by_role("textbox", name="Python code")
        self.log: Locator = page.get_by_role("log")
        self.outcome: Locator = page.locator("#python-outcome")

    def open(self, address: str = "/#panel=python") -> None:
        self.page.goto(address)
        expect(self.page.locator("#python-version")).to_contain_text("Python 3.14")

    def show(self, title: str) -> None:
        self.page.get_by_role("link", name=title, exact=True).click()

    def put(self, code: str) -> None:
        """Replace what stands in the editor."""
        self.editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(code)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def run(self, code: str | None = None) -> Locator:
        """Run code to its end; what the log says of it."""
        if code is not None:
            self.put(code)
        runs = self.log.locator(".run").count()
        self.press("Run")
        return self.ran(runs)

    def ran(self, runs: int) -> Locator:
        expect(self.log.locator(".run")).to_have_count(runs + 1)
        expect(self.page.locator("#python-run")).to_be_visible()
        return self.log.locator(".run").last

    def text(self) -> str:
        lines = self.editor.locator(".cm-line").all_text_contents()
        return "\n".join(lines)


def new_panel(context: BrowserContext, address: str = "/#panel=python") -> Panel:
    page = context.new_page()
    page.add_init_script(WATCH)
    panel = Panel(page)
    panel.open(address)
    return panel


@pytest.fixture(scope="module")
def one(visitor: BrowserContext) -> Panel:
    """One page with its engine for all tests that need no fresh one."""
    return new_panel(visitor)


@pytest.fixture
def panel(one: Panel) -> Panel:
    one.show("Python")
    one.press("Clear")
    return one


def without_isolation(route: Route) -> None:
    """The page as a host without the two headers gives it: no memory can be shared."""
    answer = route.fetch()
    dropped = ("cross-origin-opener-policy", "cross-origin-embedder-policy")
    headers = {name: value for name, value in answer.headers.items() if name not in dropped}
    route.fulfill(response=answer, headers=headers)


def test_a_visitor_types_and_has_an_answer(panel: Panel) -> None:
    panel.put("6 * 7")
    panel.page.keyboard.press("Enter")
    expect(panel.ran(0)).to_contain_text("42")
    expect(panel.editor).to_have_text("")

    # Enter goes on where Python would; all of it then runs by Control and Enter, and stays.
    panel.page.keyboard.type("for i in range(2):")
    panel.page.keyboard.press("Enter")
    panel.page.keyboard.type("print(i * 11)")
    assert panel.text() == "for i in range(2):\n    print(i * 11)"
    panel.page.keyboard.press("Control+Enter")
    expect(panel.ran(1).locator(".out")).to_have_text("0\n11\n", use_inner_text=False)
    assert panel.text().startswith("for i in range(2):")

    # The arrow at the first line brings what ran before; what stood there comes back.
    panel.put("draft")
    panel.page.keyboard.press("ArrowUp")
    panel.page.keyboard.press("Control+Home")
    panel.page.keyboard.press("ArrowUp")
    assert panel.text() == "6 * 7"
    for _ in range(4):
        panel.page.keyboard.press("ArrowDown")
    assert panel.text() == "draft"


def test_errors_have_the_visitors_lines(panel: Panel) -> None:
    run = panel.run("def f(n):\n    return 1 / n\n\nf(0)")
    expect(run.locator(".trace")).to_contain_text("    return 1 / n")
    expect(run.locator(".trace")).to_contain_text("ZeroDivisionError: division by zero")
    expect(panel.outcome).to_contain_text("An error")


def test_code_that_is_too_deep_is_an_error_and_nothing_is_lost(panel: Panel) -> None:
    panel.run("kept = 7")
    run = panel.run(eval(DEEP))
    expect(run.locator(".trace")).to_contain_text("SyntaxError: more than 1,000 operators within")
    expect(panel.run("kept").locator(".value")).to_have_text("7")


def test_completion_comes_from_the_live_objects(panel: Panel) -> None:
    panel.run("class Boat:\n    oars = 2\nmine = Boat()")
    panel.put("")
    panel.page.keyboard.type("mine.oa")
    options = panel.page.get_by_role("option")
    expect(options).to_have_text(["oars"])
    panel.page.wait_for_timeout(100)  # CodeMirror takes no key for a choice sooner
    panel.page.keyboard.press("Enter")
    assert panel.text() == "mine.oars"
    panel.page.keyboard.press("Enter")
    expect(panel.ran(1).locator(".value")).to_have_text("2")


def test_output_comes_while_the_code_runs(panel: Panel) -> None:
    panel.put("print('begun')\nwhile True: pass")
    panel.page.keyboard.press("Control+Enter")
    expect(panel.log.locator(".out")).to_have_text("begun")
    panel.editor.click()
    panel.page.keyboard.press("Control+c")
    expect(panel.outcome).to_contain_text("Stopped, after")
    expect(panel.log.locator(".run").last).to_contain_text("Stopped.")


def test_long_output_is_cut_and_the_page_lives(panel: Panel) -> None:
    run = panel.run("for i in range(30_000): print('line', i, 'x' * 80)")
    expect(run).to_contain_text(re.compile(r"[\d,]+ more characters are not shown"))
    assert len(run.text_content() or "") < 110_000


def test_an_endless_loop_is_interrupted_and_the_names_stay(panel: Panel) -> None:
    assert panel.page.evaluate("() => crossOriginIsolated")
    panel.run("kept = 'still here'")
    panel.put(ENDLESS)
    panel.press("Run")
    expect(panel.page.get_by_role("button", name="Stop", exact=True)).to_be_focused()
    panel.press("Stop")
    expect(panel.outcome).to_contain_text("Stopped, after")
    expect(panel.page.get_by_role("button", name="Run", exact=True)).to_be_focused()
    expect(panel.run("kept, n > 0").locator(".value")).to_have_text("('still here', True)")


def test_an_example_that_plots_shows_a_picture(panel: Panel) -> None:
    panel.press("Entropy plot How sure the model is, as a chart.")
    image = panel.run().get_by_role("img")
    expect(image).to_have_attribute("alt", re.compile("Bar chart .*: 40 values from"))
    assert (image.get_attribute("src") or "").startswith("data:image/svg+xml;base64,")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 640


def test_scripts_in_a_picture_do_not_run(panel: Panel) -> None:
    panel.run("""
class Evil:
    def _repr_svg_(self):
        return '''<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="bad=1">
        <script>top.bad = 1</script><image href="/favicon.ico"/></svg>'''
    def _repr_html_(self):
        return "<img src=x onerror='bad=1'>"
Evil()
print("<b>markup</b>")""")
    run = panel.log.locator(".run").last
    expect(run.locator(".out")).to_have_text("<b>markup</b>")
    panel.run("Evil()")
    expect(panel.log.get_by_role("img")).to_have_count(1)
    assert panel.page.evaluate("() => window.bad") is None
    assert panel.log.locator("b, script").count() == 0


def test_what_code_does_to_the_session_shows_in_the_other_panels(panel: Panel) -> None:
    page = panel.page
    panel.show("Write")
    page.locator("#prompt").fill("Once upon a time")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("token")
    whole = page.locator("#written").text_content() or ""
    panel.show("Python")
    panel.run(
        "session.rollback(12)\nsession.append(tokenizer.encode(' blue moon', add_special=False))"
    )
    panel.show("Write")
    expect(page.locator("#given")).to_have_text("Once upon a time", use_inner_text=False)
    written = page.locator("#written").text_content() or ""
    assert written.endswith("blue moon")
    assert whole.startswith(written[:10])
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#written")).not_to_have_text(written, use_inner_text=False)
    expect(page.locator("#outcome")).to_contain_text("token")
    assert (page.locator("#written").text_content() or "").startswith(written)


def test_a_sampler_of_the_visitors_own_drives_the_page(panel: Panel) -> None:
    page = panel.page
    panel.run(
        "word = tokenizer.encode(' dog', add_special=False)[-1]\n"
        "def dogs(logits, context):\n    return word\n"
        "thimble.page.sampler = dogs"
    )
    expect(panel.page.locator("[data-panel=python] [data-sampler]")).to_contain_text("dogs")
    panel.show("Write")
    expect(page.locator("[data-panel=write] [data-sampler]")).to_contain_text("dogs")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("the text can continue")
    assert re.fullmatch(r"( ?dog)+", page.locator("#written").text_content() or "")

    page.locator("[data-panel=write]").get_by_role("button", name="Reset the sampler").click()
    expect(page.locator("[data-panel=write] [data-sampler]")).to_be_hidden()
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#written")).not_to_contain_text("dogdog")
    expect(page.locator("#outcome")).to_contain_text("token")


def test_a_sampler_that_fails_pauses_the_text_and_says_where(panel: Panel) -> None:
    page = panel.page
    panel.run(
        "def brittle(logits, context):\n"
        "    if context.position > 9: return 1 / 0\n"
        "    return context.choose(logits)\n"
        "thimble.page.sampler = brittle"
    )
    panel.show("Write")
    page.get_by_role("button", name="Write", exact=True).click()
    alert = page.locator("[data-panel=write]").get_by_role("alert")
    expect(alert).to_contain_text("ZeroDivisionError")
    expect(alert).to_contain_text("line 2, in brittle")
    before = page.locator("#written").text_content() or ""
    assert before
    panel.show("Python")
    trace = panel.log.locator(".trace").last
    expect(trace).to_contain_text("if context.position > 9: return 1 / 0")
    panel.page.locator("[data-panel=python]").get_by_role(
        "button", name="Reset the sampler"
    ).click()
    panel.show("Write")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#outcome")).to_contain_text("token")
    assert (page.locator("#written").text_content() or "").startswith(before)


def test_an_endless_sampler_is_stopped(panel: Panel) -> None:
    page = panel.page
    panel.run(
        "kept = 1\n"
        "def endless(logits, context):\n"
        "    while context.position > 9: pass\n"
        "    return context.choose(logits)\n"
        "thimble.page.sampler = endless"
    )
    panel.show("Write")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#written")).not_to_be_empty()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("Stopped after")
    panel.show("Python")
    expect(panel.run("kept").locator(".value")).to_have_text("1")
    panel.run("thimble.page.sampler = None")
    expect(page.locator("[data-panel=python] [data-sampler]")).to_be_hidden()


def test_every_example_runs_as_it_stands(panel: Panel) -> None:
    for example in panel.page.locator("[data-example]").all():
        name = example.get_attribute("data-example")
        example.click()
        run = panel.run()
        expect(panel.outcome, str(name)).to_contain_text("Done, after")
        assert run.locator(".trace, .err").count() == 0, (name, run.text_content())
        assert run.locator(".out, .value, .picture").count() > 0, name
    panel.run("thimble.page.sampler = None")


def test_the_panel_keeps_to_the_policy_and_to_its_width(panel: Panel) -> None:
    page = panel.page
    panel.press("Entropy plot How sure the model is, as a chart.")
    panel.run()
    panel.run("y = 'a long line ' * 9; y\nprint(y * 3)")
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        overflow = "(e) => e.scrollWidth - e.clientWidth"
        assert page.locator("html").evaluate(overflow) <= 0
    assert page.evaluate("() => window.violations") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violations(panel: Panel, scheme: str) -> None:
    page = panel.page
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    panel.press("Entropy plot How sure the model is, as a chart.")
    panel.run()
    panel.run("thimble.page.sampler = lambda logits, context: 5\n1 / 0")
    panel.put("session.r")
    panel.page.keyboard.press("Control+Space")
    expect(page.get_by_role("option").first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    panel.run("thimble.page.sampler = None")


def test_code_in_a_link_is_shown_and_never_run_by_itself(
    chromium: Browser, server: str, tmp_path: Path
) -> None:
    context = new_visitor(chromium, server)
    code = "print('från länken')\nthimble.page.sampler = lambda logits, context: 3"
    text = base64.urlsafe_b64encode(code.encode()).decode().rstrip("=")
    panel = new_panel(context, f"/#panel=python&code={text}")
    page = panel.page
    expect(page.locator("#python-origin")).to_contain_text("Read it before you press Run")
    assert panel.text() == code
    page.wait_for_timeout(500)
    assert panel.log.locator(".run").count() == 0
    expect(page.locator("[data-panel=python] [data-sampler]")).to_be_hidden()
    expect(panel.run().locator(".out")).to_have_text("från länken")
    expect(page.locator("#python-origin")).to_be_hidden()

    panel.put("x = 'a link of mine'\nx")
    panel.press("Copy link")
    expect(panel.outcome).to_have_text("Link copied.")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert "?" not in link  # a fragment: no server ever sees it
    panel.put("")
    page.evaluate("(link) => { location.href = link }", link)
    expect(panel.editor).to_contain_text("a link of mine")
    assert panel.text() == "x = 'a link of mine'\nx"

    page.evaluate("() => { location.hash = '#panel=python&code=%20nonsense!' }")
    expect(panel.outcome).to_contain_text("cannot be read")
    panel.put("x = '" + "long " * 2000 + "'")
    panel.press("Copy link")
    expect(panel.outcome).to_contain_text("A link can have 8000 characters")

    script = tmp_path / "mine.py"
    script.write_bytes(b"print('from a file')\r\n1 + 1\r\n")
    page.locator("#python-file").set_input_files(script)
    expect(page.locator("#python-origin")).to_contain_text("mine.py")
    assert panel.text() == "print('from a file')\n1 + 1"
    context.close()


def test_numpy_comes_when_it_is_imported_and_not_before(chromium: Browser, server: str) -> None:
    context = new_visitor(chromium, server)
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#metrics")).to_be_visible()
    assert not [url for url in requests if re.search(r"python\.\w+\.js|numpy", url)]
    panel = Panel(page)
    panel.show("Python")
    panel.run("1 + 1")
    assert not [url for url in requests if "numpy" in url]
    run = panel.run("import numpy\nsession.append([1, 2])\nnumpy.asarray(session.logits()).dtype")
    expect(run.locator(".value")).to_have_text("dtype('float32')")
    # The service worker, where it is there already, asks on behalf of the engine.
    assert len({url for url in requests if "numpy" in url}) == 1
    context.close()


@pytest.mark.parametrize("how", ["absent", "damaged"])
def test_without_numpy_the_panel_says_so_and_the_rest_works(
    chromium: Browser, server: str, how: str
) -> None:
    context = new_visitor(chromium, server)

    def absent(route: Route) -> None:
        lock = route.fetch().json()
        del lock["packages"]["numpy"]
        route.fulfill(json=lock)

    if how == "absent":
        context.route("**/pyodide-lock*.json", absent)
    else:
        context.route("**/numpy-*.whl", lambda route: route.fulfill(body=b"no wheel"))
    panel = new_panel(context)
    run = panel.run("import numpy")
    words = "NumPy is not part of this site" if how == "absent" else "could not be loaded"
    expect(run).to_contain_text(words)
    expect(run.locator(".trace")).to_contain_text("ModuleNotFoundError")
    expect(panel.run("1 + 1").locator(".value")).to_have_text("2")
    context.close()


# How a loop is stopped that no interrupt ends.


def endless_where_no_memory_is_shared(context: BrowserContext) -> Panel:
    context.route("**/", without_isolation)
    panel = new_panel(context)
    assert not panel.page.evaluate("() => crossOriginIsolated")
    panel.put(ENDLESS)
    panel.press("Run")
    expect(panel.outcome).to_have_text("Running.")
    panel.press("Stop")
    return panel


def deaf_code(context: BrowserContext) -> Panel:
    panel = new_panel(context)
    panel.put("while True:\n    try:\n        while True: pass\n    except BaseException: pass")
    panel.press("Run")
    panel.press("Stop")
    panel.press("Restart Python")
    return panel


def sampler_where_no_memory_is_shared(context: BrowserContext) -> Panel:
    context.route("**/", without_isolation)
    panel = new_panel(context)
    code = "def endless(logits, context):\n    while True: pass\nthimble.page.sampler = endless"
    panel.run(code)
    panel.show("Write")
    panel.page.get_by_role("button", name="Write", exact=True).click()
    panel.page.get_by_role("button", name="Stop", exact=True).click()
    expect(panel.page.locator("[data-sampler]").first).to_be_hidden()
    panel.show("Python")
    return panel


@pytest.mark.parametrize(
    "begin", [endless_where_no_memory_is_shared, deaf_code, sampler_where_no_memory_is_shared]
)
def test_where_no_interrupt_helps_python_starts_again(
    chromium: Browser, server: str, begin: Callable[[BrowserContext], Panel]
) -> None:
    context = new_visitor(chromium, server)
    panel = begin(context)
    code = panel.text()
    expect(panel.run("1 + 1").locator(".value")).to_have_text("2")
    assert "while True" in code
    assert panel.page.evaluate("() => window.violations") == []
    context.close()


@pytest.mark.parametrize("code", [ENDLESS, f"eval({DEEP})"], ids=["stopped", "died"])
def test_the_text_outlives_a_restart(chromium: Browser, server: str, code: str) -> None:
    context = new_visitor(chromium, server)
    context.route("**/", without_isolation)
    panel = Panel(context.new_page())
    page = panel.page
    page.goto("/#prompt=Once+upon+a+time&max_tokens=20&seed=1")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("the text can continue")
    written = page.locator("#written").text_content() or ""
    panel.show("Python")
    panel.put(code)
    panel.press("Run")
    if code == ENDLESS:
        panel.press("Stop")
    expect(panel.log).to_contain_text("its variables are lost")
    expect(panel.run("n = len(session)\nn > 4").locator(".value")).to_have_text("True")
    panel.show("Write")
    assert page.locator("#written").text_content() == written
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#written")).not_to_have_text(written, use_inner_text=False)
    assert (page.locator("#written").text_content() or "").startswith(written)
    context.close()
