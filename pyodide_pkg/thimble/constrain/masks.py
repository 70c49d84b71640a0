"""Which tokens may come next: a grammar's automaton led through the tree of a vocabulary's bytes.

The walk is `kernels/constrain.c`. Its result, a bit for each token, is kept for each state of the
automaton and for those that are like it (`folding.py`), so that what comes again (the inside of a
string, the space behind a comma) costs nothing (Willard & Louf 2023; Dong et al. 2024).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..errors import OptionError
from ..kernel import Kernel, Scratch
from .automaton import NOWHERE, Automaton, Network
from .folding import Folding, Signature

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer
    from . import Grammar

_WALK = struct.Struct("<9q4i")
_ROWS_AT = 48
"""Where in it the address of the states' rows stands."""
_MISSING = -2
"""Stands in the first class of a row that is not there (`MISSING` in the kernel)."""
MOST_STATES = 4096
"""States of an automaton; then it begins afresh with the one where the text stands."""
MOST_MACHINES = 8
"""Grammars whose masks are kept for a vocabulary."""

_trees: WeakKeyDictionary[Tokenizer, Tree] = WeakKeyDictionary()


class Tree:
    """A vocabulary's tokens by their bytes, in kernel memory."""

    def __init__(self, kernel: Kernel, tokenizer: Tokenizer) -> None:
        self.kernel = kernel
        # Not the tokenizer itself, which would then never go.
        self.spelled = [tokenizer.token_bytes(token) for token in range(tokenizer.n_vocab)]
        self.n_words = (tokenizer.n_vocab + 31) // 32
        self.ends = frozenset(tokenizer.eog_ids)
        self.machines: dict[Grammar, Machine] = {}
        spelled = sorted(
            (data, token)
            for token in range(tokenizer.n_vocab)
            if token not in self.ends
            and not tokenizer.is_special(token)
            and (data := tokenizer.token_bytes(token))
        )
        letters, depths, skips = bytearray(), array("i"), array("i")
        firsts, tokens = array("i"), array("i")
        path: list[int] = []  # the open nodes, from the first byte on
        before = b""
        for word, token in spelled:
            common = 0
            while common < min(len(word), len(before)) and word[common] == before[common]:
                common += 1
            for node in path[common:]:
                skips[node] = len(letters)
            del path[common:]
            for depth in range(common, len(word)):
                path.append(len(letters))
                letters.append(word[depth])
                depths.append(depth)
                skips.append(0)
                firsts.append(len(tokens))
            tokens.append(token)
            before = word
        for node in path:
            skips[node] = len(letters)
        firsts.append(len(tokens))
        self.n_nodes = len(letters)
        self.deepest = max((len(word) for word, _ in spelled), default=0)
        parts = [bytes(letters), *(a.tobytes() for a in (depths, skips, firsts, tokens))]
        self._memory = Scratch(kernel, sum(len(part) + 16 for part in parts), "a vocabulary's tree")
        self.addresses: list[int] = []
        at = 0
        for part in parts:
            self._memory.write(part, at)
            self.addresses.append(self._memory.address + at)
            at += (len(part) + 15) & ~15

    @staticmethod
    def of(kernel: Kernel, tokenizer: Tokenizer) -> Tree:
        """The tree of a tokenizer, made once."""
        tree = _trees.get(tokenizer)
        if tree is None or tree.kernel is not kernel:
            tree = _trees[tokenizer] = Tree(kernel, tokenizer)
        return tree

    def machine(self, grammar: Grammar) -> Machine:
        """The masks of a grammar, as far as they are known."""
        machine = self.machines.pop(grammar, None)
        if machine is None or machine.full:
            machine = Machine(self, grammar.network)
        self.machines[grammar] = machine  # at the end: the first is the one to go
        while len(self.machines) > MOST_MACHINES:
            del self.machines[next(iter(self.machines))]
        return machine


