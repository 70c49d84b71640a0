"""The page's idea of each service of the engine (`web/src/protocol/`) is what Python has.

A worker method is described once, in TypeScript. It is forwarded by its name and place alone, so
what nobody checks at run time is checked here: that Python has it, with the same arguments.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "web" / "src"


class Method(NamedTuple):
    """A method of a service: its arguments' names, and their types as TypeScript has them."""

    names: list[str]
    types: list[str]


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def split(text: str, at: str) -> list[str]:
    """The parts of a text between separators that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def services() -> dict[str, dict[str, Method]]:
    """What protocol.ts and the files beside it say, by the names of Python."""
    protocol = without_comments((SRC / "protocol.ts").read_text(encoding="utf-8"))
    found = re.search(r"interface Services \{(.*?)\n\}", protocol, re.DOTALL)
    assert found
    described = {}
    for name, kind in re.findall(r"readonly (\w+): (\w+);", found[1]):
        [file] = re.findall(rf'import type \{{ {kind} \}} from "\./(.+)";', protocol)
        text = without_comments((SRC / f"{file}.ts").read_text(encoding="utf-8"))
        body = re.search(rf"interface {kind} \{{(.*?)\n\}}", text, re.DOTALL)
        assert body, kind
        described[snake(name)] = dict(map(method_of, split(body[1], ";")))
    return described


def method_of(text: str) -> tuple[str, Method]:
    found = re.match(r"(\w+)(?:<\w+>)?\((.*)\): [^)]+$", text, re.DOTALL)
    assert found, text
    arguments = [split(one, ":") for one in split(found[2], ",")]
    return snake(found[1]), Method([one[0] for one in arguments], [one[1] for one in arguments])


def own() -> dict[str, set[str]]:
    """The methods that the worker has code of its own for."""
    text = (SRC / "worker" / "services.ts").read_text(encoding="utf-8")
    found = re.search(r"interface OwnMethods \{(.*?)\n\}", text, re.DOTALL)
    assert found
    lines = re.findall(r"readonly (\w+): Pick<[^,]+, ([^>]+)>", found[1])
    return {snake(name): set(map(snake, re.findall(r'"(\w+)"', names))) for name, names in lines}


def aliases() -> dict[str, str]:
    """Types that have only a name for what they are, such as one of several texts."""
    found: dict[str, str] = {}
    for path in (SRC / "protocol").glob("*.ts"):
        text = without_comments(path.read_text(encoding="utf-8"))
        found |= re.findall(r"type (\w+) =\s+([^;{]+);", text)
    return found


def python_of(kind: str, names: dict[str, str]) -> str:
    """The annotation of an argument that a value of TypeScript's `kind` becomes."""
    kinds = split(names.get(kind, kind), "|")
    if all(one.startswith('"') for one in kinds):
        return "str"
    optional = " | None" if "null" in kinds else ""
    [bare] = [one for one in kinds if one != "null"]
    plain = {"string": "str", "number": "int", "boolean": "bool"}
    # Bytes are a buffer; whatever else crosses as JSON.
    return (
        plain.get(bare, "JsBuffer | bytes" if re.match("ArrayBuffer|Uint8", bare) else "str")
        + optional
    )


DESCRIBED = services()
OWN = own()
FORWARDED = [
    (service, name)
    for service, methods in DESCRIBED.items()
    for name in methods
    if name not in OWN.get(service, ())
]


def service_class(name: str) -> type:
    found: type = importlib.import_module(f"thimble.browser.{name}").Service
    return found


@pytest.mark.parametrize(("service", "name"), FORWARDED, ids=lambda one: str(one))
def test_python_has_the_method_that_the_page_asks_for(service: str, name: str) -> None:
    function = getattr(service_class(service), name, None)
    assert function is not None, f"{service}.{name} is in web/src/protocol/ and not in Python"
    wanted = DESCRIBED[service][name]
    _, *arguments = inspect.signature(function).parameters.values()
    assert [one.name for one in arguments] == [snake(one.rstrip("?")) for one in wanted.names]
    known = aliases()
    for argument, kind in zip(arguments, wanted.types, strict=True):
        annotation = str(argument.annotation).replace("float", "int")
        if argument.default is None:
            annotation = annotation.removesuffix(" | None")  # without it, something usual
        assert annotation == python_of(kind, known), f"{service}.{name}: {argument.name}"


@pytest.mark.parametrize("service", DESCRIBED)
def test_somebody_asks_for_what_python_has(service: str) -> None:
    worker = "".join(path.read_text(encoding="utf-8") for path in (SRC / "worker").glob("*.ts"))
    for name, _ in inspect.getmembers(service_class(service), inspect.isfunction):
        if name.startswith("_"):
            continue
        assert name in DESCRIBED[service] or f'"{service}.{name}"' in worker, f"{service}.{name}"


def test_the_worker_has_code_only_for_what_is_described() -> None:
    for service, names in OWN.items():
        assert names <= set(DESCRIBED[service])


def test_every_service_is_described() -> None:
    folder = ROOT / "pyodide_pkg" / "thimble" / "browser"
    have = {path.stem for path in folder.glob("*.py") if "\nclass Service:" in path.read_text()}
    assert have == set(DESCRIBED)
