"""Hooks: what they change flows on, what they get wrong is said, and they stand where asked to."""

from __future__ import annotations

import signal
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import thimble
from tests.test_lens_capture import IDS
from tests.test_session import load
from tests.tiny_folders import CONFIGS, converted
from tests.tiny_models import SPECS, make
from thimble import lens
from thimble.browser.interrupts import PREFIX, interruptible
from thimble.ensemble import EnsembleSession
from thimble.reference import ReferenceModel, softmax

Hook = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return load(make(SPECS["f32"]))


def without_head(reference: ReferenceModel, layer: int, head: int) -> None:
    size = reference.config.head_dim
    reference.weights[f"blk.{layer}.attn_output.weight"][:, head * size : (head + 1) * size] = 0


def test_ablating_is_zeroing_weights(model: thimble.Model) -> None:
    reference = ReferenceModel(make(SPECS["f32"]))
    without_head(reference, 0, 2)
    reference.weights["blk.1.ffn_down.weight"][:, [5, 17]] = 0
    hooks = lens.ablate_heads(model, [(0, 2)]) + lens.ablate_neurons(model, [(1, 5), (1, 17)])
    changed = model.run_with_hooks(IDS, hooks)
    np.testing.assert_allclose(changed, reference.logits(IDS), atol=2e-5)
    reference.weights["blk.0.ffn_down.weight"][:] = 0
    reference.weights["blk.1.attn_output.weight"][:] = 0
    hooks += lens.ablate_mlps(model, [0]) + lens.ablate_attention(model, [1])
    changed = model.run_with_hooks(IDS, hooks)
    np.testing.assert_allclose(changed, reference.logits(IDS), atol=2e-5)


@pytest.mark.parametrize(("name", "most"), [("head32", 1e-5), ("q8_0", 0.05), ("q4_0", 0.05)])
def test_ablating_quantized_heads_takes_away_their_results(name: str, most: float) -> None:
    """But for the rounding: heads that share a block of 32 with it get a scale of their own."""
    model = load(make(SPECS[name]))
    head = model.config.n_heads - 1
    _, before = model.run_with_cache(IDS)
    zero = lens.ablate_heads(model, [(1, head)])
    _, after = model.run_with_cache(IDS, ["blocks.1.hook_attn_out"], fwd_hooks=zero)
    missing = before["attn_out", 1] - after["attn_out", 1]
    np.testing.assert_allclose(missing, before["result", 1][:, head], atol=most)


def test_changes_by_nothing_change_no_bit(model: thimble.Model) -> None:
    expected = model.run_with_hooks(IDS).tobytes()
    ones = lens.scale_heads(model, {(0, 1): 1.0}) + lens.scale_mlps(model, {1: 1.0})
    ones += lens.scale_neurons(model, {(0, 7): 1.0})
    assert model.run_with_hooks(IDS, ones).tobytes() == expected
    assert lens.steer(model, [1.0] * 64, layer=1, strength=0.0) == []
    assert lens.ablate_heads(model, []) == []
    _, cache = model.run_with_cache(IDS)
    for name in ("attn.hook_z", "attn.hook_pattern", "attn.hook_result", "hook_resid_mid"):
        same = lens.patch(model, cache, f"blocks.1.{name}")
        assert model.run_with_hooks(IDS, same).tobytes() == expected, name


SITES = lens.site_names(load(make(SPECS["one-layer"])).config)


@pytest.mark.parametrize("site", SITES)
def test_every_value_flows_on(site: str) -> None:
    """A small change anywhere changes the logits by about what it does in float64."""
    model = load(make(SPECS["one-layer"]))
    ids = IDS[:12]
    before = model.run_with_hooks(ids)

    def nudge(values: Any, _hook: Any) -> Any:
        changed = values.copy()
        changed[..., -1, 0] += 0.25 * np.abs(values[np.isfinite(values)]).max()
        return changed

    names = ["logits", site]
    after, cache = model.run_with_cache(ids, names, fwd_hooks=[(site, nudge)])
    assert (after != before).any()
    assert np.isfinite(after).all()
    assert np.array_equal(cache["logits"], after)  # kept as the hooks left it


