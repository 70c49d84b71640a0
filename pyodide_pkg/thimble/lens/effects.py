"""What a change does to the whole: in bits per byte over texts, and from one prompt to another.

Long work comes as steps: `rank_heads_steps` and `patch_grid_steps` yield after each piece of work,
so whoever drives them can show progress, and cancels by asking for no more. A pass begins at the
first block that a change can reach, with what the block was given in the pass without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import OptionError
from ..evaluate import MAX_TOKENS
from ..kernel import Scratch
from ..state import State
from .cache import Cache
from .forward import Forward, Pass
from .hooks import Hooks
from .interventions import Hook, Means, Z, ablate_heads, patch
from .run import Tokens, all_hooks, check_logits, run_pass, token_ids
from .sites import layers_with
from .unembed import check_token, describe

if TYPE_CHECKING:
    from ..model import Model

Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]
"""Called with what is done and how much there is in all."""


class Scorer:
    """Measures changes of a model over texts, each of which it has read once without them."""

    def __init__(self, model: Model, stories: Sequence[str], max_tokens: int = MAX_TOKENS) -> None:
        self.model = model
        tokenizer = model.tokenizer
        bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        most = min(max_tokens, model.config.n_ctx)
        encoded = (tokenizer.encode(story, add_special=False) for story in stories)
        self.texts = [ids for text in encoded if len(ids := [*bos, *text][:most]) > 1]
        if not self.texts:
            raise OptionError("the text has nothing to predict: it needs at least two tokens")
        token_ids(model, self.texts[0])
        check_logits(model)
        self.bytes = sum(len(tokenizer.token_bytes(i)) for ids in self.texts for i in ids[1:])
        self._streams: dict[int, dict[int, bytes]] = {}

    def read(self, text: int) -> float:
        """Nats of a text without a change; what every block is given is cached."""
        n_layers = self.model.config.n_layers
        keep = {f"blocks.{layer}.hook_resid_pre": layer for layer in range(n_layers)}
        wanted = Pass(self.texts[text], all_hooks(self.model, ()), frozenset(keep))
        nats = self._nats(wanted)
        self._streams[text] = {keep[name]: data for name, data in wanted.kept.items()}
        return nats

    def forget(self, text: int) -> None:
        """Let go of what `read` has cached."""
        self._streams.pop(text, None)

    def changed(self, text: int, hooks: Sequence[Hook]) -> float:
        """Nats of a text with hooks."""
        made = all_hooks(self.model, hooks)
        layer = Hooks(self.model.config, hooks).first_layer(self.model.config.n_layers)
        stream = self._streams.get(text, {}).get(layer)
        start = None if stream is None or _meddled(self.model, layer) else (layer, stream)
        return self._nats(Pass(self.texts[text], made, start=start))

    def bits_per_byte(self, nats: float) -> float:
        """Of all texts together."""
        return nats / math.log(2) / self.bytes

    def _nats(self, wanted: Pass) -> float:
        model, ids = self.model, wanted.ids
        row = (model.config.n_vocab + 3) & ~3
        kernel = model.kernel
        state = State(model, len(ids), kv_type=model.kv_type, whole=True)
        logits = Scratch(kernel, 4 * row * len(ids), "logits")
        try:
            Forward(kernel, model.config, state.address, model.name).run(wanted, logits.address)
            return -sum(choice.logprob for choice in describe(model, logits.address, ids[1:]))
        finally:
            state.close()
            logits.close()


@dataclass(frozen=True)
class HeadEffect:
    """What switching one head off does: `change` in bits per byte, worse is positive."""

    layer: int
    head: int
    bits_per_byte: float
    change: float


@dataclass(frozen=True)
class Ranking:
    """Heads, the most missed first, beside what the model reaches with all of them."""

    bits_per_byte: float
    heads: tuple[HeadEffect, ...]


def rank_heads_steps(
    model: Model, stories: Sequence[str], *, mean: Means | None = None
) -> Generator[tuple[int, int, Ranking | None], None, None]:
    """Switch every head off in turn; yields (done, total, None) after each text and head, and the
    ranking with the last.

    `mean` (from `means`, of `attn.hook_z`) puts averages in the place of what heads say, not zeros.
    """
    config = model.config
    scorer = Scorer(model, stories)
    units = [(layer, head) for layer in layers_with(config, Z) for head in range(config.n_heads)]
    hooks = {unit: ablate_heads(model, [unit], mean) for unit in units}
    total, done = len(scorer.texts) * (len(units) + 1), 0
    base, nats = 0.0, dict.fromkeys(units, 0.0)
    for text in range(len(scorer.texts)):
        base += scorer.read(text)
        done += 1
        yield done, total, None
        for unit in units:
            nats[unit] += scorer.changed(text, hooks[unit])
            done += 1
            if done < total:
                yield done, total, None
        scorer.forget(text)
    whole = scorer.bits_per_byte(base)
    found = [
        HeadEffect(*unit, scorer.bits_per_byte(nats[unit]), scorer.bits_per_byte(nats[unit] - base))
        for unit in units
    ]
    found.sort(key=lambda effect: -effect.change)
    yield total, total, Ranking(whole, tuple(found))


def rank_heads(
    model: Model,
    stories: Sequence[str],
    *,
    mean: Means | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Every head by what it costs to be without it, in bits per byte over texts; each is begun with
    the model's BOS token where it has one, and cut at 512 tokens, as in `evaluate_text`."""
    return driven(rank_heads_steps(model, stories, mean=mean), progress)


