"""Which tokens may come next: a grammar's automaton led through the tree of a vocabulary's bytes.

The walk is `kernels/constrain.c`. Its result, a bit for each token, is kept for each place of the
automaton and for those that are like it, so that what comes again (the inside of a string, the
space behind a comma) costs nothing (Willard & Louf 2023; Dong et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..errors import OptionError
from ..kernel import Kernel, Scratch
from .machine import Machine, Place
from .program import ENDLESS, NOWHERE, Program
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer
    from . import Grammar

MOST_STATES = 16_384
"""States of an automaton, and what weighs as much; then it begins afresh with the place where the
text stands."""
MOST_MACHINES = 8
"""Grammars whose masks are kept for a vocabulary."""
MOST_MASKS = 16 << 20
"""Bytes of a grammar's masks that are kept."""

_shelves: WeakKeyDictionary[Tokenizer, Shelf] = WeakKeyDictionary()


class Shelf:
    """The masks of the last grammars, for one vocabulary."""

    def __init__(self, kernel: Kernel, tokenizer: Tokenizer) -> None:
        self.vocabulary = Vocabulary(kernel, tokenizer)
        self.grammars: dict[Grammar, Masks] = {}

    @staticmethod
    def of(kernel: Kernel, tokenizer: Tokenizer) -> Shelf:
        """The shelf of a tokenizer, made once."""
        shelf = _shelves.get(tokenizer)
        if shelf is None or shelf.vocabulary.kernel is not kernel:
            shelf = _shelves[tokenizer] = Shelf(kernel, tokenizer)
        return shelf

    def masks(self, grammar: Grammar) -> Masks:
        """The masks of a grammar, as far as they are known."""
        masks = self.grammars.pop(grammar, None)
        if masks is not None and masks.full:
            grammar.forget()
        if masks is None or masks.full:
            masks = Masks(self.vocabulary, grammar.program(self.vocabulary.deepest))
        self.grammars[grammar] = masks  # at the end: the first is the one to go
        while len(self.grammars) > MOST_MACHINES:
            del self.grammars[next(iter(self.grammars))]
        return masks

    def forget(self, grammar: Grammar) -> None:
        """Let go of a grammar that cannot be followed: it may have become large by then."""
        self.grammars.pop(grammar, None)
        grammar.forget()


