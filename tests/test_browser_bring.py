"""What is said of a model before it is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_browser import ask, fails
from tests.test_split import cut
from tests.tiny_models import SPECS, head_of_large, make
from thimble import ModelLoader
from thimble.browser import Engine
from thimble.split import joined


def examine(data: bytes, total: int | None) -> Any:
    return json.loads(Engine().call("bring.examine", data, total))


@pytest.mark.parametrize("name", ["q8_0", "f32-tied", "q4_0"])
def test_the_first_bytes_say_what_a_model_takes(name: str) -> None:
    data = make(SPECS[name])
    head = 1 << 10
    while (found := examine(data[:head], len(data))["value"])["more"]:
        head = min(found["more"], len(data))
    found = found["estimate"]
    assert head < len(data)
    loader = ModelLoader()
    loader.feed(data)
    model = loader.finish()
    assert found["parameters"] == model.n_params
    assert len(data) - 64 < found["bytes"] <= len(data)  # but for what fills up the last tensor
    assert found["types"] == [SPECS[name].tensor_type]
    assert found["fits"]
    c = model.config
    cache = 8 * c.n_layers * c.n_kv_heads * c.head_dim
    assert found["needed"] == model.nbytes + cache * min(256, c.n_ctx)
    assert found["neededFull"] == model.nbytes + cache * c.n_ctx
    call, address = model.kernel.call, model.weights.address
    assert found["reads"] == call("machine_bytes", address)
    products = [call("machine_products", address, floats) for floats in (0, 1)]
    assert [found["quantized"], found["floats"]] == products
    model.close()


def test_what_cannot_run_is_refused_before_it_is_fetched() -> None:
    kind, words = examine(b"PK\3\4" + bytes(60), 10_000)["error"]
    assert kind == "FormatError"
    assert "GGUF" in words
    cut = make(SPECS["q8_0"])[:4000]
    assert examine(cut, 4000)["error"][0] == "FormatError"
    assert examine(cut, 10**9)["value"] == {
        "estimate": None,
        "more": pytest.approx(8000, abs=70_000),
    }


def test_parts_become_one_file_by_their_first_bytes(tmp_path: Path) -> None:
    engine = Engine()
    paths = cut(tmp_path)
    data = [path.read_bytes() for path in paths]
    here = [1 << 10] * len(data)
    while True:
        heads = b"".join(one[:count] for one, count in zip(data, here, strict=True))
        parts = [[p.name, n, len(one)] for p, n, one in zip(paths, here, data, strict=True)]
        found = ask(engine, "bring.join", heads, json.dumps(parts))
        if found["joined"]:
            break
        assert found["more"] > here[found["part"]]
        here[found["part"]] = min(found["more"], len(data[found["part"]]))
    header, starts = found["joined"]["header"], found["joined"]["starts"]
    whole = header + b"".join(one[start:] for one, start in zip(data, starts, strict=True))
    assert whole == joined(paths).to_bytes()
    assert examine(whole[: len(header)], len(whole))["value"]["estimate"]["parameters"]
    swapped = json.dumps([parts[1], parts[0], parts[2]])
    heads = b"".join(data[at][: here[at]] for at in (1, 0, 2))
    assert "says it is part 1 of 3" in fails(engine, "bring.join", heads, swapped)[1]


def test_a_part_of_a_model_alone_is_refused_with_what_to_do() -> None:
    head = head_of_large(n_layers=1, dim=128, hidden_dim=256, parts=3)
    kind, words = examine(head, 10**7)["error"]
    assert kind == "UnsupportedError"
    assert "one of 3 parts" in words


def test_what_is_too_large_is_said_before_it_is_fetched() -> None:
    head = head_of_large(n_layers=24, dim=2048, hidden_dim=16384)
    found = examine(head, None)["value"]["estimate"]
    assert found["bytes"] > found["limit"]
    assert not found["fits"]
    assert found["neededFull"] > found["needed"] > found["bytes"] - len(head)


def test_the_machine_says_how_fast_it_may_be() -> None:
    engine = Engine()
    small = ask(engine, "bring.speed", 1 << 20, 1 << 20, 0)
    large = ask(engine, "bring.speed", 1 << 24, 1 << 24, 1 << 20)
    assert small["read"] > 1e6
    assert small["speed"] > large["speed"] > 0
    assert large["by"] in ("memory", "arithmetic")