def test_a_changed_pattern_and_changed_scores_mean_what_they_say(model: thimble.Model) -> None:
    _, cache = model.run_with_cache(IDS)

    def average(pattern: Any, _hook: Any) -> None:
        pattern[1] = np.tril(np.ones((40, 40))) / np.arange(1, 41)[:, None]

    name = "blocks.0.attn.hook_pattern"
    _, changed = model.run_with_cache(IDS, fwd_hooks=[(name, average)])
    values = cache["v", 0][:, 0].astype(np.float64)  # head 1 reads the first of two
    expected = np.cumsum(values, axis=0) / np.arange(1, 41)[:, None]
    np.testing.assert_allclose(changed["z", 0][:, 1], expected, atol=1e-6)
    assert changed["z", 0][:, [0, 2, 3]].tobytes() == cache["z", 0][:, [0, 2, 3]].tobytes()

    def not_the_first(scores: Any, _hook: Any) -> None:
        scores[2, 1:, 0] = -np.inf

    name = "blocks.0.attn.hook_attn_scores"
    _, changed = model.run_with_cache(IDS, fwd_hooks=[(name, not_the_first)])
    scores = cache["attn_scores", 0][2].astype(np.float64)
    scores[1:, 0] = -np.inf
    np.testing.assert_allclose(changed["pattern", 0][2], softmax(scores), atol=1e-6)
    mixed = changed["pattern", 0][2] @ cache["v", 0][:, 1]
    np.testing.assert_allclose(changed["z", 0][:, 2], mixed, atol=1e-5)
    assert changed["z", 0][:, 1].tobytes() == cache["z", 0][:, 1].tobytes()


def test_a_hook_knows_where_it_stands_and_keeps_what_it_likes(model: thimble.Model) -> None:
    seen: list[tuple[Any, ...]] = []

    def look(values: Any, hook: lens.HookPoint) -> None:
        hook.ctx["calls"] = hook.ctx.get("calls", 0) + 1
        seen.append((hook.name, hook.layer(), hook.past, values.shape, hook.ctx["calls"]))

    ends = ("hook_embed", "hook_q", "ln_final.hook_scale")
    session = model.hooked([(lambda name: name.endswith(ends), look)]).session()
    session.append(IDS[:5])
    session.append(IDS[5:6])
    first, second = seen[:4], seen[4:]
    names = ["hook_embed", *(f"blocks.{i}.attn.hook_q" for i in range(2)), "ln_final.hook_scale"]
    assert [one[0] for one in first] == [one[0] for one in second] == names
    assert [one[1] for one in first] == [None, 0, 1, None]
    assert [one[2] for one in first] == [0, 0, 0, 4]  # only the last position becomes logits
    assert [one[2] for one in second] == [5, 5, 5, 5]
    assert first[1][3] == (5, 4, 16) and second[1][3] == (1, 4, 16)
    assert [one[4] for one in second] == [2, 2, 2, 2]


def raising(_values: Any, _hook: Any) -> None:
    raise ValueError("not today")


@pytest.mark.parametrize(("function", "words"), [
    (raising, r"hook_z raised ValueError: not today \(line \d+, in raising\)"),
    (lambda z, hook: z[1:], r"the shape \(\d+, 4, 16\); .* of the shape \(\d+, 4, 16\) is right"),
    (lambda z, hook: z * np.nan, "hook_z left nan at index 0 of the flat array"),
    (lambda z, hook: z.astype(np.float64) * 1e300, "hook_z left -?inf"),
    (lambda z, hook: "quiet", "returned 'quiet'; nothing"),
    (lambda z, hook: z.astype(complex), "numbers of the type complex"),
    (lambda z: z, r"hook_z raised TypeError: .* takes 1 positional argument"),
])  # fmt: skip
def test_what_a_hook_does_wrong_is_said(model: thimble.Model, function: Hook, words: str) -> None:
    hooks = [("blocks.1.attn.hook_z", function)]
    with pytest.raises(thimble.HookError, match=words):
        model.run_with_hooks(IDS, hooks)
    session = model.hooked(hooks).session()
    with pytest.raises(thimble.HookError, match=words):
        session.append(IDS)
    assert session.tokens == ()
    assert model.run_with_hooks(IDS).shape == (40, model.config.n_vocab)


def test_the_line_is_the_callers_own(model: thimble.Model) -> None:
    code = "def f(z, hook):\n    a = z\n    return a.nothing()\n"
    names: dict[str, Any] = {}
    exec(compile(code, "<input 1>", "exec"), names)
    with pytest.raises(thimble.HookError) as caught:
        model.run_with_hooks(IDS, [("hook_embed", names["f"])])
    assert caught.value.line == 3
    assert "<input 1>" in caught.value.trace and "lens" not in caught.value.trace


@pytest.mark.parametrize("entry", ["hook_embed", ("hook_embed",), ("hook_embed", 3)])
def test_a_hook_is_a_pair(model: thimble.Model, entry: Any) -> None:
    with pytest.raises(thimble.OptionError, match="a pair of a name"):
        model.run_with_hooks(IDS, [entry])


