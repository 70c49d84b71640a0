"""The worker's quantizing writes the very file that `quantize_file` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_browser import ask
from tests.tiny_models import SPECS, make
from thimble.browser import Engine
from thimble.quantize import quantize_file


@pytest.mark.parametrize("encoding", ["Q8_0", "Q4_0"])
def test_steps_write_the_file_that_the_command_writes(tmp_path: Path, encoding: str) -> None:
    data = make(SPECS["f32"])
    (tmp_path / "f32.gguf").write_bytes(data)
    quantize_file(tmp_path / "f32.gguf", tmp_path / "out.gguf", encoding)
    engine, written = Engine(), b""
    assert {"Q8_0", "Q4_0", "F16"} <= {name for name, _ in ask(engine, "quantize.types")}
    read = lambda at, n: data[at : at + n]  # noqa: E731
    begun = ask(engine, "quantize.begin", "f32", encoding, len(data), read)
    assert begun["warning"] is None
    steps = 0
    while True:
        step = ask(engine, "quantize.step", begun["job"], 0)
        written += step["written"]
        steps += 1
        if step["over"]:
            break
    assert steps > 3
    assert step["done"] == step["total"] == begun["total"]
    assert written == (tmp_path / "out.gguf").read_bytes()
    ask(engine, "quantize.close", begun["job"])


def test_what_cannot_be_is_said() -> None:
    engine = Engine()
    data = make(SPECS["q8_0"])

    def error(encoding: str, data: bytes = data) -> list[str]:
        read = lambda at, n: data[at : at + n]  # noqa: E731
        answer = engine.call("quantize.begin", "tiny", encoding, len(data), read)
        found: list[str] = json.loads(answer)["error"]
        return found

    assert error("Q8_0") == [
        "OptionError",
        "'tiny' has no matrix that could become Q8_0: the matrices are that already",
    ]
    assert error("Q9")[0] == "OptionError"
    assert error("Q4_0", data[:3000])[0] == "FormatError"
    read = lambda at, n: data[at : at + n]  # noqa: E731
    begun = ask(engine, "quantize.begin", "tiny", "Q4_0", len(data), read)
    assert "rounded to Q8_0 before" in begun["warning"]
