"""The Python console's part in the engine, natively: what runs, what is shown, what stops."""

from __future__ import annotations

import _thread
import base64
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import thimble
from tests.tiny_models import SPECS, make
from thimble import plot
from thimble.browser import Engine
from thimble.browser import console as console_module
from thimble.browser.console import Service
from thimble.browser.console_output import LARGEST_PICTURE, LONGEST, Output
from thimble.browser.interrupts import PREFIX, interruptible

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "web" / "src" / "console" / "examples").glob("*.py"))
STORY = sorted((ROOT / "web" / "models").glob("*.gguf"))


class Console:
    """A visitor at the console: code in, what is shown out."""

    def __init__(self, data: bytes) -> None:
        self.engine = Engine()
        number = self.ask("begin_load", "tiny", len(data), None)
        self.ask("feed", number, data)
        self.ask("finish", number)
        self.session: int = self.ask("open", "tiny", "{}")
        self.shown: list[tuple[str, str, str]] = []

    def ask(self, method: str, *arguments: object) -> Any:
        answer = json.loads(self.engine.call(method, *arguments))
        assert "error" not in answer, answer
        return answer["value"]

    @property
    def service(self) -> Service:
        """What the engine asks, once it was asked for something."""
        self.ask("console.hello", self.session)
        service: Service = self.engine._services["console"]
        return service

    def run(self, code: str) -> Any:
        self.shown = []

        def hear(kind: str, text: str, words: str) -> None:
            self.shown.append((kind, text, words))

        return self.ask("console.run", self.session, code, hear)

    def text(self, *kinds: str) -> str:
        return "".join(text for kind, text, _ in self.shown if not kinds or kind in kinds)

    def value(self, code: str) -> str:
        assert self.run(code)["status"] == "done", self.text()
        return self.text("value").removesuffix("\n")

    def complete(self, before: str) -> list[str]:
        return [
            one["label"] for one in self.ask("console.complete", self.session, before)["options"]
        ]


@pytest.fixture
def console() -> Iterator[Console]:
    yield Console(make(SPECS["q8_0"]))
    vars(thimble).pop("page", None)


def _interrupt_now() -> None:
    signal.raise_signal(signal.SIGINT)


class Interrupter(threading.Thread):
    """Interrupts, so long after the visitor's code has said `begun()`."""

    def __init__(self, console: Console, seconds: float) -> None:
        super().__init__(daemon=True)
        self.seconds = seconds
        self.begun = threading.Event()
        console.service.names["begun"] = self.begun.set

    def run(self) -> None:
        if self.begun.wait(30):
            time.sleep(self.seconds)
            _thread.interrupt_main()


def interrupt_after(console: Console, seconds: float) -> Interrupter:
    made = Interrupter(console, seconds)
    made.start()
    return made


def test_the_last_expression_is_shown_and_kept(console: Console) -> None:
    assert console.value("x = 20\nx + 1") == "21"
    assert console.value("_ * 2") == "42"
    assert console.value("None") == ""
    assert console.value("_") == "42"
    assert console.value("y = 1") == ""
    assert console.value("") == ""


def test_names_are_the_live_objects(console: Console) -> None:
    opened = console.engine.opened(console.session)
    assert console.value("len(session)") == "0"
    console.run("session.append([1, 2, 3])")
    assert opened.session.tokens == (1, 2, 3)
    assert console.value("model.tokenizer is tokenizer and session.model is model") == "True"
    assert console.value("thimble.SamplingParams().temperature") == "1.0"
    console.run("import numpy")
    assert (
        console.value("numpy.asarray(session.logits()).shape")
        == f"({opened.model.config.n_vocab},)"
    )


def test_the_names_follow_the_page_to_another_session(console: Console) -> None:
    console.run("session.append([1, 2])\nmine = 5\nmodel = 'changed'")
    console.session = console.ask("open", "tiny", "{}")
    assert console.value("len(session), mine, model.name == 'changed'") == "(0, 5, False)"


def test_what_is_printed_comes_as_it_is_printed(console: Console) -> None:
    console.run("import sys\nprint(1)\nprint('two', file=sys.stderr)\nprint('three', end='')\n4")
    assert [(kind, text) for kind, text, _ in console.shown] == [
        ("out", "1\n"), ("err", "two\n"), ("out", "three"), ("value", "4\n"),
    ]  # fmt: skip


