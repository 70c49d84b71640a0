"""A task's file in somebody else's page: `Thimble.task` and the element `<thimble-task>`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import thimble
from tests.browser.conftest import too_wide, violations
from tests.browser.elsewhere import Elsewhere, serving
from thimble.tasks.examples import make_examples
from thimble.tasks.sets import example_set
from thimble.tasks.task import Task
from thimble.tasks.tuner import TaskTuner, TuneOptions
from thimble.train.finetune import Base

SMALL = Path(__file__).resolve().parents[2] / "web" / "models" / "story-small.gguf"
TEXTS = ("Where is the new kite?", "Give me that hat!", "Good bye, dear owl.")
HEARD = """() => {
  const element = document.querySelector("thimble-task");
  element.heard = [];
  for (const name of ["load", "progress", "answer", "error"]) {
    element.addEventListener(name, ({ detail }) => element.heard.push([name, detail]));
  }
}"""


def made(name: str) -> Task:
    tuner = TaskTuner(
        Base(SMALL.read_bytes()), make_examples(example_set(name)), options=TuneOptions(passes=1.0)
    )
    while not tuner.done:
        tuner.step()
    task = tuner.task(name)
    tuner.close()
    return task


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {name: made(name) for name in ("intent", "fields")}


@pytest.fixture(scope="module")
def place(tasks: dict[str, Task]) -> Iterator[Elsewhere]:
    """Another origin that has the tasks' files, one for another model, and one that is none."""
    with serving() as found:
        files = {f"/{name}.task.json": task.to_json() for name, task in tasks.items()}
        other = json.loads(files["/intent.task.json"])
        other["base"]["sha256"] = "0" * 64
        files |= {"/other.json": json.dumps(other), "/none.json": '{"task": 1}'}
        found.pages |= {path: (text.encode(), {}) for path, text in files.items()}
        yield found


