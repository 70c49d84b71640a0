"""A program in kernel memory: rows, records and frames, brought there when the kernel asks.

It knows nothing of tokens but their bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import OptionError
from ..kernel import Bytes, Kernel, Scratch
from ..layout import Layout
from .program import ENDLESS, MISSING, NOWHERE, Program, Span, counted

PLACE = Layout(
    "tk_place",
    "Where a text stands in its grammar.",
    state=("i", ""),
    record=("i", ""),
    frame=("i", ""),
    top=("i", "frames that are taken"),
    left=("i", "characters that the string may have yet; from ENDLESS on any number"),
    need=("i", "and those that it must have"),
)
FRAME = Layout(
    "tk_frame",
    "Where to go on when a value is over.",
    state=("i", ""),
    record=("i", ""),
    below=("i", "a frame"),
)
RECORD = Layout(
    "tk_record",
    "What may come at a place in an object or a list.",
    filled=("i", "0: ask for it"),
    close=("i", "what is said of the value when it ends here, or -1: it may not"),
    key=("i", "the state behind a key's first quote, or -1: no member may come"),
    others=("i", "whether other names than the listed ones may come"),
    next=("i", "numbers: of each name the first allowed from there on; 0 for all allowed"),
    names=("i", "numbers: of each kind of name the record behind it"),
    n_names=("i", ""),
    child=("i", "the state where the next value begins, or -1"),
    child_record=("i", ""),
    behind=("i", "numbers: of what is said of that value, the record behind it"),
    n_behind=("i", ""),
    exact=("i", "whether the record behind depends on the text of the value"),
)
WALK = Layout(
    "tk_walk",
    "A walk over a vocabulary's bytes, or over those of one token.",
    bytes=("q", "address: uint8 [nodes]"),
    depths=("q", "address: int32 [nodes]: 0 for the first byte of a token"),
    skips=("q", "address: int32 [nodes]: the first node that is not under this one"),
    firsts=("q", "address: int32 [nodes + 1]: where a node's tokens begin"),
    tokens=("q", "address: int32"),
    below=("q", "address: uint32 [nodes]: the groups of the bytes under a node"),
    text=("q", "address: uint8: the bytes to step over"),
    classes=("q", "address: uint8 [256]"),
    rows=("q", "address: int32 [states][n_classes]"),
    spans=(
        "q",
        "address: int32 [states][3]: names that a key may become (first, last + 1), or others; "
        "characters that a string must have yet, and whether one begins here",
    ),
    records=("q", "address: tk_record"),
    numbers=("q", "address: int32: the tables that records point into"),
    enters=(
        "q",
        "address: int32 [][2]: states and records of the moves ENTER and, two each, INTO; of COUNT "
        "a state, then most and least characters",
    ),
    frames=("q", "address: tk_frame; 0 is the bottom"),
    stack=("q", "address: tk_place [deepest + 2]: before each depth"),
    mask=("q", "address: uint32: a bit a token"),
    n_classes=("i", ""),
    most_frames=("i", ""),
    colon=("i", "the state before one"),
    exact=("i", "ask for what depends on the text"),
    n_nodes=("i", "or bytes"),
    at=("i", "the node where it goes on"),
    found=("i", "told: bits that were set"),
    deepest=("i", "bytes of the longest token"),
    limited=("i", "told: whether more characters left would have let more come"),
    n_answers=("i", "to what was asked for, for this byte"),
    place=("6i:tk_place", "where to begin, or to go on"),
    missing=("i", "told: what (ASKS)"),
    missing_a=("i", "told: and of what"),
    missing_b=("i", ""),
    answers=("5i", ""),
)
ASKS = ("none", "row", "record", "behind_key", "behind_value", "behind_number", "frames")
"""What a walk may miss, by the kernel's numbers."""
_, _ROW, _RECORD_KIND, _BEHIND_KEY, _BEHIND_VALUE, _BEHIND_NUMBER, _ = range(len(ASKS))
_POINTERS = WALK.part("bytes", "colon")
_BEGIN = WALK.part("exact", "place")
_ASKED = WALK.part("n_nodes", "missing_b")
_SPAN = struct.Struct("<3i")
BLANK_SPAN: Span = (0, -1, True)
"""Of a state that has none."""
_PAIR = struct.Struct("<2i")
MOST_BYTES = 4096
"""Bytes of one step."""
MOST_FRAMES = 100_000
SPARE_FRAMES = 4096
"""Frames that one token may open, at most."""


