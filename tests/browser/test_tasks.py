"""A specialist in the page, as a visitor makes one: examples in, an adapter, measured, used."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import too_wide, turn_to, violations
from thimble import cli
from thimble.tasks.task import Task

SMALL = Path(__file__).resolve().parents[2] / "web" / "models" / "story-small.gguf"
LONG_MS = 240_000
"""Training and measuring take half a minute on a quiet machine."""


@pytest.fixture(scope="module")
def tasks(visit: Page) -> Page:
    """The panel, with the small shipped model loaded."""
    visit.goto("/#model=story-small&panel=tasks")
    expect(visit.locator("#task-set option")).to_have_count(6)
    return visit


def take(page: Page, text: str) -> None:
    page.locator("#task-examples").fill(text)


def make_it(page: Page, passes: str) -> None:
    page.locator("#task-passes").fill(passes)
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("#task-outcome")).to_contain_text("Made in", timeout=LONG_MS)
    expect(page.locator("#task-notice")).to_be_hidden()


def rows(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate("""() => [...document.querySelectorAll("#task-table tr")]
      .map((row) => [...row.cells].map((cell) => cell.textContent))""")
    return found


def share(cell: str) -> int:
    found = re.match(r"(\d+) %", cell)
    assert found, cell
    return int(found[1])


def downloaded(page: Page, path: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download task").click()
    download.value.save_as(path)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "passes"), [("intent", "label", "2"), ("tone", "text", "1")]
)
def test_an_example_set_becomes_a_task_that_answers_the_same_natively(
    name: str, kind: str, passes: str, tasks: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tasks.locator("#task-set").select_option(name)
    expect(tasks.locator("#task-report")).to_contain_text("300 examples")
    make_it(tasks, passes)
    _, base, prompted, adapter = rows(tasks)
    assert share(adapter[1]) >= max(share(base[1]), share(prompted[1]))
    if kind == "label":
        assert share(adapter[1]) >= share(prompted[1]) + 20
    path = downloaded(tasks, tmp_path / f"{name}.task.json")
    task = Task.read(path.read_bytes())
    assert task.shape.kind == kind and task.card["examples"]["examples"] == 300

    # The same answers by the command, to texts that nobody has seen.
    texts = ["Where is the new kite?", "Give me that hat!"]
    said = []
    for text in texts:
        tasks.locator("#task-text").fill(text)
        tasks.get_by_role("button", name="Answer", exact=True).click()
        expect(tasks.locator("#task-said")).to_have_text(re.compile(r"\(.* ?ms\)$"))
        tasks.wait_for_timeout(300)
        said.append(re.sub(r" \([^()]*\)$", "", tasks.locator("#task-said").inner_text()))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(texts)))
    assert cli.main(["run", str(path), "--base", str(SMALL)]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == [one.strip() for one in said]
    expect(tasks.locator("#task-bars tr")).to_have_count(7 if kind == "label" else 0)


def test_a_file_of_a_task_is_opened_and_its_adapter_put_on_the_model(
    tasks: Page, tmp_path: Path
) -> None:
    path = downloaded(tasks, tmp_path / "tone.task.json")
    tasks.reload()
    expect(tasks.locator("#task-set option")).to_have_count(6)
    tasks.locator("#task-file").set_input_files(path)
    expect(tasks.locator("#task-result-title")).to_have_text("Task “tone”")
    assert len(rows(tasks)) == 4
    tasks.get_by_role("button", name="Put the adapter on the model").click()
    expect(tasks.locator("#task-outcome")).to_contain_text("in every panel")
    changed = json.loads(path.read_text())
    other = changed | {"base": changed["base"] | {"sha256": "0" * 64}}
    for file, words in (
        (other, "is open: open that model first"),
        (changed | {"kind": "tag"}, "The task's kind is 'tag'"),
    ):
        bad = {"name": "x.json", "mimeType": "", "buffer": json.dumps(file).encode()}
        tasks.locator("#task-file").set_input_files(bad)  # type: ignore[arg-type]
        expect(tasks.locator("#task-notice")).to_contain_text(words)
    expect(tasks.locator("#task-result")).to_be_visible()  # what was there stays


def test_a_wrong_answer_opens_in_step_and_in_the_lens(tasks: Page, tmp_path: Path) -> None:
    path = downloaded(tasks, tmp_path / "tone.task.json")
    task = json.loads(path.read_text())
    wrong = {"given": "Give me that hat!", "wanted": "Please.", "base": "a", "prompted": "b",
             "adapter": "c"}  # fmt: skip
    task["card"]["errors"] = [wrong, {"given": 7}, "nothing"]  # a stranger's card
    named = {"name": "t.json", "mimeType": "", "buffer": json.dumps(task).encode()}
    tasks.locator("#task-file").set_input_files(named)  # type: ignore[arg-type]
    expect(tasks.locator("#task-errors-title")).to_have_text("Wrong answers (1)")
    prompt = task["template"].replace("{text}", wrong["given"])
    tasks.locator("#task-errors summary").click()
    for words, panel, field in (("Step", "step", "#prompt"), ("Look inside", "lens", "#lens-text")):
        tasks.locator("#task-errors-table").get_by_role("button", name=words).click()
        expect(tasks.locator(f"[data-panel={panel}]")).to_be_visible()
        expect(tasks.locator(field)).to_have_value(prompt)
        expect(tasks.locator(f"[data-panel={panel}] [data-adapter-words]")).to_contain_text("tone")
        turn_to(tasks, "Tasks")


BAD: list[tuple[str, str]] = [
    ("text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(10)), "there are 10 examples"),
    ("text,label\n" + "".join(f"row {i},same\n" for i in range(60)), "nothing to tell apart"),
    ("only one column\nof words", "There is one column"),
    ('{"text": ', "is no JSON"),
]


def test_examples_that_teach_nothing_are_told_in_words(tasks: Page) -> None:
    for text, words in BAD:
        take(tasks, text)
        expect(tasks.locator("#task-report")).to_contain_text(re.compile(words, re.IGNORECASE))
        expect(tasks.get_by_role("button", name="Make it")).to_be_disabled()
    many = "text,label\n" + "".join(f"row {i},label {i}\n" for i in range(2000))
    take(tasks, many)
    expect(tasks.locator("#task-report")).to_contain_text("answers are text")
    tasks.locator("#task-kind").select_option("label")
    expect(tasks.locator("#task-report")).to_contain_text("2,000 different labels")
    tasks.locator("#task-kind").select_option("")
    latin = {"name": "a.csv", "mimeType": "", "buffer": "text,label\ncafé,a".encode("latin-1")}
    tasks.locator("#task-file").set_input_files(latin)  # type: ignore[arg-type]
    expect(tasks.locator("#task-report")).to_contain_text("is not in UTF-8")
    take(tasks, "text\tlabel\n" + "".join(f"{i} {'word ' * 900}\t{i % 2}\n" for i in range(60)))
    expect(tasks.locator("#task-report")).to_contain_text("60 examples")
    tasks.get_by_role("button", name="Make it").click()
    expect(tasks.locator("#task-notice")).to_contain_text("shorten them")


def test_a_run_goes_on_where_the_tab_was_closed(tasks: Page) -> None:
    tasks.locator("#task-set").select_option("sentiment")
    expect(tasks.locator("#task-report")).to_contain_text("300 examples")
    tasks.locator("#task-passes").fill("1")
    tasks.get_by_role("button", name="Make it").click()
    expect(tasks.locator("#task-outcome")).to_contain_text(re.compile(r"Step \d+ of"))
    tasks.get_by_role("button", name="Stop").click()
    expect(tasks.locator("#task-outcome")).to_contain_text("Stopped at step")
    tasks.reload()
    expect(tasks.locator("#task-saved-words")).to_contain_text("sentiment, step")
    expect(tasks.locator("#task-set option")).to_have_count(6)
    tasks.locator("#task-saved").get_by_role("button", name="Go on").click()
    expect(tasks.locator("#task-outcome")).to_contain_text("Made in", timeout=LONG_MS)
    expect(tasks.locator("#task-saved")).to_be_hidden()
    assert share(rows(tasks)[3][1]) > 40


def test_a_loss_that_diverges_is_told(tasks: Page) -> None:
    tasks.locator("#task-rate").fill("1e30")
    tasks.get_by_role("button", name="Make it").click()
    expect(tasks.locator("#task-notice")).to_contain_text("not finite", timeout=LONG_MS)
    tasks.locator("#task-rate").fill("0.004")


@pytest.mark.parametrize("width", [360, 1440])
def test_the_panel_fits_and_is_accessible(tasks: Page, width: int) -> None:
    tasks.set_viewport_size({"width": width, "height": 740})
    assert too_wide(tasks) == []
    assert violations(tasks, "[data-panel=tasks]") == []
