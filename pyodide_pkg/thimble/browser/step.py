"""The Step panel's questions: one debugger for each session of the page.

Every answer is a view: where the debugger stands, as much of the text as the page does not have
yet, and how the next token would come about. What the page writes by other means is taken up
whenever it is asked something.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..debug import Breakpoint, Debugger, Node, Pipeline, Recording, Replay, Step
from ..errors import OptionError
from ..sampling_options import DECIDING, OPTIONS
from ..tokenizer import StreamDecoder
from .options import asked, sampling

if TYPE_CHECKING:
    from ..sampling import Choice
    from .engine import Engine, SessionEntry

ROWS = 12
"""Candidates of a draw that the page gets."""


@dataclass(slots=True)
class DebugSession:
    """A session's debugger and what the page knows of it."""

    session: int
    debugger: Debugger
    shown: Node
    """The end of the text that the page has."""
    replay: Replay | None = None
    limit: int = 0
    """Tokens that the run under way may still take."""
    cut: int = sys.maxsize
    """The first token whose text the page has only in part, because of a stop string."""


class Service:
    """What the worker asks as "step.METHOD". `known` is how many tokens the page has."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Where it stands

    def view(self, session: int, known: str, options: str | None = None) -> dict[str, Any]:
        """Where the session is now, for a page that has these ids (JSON) after the prompt."""
        ids = asked(known)
        return self._view(self._debug(session, options, known=ids), len(ids))

    def given(self, session: int) -> list[list[Any]]:
        """The prompt's tokens: as a row each, null for what nobody knows of the first."""
        debugger = self._debug(session).debugger
        return _given(debugger)

    def begin(self, session: int, prompt: str, options: str) -> dict[str, Any]:
        """A new text from a prompt; none of it is written yet."""
        debug = self._debug(session, options)
        debug.debugger.begin(prompt)
        return self._view(debug, 0)

    def settings(self, session: int, known: int, options: str) -> dict[str, Any]:
        """The next token by other settings."""
        return self._view(self._debug(session, options), known)

    # Moving

    def step(self, session: int, known: int, options: str) -> dict[str, Any]:
        """Take one token."""
        debug = self._debug(session, options)
        debug.debugger.step()
        return self._view(debug, known)

    def back(self, session: int, known: int) -> dict[str, Any]:
        """Take one token back."""
        debug = self._debug(session)
        debug.debugger.back()
        return self._view(debug, known)

    def start(self, session: int, known: int, options: str) -> dict[str, Any]:
        """Get ready to run; `run` does the work, and stops after `max_tokens` at the latest."""
        debug = self._debug(session, options)
        debug.limit = debug.debugger.params.max_tokens
        return self._view(debug, known, ready=False)

    def run(self, session: int, known: int, milliseconds: float) -> dict[str, Any]:
        """Take tokens for about so long; "over" says why no more come, or null."""
        debug = self._debug(session)
        debugger, over = debug.debugger, None
        until = time.perf_counter() + milliseconds / 1000
        while over is None:
            if debugger.ended or debugger.full or debug.limit <= 0:
                over = "end" if debugger.ended else "context" if debugger.full else "limit"
            elif debugger.run() is None:
                over = "breakpoint"
            else:
                debug.limit -= 1
                if time.perf_counter() >= until:
                    break
        return {**self._view(debug, known, ready=over is not None), "over": over}

    def go(self, session: int, known: int, depth: int) -> dict[str, Any]:
        """Stand after the first `depth` tokens of the current branch."""
        debug = self._debug(session)
        path = debug.debugger.tree.current.tip.path()
        if not 0 <= depth <= len(path):
            raise OptionError(f"there is no token {depth}; this branch has {len(path)}")
        debug.debugger.goto(path[depth - 1] if depth else debug.debugger.tree.root)
        return self._view(debug, known)

    # Branches

    def branch(self, session: int, known: int, index: int, token: int) -> dict[str, Any]:
        """Another token in the place of the text's token `index`."""
        debug = self._debug(session)
        debug.debugger.branch(_at(debug, index), token)
        return self._view(debug, known)

    def switch(self, session: int, known: int, branch: int) -> dict[str, Any]:
        """Go to a branch's end."""
        debug = self._debug(session)
        found = debug.debugger.tree.branch(branch)
        debug.debugger.goto(found.tip)
        debug.debugger.tree.current = found
        return self._view(debug, known)

    def rename(self, session: int, known: int, branch: int, name: str) -> dict[str, Any]:
        """Name a branch."""
        debug = self._debug(session)
        debug.debugger.tree.rename(branch, name)
        return self._view(debug, known)

    def drop(self, session: int, known: int, branch: int) -> dict[str, Any]:
        """Forget a branch."""
        debug = self._debug(session)
        debug.debugger.tree.remove(branch)
        return self._view(debug, known)

    def compare(self, session: int, one: int, other: int) -> dict[str, Any]:
        """What two branches have alone, token by token, after what they have in common."""
        debugger = self._debug(session).debugger
        tips = [debugger.tree.branch(number).tip for number in (one, other)]
        common = tips[0].meets(tips[1]).depth
        sides = [[_chunk(debugger, node) for node in tip.path()] for tip in tips]
        text = "".join(chunk[0] for chunk in sides[0][:common])
        return {"common": common, "text": text, "sides": [side[common:] for side in sides]}

    # Changing the next token

    def edit(self, session: int, known: int, token: int, logit: float) -> dict[str, Any]:
        """Set a logit."""
        debug = self._debug(session)
        debug.debugger.edit(token, logit)
        return self._view(debug, known)

    def ban(self, session: int, known: int, token: int) -> dict[str, Any]:
        """Let it be any but this."""
        debug = self._debug(session)
        debug.debugger.ban(token)
        return self._view(debug, known)

    def force(self, session: int, known: int, token: int) -> dict[str, Any]:
        """Let it be this."""
        debug = self._debug(session)
        debug.debugger.force(token)
        return self._view(debug, known)

    def clear(self, session: int, known: int, token: int | None) -> dict[str, Any]:
        """Undo what was done to one token, or to all."""
        debug = self._debug(session)
        debug.debugger.clear(token)
        return self._view(debug, known)

    def look(self, session: int, index: int) -> dict[str, Any]:
        """How the text's token `index` came about."""
        debug = self._debug(session)
        node = _at(debug, index)
        return _draw(debug.debugger, debug.debugger.look(node, best=ROWS), node.step)

    # Breakpoints

    def stop_at(self, session: int, known: int, kind: str, value: str) -> dict[str, Any]:
        """Set a breakpoint; its value is JSON. A token may be named by its text."""
        debug = self._debug(session)
        wanted = asked(value)
        if kind == "token" and isinstance(wanted, str):
            wanted = self._token(debug, wanted)
        debug.debugger.breakpoints.add(kind, wanted)
        return self._view(debug, known)

    def switch_stop(self, session: int, known: int, stop: int, on: bool) -> dict[str, Any]:
        """Switch a breakpoint off, or on again."""
        debug = self._debug(session)
        debug.debugger.breakpoints.switch(stop, on)
        return self._view(debug, known)

    def drop_stop(self, session: int, known: int, stop: int) -> dict[str, Any]:
        """Remove a breakpoint."""
        debug = self._debug(session)
        debug.debugger.breakpoints.remove(stop)
        return self._view(debug, known)

    # Files

    def save(self, session: int) -> str:
        """The text as a recorded run: the file's content."""
        opened = self._engine.opened(session)
        debugger = self._debug(session).debugger
        return debugger.record(sha256=self._sha256(opened)).to_json()

    def open(self, session: int, content: str) -> dict[str, Any]:
        """Begin to replay a recorded run; `replay` does the work."""
        recording = Recording.from_json(content)
        opened = self._engine.opened(session)
        debug = self._debug(session)
        debug.replay = debug.debugger.replay(recording, sha256=self._sha256(opened))
        return self._replayed(debug, 0)

    def replay(self, session: int, known: int, milliseconds: float) -> dict[str, Any]:
        """Replay for about so long."""
        debug = self._debug(session)
        if debug.replay is None:
            raise OptionError("there is no run to replay: open one first")
        until = time.perf_counter() + milliseconds / 1000
        while not debug.replay.over and time.perf_counter() < until:
            debug.debugger.replay_step(debug.replay)
        return self._replayed(debug, known)

    def _replayed(self, debug: DebugSession, known: int) -> dict[str, Any]:
        replay = debug.replay
        assert replay is not None
        mismatch = replay.mismatch
        return {
            **self._view(debug, known, ready=replay.over),
            "replay": {
                "done": replay.done,
                "total": len(replay.recording.steps),
                "over": replay.over,
                "mismatch": mismatch and {"step": mismatch.step, "words": mismatch.words},
                "params": _settings(debug.debugger),
                "constraint": _constraint(replay.recording),
            },
        }

    def _debug(
        self, session: int, options: str | None = None, known: Sequence[int] = ()
    ) -> DebugSession:
        """The session's debugger, at the session's place."""
        opened = self._engine.opened(session)
        debug: DebugSession | None = opened.extras.get("step")
        fresh = debug is None
        if debug is None:
            debugger = Debugger(opened.session)
            debug = opened.extras["step"] = DebugSession(session, debugger, debugger.node)
        debugger = debug.debugger
        if opened.records or not debugger.in_step or (fresh and known):
            if opened.records:
                debugger.adopt(_step(*one) for one in opened.records)
            else:
                _reread(debugger, known)
            opened.records = []
            debug.shown, debug.replay = debugger.node, None
        debugger.sampler = opened.sampler
        if options is not None:
            debugger.params, _ = sampling({**opened.defaults, **asked(options)})
        return debug

    def _note_constraint(self, debug: DebugSession) -> None:
        """Let what the page writes by other means go on under the constraint begun here."""
        session, step = debug.session, debug.debugger.node.step
        if (
            step is not None
            and step.params.grammar is not None
            and step.constraint_start is not None
        ):
            from .constraint import stands

            stands(self._engine.opened(session), step.params.grammar, step.constraint_start)

    def _view(self, debug: DebugSession, known: int, *, ready: bool = True) -> dict[str, Any]:
        """What the page shows. `ready`: with the next token's draw, which costs its logits."""
        debugger, node = debug.debugger, debug.debugger.node
        of_this_text = debug.shown.root() is debugger.tree.root
        keep = min(known, debug.shown.meets(node).depth) if of_this_text else 0
        path = node.path()
        texts, cut = _texts(path)
        keep = min(keep, debug.cut, cut)  # what is shown in part now, or was before
        debug.shown, debug.cut = node, cut
        self._note_constraint(debug)
        over = debugger.ended or debugger.full
        empty = not len(debugger.session)
        current = debugger.tree.current
        return {
            "keep": keep,
            "tokens": [
                _chunk(debugger, one, text)
                for one, text in zip(path[keep:], texts[keep:], strict=True)
            ],
            "ahead": current.tip.depth - node.depth,
            "context": len(debugger.session),
            "prompt": _prompt(debugger),
            "reason": "stop" if debugger.ended else "length" if debugger.full else None,
            "stopped": node.stopped and node.stopped.string,
            "whole": debugger.whole,
            "hit": debugger.hit and debugger.hit.number,
            "next": _draw(debugger, debugger.peek(best=ROWS), None)
            if ready and not over and not empty
            else None,
            "forced": debugger.forced,
            "sampler": debugger.sampler is not None,
            "branches": [
                [one.number, one.name, one.tip.depth, one.since, one is current, one.parent]
                for one in debugger.tree
            ],
            "breakpoints": [_breakpoint(debugger, one) for one in debugger.breakpoints.list()],
        }

    def _sha256(self, opened: SessionEntry) -> str | None:
        for name, model in self._engine.loaded.items():
            if model is opened.model:
                return self._engine.digests.get(name)
        return None

    def _token(self, debug: DebugSession, text: str) -> int:
        """The id of a text that is one token."""
        tokenizer = debug.debugger.session.model.tokenizer
        ids = tokenizer.encode(text, add_special=False)
        if len(ids) != 1:
            raise OptionError(
                f"{text!r} is {len(ids)} tokens: {', '.join(map(str, ids[:6]))}; "
                "stop at a text, or name one token"
            )
        return ids[0]