class Machine:
    """A grammar's automaton with the masks of its states, for one vocabulary."""

    def __init__(self, tree: Tree, network: Network) -> None:
        self.tree = tree
        self.automaton = Automaton(network)
        self.following: dict[tuple[int, int], int] = {}
        """The state behind a state and a token."""
        self._masks: dict[int, Scratch] = {}
        self._folding = Folding(self.automaton, tree.deepest)
        self._alike: dict[Signature, Scratch] = {}
        """Masks by what states have in common that no token tells apart."""
        self._capacity = 0
        self._rows: Scratch | None = None
        self._in_kernel: set[int] = set()
        classes = bytes(self.automaton.classes)
        size = _WALK.size + 256 + 4 * (tree.deepest + 2)
        self._memory = Scratch(tree.kernel, size, "a grammar")
        self._memory.write(classes, _WALK.size)

    @property
    def full(self) -> bool:
        return len(self.automaton.items) > MOST_STATES

    @property
    def n_masks(self) -> int:
        """Masks that are kept for states that a token tells apart."""
        return len(self._alike)

    def mask(self, state: int, *, spaced: bool = False) -> int:
        """Address of the bits of the tokens that may come in a state. With `spaced` a space may
        stand before, which the text will not have. Raises OptionError where there is none."""
        key = ~state if spaced else state
        found = self._masks.get(key)
        if found is None:
            found = self._masks[key] = self._made(state, True) if spaced else self._shared(state)
        return found.address

    def _shared(self, state: int) -> Scratch:
        signature = self._folding.of(state)
        found = self._alike.get(signature)
        if found is None:
            found = self._alike[signature] = self._made(state, False)
        return found

    def after(self, state: int, token: int, *, spaced: bool = False) -> int:
        """The state behind a token, or NOWHERE."""
        if not spaced:
            known = self.following.get((state, token))
            if known is not None:
                return known
        data = self.tree.spelled[token]
        at = state
        for byte in data.removeprefix(b" ") if spaced else data:
            at = self.automaton.step(at, byte)
            if at == NOWHERE:
                break
        if not spaced:
            self.following[state, token] = at
        return at

    def _made(self, state: int, spaced: bool) -> Scratch:
        tree, automaton = self.tree, self.automaton
        mask = Scratch(tree.kernel, 4 * tree.n_words, "a mask of tokens")
        if spaced:
            # The space leads to where the text begins, and so stands in place of the grammar's own.
            row = list(automaton.row(state))
            row[automaton.classes[0x20]] = state
            begin = len(automaton.items)
            automaton.items.append(frozenset())
            automaton.accepting.append(False)
            automaton.rows.append(row)
        else:
            begin = state
        found = self._walk(begin, mask)
        if automaton.accepting[state] and tree.ends:
            bits = array("I", tree.kernel.read(mask.address, 4 * tree.n_words))
            for token in tree.ends:
                bits[token >> 5] |= 1 << (token & 31)
            mask.write(bits.tobytes())
        elif not found:
            raise OptionError("no token of this model can go on as the grammar demands")
        return mask

    def _walk(self, state: int, mask: Scratch) -> int:
        """Set the bits of the tokens that may come in a state; how many."""
        self._copy_row(state)
        assert self._rows is not None
        tree, memory = self.tree, self._memory
        stack = memory.address + _WALK.size + 256
        tree.kernel.write(stack, struct.pack("<i", state))
        memory.write(
            _WALK.pack(
                *tree.addresses, memory.address + _WALK.size, self._rows.address, stack,
                mask.address, tree.n_nodes, self.automaton.n_classes, 0, 0,
            )
        )  # fmt: skip
        while (missing := tree.kernel.call("constrain_walk", memory.address)) >= 0:
            self._copy_row(missing)
            memory.write(struct.pack("<q", self._rows.address), _ROWS_AT)
        return int(_WALK.unpack(tree.kernel.read(memory.address, _WALK.size))[12])

    def _copy_row(self, state: int) -> None:
        """Let the kernel have a state's row, and space for the states that it names."""
        row = array("i", self.automaton.row(state))
        size = 4 * len(row)
        if self._capacity < len(self.automaton.items):
            self._grow(size)
        if state not in self._in_kernel:
            assert self._rows is not None
            self._in_kernel.add(state)
            self._rows.write(row.tobytes(), state * size)

    def _grow(self, size: int) -> None:
        capacity = max(64, 2 * len(self.automaton.items))
        rows = Scratch(self.tree.kernel, capacity * size, "a grammar's states")
        rows.write(struct.pack("<i", _MISSING) * (capacity * size // 4))
        if self._rows is not None:
            self.tree.kernel.call("copy", rows.address, self._rows.address, self._capacity * size)
            self._rows.close()
        self._rows, self._capacity = rows, capacity


class Constraint:
    """Where one text stands in its grammar. Tokens may be taken back: what is asked is always what
    may come after these tokens, of which those from `start` on are the grammar's."""

    def __init__(
        self, kernel: Kernel, tokenizer: Tokenizer, grammar: Grammar, start: int, at_start: bool
    ) -> None:
        self._grammar = grammar
        self._machine = Tree.of(kernel, tokenizer).machine(grammar)
        self._start = start
        self._spaced = at_start and tokenizer.adds_space
        self._tokens: list[int] = []
        self._states = [0]
        self._first = 0
        """Tokens before the first of the states; those before it are forgotten."""

    def mask(self, tokens: Sequence[int]) -> int:
        """Address of the bits of the tokens that may come after these."""
        state = self._state_after(tokens)
        return self._machine.mask(state, spaced=self._spaced and not self._tokens)

    def allows(self, tokens: Sequence[int], token: int) -> bool:
        """Whether a token may come after these."""
        word = self._machine.tree.kernel.read(self.mask(tokens) + 4 * (token >> 5), 4)
        return bool(int.from_bytes(word, "little") >> (token & 31) & 1)

    def count(self, tokens: Sequence[int]) -> int:
        """How many tokens may come after these."""
        tree = self._machine.tree
        bits = tree.kernel.read(self.mask(tokens), 4 * tree.n_words)
        return int.from_bytes(bits, "little").bit_count()

    def accepts(self, tokens: Sequence[int]) -> bool:
        """Whether the text is whole with these tokens."""
        return self._machine.automaton.accepting[self._state_after(tokens)]

    def complete(self, tokens: Sequence[int]) -> bool:
        """Whether the text is whole and nothing can come behind it."""
        return self._machine.automaton.complete(self._state_after(tokens))

    def _state_after(self, tokens: Sequence[int]) -> int:
        fresh = tokens[self._start :]
        known = self._tokens
        common = len(known)
        if len(fresh) < common or list(fresh[:common]) != known:
            common = 0
            while common < min(len(known), len(fresh)) and known[common] == fresh[common]:
                common += 1
            if common < self._first:
                common = self._first = 0
                self._states = [0]
            del known[common:]
            del self._states[common - self._first + 1 :]
        for token in fresh[common:]:
            state = self._after(token)  # which may begin another list of states
            self._states.append(state)
            known.append(token)
        return self._states[-1]

    def _after(self, token: int) -> int:
        if self._machine.full:
            self._begin_afresh()
        first = self._spaced and not self._tokens
        state = self._machine.after(self._states[-1], token, spaced=first)
        if state == NOWHERE:
            data = self._machine.tree.spelled[token]
            raise OptionError(
                f"token {token}, {data.decode('utf-8', 'replace')!r}, cannot stand at place "
                f"{len(self._tokens) + 1} of a text of this grammar"
            )
        return state

    def _begin_afresh(self) -> None:
        """Another automaton with nothing but the state where this text stands."""
        before, tree = self._machine, self._machine.tree
        self._machine = tree.machine(self._grammar)
        if self._machine is before:
            return
        self._states = [self._machine.automaton.adopt(before.automaton, self._states[-1])]
        self._first = len(self._tokens)
