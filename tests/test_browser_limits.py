"""What the page compares its speed with."""

from __future__ import annotations

import pytest

import thimble
from tests.test_browser import ask, load
from tests.tiny_models import SPECS, make
from thimble.browser import Engine


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_work_of_a_token_is_that_of_the_models_matrices(name: str) -> None:
    model = thimble.ModelLoader()
    model.feed(make(SPECS[name]))
    loaded = model.finish()
    c, call, address = loaded.config, loaded.kernel.call, loaded.weights.address
    layer = 2 * c.dim * c.n_heads * c.head_dim + 2 * c.dim * c.n_kv_heads * c.head_dim
    layer += 3 * c.dim * c.hidden_dim
    wanted = c.n_layers * layer + c.n_vocab * c.dim
    products = [call("machine_products", address, floats) for floats in (0, 1)]
    assert sum(products) == wanted
    nbytes = call("machine_bytes", address)
    assert 0 < nbytes <= loaded.nbytes
    loaded.close()


def test_the_machine_says_what_it_can_do() -> None:
    engine = Engine()
    load(engine)
    session = ask(engine, "open", "tiny", "{}")
    limits = ask(engine, "limits.of", session)
    assert limits["bytes"] > 0
    assert limits["read"] > 1e6
    assert limits["productRate"] > 1e6
    assert (limits["floatRate"] is None) == (limits["floats"] == 0)
    assert limits["threads"] == 1


def test_reading_reads_every_matrix() -> None:
    """The sum changes with a byte of the model, so nothing was left out by the compiler."""
    data = bytearray(make(SPECS["q8_0"]))
    sums = []
    for flip in (0, 1):
        data[-40] ^= flip
        loader = thimble.ModelLoader()
        loader.feed(bytes(data))
        model = loader.finish()
        sums.append(model.kernel.call("machine_read", model.weights.address, 1))
        model.close()
    assert sums[0] != sums[1]
