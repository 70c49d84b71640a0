"""Several of the page's models as one: written with, looked at and measured.

Members are named by sessions of the page, which hold their models in memory. What takes long is
done a little at a time, so that the worker can hear "stop" in between.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..combined import MOST_MEMBERS, same_vocabulary
from ..ensemble import Ensemble, EnsembleSession
from ..errors import ContextError, MemoryLimitError, OptionError
from ..generation import prompt_ids
from .ensemble_measure import fit, measure
from .jobs import Jobs
from .options import asked, sampling

if TYPE_CHECKING:
    from ..generation import TokenChunk
    from ..model import Model
    from ..sampling import Choice, Sampler
    from ..session import Session
    from .engine import Engine

TOP = 6
"""Tokens that are shown of a distribution."""
PROMPT_STEP = 32
"""Prompt tokens between two looks at the clock."""
FEWEST = 2


class Panel(Ensemble):
    """An ensemble whose sessions keep what each member thought of the last draw."""

    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        return Watched(self, n_ctx, kv_type)


class Watched(EnsembleSession):
    """A session of one."""

    def __init__(self, model: Ensemble, n_ctx: int, kv_type: str | None = None) -> None:
        super().__init__(model, n_ctx, kv_type)
        self.heard: list[Choice] = []
        """Of each member, about the token that was drawn last."""

    def sample(self, sampler: Sampler) -> Choice:
        choice = super().sample(sampler)
        self.heard = self.weigh_each(choice.id, top=TOP)
        return choice


@dataclass(slots=True)
class Group:
    """An ensemble of the page's, and the text that it writes."""

    ensemble: Panel
    session: Watched
    names: list[str]
    prompt: list[int] = field(default_factory=list)
    """Of the text that is being written: what is not read yet."""
    given: int = 0
    """Tokens of the prompt."""
    params: Any = None
    chunks: Iterator[TokenChunk] | None = None
    looked: EnsembleSession | None = None
    """A copy that ends where the visitor looks; None for the text's own end."""


