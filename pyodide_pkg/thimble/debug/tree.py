"""The texts that were tried, as a tree of tokens; a branch is the way to one of its ends.

It holds ids and what is known of them, never keys and values: those are the session's, for the
branch where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..deprecated import warn
from ..errors import OptionError
from ..sampling import Choice, SamplingParams
from ..tokenizer import StreamDecoder, Tokenizer

HOW = ("drawn", "forced", "sampler")
"""How a token came: by the kernel's draw, by the visitor's word, by a sampler of their own."""


@dataclass(slots=True)
class Step:
    """One token and how it came; `logprob`, `entropy` and `top` as in `Choice`."""

    id: int
    logprob: float
    entropy: float
    top: Sequence[tuple[int, float]]
    params: SamplingParams
    how: str = "drawn"
    """One of HOW."""
    edits: Mapping[int, float] = field(default_factory=dict)
    """Logits that were set by hand; minus infinity bans."""
    constraint_start: int | None = None
    """The token of the whole text at which the text of its constraint (`params.grammar`) begins."""
    mu: tuple[float, float] | None = None
    """Mirostat's state before this token and after it, where it is on."""

    @property
    def shape_from(self) -> int | None:
        """The old name of `constraint_start`."""
        warn("Step.shape_from", "constraint_start")
        return self.constraint_start


class Stopped(NamedTuple):
    """A stop string that a text has come to."""

    string: str
    surplus: int
    """Characters at the text's end, from the stop string on, that generation would not show."""


class Node:
    """A token in the tree; the root is the prompt."""

    __slots__ = ("children", "depth", "parent", "step", "stopped", "text")

    def __init__(self, parent: Node | None, step: Step | None, text: str) -> None:
        self.parent = parent
        self.step = step
        self.text = text
        """What the token adds to what can be shown."""
        self.stopped: Stopped | None = None
        """Where the text ends with this token, because of a stop string."""
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.children: list[Node] = []

    def path(self) -> list[Node]:
        """From the first token to this one."""
        nodes: list[Node] = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def root(self) -> Node:
        """The prompt."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def comes_to(self, stops: Sequence[str]) -> Stopped | None:
        """The stop string that this token completes; of several the one that begins first."""
        tail, node = self.text, self.parent
        longest = max(map(len, stops), default=1) - 1 + len(tail)
        while node is not None and len(tail) < longest:
            tail, node = node.text + tail, node.parent
        before = len(tail) - len(self.text)
        places = [(tail.find(stop, max(0, before - len(stop) + 1)), stop) for stop in stops]
        found = [place for place in places if place[0] >= 0]
        if not found:
            return None
        at, stop = min(found)
        return Stopped(stop, len(tail) - at)

    def child(self, token: int) -> Node | None:
        """The continuation with this token, if it was tried."""
        for node in self.children:
            if node.step and node.step.id == token:
                return node
        return None

    def meets(self, other: Node) -> Node:
        """The last token that both have."""
        one = self
        while one is not other:
            if one.depth >= other.depth and one.parent:
                one = one.parent
            elif other.parent:
                other = other.parent
        return one


@dataclass(slots=True)
class Branch:
    """A way through the tree that the visitor may come back to."""

    number: int
    name: str
    tip: Node
    since: int = 0
    """Tokens that it had in common with the branch it left."""
    parent: int | None = None
    """That branch's number, as long as it is there."""


class Tree:
    """All branches over one prompt."""

    def __init__(self, tokenizer: Tokenizer, prompt: tuple[int, ...]) -> None:
        self.prompt = prompt
        self.given: Sequence[Choice | None] = ()
        """What the model thought of the prompt's tokens, where it was asked; None of the first."""
        self.root = Node(None, None, "")
        self.current = Branch(1, "Branch 1", self.root)
        self._branches = {1: self.current}
        self._tokenizer = tokenizer
        self._at_start = all(tokenizer.is_special(token) for token in prompt)
        self._decoder = StreamDecoder(tokenizer, at_start=self._at_start)
        self._decoded = self.root
        """The node that the decoder stands after."""

    def __iter__(self) -> Iterator[Branch]:
        return iter(self._branches.values())

    def branch(self, number: int) -> Branch:
        """The branch of this number; OptionError where there is none."""
        if number not in self._branches:
            raise OptionError(f"there is no branch {number!r}; there are {sorted(self._branches)}")
        return self._branches[number]

    def grow(self, node: Node, step: Step) -> Node:
        """Where `step` leads from `node`: to a token that is there, or to a new one.

        A new one that does not lengthen a branch begins a new branch, which is current then.
        """
        child = node.child(step.id)
        if child is not None:
            child.step = step  # the same token by what was said last
            child.stopped = child.comes_to(step.params.stop)
            self._go_to_branch_of(child)
            return child
        child = Node(node, step, self._text(node, step.id))
        child.stopped = child.comes_to(step.params.stop)
        self._decoded = child
        node.children.append(child)
        at_tip = [one for one in self if one.tip is node]
        if at_tip:
            self.current = self.current if self.current in at_tip else at_tip[0]
            self.current.tip = child
        else:
            number = max(self._branches) + 1
            left = self.current.number
            self.current = Branch(number, f"Branch {number}", child, node.depth, left)
            self._branches[number] = self.current
        return child

    def rename(self, number: int, name: str) -> None:
        """Give a branch a name of one line and at most 60 characters."""
        words = " ".join(name.split())
        if not 0 < len(words) <= 60:
            raise OptionError(f"a branch's name has 1 to 60 characters, not {len(words)}")
        self.branch(number).name = words

    def remove(self, number: int) -> None:
        """Forget a branch, and the tokens that only it has. The current one stays."""
        branch = self.branch(number)
        if branch is self.current:
            raise OptionError(f"branch {number} is the one that you are on; go to another first")
        del self._branches[number]
        for one in self:
            if one.parent == number:
                one.parent = branch.parent
        node = branch.tip
        while not node.children and node.parent and all(one.tip is not node for one in self):
            node.parent.children.remove(node)
            node = node.parent

    def _go_to_branch_of(self, node: Node) -> None:
        """Be on a branch that leads through `node`: the current one, or else the newest."""
        through = [one for one in self if one.tip.meets(node) is node]
        if self.current not in through:
            self.current = through[-1]

    def _text(self, node: Node, token: int) -> str:
        if self._decoded is not node:
            self._decoder = StreamDecoder(self._tokenizer, at_start=self._at_start)
            for before in node.path():
                if before.step:
                    self._decoder.push(before.step.id)
        return self._decoder.push(token)