def test_an_endless_hook_can_be_interrupted(model: thimble.Model) -> None:
    code = "def f(z, hook):\n    while True:\n        pass\n"
    names: dict[str, Any] = {}
    exec(compile(code, f"{PREFIX} 1>", "exec"), names)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        model.run_with_hooks(IDS, [("hook_embed", names["f"])])
    assert model.run_with_hooks(IDS).shape[0] == 40


def test_standing_hooks_write_what_one_pass_says() -> None:
    model = load(make(SPECS["q8_0"]))
    hooks = lens.ablate_heads(model, [(0, 1)])
    quiet = model.hooked(hooks)
    session = quiet.session()
    session.append(IDS[:33])
    params = thimble.SamplingParams(max_tokens=12, temperature=0.8, seed=3)
    chunks = list(session.generate([], params))
    rows = model.run_with_hooks(session.tokens, hooks)
    assert array("f", rows[-1].tobytes()) == session.logits()
    fork = session.fork(20)
    assert array("f", rows[19].tobytes()) == fork.logits()
    score = quiet.session().score(session.tokens)
    assert [c.logprob for c in score[-len(chunks) + 1 :]] == pytest.approx(
        [chunk.logprob for chunk in chunks[1:]], abs=0.0
    )
    other = [chunk.id for chunk in model.session().generate(IDS[:33], params)]
    assert other != [chunk.id for chunk in chunks]


def test_hooks_can_be_changed_while_a_session_is_open() -> None:
    model = load(make(SPECS["f32"]))
    quiet = model.hooked(lens.ablate_mlps(model, [0]))
    session, plain = quiet.session(), model.session()
    session.append(IDS)
    plain.append(IDS)
    changed = session.logits()
    assert changed != plain.logits()
    quiet.fwd_hooks = []
    assert session.logits() == plain.logits()
    quiet.fwd_hooks = lens.ablate_mlps(model, [0])
    assert session.logits() == changed
    with pytest.raises(thimble.OptionError):
        quiet.fwd_hooks = [("hook_nothing", raising)]
    both = quiet.hooked(lens.ablate_heads(model, [(1, 0)]))
    hooks = lens.ablate_mlps(model, [0]) + lens.ablate_heads(model, [(1, 0)])
    expected = model.run_with_hooks(IDS, hooks)
    assert both.run_with_hooks(IDS).tobytes() == expected.tobytes()
    quiet.close()
    assert both.closed and not model.closed


def test_a_hooked_model_is_a_member_like_any_other() -> None:
    model = load(make(SPECS["f32"]))
    quiet = model.hooked(lens.ablate_heads(model, [(0, 0), (1, 1)]))
    both = thimble.Ensemble([model, quiet])
    session = both.session()
    assert isinstance(session, EnsembleSession)
    session.append(IDS)
    alone = quiet.session()
    alone.append(IDS)
    assert session.member_logits(1) == alone.logits() != session.member_logits(0)
    story = ["Mia had a little red boat."]
    changed = thimble.evaluate_text(quiet, story).nats
    assert changed != thimble.evaluate_text(model, story).nats


def test_steering_adds_a_direction_where_asked(model: thimble.Model) -> None:
    towards, away = "Mia was happy", "Mia was sad again"
    vector = lens.steering_vector(model, towards, away, layer=1)
    ends = [model.run_with_cache(text)[1]["resid_pre", 1][-1] for text in (towards, away)]
    np.testing.assert_allclose(vector, ends[0] - ends[1], atol=1e-6)
    hooks = lens.steer(model, vector, layer=1, strength=2.0, first=10, last=20)
    _, before = model.run_with_cache(IDS)
    _, after = model.run_with_cache(IDS, fwd_hooks=hooks)
    moved = after["resid_pre", 1] - before["resid_pre", 1]
    np.testing.assert_allclose(moved[10:21], np.tile(2 * np.array(vector), (11, 1)), atol=1e-5)
    assert not moved[:10].any() and not moved[21:].any()
    # In a session, positions are those of the text.
    session = model.hooked(hooks).session()
    for at in range(0, 40, 8):
        session.append(IDS[at : at + 8])
    expected = model.run_with_hooks(IDS, hooks)[-1]
    assert array("f", expected.tobytes()) == session.logits()
    with pytest.raises(thimble.OptionError, match="3 numbers; the stream has 64"):
        lens.steer(model, [1.0, 2.0, 3.0], layer=0)


def test_patching_puts_another_passes_values_in(model: thimble.Model) -> None:
    other = [(token + 7) % 300 for token in IDS]
    logits, source = model.run_with_cache(other)
    everything = lens.patch(model, source, "blocks.0.hook_resid_pre")
    assert model.run_with_hooks(IDS, everything).tobytes() == logits.tobytes()
    name = "blocks.1.attn.hook_z"
    some = lens.patch(model, source, name, positions=[3, -1], heads=[2])
    _, before = model.run_with_cache(IDS, name)
    _, after = model.run_with_cache(IDS, name, fwd_hooks=some)
    expected = before[name].copy()
    expected[[3, -1], 2] = source[name][[3, -1], 2]
    assert np.array_equal(after[name], expected)
    nowhere = lens.patch(model, source, name, positions=[])
    assert np.array_equal(model.run_with_hooks(IDS, nowhere), model.run_with_hooks(IDS))