def _reread(debugger: Debugger, known: Sequence[int]) -> None:
    """Take up a session that ends with tokens of which the page knows more than we do."""
    tokens = debugger.session.tokens
    eog = debugger.session.model.tokenizer.eog_ids
    tail = tuple(token for token in known if token not in eog)
    if tail and len(tail) < len(tokens) and tokens[-len(tail) :] == tail:
        debugger.session.rollback(len(tokens) - len(tail))
        debugger.adopt()
        debugger.restore(tail)
    else:
        debugger.adopt()


def _at(debug: DebugSession, index: int) -> Node:
    path = debug.debugger.node.path()
    if not 0 <= index < len(path):
        raise OptionError(f"there is no token {index}; the text has {len(path)}")
    return path[index]


def _step(
    chunk: Any, params: Any, custom: bool, constraint_start: int | None,
    mu: tuple[float, float] | None,
) -> Step:  # fmt: skip
    how = "sampler" if custom else "drawn"
    return Step(
        chunk.id,
        chunk.logprob,
        chunk.entropy,
        chunk.top,
        params,
        how,
        constraint_start=constraint_start,
        mu=mu,
    )


def _prompt(debugger: Debugger) -> list[Any]:
    prompt = debugger.tree.prompt
    tokenizer = debugger.session.model.tokenizer
    return [len(prompt), tokenizer.decode(prompt, skip_special=True)]