class Service:
    """What the worker asks as "ensemble.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._groups: dict[int, Group] = {}
        self._jobs = Jobs()
        self._numbers = itertools.count(1)

    # Members

    def make(self, sessions: str, method: str) -> dict[str, Any]:
        """One model of those of these sessions (a JSON list) that fit together.

        "refused" has [place in the list, reason] of the others; "ensemble" is None where fewer than
        two are left.
        """
        models = [self._engine.opened(number).model for number in asked(sessions)]
        if not 1 <= len(models) <= MOST_MEMBERS:
            raise OptionError(f"an ensemble has 2 to {MOST_MEMBERS} members, not {len(models)}")
        chosen, refused = self._fitting(models)
        group = None
        while group is None and len(chosen) >= FEWEST:
            try:
                ensemble = Panel([models[at] for at in chosen], method=method)
                session = ensemble.session()
                assert isinstance(session, Watched)
                group = Group(ensemble, session, [self._name(models[at]) for at in chosen])
            except MemoryLimitError as error:
                # Each member needs a cache and rows of its own: one fewer may do.
                refused.append(
                    (chosen.pop(), f"there is no memory for it beside the others: {error}")
                )
        made: dict[str, Any] = {"ensemble": None, "members": chosen, "refused": sorted(refused)}
        if group is None:
            return made
        number = next(self._numbers)
        self._groups[number] = group
        window = group.ensemble.config.n_ctx
        return made | {
            "ensemble": number,
            "weights": list(group.ensemble.member_weights),
            "contextWindow": window,
            "parameters": group.ensemble.n_params,
            "note": _shortened(group, window),
        }

    def _fitting(self, models: Sequence[Model]) -> tuple[list[int], list[tuple[int, str]]]:
        """Places of the models that go together, and why the others do not: whoever has the tokens
        that most of them have stays."""
        chosen: list[int] = []
        refused: list[tuple[int, str]] = []
        usual = _usual(models)
        for at, model in enumerate(models):
            reason = self._misfit([models[other] for other in chosen], model, usual)
            if reason is None:
                chosen.append(at)
            else:
                refused.append((at, reason))
        return chosen, refused

    def _misfit(self, chosen: Sequence[Model], model: Model, usual: Model) -> str | None:
        """Why a model cannot be beside those that are there."""
        if model.closed:
            return "it is no longer in memory: load it again"
        digest = self._engine.digests.get(self._name(model))
        for other in chosen:
            same = digest is not None and digest == self._engine.digests.get(self._name(other))
            if model is other or same:
                return (
                    f"it is the same file as {self._name(other)!r}: twice it would only weigh more"
                )
        if not same_vocabulary(usual, model):
            sizes = f"{model.config.n_vocab:,} tokens, where {self._name(usual)!r} has"
            return (
                f"it cuts text into other tokens ({sizes} {usual.config.n_vocab:,}), so the two "
                "cannot be compared token by token"
            )
        if chosen and model.kernel is not chosen[0].kernel:
            return (
                f"it lies in another memory than {self._name(chosen[0])!r}: one of them is large "
                "enough for threads, and the other is not"
            )
        return None

    def _name(self, model: Model) -> str:
        """What the page calls a model."""
        return next((k for k, one in self._engine.loaded.items() if one is model), model.name)

    def close(self, ensemble: int) -> None:
        """Forget an ensemble; its members live on."""
        group = self._groups.pop(ensemble, None)
        if group is not None:
            self._leave(group)
            group.chunks = None
            group.session.close()

    # Distributions

    def combine(self, ensemble: int, method: str, weights: str) -> dict[str, Any]:
        """Another method, or other weights (JSON; null for the method's own), at once."""
        group = self._group(ensemble)
        group.ensemble.combine_by(method, asked(weights))
        return self.view(ensemble)

    def view(self, ensemble: int) -> dict[str, Any]:
        """What each member expects next and what all do together, where the visitor looks."""
        group = self._group(ensemble)
        view: dict[str, Any] = {"weights": list(group.ensemble.member_weights), "position": None}
        session = group.looked or group.session
        if not len(session):
            return view
        together = session.token_logprob(0, top=TOP)  # of which token, does not matter here
        return view | _view(group, len(session), together, session.weigh_each(0, top=TOP))

    def look(self, ensemble: int, at: int | None) -> dict[str, Any]:
        """Look at what was expected in the place of the text's token `at`; None for the end."""
        group = self._group(ensemble)
        self._leave(group)
        if at is not None:
            place = group.given + at
            if not 0 < place <= len(group.session):
                raise OptionError(f"the text has no token {at}: it has {len(group.session)} in all")
            copy = group.session.fork(place)
            assert isinstance(copy, EnsembleSession)
            group.looked = copy
        return self.view(ensemble)

    def _leave(self, group: Group) -> None:
        looked, group.looked = group.looked, None
        if looked is not None:
            looked.close()

    # Writing

    def begin(self, ensemble: int, prompt: str, options: str) -> dict[str, Any]:
        """Begin a text, or go on with the one that is there; `run` does the work."""
        group = self._group(ensemble)
        chosen = asked(options)
        goes_on = bool(chosen.pop("continue", False))
        params, _ = sampling({**chosen, "top_logprobs": TOP})
        session = group.session
        self._leave(group)
        group.chunks = None
        if not goes_on:
            ids = prompt_ids(group.ensemble, prompt, first=True)
            if len(ids) >= session.n_ctx:
                raise ContextError(
                    f"the text has {len(ids):,} tokens and the ensemble's context holds "
                    f"{session.n_ctx:,}, what it writes included: shorten it"
                )
            session.rollback(0)
            group.prompt, group.given = ids, len(ids)
        elif len(session) >= session.n_ctx:
            raise ContextError(f"the context of {session.n_ctx:,} tokens is full")
        group.params = params
        return {"context": len(session)}

    def run(self, ensemble: int, milliseconds: float) -> dict[str, Any]:
        """Work for about so long, for one token at least once the prompt is read."""
        group = self._group(ensemble)
        until = time.perf_counter() + milliseconds / 1000
        rows: list[list[Any]] = []
        view: dict[str, Any] | None = None
        reason = None
        if self._read(group, until):
            session = group.session
            if group.chunks is None:
                group.chunks = session.generate(group.prompt, group.params)
                group.prompt = []
            reason = "length"  # where nothing was asked for
            for chunk in group.chunks:
                rows.append(_row(group, chunk))
                reason = chunk.finish_reason
                if reason is not None or time.perf_counter() >= until:
                    break
            if rows:
                drawn = len(session) - (chunk.id not in group.ensemble.tokenizer.eog_ids)
                together = type(session.heard[0])(chunk.id, chunk.logprob, chunk.entropy, chunk.top)
                view = _view(group, drawn, together, session.heard)
        if reason is not None:
            group.chunks = None
        return {"rows": rows, "context": len(group.session), "finish_reason": reason, "view": view}

    def _read(self, group: Group, until: float) -> bool:
        """Read the prompt up to its last step; whether it is done."""
        while len(group.prompt) > PROMPT_STEP:
            group.session.append(group.prompt[:PROMPT_STEP])
            del group.prompt[:PROMPT_STEP]
            if time.perf_counter() >= until:
                return False
        return True

    def stop(self, ensemble: int) -> None:
        """End a text; the tokens so far stay."""
        self._group(ensemble).chunks = None

    # Measuring

    def measure(self, ensemble: int, text: str, rival: int | None) -> dict[str, Any]:
        """Get ready to measure members, ensemble and the model of a session; `work` does it."""
        group = self._group(ensemble)
        other = None if rival is None else self._engine.opened(rival).model
        name = "" if other is None else self._name(other)
        return self._jobs.begin(measure(group.ensemble, group.names, text, other, name))

    def fit(self, ensemble: int, text: str) -> dict[str, Any]:
        """Get ready to find the mixture's best weights for a text; `work` does it."""
        return self._jobs.begin(fit(self._group(ensemble).ensemble, text))

    def draft(
        self, ensemble: int, target: int, helper: int, prompt: str, options: str
    ) -> dict[str, Any]:
        """Get ready to write with one member alone and with another's drafts; `work` does it."""
        from .ensemble_text import draft

        group = self._group(ensemble)
        params, _ = sampling(asked(options))
        members = group.ensemble.members
        if target == helper:
            raise OptionError(
                f"{group.names[target]!r} cannot draft for itself: choose another for the draft"
            )
        return self._jobs.begin(draft(members[target], members[helper], prompt, params))

    def choose(
        self, ensemble: int, judge: int | None, prompt: str, options: str, texts: int
    ) -> dict[str, Any]:
        """Get ready to write so many texts and let a member judge them, or all together; `work`
        does it."""
        from .ensemble_text import choose

        group = self._group(ensemble)
        params, _ = sampling(asked(options))
        judging = group.ensemble if judge is None else group.ensemble.members[judge]
        return self._jobs.begin(choose(group.ensemble, judging, prompt, params, texts))

    def work(self, job: int, milliseconds: float) -> dict[str, Any]:
        """Go on for about so long; "result" is None until it is done."""
        return self._jobs.work(job, milliseconds)

    def end(self, job: int) -> None:
        """End a measurement, done or not."""
        self._jobs.end(job)

    def _group(self, number: int) -> Group:
        if number not in self._groups:
            raise OptionError(f"there is no ensemble {number}; it was closed or never made")
        return self._groups[number]


def _usual(models: Sequence[Model]) -> Model:
    """The first of those with the vocabulary that most of them have."""
    there = [model for model in models if not model.closed] or list(models)
    return max(there, key=lambda one: sum(same_vocabulary(one, other) for other in there))


def source(method: str, weights: Sequence[float], choice: float, heard: Sequence[Choice]) -> int:
    """The member that a token came from, of which the ensemble's log-probability is `choice`.

    In a mixture the one that most probably drew it, weight times probability (the responsibility of
    expectation maximisation); in a vote the heaviest of its voters; by confidence the one that
    spoke; in products and contrasts the one that raised it most above what came out, in nats times
    weight.
    """
    if method in ("mixture", "vote", "confident"):
        shares = [weight * _claim(method, one) for weight, one in zip(weights, heard, strict=True)]
    else:
        shares = [
            weight * (one.logprob - choice) for weight, one in zip(weights, heard, strict=True)
        ]
    return max(range(len(shares)), key=shares.__getitem__)


def _claim(method: str, one: Choice) -> float:
    best, most = one.top[0]
    if method == "vote":
        return float(best == one.id)
    return math.exp(one.logprob if method == "mixture" else most)


def _row(group: Group, chunk: TokenChunk) -> list[Any]:
    """[text, id, logprob, entropy, [[id, text, logprob], ...], source, each member's logprob]."""
    ensemble, heard = group.ensemble, group.session.heard
    came = source(ensemble.method, ensemble.member_weights, chunk.logprob, heard)
    best = _best(ensemble, chunk.top)
    said = [one.logprob for one in heard]
    return [chunk.text, chunk.id, chunk.logprob, chunk.entropy, best, came, said]


def _view(group: Group, position: int, together: Choice, each: Sequence[Choice]) -> dict[str, Any]:
    def distribution(one: Choice) -> list[Any]:
        return [one.entropy, _best(group.ensemble, one.top)]

    return {
        "weights": list(group.ensemble.member_weights),
        "position": position,
        "together": distribution(together),
        "members": [distribution(one) for one in each],
    }


def _best(ensemble: Ensemble, top: Sequence[tuple[int, float]]) -> list[list[Any]]:
    """[id, text, logprob] of those that have any chance: a vote leaves most tokens none."""
    token_bytes = ensemble.tokenizer.token_bytes
    return [
        [token, token_bytes(token).decode("utf-8", "replace"), logprob]
        for token, logprob in top
        if logprob > -math.inf
    ]


def _shortened(group: Group, window: int) -> str | None:
    """What to say where members' contexts are of several lengths."""
    lengths = [member.config.n_ctx for member in group.ensemble.members]
    if len(set(lengths)) == 1:
        return None
    shortest = group.names[lengths.index(window)]
    return f"Together they hold {window:,} tokens, as {shortest!r} does; others hold more."