def test_means_take_the_place_of_what_is_switched_off(model: thimble.Model) -> None:
    texts = ["Mia had a little red boat.", "The duck swam to the boat."]
    mean = lens.means(model, texts, lambda name: name.endswith("hook_z"))
    caches = [model.run_with_cache(text)[1] for text in texts]
    expected = np.concatenate([cache["z", 1] for cache in caches]).mean(axis=0)
    np.testing.assert_allclose(mean["blocks.1.attn.hook_z"], expected.reshape(-1), atol=1e-6)
    hooks = lens.ablate_heads(model, [(1, 2)], mean)
    _, changed = model.run_with_cache(IDS, fwd_hooks=hooks)
    np.testing.assert_allclose(changed["z", 1][:, 2], np.tile(expected[2], (40, 1)), atol=1e-6)
    with pytest.raises(thimble.OptionError, match=r"no means of blocks\.0\.mlp\.hook_post"):
        lens.ablate_neurons(model, [(0, 1)], mean)


@pytest.mark.parametrize(("make_hooks", "words"), [
    (lambda m: lens.ablate_heads(m, [(2, 0)]), "no layer 2; there are 0 to 1"),
    (lambda m: lens.ablate_heads(m, [(0, 4)]), "no head 4 in a layer; there are 0 to 3"),
    (lambda m: lens.scale_neurons(m, {(0, 96): 2.0}), "no neuron 96"),
    (lambda m: lens.patch(m, m.run_with_cache(IDS)[1], "hook_embed", heads=[1]), "has no heads"),
    (lambda m: lens.patch(m, m.run_with_cache(IDS)[1], "hook_embed", positions=[40]),
     "no position 40"),
])  # fmt: skip
def test_what_there_is_not_is_refused(model: thimble.Model, make_hooks: Any, words: str) -> None:
    with pytest.raises(thimble.OptionError, match=words):
        make_hooks(model)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_changed_in_any_architecture_flows_on(name: str) -> None:
    """As in float64, wherever the values of two positions are changed."""
    data = converted(name, "f32")
    model, exact = load(data), ReferenceModel(data)
    ids = [i * 11 % model.config.n_vocab for i in range(12)]
    before = exact.run(ids)
    staged = ("hook_scale", "hook_normalized", "hook_attn_scores", "hook_pattern", "hook_result",
              "hook_expert_indices")  # fmt: skip
    for site in lens.site_names(model.config):
        if site.endswith(staged) or site == "logits":
            continue

        def push(values: Any, _hook: Any) -> None:
            values[5] *= 0.5
            values[-1] = 0

        value = before[site].copy()
        value[5] *= 0.5
        value[-1] = 0
        start = site.endswith("hook_resid_pre")
        earlier = site.replace(".hook_resid_pre", ".hook_resid_post")
        layer = int(site.split(".")[1]) if start else 0
        changed_site = earlier.replace(f".{layer}.", f".{layer - 1}.") if start else site
        if start and layer == 0:
            changed_site = "hook_embed" if "hook_resid_pre" not in before else "hook_resid_pre"
        expected = exact.run(ids, {changed_site: value})["logits"]
        found = model.run_with_hooks(ids, [(site, push)])
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max(), site
        assert np.abs(expected - before["logits"]).max() > 1e-3, site


@pytest.mark.parametrize("name", CONFIGS)
def test_parts_of_any_architecture_add_up_to_the_logit(name: str) -> None:
    model = load(converted(name, "f32"))
    ids = [i * 11 % model.config.n_vocab for i in range(12)]
    for against in (None, 7):
        found = lens.logit_attribution(model, ids, 3, against=against)
        assert abs(found.rest) < 1e-4 * max(1.0, max(abs(part.value) for part in found.parts))
    vector = lens.steering_vector(model, ids, ids[::-1], layer=1)
    steered = model.run_with_hooks(ids, lens.steer(model, vector, layer=1, strength=2.0))
    assert np.isfinite(steered).all() and (steered != model.run_with_hooks(ids)).any()
    assert len(lens.logit_lens(model, ids).cells) == model.config.n_layers + 1
    grid = lens.patch_grid(model, ids, [*ids[:5], 1, *ids[6:]], 3)
    assert [len(row) for row in grid.values] == [12] * model.config.n_layers