class Place(NamedTuple):
    """Where a text stands in its grammar."""

    state: int
    record: int
    frame: int
    left: int = ENDLESS
    """Characters that the string may have yet, where they are counted."""
    need: int = 0
    """And those that it must have."""


class Table:
    """Memory that grows, of entries of one size."""

    def __init__(self, kernel: Kernel, size: int, what: str, blank: bytes) -> None:
        self.kernel, self.size, self._what, self._blank = kernel, size, what, blank
        self._memory = Scratch(kernel, 64 * size, what)
        self.room = 64
        self._clear(0, 64)

    @property
    def address(self) -> int:
        return self._memory.address

    def _clear(self, first: int, last: int) -> None:
        if self._blank.strip(b"\0"):
            self._memory.write(self._blank * (last - first), first * self.size)

    def reserve(self, count: int) -> bool:
        """Make room for so many; whether the memory moved."""
        if count <= self.room:
            return False
        room = max(count, 2 * self.room)
        grown = Scratch(self.kernel, room * self.size, self._what)
        self.kernel.call("copy", grown.address, self._memory.address, self.room * self.size)
        self._memory.close()
        before, self._memory, self.room = self.room, grown, room
        self._clear(before, room)
        return True

    def write(self, at: int, data: bytes) -> None:
        self._memory.write(data, at * self.size)