class Masks:
    """A grammar's automaton with the masks of its places, for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, program: Program) -> None:
        self.vocabulary, self.program = vocabulary, program
        self.machine = Machine(vocabulary.kernel, program, vocabulary.deepest)
        self.start = self.machine.start()
        self._following: dict[tuple[Place, int], Place | None] = {}
        """The place behind a place and a token."""
        self._masks: dict[Place, Scratch] = {}
        self._known: dict[Place, Scratch] = {}
        """The same by the places themselves, as far as they came."""
        self._ample: dict[Place, int] = {}
        """Of places without their `left`: from how many on they are known not to matter."""
        self._folded: dict[Place, Place] = {}
        self._folded_frames: dict[int, int] = {0: 0}
        self._limited = False
        """Whether the last mask made would have more tokens if more characters were left."""
        self._spaced: Scratch | None = None
        self._most = max(16, MOST_MASKS // (4 * vocabulary.n_words))
        self._chosen = [vocabulary.chosen(token) for token in program.tokens]
        self._bits = [_bits_of(chosen) for chosen in self._chosen]
        self._ends = _bits_of(vocabulary.ends)

    @property
    def full(self) -> bool:
        return self.program.weight > MOST_STATES

    @property
    def n_masks(self) -> int:
        """Masks that are kept for places that a token tells apart."""
        return len(self._masks)

    def mask(self, place: Place, *, spaced: bool = False) -> int:
        """Address of the bits of the tokens that may come at a place. With `spaced` a space may
        stand before, which the text will not have. Raises OptionError where there is none."""
        if spaced:
            if self._spaced is None:
                state = self.program.spaced(place.state)
                self._spaced = self._made(place, place._replace(state=state))
            return self._spaced.address
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._like(place)
        return known.address

    def _like(self, place: Place) -> Scratch:
        """The mask of a place, or of one that is like it."""
        folded = self._fold(place)
        endless = folded._replace(left=ENDLESS)
        ample = folded.left >= self._ample.get(endless, ENDLESS)
        found = self._masks.get(endless if ample else folded)
        if found is None:
            while len(self._masks) >= self._most:
                del self._masks[next(iter(self._masks))]
                self._known.clear()
            found = self._made(folded, folded)
            if not self._limited:
                self._ample[endless] = min(folded.left, self._ample.get(endless, ENDLESS))
            self._masks[folded if self._limited else endless] = found
        return found

    def _fold(self, place: Place) -> Place:
        """The place for all that no token tells from this one."""
        found = self._folded.get(place)
        if found is None:
            state, record = self.program.folded(place.state, place.record)
            need = min(place.need, self.vocabulary.deepest + 1)
            frame = self._fold_frame(place.frame)
            found = self._folded[place] = Place(state, record, frame, place.left, need)
        return found

    def _fold_frame(self, frame: int) -> int:
        path: list[int] = []
        while frame not in self._folded_frames:
            path.append(frame)
            frame = self.machine.frames[frame][2]
        number = self._folded_frames[frame]
        for one in reversed(path):
            state, record, _ = self.machine.frames[one]
            number = self.machine.frame(*self.program.folded(state, record), number)
            self._folded_frames[one] = number
        return number

    def after(self, place: Place, token: int, text: bytearray, *, spaced: bool) -> Place | None:
        """The place behind a token, or None; `text` is what came before."""
        if spaced:
            data = self.vocabulary.spelled[token].removeprefix(b" ")
            return self._as_token(place, token, self.machine.step(place, data, text))
        key = (place, token)
        if key in self._following:
            return self._following[key]
        found, asked = None, False
        if token not in self.vocabulary.silent:
            found = self.machine.step(place, self.vocabulary.spelled[token], text)
            asked = self.machine.asked
        found = self._as_token(place, token, found)
        if not asked:
            self._following[key] = found
        return found

    def _as_token(self, place: Place, token: int, found: Place | None) -> Place | None:
        """The place behind a token that the grammar names, if it does, or else that behind what
        the token says."""
        if not self._chosen:
            return found
        for number, behind in self._ways(place):
            if token in self._chosen[number]:
                if found is not None and found[1:] != behind[1:]:
                    raise OptionError("a token is named where its text could come, too")
                if found is not None:
                    both = self.program.united(found.state, behind.state)
                    behind = behind._replace(state=both)
                found = behind
        return found

    def _ways(self, place: Place) -> list[tuple[int, Place]]:
        """The numbers of the named tokens that may come at a place, and the place behind each."""
        if not self._chosen:
            return []
        at = self.machine.over(place)
        return [(i, at._replace(state=state)) for i, state in self.program.token_ways(at.state)]

    def accepts(self, place: Place) -> bool:
        """Whether a text may end at a place."""
        return self.machine.accepts(place)

    def complete(self, place: Place) -> bool:
        """Whether a text must end at a place."""
        return self.program.dead(place.state) and self.machine.accepts(place)

    def _made(self, place: Place, begin: Place) -> Scratch:
        """The mask of a place, walked from another that has the same behind it."""
        vocabulary = self.vocabulary
        self.program.begin()
        size = 4 * vocabulary.n_words
        mask = Scratch(vocabulary.kernel, size, "a mask of tokens")
        most = min(self.program.slice(begin.state, begin.record), begin.left)
        tree, found = vocabulary.all, 0
        if most > 0:
            plain = vocabulary.plain(most)
            vocabulary.kernel.call("copy", mask.address, plain.address, size)
            tree, found = vocabulary.crossing, 1
        found += self.machine.walk(begin, tree.addresses, tree.n_nodes, mask.address)
        self._limited = self.machine.limited or 0 < most < vocabulary.longest_plain
        more = self._ends if self.accepts(place) else 0
        for number, _ in self._ways(place):
            more |= self._bits[number]
        if more:
            more |= int.from_bytes(vocabulary.kernel.read(mask.address, size), "little")
            mask.write(more.to_bytes(size, "little"))
        elif not found:
            raise OptionError("no token of this model can go on as the grammar demands")
        return mask


def _bits_of(tokens: frozenset[int]) -> int:
    """A bit for each of these tokens."""
    bits = bytearray(max(tokens, default=0) // 8 + 1)
    for token in tokens:
        bits[token >> 3] |= 1 << (token & 7)
    return int.from_bytes(bits, "little")


class Constraint:
    """Where one text stands in its grammar. Tokens may be taken back: what is asked is always what
    may come after these tokens, of which those from `start` on are the grammar's."""

    def __init__(
        self, kernel: Kernel, tokenizer: Tokenizer, grammar: Grammar, start: int, at_start: bool
    ) -> None:
        self._grammar = grammar
        self._shelf = Shelf.of(kernel, tokenizer)
        self._masks = self._shelf.masks(grammar)
        self._start = start
        self._spaced = at_start and tokenizer.adds_space
        self._tokens: list[int] = []
        self._first = 0
        """Tokens before the first of the places; those before it are forgotten."""
        self._places = [self._masks.start]
        self._text = bytearray()
        self._lengths = [0]
        """Of the text, behind each token."""

    def mask(self, tokens: Sequence[int]) -> int:
        """Address of the bits of the tokens that may come after these."""
        place = self._place_after(tokens)
        try:
            return self._masks.mask(place, spaced=self._spaced and not self._tokens)
        except OptionError:
            self._shelf.forget(self._grammar)
            raise

    def allows(self, tokens: Sequence[int], token: int) -> bool:
        """Whether a token may come after these."""
        kernel = self._masks.vocabulary.kernel
        word = kernel.read(self.mask(tokens) + 4 * (token >> 5), 4)
        return bool(int.from_bytes(word, "little") >> (token & 31) & 1)

    def count(self, tokens: Sequence[int]) -> int:
        """How many tokens may come after these."""
        vocabulary = self._masks.vocabulary
        bits = vocabulary.kernel.read(self.mask(tokens), 4 * vocabulary.n_words)
        return int.from_bytes(bits, "little").bit_count()

    def accepts(self, tokens: Sequence[int]) -> bool:
        """Whether the text is whole with these tokens."""
        return self._masks.accepts(self._place_after(tokens))

    def complete(self, tokens: Sequence[int]) -> bool:
        """Whether the text is whole and nothing can come behind it."""
        return self._masks.complete(self._place_after(tokens))

    def _place_after(self, tokens: Sequence[int]) -> Place:
        fresh = list(tokens[self._start :])
        known = self._tokens
        if fresh[: len(known)] != known:
            common = 0
            while common < min(len(known), len(fresh)) and known[common] == fresh[common]:
                common += 1
            self._back(common)
        for token in fresh[len(known) :]:
            if self._masks.full:
                self._begin_afresh()
            self._go_on(token)
        return self._places[-1]

    def _back(self, count: int) -> None:
        """Only so many tokens came."""
        if count < self._first:
            count = self._first = 0
            self._places = [self._masks.start]
        del self._tokens[count:]
        del self._places[count - self._first + 1 :]
        del self._lengths[count + 1 :]
        del self._text[self._lengths[-1] :]

    def _go_on(self, token: int) -> None:
        spaced = self._spaced and not self._tokens
        place = self._masks.after(self._places[-1], token, self._text, spaced=spaced)
        data = self._masks.vocabulary.spelled[token]
        if place is None:
            raise OptionError(
                f"token {token}, {data.decode('utf-8', 'replace')!r}, cannot stand at place "
                f"{len(self._tokens) + 1} of a text of this grammar"
            )
        if token not in self._masks.vocabulary.silent:
            self._text += data.removeprefix(b" ") if spaced else data
        self._tokens.append(token)
        self._places.append(place)
        self._lengths.append(len(self._text))

    def _begin_afresh(self) -> None:
        """Another automaton, with the text that was written followed again."""
        before = self._masks
        self._masks = self._shelf.masks(self._grammar)
        if self._masks is before:
            return
        place = self._places[-1]
        adopted = self._masks.program.adopt(before.program, place.state)
        if adopted != NOWHERE:
            self._places, self._first = (
                [place._replace(state=adopted)],
                len(self._tokens),
            )
            return
        tokens = list(self._tokens)
        self._back(0)
        self._places = [self._masks.start]
        for token in tokens:
            self._go_on(token)
        if self._masks.full:
            raise OptionError("this text has too many lists and names that must not come twice")