@pytest.fixture(scope="module")
def elsewhere(chromium: Browser, place: Elsewhere, server: str) -> Iterator[Page]:
    """A page of that origin which has the API."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(place.page(
        f'<meta charset="utf-8"><script type="module" src="{server}/task-widget.js"></script>'
        '<script type="module">'
        f'window.api = (await import("{server}/thimble.js")).Thimble;</script>'
    ))  # fmt: skip
    page.wait_for_function("() => window.api && customElements.get('thimble-task')")
    yield page
    context.close()


def natively(task: Task, *texts: str) -> list[Any]:
    with closing(thimble.load(SMALL)) as model, task.open(model) as answerer:
        return [answerer.answer(text) for text in texts]


def test_tasks_answer_as_they_do_natively_beside_each_other_and_a_session(
    elsewhere: Page, tasks: dict[str, Task]
) -> None:
    said = elsewhere.evaluate(
        """async (texts) => {
          const session = await api.create({ model: "story-small", seed: 3, max_tokens: 20 });
          const alone = await session.prompt("Once upon a time");
          const intent = api.task("intent.task.json");
          const fields = api.task(await (await fetch("fields.task.json")).json());
          const said = [];
          for (const text of texts) said.push([await intent(text), await fields(text)]);
          const beside = await session.prompt("Once upon a time");
          const what = [await intent.ready, await fields.ready];
          const unsure = await intent(texts[0], { threshold: 1 });
          intent.destroy();
          const after = await intent("x").catch((error) => [error.name, error.message]);
          fields.destroy();
          session.destroy();
          return { alone, beside, said, what, unsure, after };
        }""",
        list(TEXTS),
    )
    assert said["alone"] == said["beside"]
    for k, name in enumerate(("intent", "fields")):
        wanted = natively(tasks[name], *TEXTS)
        for mine, other in zip(said["said"], wanted, strict=True):
            assert mine[k]["text"] == other.text
            assert mine[k]["probabilities"] == other.probabilities  # to the bit
            assert mine[k]["sure"] == other.sure
        assert (said["what"][k]["name"], said["what"][k]["kind"]) == (name, tasks[name].shape.kind)
    assert [mine[1].get("fields") for mine in said["said"]] == [
        answer.fields for answer in natively(tasks["fields"], *TEXTS)
    ]
    assert said["unsure"]["sure"] is False
    assert said["after"] == ["InvalidStateError", "the task was destroyed"]


@pytest.mark.parametrize(("source", "name", "words"), [
    ('"gone.task.json"', "LoadError", "did not come: status 404"),
    ('"none.json"', "FormatError", "it names no model"),
    ('"other.json"', "OptionError", "this site has"),
    ('new Blob(["{"])', "FormatError", "this is no task file"),
    ('({ task: 7, base: { sha256: "SHA" } })', "FormatError", "its task is 7, not 1"),
])  # fmt: skip
def test_what_is_no_task_is_said_and_the_next_one_works(
    elsewhere: Page, tasks: dict[str, Task], source: str, name: str, words: str
) -> None:
    source = source.replace("SHA", tasks["intent"].base["sha256"])
    said = elsewhere.evaluate(
        f"""async () => {{
          const task = api.task({source});
          const twice = [task.ready, task("x")];
          const said = await Promise.all(twice.map((one) => one.catch((e) => [e.name, e.message])));
          task.destroy();
          return said;
        }}"""
    )
    for found in said:
        assert found[0] == name and words in found[1], found
    bad = elsewhere.evaluate(
        """async () => {
          const intent = api.task("intent.task.json");
          const wrong = await intent("x", { threshold: 2 }).catch((e) => [e.name, e.message]);
          const { text } = await intent("Where is the new kite?");
          intent.destroy();
          return [...wrong, text];
        }"""
    )
    assert bad[0] == "OptionError" and "from 0 to 1" in bad[1]
    assert bad[2] == natively(tasks["intent"], TEXTS[0])[0].text


def put(page: Page, **attributes: str) -> None:
    page.evaluate(
        """(attributes) => {
          for (const old of document.querySelectorAll("thimble-task")) old.remove();
          const element = document.createElement("thimble-task");
          for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
          document.body.append(element);
        }""",
        attributes,
    )
    page.evaluate(HEARD)


def test_the_element_answers_with_labels_and_with_fields(
    elsewhere: Page, tasks: dict[str, Task]
) -> None:
    asked: list[str] = []
    elsewhere.on("request", lambda request: asked.append(request.url))
    put(elsewhere, src="intent.task.json", label="What do you want?")
    element = elsewhere.locator("thimble-task")
    expect(element.get_by_role("status").first).to_have_text("Runs in this browser")
    assert [url for url in asked if "task.json" in url] == []  # nothing, before it is used
    element.get_by_role("textbox", name="What do you want?").fill(TEXTS[0])
    elsewhere.keyboard.press("Enter")
    [wanted] = natively(tasks["intent"], TEXTS[0])
    expect(element.locator(".said")).to_have_text(wanted.text)
    shown = element.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in shown] == sorted(
        wanted.probabilities, key=lambda label: -wanted.probabilities[label]
    )
    assert shown[0].endswith(f"{100 * max(wanted.probabilities.values()):.1f} %")
    names = elsewhere.evaluate("() => document.querySelector('thimble-task').heard.map(([n]) => n)")
    assert list(dict.fromkeys(names)) == ["progress", "load", "answer"]
    assert violations(elsewhere, "thimble-task") == []
    elsewhere.evaluate("() => (document.querySelector('thimble-task').threshold = 1)")
    element.get_by_role("button", name="Answer").click()
    expect(element.locator(".said")).to_have_text("Don’t know")

    # Another task in its place: fields, asked by the page.
    elsewhere.evaluate("() => (document.querySelector('thimble-task').src = 'fields.task.json')")
    detail = elsewhere.evaluate(
        "(text) => document.querySelector('thimble-task').answer(text)", TEXTS[1]
    )
    [other] = natively(tasks["fields"], TEXTS[1])
    assert (detail["given"], detail["text"]) == (TEXTS[1], other.text)
    if other.sure:
        expect(element.locator("tbody th")).to_have_text(list(other.fields))
    elsewhere.set_viewport_size({"width": 360, "height": 700})
    assert too_wide(elsewhere) == []


def test_the_element_says_what_is_wrong_and_goes_on(elsewhere: Page) -> None:
    put(elsewhere, src="gone.task.json", value="A dog")
    element = elsewhere.locator("thimble-task")
    element.get_by_role("button", name="Answer").click()
    expect(element.get_by_role("alert")).to_contain_text("did not come: status 404")
    put(elsewhere, value="A dog")
    element.get_by_role("button", name="Answer").click()
    expect(element.get_by_role("alert")).to_contain_text("There is no task: give the element src")
    put(elsewhere, src="intent.task.json", loading="eager", value="A dog")
    expect(element.get_by_role("status").first).to_have_text("Ready")
    element.get_by_role("button", name="Answer").click()
    expect(element.locator("tbody tr")).to_have_count(6)
