"""A generation one token at a time, forwards and backwards.

The debugger is where its session is: the session's tokens are the prompt and the way to the
current node of the tree. What the session computed is never computed again for it, whichever way
the text goes on: going back and branching only drop what comes after.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import ContextError, OptionError
from ..generation import prompt_ids
from ..sampling import Choice, Sampler, SamplingParams
from .breakpoints import Breakpoint, Breakpoints
from .pipeline import Pipeline, Tracer, edited
from .recording import RecordedStep, Recording, Replay, as_recorded
from .tree import Node, Step, Tree

if TYPE_CHECKING:
    from ..constrain import Constraint, Grammar
    from ..custom_sampler import CustomSampler
    from ..session import Session

ALTERNATIVES = 10
"""That are kept with every token."""


class Debugger:
    """Steps through one session; what else writes in it is taken up by `adopt`."""

    def __init__(
        self,
        session: Session,
        params: SamplingParams | None = None,
        *,
        sampler: CustomSampler | None = None,
    ) -> None:
        self.session = session
        self.sampler = sampler
        """Chooses instead of the kernel, where there is one."""
        self.breakpoints = Breakpoints(session.model.tokenizer, session.n_ctx)
        self.edits: dict[int, float] = {}
        """Logits that are set by hand for the next token; minus infinity bans one."""
        self.forced: int | None = None
        """The next token, whatever is drawn."""
        self.hit: Breakpoint | None = None
        """What the last run stopped at."""
        self._params = _reporting(params or SamplingParams())
        self._sampler = self._made(self._params)
        self._tracer: Tracer | None = None
        self._passed: Node | None = None
        self._afresh: int | None = None
        """Where the next token's constraint begins, if that is known from elsewhere."""
        self._recorded_mu: float | None = None
        self._constraint_cache: tuple[tuple[Grammar, int, bool], Constraint] | None = None
        self.tree = Tree(session.model.tokenizer, session.tokens)
        self.node = self.tree.root

    # The text

    def begin(self, prompt: str | Sequence[int] = "") -> None:
        """A new text, and a new tree. Raises ContextError where the prompt is too long."""
        ids = prompt_ids(self.session.model, prompt, first=True)
        if not ids:
            raise OptionError("the prompt is empty and the model has no token to begin a text with")
        if len(ids) >= self.session.n_ctx:
            raise ContextError(
                f"the prompt has {len(ids):,} tokens; the context holds {self.session.n_ctx:,}"
            )
        self.session.rollback(0)
        choices = self.session.score(ids, top=ALTERNATIVES)
        self._plant(tuple(ids))
        self.tree.given = _from_the_end(choices, len(ids))

    def adopt(self, steps: Iterable[Step] = ()) -> None:
        """Take up what else the session has been made to write: its last tokens are `steps`.

        Where what stands before them is not this debugger's text, it is a new prompt. The last
        step may be an end-of-text token, which no session holds.
        """
        given = list(steps)
        tokens = self.session.tokens
        ended = bool(given) and given[-1].id in self._eog
        before = tokens[: len(tokens) - len(given) + ended]
        if self._tokens(self.node) != before:
            self._plant(before)
        node = self.node
        for step in given:
            node = self.tree.grow(node, step)
        self._stand(node)

    def restore(self, ids: Sequence[int]) -> None:
        """Put tokens at the end that were chosen some other time."""
        tail = [token for token in ids if token not in self._eog]
        choices = self.session.score(tail, top=ALTERNATIVES)
        node = self.node
        for choice in choices:
            node = self.tree.grow(node, Step(*choice, params=self.params))
        self._stand(node)

    @property
    def in_step(self) -> bool:
        """Whether the session is where the debugger left it."""
        return self.session.tokens == self._tokens(self.node)

    @property
    def ended(self) -> bool:
        """Whether the text has come to an end-of-text token or a stop string (`node.stopped`), or
        is whole."""
        step = self.node.step
        if step is None:
            return False
        return step.id in self._eog or self.node.stopped is not None or self.whole

    @property
    def whole(self) -> bool:
        """Whether the text matches its constraint, and nothing can come behind it."""
        step, grammar = self.node.step, self._params.grammar
        if step is None or grammar is None or step.params.grammar != grammar:
            return False
        if step.constraint_start is None or self._afresh not in (None, step.constraint_start):
            return False
        tokens = self._tokens(self.node)
        return self._constraint(grammar, step.constraint_start, tokens).complete(tokens)

    @property
    def full(self) -> bool:
        """Whether the context holds no more."""
        return len(self.session) >= self.session.n_ctx

    def logits_hash(self) -> str:
        """SHA-256 of the logits here: the bits that everything after depends on."""
        return hashlib.sha256(self.session.logits().tobytes()).hexdigest()

    @property
    def text(self) -> str:
        """What was written, as generation tells it: up to a stop string, without that."""
        whole = "".join(node.text for node in self.node.path())
        stopped = self.node.stopped
        return whole if stopped is None else whole[: len(whole) - stopped.surplus]

    def given(self) -> Sequence[Choice | None]:
        """What the model thought of each of the prompt's tokens; None of the first.

        `begin` finds it out while it reads. A prompt that was read elsewhere is read once more, in
        a copy, when this is first asked.
        """
        tree = self.tree
        if len(tree.given) < len(tree.prompt):
            twin = self.session.fork(0)
            try:
                choices = twin.score(tree.prompt, top=ALTERNATIVES)
            finally:
                twin.close()
            tree.given = _from_the_end(choices, len(tree.prompt))
        return tree.given

    # Moving

    def step(self) -> Node:
        """Take the next token. Raises OptionError at the text's end."""
        return self._take(self._choose())

    def run(self) -> Node | None:
        """Take the next token unless a breakpoint stands before it, which `hit` then is.

        Asked again, it goes on past that breakpoint.
        """
        self.hit = None
        step = self._choose()
        if self._passed is not self.node and self.forced is None:
            choice = Choice(step.id, step.logprob, step.entropy, step.top)
            self.hit = self.breakpoints.hit(choice, self.session.tokens)
            self._passed = self.node
            if self.hit:
                return None
        return self._take(step)

    def back(self) -> Node:
        """Take the last token back; what was done to it is there to be changed."""
        node = self.node
        if node.parent is None or node.step is None:
            raise OptionError("this is the text's beginning: there is no token to take back")
        self._stand(node.parent)
        self.edits = dict(node.step.edits)
        self.forced = node.step.id if node.step.how == "forced" else None
        return self.node

    def goto(self, node: Node) -> None:
        """Stand after another token of the tree; only what this text lacks is computed."""
        self._stand(node)

    def branch(self, node: Node, token: int) -> Node:
        """Another token in the place of `node`'s, which stays in a branch of its own."""
        self._check(token)
        if node.parent is None or node.step is None:
            raise OptionError("the prompt has no alternatives")
        self._check_constraint(node.parent, token)
        self._stand(node.parent)
        known = dict(node.step.top).get(token)
        if known is not None:  # its probability is known: nothing has to be computed for it
            step = Step(token, known, node.step.entropy, node.step.top, self.params, "forced")
            step.constraint_start = self._place(self.node)
            return self._take(step)
        self.force(token)
        return self.step()

    # Changing

    def edit(self, token: int, logit: float) -> None:
        """Set the next token's logit of one id."""
        self._check(token)
        real = isinstance(logit, (int, float)) and not isinstance(logit, bool)
        if not real or math.isnan(logit) or logit > 1e9:
            raise OptionError(f"a logit is a number below 1e9, not {logit!r}")
        self.edits[token] = float(logit)

    def ban(self, token: int) -> None:
        """Let the next token be any but this."""
        self.edit(token, -math.inf)

    def force(self, token: int) -> None:
        """Let the next token be this. Raises OptionError where the constraint forbids it."""
        self._check(token)
        self._check_constraint(self.node, token)
        self.forced = token

    def clear(self, token: int | None = None) -> None:
        """Undo what was done to one id, or to all."""
        if token is None or token == self.forced:
            self.forced = None
        if token is None:
            self.edits.clear()
        else:
            self.edits.pop(token, None)

    @property
    def params(self) -> SamplingParams:
        """How the next token is drawn, and the strings at which the text ends."""
        return self._params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        wanted = _reporting(params)
        if wanted == self._params:
            return
        fresh = self._made(wanted)
        self._sampler.close()
        self._params, self._sampler = wanted, fresh

    # Looking

    def peek(self, *, best: int = 12) -> Pipeline:
        """How the next token comes about, by the kernel's own stages; nothing is taken."""
        self._set_constraint()
        self._sampler.mu = self._mu(self.node)
        return self._pipeline(self.session, self._sampler, self.edits, best)

    def look(self, node: Node, *, best: int = 12) -> Pipeline:
        """How a token of the current text came about. One token is computed for it, in a copy."""
        if node.step is None:
            raise OptionError("the prompt was not drawn")
        before = len(self.tree.prompt) + node.depth - 1
        sampler = self._made(node.step.params)
        if node.step.mu is not None:
            sampler.mu = node.step.mu[0]
        twin = self.session.fork(before)
        try:
            sampler.constrain(twin.model.tokenizer, twin.tokens[: node.step.constraint_start])
            return self._pipeline(twin, sampler, node.step.edits, best)
        finally:
            twin.close()
            sampler.close()

    # Recording

    def record(self, *, sha256: str | None = None) -> Recording:
        """The current text as a run that can be replayed; `sha256` is the model file's."""
        steps = [node.step for node in self.node.path() if node.step]
        tokenizer = self.session.model.tokenizer
        return Recording(
            model=self.session.model.name,
            sha256=sha256,
            prompt=self.tree.prompt,
            steps=tuple(map(as_recorded, steps)),
            prompt_text=tokenizer.decode(self.tree.prompt, skip_special=True),
            text=self.text,
            kv_type=self.session.kv_type,
        )

    def replay(self, recording: Recording, *, sha256: str | None = None) -> Replay:
        """Begin to do a run over again; `replay_step` goes on.

        Raises OptionError where it was made with another model or another `kv_type`, ContextError
        where it is longer than the context.
        """
        recording.check(sha256=sha256, kv_type=self.session.kv_type, n_ctx=self.session.n_ctx)
        self.begin(recording.prompt)
        return Replay(recording)

    def replay_step(self, replay: Replay) -> Node | None:
        """Take the next recorded token; None where it comes out otherwise, and nothing is taken."""
        recorded = replay.recording.steps[replay.done]
        self.params = recorded.params
        self._afresh, self._recorded_mu = recorded.constraint_start, recorded.mu
        try:
            return self._replay_step(replay, recorded)
        finally:
            self._afresh = self._recorded_mu = None

    def _replay_step(self, replay: Replay, recorded: RecordedStep) -> Node | None:
        self.clear()
        for token, logit in recorded.edits.items():
            self.edit(token, logit)
        if recorded.how != "drawn":
            self.force(recorded.id)  # nobody draws it: what is compared is its probability
        step = dataclasses.replace(self._choose(kernel=True), how=recorded.how)
        if not replay.check(step.id, step.logprob):
            return None
        return self._take(step)

    def close(self) -> None:
        """Give the debugger's own memory back; the session stays."""
        self._sampler.close()
        if self._tracer is not None:
            self._tracer.close()

    def _made(self, params: SamplingParams) -> Sampler:
        model = self.session.model
        return Sampler(model.kernel, model.config.n_vocab, params, model.tokenizer)

    @property
    def _eog(self) -> frozenset[int]:
        return frozenset(self.session.model.tokenizer.eog_ids)

    def _tokens(self, node: Node) -> tuple[int, ...]:
        """What the session holds when it stands after `node`."""
        ids = tuple(one.step.id for one in node.path() if one.step)
        return self.tree.prompt + (ids[:-1] if ids and ids[-1] in self._eog else ids)

    def _plant(self, prompt: tuple[int, ...]) -> None:
        self.tree = Tree(self.session.model.tokenizer, prompt)
        self.node = self.tree.root
        self._passed = self.hit = None
        self.clear()

    def _stand(self, node: Node) -> None:
        """Make the session's tokens those up to `node`, from the first that differs on."""
        wanted, there = self._tokens(node), self.session.tokens
        common = 0
        while common < min(len(wanted), len(there)) and wanted[common] == there[common]:
            common += 1
        if common < len(there):
            self.session.rollback(common)
        for token in wanted[common:]:
            self.session.accept(token)
        self.node = node
        self._passed = self.hit = None
        self.clear()

    def _choose(self, *, kernel: bool = False) -> Step:
        """The next token, not taken yet. `kernel`: even where there is a sampler."""
        if self.ended:
            raise OptionError("the text has ended; go back to take it elsewhere")
        if self.full:
            raise ContextError(f"the context is full: it holds {self.session.n_ctx:,} tokens")
        edits = dict(self.edits)
        self._set_constraint()
        mu = self._sampler.mu = self._mu(self.node)
        if self.forced is not None:
            choice, how = self.session.token_logprob(self.forced, top=ALTERNATIVES), "forced"
        elif self.sampler is not None and not kernel:
            from ..custom_sampler import choose

            logits = edited(self.session.logits(), edits)
            choice, how = choose(self.sampler, self.session, self._sampler, logits), "sampler"
        elif edits:
            tokens, logits = self.session.tokens, self.session.logits()
            drawn = self._get_tracer().choose(self._sampler, logits, tokens, edits)
            choice, how = self.session.token_logprob(drawn, top=ALTERNATIVES), "drawn"
        else:
            choice, how = self.session.sample(self._sampler), "drawn"
        place = self._place(self.node)
        states = (mu, self._sampler.next_mu if how == "drawn" else mu)
        return Step(
            *choice,
            params=self._params,
            how=how,
            edits=edits,
            constraint_start=place,
            mu=states if self._params.mirostat else None,
        )

    def _take(self, step: Step) -> Node:
        if step.how != "drawn":
            self._check_constraint(self.node, step.id)
        if step.id not in self._eog:
            self.session.accept(step.id)
        self.node = self.tree.grow(self.node, step)
        self.clear()
        return self.node

    def _pipeline(
        self, session: Session, sampler: Sampler, edits: Mapping[int, float], best: int
    ) -> Pipeline:
        return self._get_tracer().run(sampler, session.logits(), session.tokens, edits, best=best)

    def _get_tracer(self) -> Tracer:
        if self._tracer is None:
            model = self.session.model
            self._tracer = Tracer(model.kernel, model.config.n_vocab)
        return self._tracer

    def _mu(self, node: Node) -> float:
        """Mirostat's state for what comes after a node: what the node's token has left, if that
        was drawn for the same target, or a fresh one."""
        if self._recorded_mu is not None:
            return self._recorded_mu
        step, target = node.step, self._params.mirostat_tau
        if step is not None and step.mu is not None and step.params.mirostat_tau == target:
            return step.mu[1]
        return 2.0 * target

    # The constraint

    def _place(self, node: Node) -> int | None:
        """Where the constraint of what comes after a node begins: where that of the node's token
        does, if it is the same, or else there."""
        grammar, step = self._params.grammar, node.step
        if grammar is None:
            return None
        if self._afresh is not None:
            return self._afresh
        if (
            step is not None
            and step.constraint_start is not None
            and step.params.grammar == grammar
        ):
            return step.constraint_start
        return len(self._tokens(node))

    def _constraint(self, grammar: Grammar, place: int, tokens: Sequence[int]) -> Constraint:
        """What follows a constraint that begins at a place. It goes back as well as forwards, so
        it is cached."""
        from ..constrain import Constraint

        model = self.session.model
        at_start = all(model.tokenizer.is_special(token) for token in tokens[:place])
        key = (grammar, place, at_start)
        if self._constraint_cache is None or self._constraint_cache[0] != key:
            made = Constraint(model.kernel, model.tokenizer, grammar, place, at_start)
            self._constraint_cache = (key, made)
        return self._constraint_cache[1]

    def _set_constraint(self) -> None:
        """Give the sampler the constraint of the next token."""
        grammar, place = self._params.grammar, self._place(self.node)
        if grammar is not None and place is not None:
            self._sampler.constraint = self._constraint(grammar, place, self.session.tokens)

    def _check_constraint(self, node: Node, token: int) -> None:
        """Raises OptionError where the constraint does not allow a token after a node."""
        grammar, place = self._params.grammar, self._place(node)
        if grammar is None or place is None:
            return
        tokens = self._tokens(node)
        if not self._constraint(grammar, place, tokens).allows(tokens, token):
            spelled = self.session.model.tokenizer.token_bytes(token).decode("utf-8", "replace")
            raise OptionError(
                f"the constraint does not allow {spelled!r} (id {token}) here; take a token that "
                "it allows, or step without a constraint"
            )

    def _check(self, token: object) -> None:
        n_vocab = self.session.model.config.n_vocab
        if not isinstance(token, int) or not 0 <= token < n_vocab:
            raise OptionError(f"token id {token!r} is not in the vocabulary of {n_vocab}")


def _from_the_end(choices: list[Choice], count: int) -> list[Choice | None]:
    """The first token of all has none: nothing came before it."""
    return [*([None] * (count - len(choices))), *choices]


def _reporting(params: SamplingParams) -> SamplingParams:
    """The same draws, with alternatives."""
    return dataclasses.replace(params, top_logprobs=ALTERNATIVES)
