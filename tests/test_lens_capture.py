"""What the lens keeps of a pass: the right values, under the right names, and no bit of the pass
itself is changed by looking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import thimble
from tests.lens_reference import CapturingReference
from tests.test_session import load
from tests.tiny_adapters import make_adapter
from tests.tiny_folders import CONFIGS, converted
from tests.tiny_models import SPECS, TinySpec, make
from thimble import lens
from thimble.lens import tensor
from thimble.reference import ReferenceModel

IDS = [i * 11 % 300 for i in range(40)]


def ids_for(model: thimble.Model, count: int = 40) -> list[int]:
    return [i * 11 % model.config.n_vocab for i in range(count)]


def ordinary(model: thimble.Model, ids: Sequence[int]) -> Any:
    """The logits of every position, by the path that writes text."""
    session = model.session()
    rows = []
    for token in ids:
        session.append([token])
        rows.append(np.array(session.logits(), dtype=np.float32))
    return np.stack(rows)


@pytest.mark.parametrize("name", SPECS)
def test_looking_changes_no_bit(name: str) -> None:
    model = load(make(SPECS[name]))
    ids = ids_for(model, 70)  # three batches
    expected = ordinary(model, ids).tobytes()
    logits, cache = model.run_with_cache(ids)
    assert logits.tobytes() == expected
    assert list(cache) == lens.site_names(model.config)
    assert model.run_with_cache(ids, [])[0].tobytes() == expected
    every = [(lambda _name: True, lambda _array, _hook: None)]
    assert model.run_with_hooks(ids, every).tobytes() == expected
    copies = [(lambda _name: True, lambda array, _hook: array.copy())]
    assert model.run_with_hooks(ids, copies).tobytes() == expected
    last, _ = model.run_with_cache(ids, [], last_only=True)
    assert last.shape == (1, model.config.n_vocab)
    assert last.tobytes() == expected[-last.nbytes :]


@pytest.mark.parametrize("name", ["q4_0", "f32"])
def test_neither_threads_nor_an_adapter_part_the_two_ways(name: str) -> None:
    model = load(make(SPECS[name]))
    ids = ids_for(model, 70)
    model.adapt(make_adapter(SPECS[name], rank=9), 0.7)
    expected = ordinary(model, ids).tobytes()
    try:
        for threads in (1, 3):
            model.kernel.call("threads", threads)
            logits, cache = model.run_with_cache(ids)
            assert logits.tobytes() == expected
            summed = cache["result", 1].astype(np.float64).sum(axis=1)
            np.testing.assert_allclose(summed, cache["attn_out", 1], atol=1e-5)
    finally:
        model.kernel.call("threads", 1)


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
@pytest.mark.parametrize("name", CONFIGS)
def test_looking_into_any_architecture_changes_no_bit(name: str, kind: str) -> None:
    model = load(converted(name, kind))
    ids = ids_for(model, 40)
    logits, cache = model.run_with_cache(ids)
    assert logits.tobytes() == ordinary(model, ids).tobytes()
    assert list(cache) == lens.site_names(model.config)
    same = [(lambda _name: True, lambda array, _hook: array.copy())]
    assert model.run_with_hooks(ids, same).tobytes() == logits.tobytes()


EXACT = ["f32", "f16", "bf16", "f32-tied", "head8", "rope-linear", "rope-freqs", "one-layer"]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_value_of_any_architecture_is_the_reference_models(name: str) -> None:
    """Within 1e-4 of the largest value there, as float32 arithmetic is of float64."""
    data = converted(name, "f32")
    model = load(data)
    ids = ids_for(model)
    _, cache = model.run_with_cache(ids)
    expected = ReferenceModel(data).run(ids)
    for site in lens.site_names(model.config):
        value = expected[site].reshape(cache[site].shape)
        finite = np.isfinite(value)
        assert (np.isfinite(cache[site]) == finite).all(), site
        worst = np.abs(cache[site][finite] - value[finite]).max()
        assert worst <= 1e-4 * np.abs(value[finite]).max(), site


def test_names_are_those_that_an_architecture_has() -> None:
    def names(name: str) -> set[str]:
        config = load(converted(name, "q8_0")).config
        return {one.removeprefix("blocks.0.") for one in lens.site_names(config)}

    posts = {f"ln{i}_post.hook_{end}" for i in (1, 2) for end in ("scale", "normalized")}
    assert posts < names("gemma2") and not posts & names("llama")
    gpt2 = names("gpt2")
    assert "hook_pos_embed" in gpt2 and "mlp.hook_pre" in gpt2
    assert not gpt2 & {"mlp.hook_pre_linear", "attn.hook_rot_q"}
    assert "hook_resid_mid" not in names("gptneox") and "hook_resid_mid" in names("gptneox-serial")
    assert "ln1.hook_scale" not in names("olmo2")
    smollm3 = names("smollm3")  # one layer of four has no rotations
    assert "blocks.2.attn.hook_rot_q" in smollm3 and "blocks.3.attn.hook_rot_q" not in smollm3


@pytest.mark.parametrize("name", [*EXACT, "qwen2", "qwen3", "phi3"])
def test_every_value_is_what_the_papers_say(name: str) -> None:
    """Written out once more, without a plan (`tests/lens_reference.py`)."""
    data = make(SPECS[name]) if name in SPECS else converted(name, "f32")
    model = load(data)
    ids = ids_for(model)
    logits, cache = model.run_with_cache(ids)
    expected = CapturingReference(data).capture(ids)
    assert sorted(expected) == sorted(lens.site_names(model.config))
    np.testing.assert_allclose(logits, expected["logits"], atol=2e-5)
    for site, value in expected.items():
        assert cache[site].shape == value.shape, site
        finite = np.isfinite(value)
        assert (np.isfinite(cache[site]) == finite).all(), site
        worst = np.abs(cache[site][finite] - value[finite]).max()
        assert worst <= 1e-4 * np.abs(value[finite]).max(), site


@pytest.mark.parametrize("name", ["q8_0", "q4_0-tied", "head48", "head64"])
def test_quantized_values_are_the_reference_models(name: str) -> None:
    """But for activations that lie on a half and are rounded to its other side, and what follows
    from those: most values of every kind agree closely, all agree roughly."""
    data = make(SPECS[name])
    model = load(data)
    ids = ids_for(model, 20)
    _, cache = model.run_with_cache(ids)
    for site, value in CapturingReference(data, activations="q8_0").capture(ids).items():
        finite = np.isfinite(value)
        worst = np.abs(cache[site][finite] - value[finite])
        size = np.abs(value[finite]).max()
        assert np.median(worst) <= 1e-4 * size, site
        assert worst.max() <= 0.05 * size, site


def test_every_value_is_pytorchs() -> None:
    """Of the training's own network, by hooks of PyTorch's, with its weights in a file."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
    from thimble.train.recipe import Recipe
    from thimble.train.torch_model import Llama

    spec = TinySpec(tied=True, seed=31)
    data, model = make(spec), load(make(spec))
    c = model.config
    recipe = Recipe(
        title="Tiny", vocab_size=c.n_vocab, dim=c.dim, n_layers=c.n_layers, n_heads=c.n_heads,
        n_kv_heads=c.n_kv_heads, hidden=c.hidden_dim, context=64, norm_eps=c.norm_eps,
    )  # fmt: skip
    network = Llama(recipe)
    weights = CapturingReference(data).weights
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.tensor(weights[name].astype(np.float32)))
    seen = {}

    def keep(name: str, before: bool = False) -> Any:
        def hook(_module: Any, given: Any, came: Any) -> None:
            seen[name] = (given[0] if before else came).detach().numpy()[0]

        return hook

    layers: Any = network.blk
    network.token_embd.register_forward_hook(keep("hook_embed"))
    for i, block in enumerate(layers):
        at = f"blocks.{i}."
        block.register_forward_hook(keep(at + "hook_resid_pre", True))
        block.register_forward_hook(keep(at + "hook_resid_post"))
        block.ffn_norm.register_forward_hook(keep(at + "hook_resid_mid", True))
        block.attn_output.register_forward_hook(keep(at + "attn.hook_z", True))
        block.attn_output.register_forward_hook(keep(at + "hook_attn_out"))
        block.ffn_gate.register_forward_hook(keep(at + "mlp.hook_pre"))
        block.ffn_up.register_forward_hook(keep(at + "mlp.hook_pre_linear"))
        block.ffn_down.register_forward_hook(keep(at + "mlp.hook_post", True))
        block.ffn_down.register_forward_hook(keep(at + "hook_mlp_out"))
        for kind in "qkv":
            getattr(block, f"attn_{kind}").register_forward_hook(keep(f"{at}attn.hook_{kind}"))
    ids = ids_for(model)
    inputs = torch.tensor([ids])
    with torch.no_grad():
        expected = network.logits(inputs, torch.zeros_like(inputs)).numpy()[0]
    logits, cache = model.run_with_cache(ids)
    np.testing.assert_allclose(logits, expected, atol=2e-4 * np.abs(expected).max())
    assert len(seen) == 1 + 12 * c.n_layers
    for name, value in seen.items():
        found = cache[name].reshape(value.shape)
        assert np.abs(found - value).max() <= 1e-4 * np.abs(value).max(), name