def test_a_traceback_has_the_visitors_lines_and_none_of_ours(console: Console) -> None:
    assert console.run("def f(n):\n    return 1 / n\n\nf(0)")["status"] == "error"
    trace = console.text("trace")
    assert trace.startswith('Traceback (most recent call last):\n  File "<input 1>", line 4')
    assert "    return 1 / n\n" in trace
    assert trace.endswith("ZeroDivisionError: division by zero\n")
    assert "console.py" not in trace

    # A function of an earlier run still knows its lines.
    console.run("f('x')")
    assert "return 1 / n" in console.text("trace")
    console.run("x = (")
    assert "'(' was never closed" in console.text("trace")
    assert "^" in console.text("trace")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit", "nothing to leave"),
        ("input('Name? ')", "cannot wait for the keyboard"),
        (
            "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
            "E: <exception str() failed>",
        ),
        ("class R:\n    def __repr__(self): raise ValueError('no')\nR()", "ValueError: no"),
        ("def f(): f()\nf()", "RecursionError"),
        ("session.append([10**9])", "token id 1000000000 is not in the vocabulary"),
        ("x = '\\ud800'; print(x); x\nbad", "NameError"),
        ("\0", "null bytes"),
    ],
)
def test_bad_code_is_told_readably_and_the_console_goes_on(
    console: Console, code: str, words: str
) -> None:
    console.run(code)
    assert words in console.text()
    assert console.value("1 + 1") == "2"


def test_long_output_is_cut_with_a_note(console: Console) -> None:
    console.run("for i in range(50_000): print('x' * 99)")
    assert len(console.text("out")) == LONGEST
    left = 50_000 * 100 - LONGEST
    assert console.shown[-1] == ("note", f"{left:,} more characters are not shown", "")
    assert len(console.shown) < 1100
    console.run("'y' * 10**6")
    assert len(console.text("value")) == LONGEST


def test_lines_are_gathered_once_there_are_many() -> None:
    now = 0.0
    shown: list[str] = []
    output = Output(lambda _kind, text, _words: shown.append(text), lambda: now)
    for i in range(1000):
        output.write("out", f"{i}\n")
    prompt = len(shown)
    assert prompt < 1000
    now = 1.0
    output.write("out", "later\n")
    assert len(shown) == prompt + 1
    output.finish()
    assert "".join(shown) == "".join(f"{i}\n" for i in range(1000)) + "later\n"


def test_completion_knows_the_live_objects_and_runs_nothing(console: Console) -> None:
    console.run("""
class Trap:
    touched = 0
    @property
    def side_effect(self):
        Trap.touched += 1
trap = Trap()
""")
    assert "session" in console.complete("ses")
    assert {"append", "accept"} <= set(console.complete("    x = session.a"))
    assert "while" in console.complete("whi")
    assert "side_effect" in console.complete("trap.si")
    assert console.value("trap.touched") == "0"
    assert console.complete("no_such_name.x") == []
    assert console.complete("session.append(1).") == []
    assert console.complete("") == []
    answer = console.ask("console.complete", console.session, "print(model.con")
    assert answer["start"] == 3
    assert {"label": "config", "type": "variable"} in answer["options"]


def test_imports_of_what_the_site_offers_are_found_wherever_they_stand(console: Console) -> None:
    code = "import os.path, numpy as np\ndef f():\n    from scipy.fft import x\nfrom . import y"
    offered = json.dumps(["numpy", "scipy", "y"])
    assert console.ask("console.imports", code, offered) == ["numpy", "scipy"]
    assert console.ask("console.imports", code, "[]") == []
    assert console.ask("console.imports", "import (", offered) == []