@dataclass(frozen=True)
class PatchGrid:
    """`values[layer][column]`, a column being a position or, for `attn.hook_z`, a head: how much of
    the way from the corrupted prompt's answer to the clean one's a patch leads back, 1 for all.

    The answer is measured by its logit at the last position, or by the difference to another's.
    """

    site: str
    clean: float
    corrupted: float
    values: tuple[tuple[float, ...], ...]


def patch_grid_steps(
    model: Model,
    clean: Tokens,
    corrupted: Tokens,
    answer: int,
    *,
    against: int | None = None,
    site: str = "hook_resid_pre",
) -> Generator[tuple[int, int, PatchGrid | None], None, None]:
    """Patch one cell after the other; yields (done, total, None), and the grid with the last."""
    config = model.config
    ids = pair_of(model, clean, corrupted, answer, against)
    caches, scores = zip(*(_read(model, one, site, answer, against) for one in ids), strict=True)
    check_apart(*scores)
    columns = config.n_heads if site == Z else len(ids[0])
    total, rows = config.n_layers * columns, []
    there = set(layers_with(config, site))
    for layer in range(config.n_layers):
        if layer not in there:
            rows.append((0.0,) * columns)
            continue
        name, row = f"blocks.{layer}.{site}", []
        stream = caches[1].raw(f"blocks.{layer}.hook_resid_pre")
        start = None if _meddled(model, layer) else (layer, stream)
        for column in range(columns):
            chosen = {"heads" if site == Z else "positions": [column]}
            hooks = all_hooks(model, patch(model, caches[0], name, **chosen))
            found = _answer(model, Pass(ids[1], hooks, start=start), answer, against)
            row.append((found - scores[1]) / (scores[0] - scores[1]))
            if (done := layer * columns + column + 1) < total:
                yield done, total, None
        rows.append(tuple(row))
    yield total, total, PatchGrid(site, scores[0], scores[1], tuple(rows))


def pair_of(
    model: Model, clean: Tokens, corrupted: Tokens, answer: int, against: int | None
) -> list[list[int]]:
    """The ids of two prompts. Raises OptionError where they are not equally long, or an answer is
    no token."""
    ids = [token_ids(model, tokens) for tokens in (clean, corrupted)]
    if len(ids[0]) != len(ids[1]):
        raise OptionError(
            f"the clean prompt has {len(ids[0])} tokens and the corrupted one {len(ids[1])}; "
            "a position means the same in both only where they are equally long"
        )
    check_logits(model)
    for token in (answer, *(() if against is None else (against,))):
        check_token(model, token)
    return ids


def check_apart(clean: float, corrupted: float) -> None:
    """Raise OptionError where two prompts give the same answer."""
    if clean == corrupted:
        raise OptionError("both prompts give the same answer: there is nothing to lead back")


def patch_grid(
    model: Model,
    clean: Tokens,
    corrupted: Tokens,
    answer: int,
    *,
    against: int | None = None,
    site: str = "hook_resid_pre",
    progress: Progress | None = None,
) -> PatchGrid:
    """Where the answer is made: run the corrupted prompt with one value of the clean one in its
    place, for every block and position (or head, for `attn.hook_z`), and see how much of the clean
    answer comes back (Meng et al. 2022; Heimersheim & Nanda 2024, https://arxiv.org/abs/2404.15255).

    `site` is `hook_resid_pre`, `hook_attn_out`, `hook_mlp_out` or any other value with positions; a
    block that has none of that name brings nothing back.
    """
    steps = patch_grid_steps(model, clean, corrupted, answer, against=against, site=site)
    return driven(steps, progress)


def driven(steps: Iterator[tuple[int, int, Answer | None]], progress: Progress | None) -> Answer:
    """What the last step yields."""
    answer = None
    for done, total, found in steps:
        answer = found
        if progress:
            progress(done, total)
    assert answer is not None
    return answer


def _meddled(model: Model, layer: int) -> bool:
    """Whether hooks that stand on the model would see what a block is given a second time."""
    return f"blocks.{layer}.hook_resid_pre" in all_hooks(model, ()).by_name


def _read(
    model: Model, ids: list[int], site: str, answer: int, against: int | None
) -> tuple[Cache, float]:
    names = [
        f"blocks.{layer}.{name}"
        for name in dict.fromkeys((site, "hook_resid_pre"))
        for layer in layers_with(model.config, name)
    ]
    wanted = Pass(ids, all_hooks(model, ()), frozenset(names))
    score = _answer(model, wanted, answer, against)
    return Cache(model, tuple(ids), wanted.kept), score


def _answer(model: Model, wanted: Pass, answer: int, against: int | None) -> float:
    """A logit of the last position, or the difference of two."""
    wanted.logits = "last"
    wanted.keep = wanted.keep | {"logits"}
    row = memoryview(run_pass(model, wanted).pop("logits")).cast("f")
    return row[answer] - (0.0 if against is None else row[against])