def test_contributions_add_up_to_the_stream_and_to_the_logits() -> None:
    for name in ("f32", "q8_0", "q4_0", "head48"):
        model = load(make(SPECS[name]))
        _, cache = model.run_with_cache(IDS)
        stream = cache["hook_embed"].astype(np.float64)
        for layer in range(model.config.n_layers):
            heads = cache["result", layer].astype(np.float64).sum(axis=1)
            np.testing.assert_allclose(heads, cache["attn_out", layer], atol=1e-5)
            stream = stream + heads + cache["mlp_out", layer]
            np.testing.assert_allclose(stream, cache["resid_post", layer], atol=2e-5)
        normed = stream / cache["ln_final.hook_scale"]
        np.testing.assert_allclose(normed, cache["ln_final.hook_normalized"], atol=2e-5)


def test_only_what_is_asked_for_is_kept_and_its_cost_is_told_before() -> None:
    model = load(make(SPECS["f32"]))
    _, cache = model.run_with_cache(IDS, lambda name: name.endswith("hook_pattern"))
    assert list(cache) == [f"blocks.{i}.attn.hook_pattern" for i in range(2)]
    assert cache.nbytes == sum(lens.cost(model, 40, list(cache)).values()) == 2 * 4 * 4 * 40 * 40
    assert ("pattern", 1) in cache and ("z", 1) not in cache
    with pytest.raises(KeyError, match=r"hook_z' is not in the cache"):
        cache["z", 0]
    with pytest.raises(thimble.MemoryLimitError, match=r"takes .*, more than max_bytes=9,999"):
        model.run_with_cache(IDS, max_bytes=9999)