@pytest.mark.parametrize(
    ("offered", "words"),
    [("[]", "NumPy is not part of this site"), ('["numpy"]', "has an import statement for it")],
)
def test_a_package_that_is_not_there_is_said_to_be_missing(
    console: Console, monkeypatch: pytest.MonkeyPatch, offered: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    console.ask("console.imports", "", offered)
    console.run("__import__('numpy')")
    assert "ModuleNotFoundError" in console.text("trace")
    assert words in console.text("trace")


def test_pictures_are_shown_as_addresses_with_words(console: Console) -> None:
    console.run("from thimble import plot\nplot.line([1, 2.5], title='Up & <away>')")
    [(kind, address, words)] = console.shown
    assert kind == "picture"
    assert words == "Line chart “Up & <away>”: 2 values from 1 to 2.5"
    svg = base64.b64decode(address.removeprefix("data:image/svg+xml;base64,")).decode()
    assert svg.startswith("<svg ")
    assert "Up &amp; &lt;away&gt;" in svg

    console.run("""
class Png:
    def _repr_png_(self): return b"\\x89PNG\\r\\n"
thimble.page.show(Png(), 3)
Png""")
    assert console.shown[0][0] == "picture"
    assert console.shown[0][1].startswith("data:image/png;base64,iVBO")
    assert console.shown[0][2] == "Picture of Png"
    assert console.text("value").startswith("3\n<class")


@pytest.mark.parametrize(
    ("method", "value", "words"),
    [
        ("_repr_svg_", "'<script>alert(1)</script>'", "must give the text of an <svg>"),
        ("_repr_png_", "b'GIF89a'", "must give the bytes of a PNG"),
        ("_repr_svg_", f"'<svg>' + 'x' * {LARGEST_PICTURE}", "can be shown"),
    ],
)
def test_a_picture_that_is_none_is_refused(
    console: Console, method: str, value: str, words: str
) -> None:
    console.run(f"class P:\n    def {method}(self): return {value}\nP()")
    assert words in console.text("trace")


@pytest.mark.parametrize(
    ("values", "words"),
    [([], "no values"), ([1, float("nan")], "value 1 is nan"), ([float("inf")], "value 0 is inf")],
)
def test_a_chart_of_nothing_is_refused(values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot.bars(values)


def test_charts_keep_to_their_frame_and_their_numbers() -> None:
    for values in ([0.0], [5e-9, 1e-9], [-3, 7, 1e6], [2.0] * 300):
        for draw in (plot.bars, plot.line):
            svg = draw(values)._repr_svg_()
            heights = [float(y) for y in re.findall(r'(?<= )y="([-\d.]+)"', svg)]
            assert all(0 <= y <= plot.HEIGHT for y in heights)
    with pytest.raises(ValueError, match="1 labels for 2 values"):
        plot.bars([1, 2], ["one"])


def test_a_sampler_of_the_visitors_own_writes_the_pages_text(console: Console) -> None:
    answer = console.run("def seven(logits, context):\n    return 7\nthimble.page.sampler = seven")
    assert answer["sampler"] == "seven"
    console.ask("start", console.session, "ab", json.dumps({"max_tokens": 5}))
    while console.ask("run", console.session, 5)["finish_reason"] is None:
        pass
    assert console.engine.opened(console.session).session.tokens[-4:] == (7, 7, 7, 7)
    assert "seven" in console.value("thimble.page")
    console.ask("console.reset_sampler", console.session)
    assert console.value("thimble.page.sampler is None") == "True"
    console.run("thimble.page.sampler = seven")
    assert console.run("del thimble.page.sampler")["sampler"] is None
    console.run("thimble.page.sampler = 7")
    assert "it must be a function of (logits, context)" in console.text("trace")


def test_a_sampler_that_fails_is_told_with_its_line(console: Console) -> None:
    console.run(
        "def broken(logits, context):\n    return logits[10**9]\nthimble.page.sampler = broken"
    )
    console.ask("start", console.session, "ab", "{}")
    kind, message = json.loads(console.engine.call("run", console.session, 5))["error"]
    assert kind == "SamplerError"
    assert "IndexError" in message
    assert "return logits[10**9]" in message


# What interrupts come by natively is the signal that Pyodide makes of the page's wish.


def test_an_endless_loop_is_interrupted(console: Console) -> None:
    timer = interrupt_after(console, 0.2)
    answer = console.run("n = 0\nbegun()\nwhile True:\n    n += 1")
    timer.join()
    assert answer["status"] == "interrupted"
    assert console.text("note") == "Stopped."
    assert int(console.value("n")) > 0


def test_an_interrupt_that_comes_before_the_first_line_counts(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = console_module._compiled

    def slow(code: str, name: str) -> Any:
        signal.raise_signal(signal.SIGINT)
        return compiled(code, name)

    monkeypatch.setattr(console_module, "_compiled", slow)
    assert console.run("ran = True")["status"] == "interrupted"
    monkeypatch.undo()
    assert console.value("'ran' in globals()") == "False"


def test_an_endless_sampler_is_interrupted(console: Console) -> None:
    timer = interrupt_after(console, 0.2)
    console.run("""
def endless(logits, context):
    begun()
    while True: pass
thimble.page.sampler = endless
""")
    console.ask("start", console.session, "ab", "{}")
    kind, message = json.loads(console.engine.call("run", console.session, 5))["error"]
    timer.join()
    assert kind == "SamplerError"
    assert "was interrupted" in message
    assert "while True: pass" in message
    console.ask("console.reset_sampler", console.session)
    console.ask("start", console.session, "ab", json.dumps({"max_tokens": 2}))
    assert console.ask("run", console.session, 50)["count"] > 0


def test_an_interrupt_leaves_the_session_whole(console: Console) -> None:
    """Interrupts again and again, in the midst of what moves the engine's memory."""
    prefix = list(range(1, 40))
    opened = console.engine.opened(console.session)
    opened.session.append(prefix)
    right = opened.session.logits()
    code = """
begun()
while True:
    session.append([5, 6, 7])
    session.fork().close()
    session.score([9, 10])
    session.rollback(39)
"""
    for i in range(12):
        timer = interrupt_after(console, 0.003 * i)
        assert console.run(code)["status"] == "interrupted"
        timer.join()
        opened.session.rollback(39)
        assert opened.session.logits() == right
        opened.session.append([11])
        opened.session.rollback(39)


def test_an_interrupt_waits_for_the_engine_and_spares_what_is_not_the_visitors() -> None:
    engine: dict[str, Any] = {"__name__": "thimble.session", "interrupt": _interrupt_now}
    exec("def step():\n    interrupt()\n    done.append(1)\n    done.append(2)", engine)
    done = engine["done"] = []
    visitor = compile("step()\nwhile True: pass", f"{PREFIX} 1>", "exec")
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            exec(visitor, {"step": engine["step"]})
        assert done == [1, 2]
        signal.raise_signal(signal.SIGINT)  # nobody's code: it has just ended by itself
        time.sleep(0)


def test_the_session_is_read_again_where_code_changed_it(console: Console) -> None:
    opened = console.engine.opened(console.session)
    given = opened.model.tokenizer.encode("ab")
    console.run(f"session.append({[*given, 20, 21, 22]})")
    answer = console.ask("console.reread", console.session, "ab", "[20, 5]")
    assert (answer["prompt"], answer["unchanged"], answer["context"]) == ("ab", 1, len(given) + 3)
    assert [row[1] for row in answer["tokens"]] == [21, 22]
    twin = opened.model.session()
    [*_, expected] = twin.score([*given, 20, 21, 22], top=10)
    assert answer["tokens"][-1][2:4] == [expected.logprob, expected.entropy]
    assert opened.session.tokens == (*given, 20, 21, 22)

    # With the prompt gone, everything is text.
    assert console.run("session.rollback(0)\nsession.append([30, 31])")["changed"]
    answer = console.ask("console.reread", console.session, "ab", "[20, 21, 22]")
    assert (answer["prompt"], answer["unchanged"]) == ("", 0)
    assert [row[1] for row in answer["tokens"]] == [30, 31]
    assert not console.run("session.logits()")["changed"]
    console.run("session.rollback(0)")
    answer = console.ask("console.reread", console.session, "ab", "[20]")
    assert (answer["context"], answer["tokens"]) == (0, [])


def test_a_text_is_put_back_into_a_new_session(console: Console) -> None:
    model = console.engine.loaded["tiny"]
    given = model.tokenizer.encode("ab")
    end = min(model.tokenizer.eog_ids)
    context = console.ask("console.put_back", console.session, "ab", json.dumps([20, 21, end]))
    assert context == len(given) + 2
    assert console.engine.opened(console.session).session.tokens == (*given, 20, 21)


def test_the_page_says_hello(console: Console) -> None:
    hello = console.ask("console.hello", console.session)
    assert re.fullmatch(r"3\.\d+\.\d+", hello["python"])
    assert hello["sampler"] is None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_as_it_stands(story: Console, path: Path) -> None:
    before = story.engine.opened(story.session).session.tokens
    answer = story.run(path.read_text(encoding="utf-8"))
    assert answer["status"] == "done", story.text()
    assert not story.text("trace", "err")
    assert story.text("out") or story.shown
    assert story.engine.opened(story.session).session.tokens == before
    story.ask("console.reset_sampler", story.session)


@pytest.fixture(scope="module")
def story() -> Iterator[Console]:
    yield Console(STORY[0].read_bytes())
    vars(thimble).pop("page", None)


def test_every_example_is_listed_in_the_panel() -> None:
    template = (ROOT / "web" / "templates" / "panels" / "python.html").read_text(encoding="utf-8")
    listed = re.findall(r'^ +\("(\w+)", "', template, re.MULTILINE)
    bundled = (ROOT / "web" / "src" / "console" / "examples.ts").read_text(encoding="utf-8")
    names = [path.stem for path in EXAMPLES]
    assert sorted(listed) == names
    assert re.findall(r"^  (\w+): ", bundled, re.MULTILINE) == listed
    assert len(names) == 15