def _given(debugger: Debugger) -> list[list[Any]]:
    decoder, rows = StreamDecoder(debugger.session.model.tokenizer, at_start=True), []
    for token, choice in zip(debugger.tree.prompt, debugger.given(), strict=True):
        known = [None, None, []] if choice is None else _known(debugger, choice)
        rows.append([decoder.push(token), token, *known, ""])
    return rows


def _known(debugger: Debugger, choice: Choice | Step) -> list[Any]:
    """[logprob, entropy, [[id, text, logprob], ...]]."""
    top = [[token, _text(debugger, token), logprob] for token, logprob in choice.top]
    return [choice.logprob, choice.entropy, top]


def _texts(path: Sequence[Node]) -> tuple[list[str], int]:
    """What each token shows, and the first that shows less than its text.

    From a stop string on nothing is shown, as when the text is generated.
    """
    texts, cut = [node.text for node in path], sys.maxsize
    surplus = path[-1].stopped.surplus if path and path[-1].stopped else 0
    while surplus > 0:
        cut = min(cut, len(path)) - 1
        kept = max(0, len(texts[cut]) - surplus)
        surplus -= len(texts[cut]) - kept
        texts[cut] = texts[cut][:kept]
    return texts, cut


def _chunk(debugger: Debugger, node: Node, text: str | None = None) -> list[Any]:
    """[text, id, logprob, entropy, [[id, text, logprob], ...], note]."""
    step = node.step
    assert step is not None
    note = {"drawn": "", "forced": "forced", "sampler": "your sampler"}[step.how]
    if step.edits and step.how == "drawn":
        note = "after edits"
    return [node.text if text is None else text, step.id, *_known(debugger, step), note]