def test_short_names_are_transformer_lens_own() -> None:
    model = load(make(SPECS["f32"]))
    _, cache = model.run_with_cache(IDS)
    for short, name in {
        ("pattern", 1): "blocks.1.attn.hook_pattern",
        ("resid_post", -1): "blocks.1.hook_resid_post",
        ("scale", 0, "ln2"): "blocks.0.ln2.hook_scale",
        ("pre", 0): "blocks.0.mlp.hook_pre",
        ("post", 0, "mlp"): "blocks.0.mlp.hook_post",
        ("embed",): "hook_embed",
    }.items():
        assert cache[short].tobytes() == cache.raw(name)


@pytest.mark.parametrize(("names", "words"), [
    ("blocks.0.attn.hook_patern", "did you mean 'blocks.0.attn.hook_pattern'"),
    ("blocks.9.attn.hook_pattern", "the layers are 0 to 1"),
    (["hook_pos_embed"], "did you mean"),
    (lambda name: False, "accepts none"),
    ([3], "a text or a function"),
])  # fmt: skip
def test_unknown_names_say_the_nearest(names: Any, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        load(make(SPECS["f32"])).run_with_cache(IDS, names)
    assert words in str(caught.value)


def test_tokens_are_checked() -> None:
    model = load(make(TinySpec(n_ctx=32)))
    assert model.run_with_cache("Mia", [])[0].shape[1] == model.config.n_vocab
    with pytest.raises(thimble.OptionError, match="no tokens"):
        model.run_with_cache([])
    with pytest.raises(thimble.OptionError, match="token id 99999 is not"):
        model.run_with_cache([99999])
    with pytest.raises(thimble.ContextError, match="33 tokens and the context holds 32"):
        model.run_with_cache([1] * 33)
    both = thimble.Ensemble([load(make(SPECS["f32"])), load(make(SPECS["q8_0"]))])
    with pytest.raises(thimble.UnsupportedError, match="one of its members"):
        lens.run_with_cache(both, [1])  # type: ignore[arg-type]


def test_without_numpy_there_are_plain_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(make(SPECS["q8_0"]))
    logits, cache = model.run_with_cache(IDS)
    expected = {name: cache[name] for name in cache}
    monkeypatch.setattr(tensor, "numpy", lambda: None)
    monkeypatch.setattr("thimble.lens.hooks.numpy", lambda: None)
    plain, kept = model.run_with_cache(IDS)
    assert isinstance(plain, lens.Tensor)
    assert plain.flat.tobytes() == logits.tobytes()
    pattern = kept["pattern", 0]
    assert pattern.shape == (4, 40, 40) == pattern.memory.shape
    assert pattern[1, 5].tolist() == expected["blocks.0.attn.hook_pattern"][1, 5].tolist()
    assert pattern[1, 5, 3] == expected["blocks.0.attn.hook_pattern"][1, 5, 3]
    assert np.array_equal(np.asarray(pattern), expected["blocks.0.attn.hook_pattern"])
    with pytest.raises(IndexError, match="4 is outside of an axis of 4"):
        pattern[4]

    def quiet(z: Any, _hook: Any) -> None:
        for row in z:
            row[2] = 0

    changed = model.run_with_hooks(IDS, [("blocks.1.attn.hook_z", quiet)])
    monkeypatch.undo()

    def quiet_numpy(z: Any, _hook: Any) -> None:
        z[:, 2] = 0

    same = model.run_with_hooks(IDS, [("blocks.1.attn.hook_z", quiet_numpy)])
    assert changed.flat.tobytes() == same.tobytes() != logits.tobytes()