class Machine:
    """A program that can be stepped through and walked over."""

    def __init__(self, kernel: Kernel, program: Program, deepest: int) -> None:
        self.kernel, self.program = kernel, program
        row = 4 * program.n_classes
        self._rows = Table(
            kernel, row, "a grammar's states", struct.pack("<i", MISSING) + b"\0" * (row - 4)
        )
        self._spans = Table(kernel, 12, "a grammar's states", _SPAN.pack(*BLANK_SPAN))
        self._records = Table(kernel, RECORD.size, "a grammar's records", b"\0" * RECORD.size)
        self._numbers = Table(kernel, 4, "a grammar's records", b"\0" * 4)
        self._frames = Table(kernel, FRAME.size, "a grammar's frames", b"\0" * FRAME.size)
        self._frames.reserve(2 * SPARE_FRAMES)
        self._enters = Table(kernel, 8, "a grammar's states", b"\0" * 8)
        self._n_enters = 0
        self._n_numbers = 1  # 0 stands for none
        self._behind: dict[tuple[int, int], tuple[int, int]] = {}
        """Of a record and 0 (names) or 1 (values): where its table stands, and its length."""
        self._filled: dict[int, tuple[int, ...]] = {}
        self._frame_numbers: dict[tuple[int, int, int], int] = {}
        self.frames: list[tuple[int, int, int]] = [(0, 0, 0)]
        self._memory = Scratch(
            kernel, WALK.size + 256 + PLACE.size * (deepest + 2) + MOST_BYTES, "a grammar"
        )
        self._classes = self._memory.address + WALK.size
        self._stack = self._classes + 256
        self._text = self._stack + PLACE.size * (deepest + 2)
        kernel.write(self._classes, bytes(program.classes))
        self._tree: tuple[int, ...] = (0,) * 6
        self._mask = 0
        self._there: dict[int, Sequence[int]] = {}
        """The rows that are in the kernel's memory, by their states."""
        self._spanned: dict[int, Span] = {}
        self._moved = True
        """Whether the kernel must be told where everything stands."""
        self._counts: tuple[int, ...] = ()
        """Of states, records, entries and frames that have their room."""
        self._deepest = deepest
        self.limited = False
        """Whether the last walk would have found more if more characters had been left."""
        self.asked = False
        """Whether the last step depended on the text before it."""

    # --- following

    def start(self) -> Place:
        """Where a text begins: in the frame behind which it is over."""
        bottom = self.program.bottom()
        return Place(*self.program.start(), 0 if bottom is None else self.frame(*bottom, 0))

    def frame(self, state: int, record: int, below: int) -> int:
        """The number of a frame."""
        key = (state, record, below)
        found = self._frame_numbers.get(key)
        if found is None:
            found = self._frame_numbers[key] = len(self.frames)
            if found >= MOST_FRAMES:
                raise OptionError(f"the text is nested more than {MOST_FRAMES:,} deep")
            self.frames.append(key)
            self._moved |= self._frames.reserve(found + SPARE_FRAMES)
            self._frames.write(found, FRAME.pack(*key))
        return found

    def step(self, place: Place, data: bytes, before: bytearray | None = None) -> Place | None:
        """The place behind these bytes, or None where they cannot come. `before` is the text so
        far; without it what depends on the text is not asked."""
        self.asked = False
        moved = self._moved_over(place, data)
        if moved is not None:
            return moved
        for first in range(0, len(data), MOST_BYTES):
            text = b"" if before is None else bytes(before) + data[:first] if first else before
            found = self._step(place, data[first : first + MOST_BYTES], before is not None, text)
            if found is None:
                return None
            place = found
        return place

    def _moved_over(self, place: Place, data: bytes) -> Place | None:
        """The place behind bytes that only move from state to state, as most in strings do: that
        takes less than to tell the kernel. None where more happens, or nothing may come."""
        state, record, frame, left, need = place
        there, classes, program = self._there, self.program.classes, self.program
        for byte in data:
            row = there.get(state)
            move = program.move(state, byte) if row is None else row[classes[byte]]
            if move < 0:
                to = counted(move)
                if to == NOWHERE or state not in self._spanned or to not in self._spanned:
                    return None
                begins = self._spanned[state][1]
                if left - begins < self._spanned[to][0]:
                    return None
                if begins:
                    left -= left < ENDLESS
                    need -= need > 0
                move = to
            state = move
        return Place(*program.settled(state, record), frame, left, need)

    def _step(self, place: Place, data: bytes, exact: bool, before: Bytes) -> Place | None:
        top = len(self.frames)
        self.kernel.write(self._text, data)
        self._begin(place, len(data), exact)
        answers: list[int] = []
        answered_at = -1
        while True:
            result = self.kernel.call("constrain_step", self._memory.address)
            if result == 2:
                return None
            _, at, _, _, _, _, state, record, frame, last, left, need, kind, a, b = self._said()
            if result == 0:
                break
            if at != answered_at:
                answers, answered_at = [], at
            exactly = kind == _BEHIND_KEY or (
                kind >= _BEHIND_VALUE and self.program.record(a).exact
            )
            if not (exact and exactly):
                self._fetch(kind, a, b)
                continue
            text = bytes(before) + data[: at + (kind == _BEHIND_VALUE)]
            program = self.program
            asked = program.behind_key if kind == _BEHIND_KEY else program.behind_value
            self.asked = True
            answers.append(asked(a, b, text))
            self._memory.write(array("i", answers).tobytes(), WALK.offsets["answers"])
            self._memory.write(struct.pack("<i", len(answers)), WALK.offsets["n_answers"])
            self._make_room()
        if frame >= top:
            frame = self._keep(frame, top, last)
        return Place(*self.program.settled(state, record), frame, left, need)

    def _keep(self, frame: int, top: int, last: int) -> int:
        """Number the frames that a step has opened."""
        data = self.kernel.read(self._frames.address + top * FRAME.size, (last - top) * FRAME.size)
        opened = list(FRAME.iter_unpack(data))
        path: list[int] = []
        while frame >= top:
            path.append(frame)
            frame = opened[frame - top][2]
        for one in reversed(path):
            state, record, _ = opened[one - top]
            frame = self.frame(state, record, frame)
        return frame

    def walk(self, place: Place, tree: tuple[int, ...], n_nodes: int, mask: int) -> int:
        """Set the bits of the tokens of a tree that may come at a place; how many."""
        self._tree, self._mask, self._moved = tree, mask, True
        self._begin(place, n_nodes, False)
        while self.kernel.call("constrain_walk", self._memory.address):
            self._fetch(*self._said()[-3:])
        _, _, found, _, limited, *_ = self._said()
        self.limited = bool(limited)
        return found

    def _begin(self, place: Place, count: int, exact: bool) -> None:
        self._make_room()
        begun = (exact, count, 0, 0, self._deepest, 0, 0)
        stands = (*place[:3], len(self.frames), place.left, place.need)
        self._memory.write(_BEGIN.pack(*begun, *stands), WALK.offsets["exact"])

    def _said(self) -> tuple[int, ...]:
        return _ASKED.unpack(
            self.kernel.read(self._memory.address + WALK.offsets["n_nodes"], _ASKED.size)
        )

    # --- bringing what is missing

    def _fetch(self, kind: int, a: int, b: int) -> None:
        if kind == _ROW:
            self._bring_row(a)
        elif kind == _RECORD_KIND:
            self._bring_record(a)
        elif kind in (_BEHIND_KEY, _BEHIND_VALUE, _BEHIND_NUMBER):
            values = kind != _BEHIND_KEY
            asked = self.program.behind_value if values else self.program.behind_key
            self._bring_behind(a, b, values, asked(a, b, None))
        else:
            raise OptionError("a token opens more lists in lists than there is room for")
        self._make_room()

    def _make_room(self) -> None:
        """Every state and record that may be named has its place in the tables, and the kernel
        knows where those are."""
        program = self.program
        size, entered = program.size, program.entered()
        there = (size, program.n_records, len(entered), len(self.frames))
        if there == self._counts and not self._moved:
            return
        self._counts = there
        moved = self._frames.reserve(len(self.frames) + SPARE_FRAMES)
        moved |= self._rows.reserve(size) | self._spans.reserve(size)
        moved |= self._records.reserve(program.n_records)
        fresh = program.fresh_spans()
        if fresh:
            self._spanned.update(fresh)
            made = dict(fresh)  # of all states between them
            spans = (made.get(one, BLANK_SPAN) for one in range(fresh[0][0], fresh[-1][0] + 1))
            self._spans.write(fresh[0][0], b"".join(_SPAN.pack(*span) for span in spans))
        if len(entered) > self._n_enters:
            moved |= self._enters.reserve(len(entered))
            for at in range(self._n_enters, len(entered)):
                self._enters.write(at, _PAIR.pack(*entered[at]))
            self._n_enters = len(entered)
        if moved or self._moved:
            self._moved = False
            stands = (
                *self._tree, self._text, self._classes, self._rows.address, self._spans.address,
                self._records.address, self._numbers.address, self._enters.address,
                self._frames.address, self._stack, self._mask,
            )  # fmt: skip
            counts = (program.n_classes, self._frames.room, program.colon)
            self._memory.write(_POINTERS.pack(*stands, *counts))

    def _bring_row(self, state: int) -> None:
        rows = [state, *self.program.ahead(state)]
        self._moved |= self._rows.reserve(self.program.size)
        for one in rows:
            if one not in self._there:
                row = self.program.row(one)
                data = row if isinstance(row, array) else array("i", row)
                self._moved |= self._rows.reserve(self.program.size)
                self._rows.write(one, data.tobytes())
                self._there[one] = row

    def _allot(self, numbers: array[int]) -> int:
        at = self._n_numbers
        self._n_numbers += len(numbers)
        self._moved |= self._numbers.reserve(self._n_numbers)
        self._numbers.write(at, numbers.tobytes())
        return at

    def _bring_record(self, number: int) -> None:
        record = self.program.record(number)
        allowed = 0
        if record.allowed is not None:
            following = array("i", [0]) * (len(record.allowed) + 1)
            at = following[-1] = len(record.allowed)
            for name in range(len(record.allowed) - 1, -1, -1):
                if record.allowed[name]:
                    at = name
                following[name] = at
            allowed = self._allot(following)
        names = values = 0
        if record.n_names:
            names = self._allot(array("i", [MISSING]) * record.n_names)
            self._behind[number, 0] = (names, record.n_names)
        if record.child != NOWHERE:
            values = self._allot(array("i", [MISSING]) * record.n_said)
            self._behind[number, 1] = (values, record.n_said)
        self._filled[number] = (
            1, record.close, record.key, record.others, allowed, names, record.n_names,
            record.child, record.child_record, values, record.n_said if values else 0,
            record.exact,
        )  # fmt: skip
        self._moved |= self._records.reserve(number + 1)
        self._records.write(number, RECORD.pack(*self._filled[number]))

    def _bring_behind(self, record: int, kind: int, values: bool, behind: int) -> None:
        at, length = self._behind.get((record, int(values)), (0, 0))
        if kind >= length:
            grown = array("i", [MISSING]) * max(kind + 1, 2 * length)
            if length:
                kept = self.kernel.read(self._numbers.address + 4 * at, 4 * length)
                grown[:length] = array("i", kept)
            at = self._allot(grown)
            self._behind[record, int(values)] = (at, len(grown))
            row = list(self._filled[record])
            row[9 if values else 5], row[10 if values else 6] = at, len(grown)
            self._filled[record] = tuple(row)
            self._records.write(record, RECORD.pack(*row))
        self._numbers.write(at + kind, struct.pack("<i", behind))

    # --- ends

    def accepts(self, place: Place) -> bool:
        """Whether the text may end at a place."""
        place = self.over(place)
        return place.frame == 0 and self.program.accepting(place.state)

    def over(self, place: Place) -> Place:
        """The place behind the values that may be over at a place."""
        while place.frame:
            said = self.program.said(place.state)
            if said == NOWHERE:
                break
            state, record, below = self.frames[place.frame]
            behind = self.program.behind_value(record, said, None)
            if behind == NOWHERE:
                break
            place = Place(*self.program.settled(state, behind), below)
        return place