def _draw(debugger: Debugger, drawn: Pipeline, step: Step | None) -> dict[str, Any]:
    """A pipeline; bans are null, because JSON has no infinity."""
    edits = debugger.edits if step is None else step.edits
    entropy = debugger.session.token_logprob(drawn.id).entropy if step is None else step.entropy
    rows = [
        [
            row.id, _text(debugger, row.id), row.fate, row.logit, _finite(row.biased),
            _finite(row.penalized), row.weight, row.start, row.id in edits,
        ]
        for row in drawn.rows
    ]  # fmt: skip
    params = debugger.params if step is None else step.params
    return {
        "rows": rows,
        "id": step.id if step else drawn.id if debugger.forced is None else debugger.forced,
        "drawn": drawn.id,
        "entropy": entropy,
        "bits": debugger.logits_hash()[:8] if step is None else None,
        "uniform": drawn.uniform,
        "total": drawn.total,
        "mass": drawn.mass,
        "survivors": drawn.kept,
        "allowed": drawn.allowed,
        "greedy": params.temperature <= 0,
        "vocabulary": debugger.session.model.config.n_vocab,
        "how": _how(debugger) if step is None else step.how,
    }


def _how(debugger: Debugger) -> str:
    """Who will name the next token."""
    if debugger.forced is not None:
        return "forced"
    return "drawn" if debugger.sampler is None else "sampler"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(debugger: Debugger, token: int) -> str:
    return debugger.session.model.tokenizer.token_bytes(token).decode("utf-8", "replace")


def _settings(debugger: Debugger) -> dict[str, Any]:
    """The settings by which the replayed text is written, for the form that shows them."""
    params = debugger.params
    names = [name for name in DECIDING if OPTIONS[name].form]
    return {name: getattr(params, name) for name in names}


def _constraint(recording: Recording) -> dict[str, Any] | None:
    """The constraint that a recorded run has in the end, for the form that shows it."""
    grammar = recording.steps[-1].params.grammar if recording.steps else None
    return None if grammar is None else grammar.described()


def _breakpoint(debugger: Debugger, one: Breakpoint) -> list[Any]:
    """[number, kind, value, on, the token's text]."""
    text = _text(debugger, one.value) if one.kind == "token" and isinstance(one.value, int) else ""
    return [one.number, one.kind, one.value, one.on, text]
