"""Grammars that have JSON in them.

Where a host (`host.py`) comes to JSON, the automaton of the schema goes on, and behind the value
the host: its states are states of that automaton, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from ..json_options import AS_USUAL
from .effort import Effort
from .host import Host
from .nodes import Json
from .program import JUMP, NOWHERE, REJECT, Record, into
from .schema.automaton import JsonProgram
from .schema.blame import why_not
from .schema.document import Schema
from .schema.logic import KINDS, Expr
from .schema.places import Bottom
from .schema.reader import Reader


class Schemas:
    """The schemas of a grammar's JSON, read as one document so that several may begin at once."""

    def __init__(self, jsons: Sequence[Json]) -> None:
        self.reader = Reader(_joined(jsons), jsons[0].options or AS_USUAL, Effort())
        root = self.reader.document.root
        self.goals: list[Expr] = [self.reader.root]
        places: list[Schema] = [root]
        if len(jsons) > 1:
            names = [str(number) for number in range(len(jsons))]
            self.goals = [self.reader.sub(root, "$defs", name) for name in names]
            places = [self.reader.document.inside(root, "$defs", name) for name in names]
        satisfier = self.reader.satisfier
        for goal, place in zip(self.goals, places, strict=True):
            if not any(satisfier.can(goal, kind) for kind in KINDS):
                raise OptionError(why_not(self.reader, place))


def _joined(jsons: Sequence[Json]) -> str:
    """One document with all schemas in it, each a resource of its own."""
    if len(jsons) == 1:
        return jsons[0].schema
    schemas: dict[str, Any] = {}
    for number, one in enumerate(jsons):
        try:
            schema = json.loads(one.schema)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"a JSON Schema in the grammar is no JSON: {error}") from None
        if isinstance(schema, dict):
            old = "draft-04" in str(schema.get("$schema"))
            schema = {("id" if old else "$id"): f"json:{number}", **schema}
        schemas[str(number)] = schema
    return json.dumps({"$defs": schemas})


class At:
    """A place of a host, behind JSON."""

    def __init__(self, state: int, record: int) -> None:
        self.key = (state, record)

    def record(self) -> Record:
        return Record(child=self.key[0], child_record=self.key[1])


class Behind:
    """The place of JSON that may be of several schemas: what it is says where the host goes on."""

    def __init__(self, program: Hosting, targets: tuple[int, ...]) -> None:
        self._program, self.key = program, targets

    def record(self) -> Record:
        return Record(child=0)

    def behind_value(self, said: int, text: bytes | None) -> At | None:
        truths = self._program.truths[said]
        true = [target for target, is_so in zip(self.key, truths, strict=True) if is_so]
        return self._program.behind(true) if true else None


class Hosting(JsonProgram):
    """A host with its JSON."""

    def __init__(self, host: Host, schemas: Schemas, reach: int) -> None:
        super().__init__(schemas.reader, reach)
        self._host, self._goals = host, schemas.goals
        self._bottom = self._record_of(Bottom())
        self.tokens = host.tokens

    def _outer(self, state: int) -> int:
        """The number of a host's state."""
        return self.state("outer", state)

    def _host_state(self, state: int) -> int:
        """The host's state of a number, or NOWHERE where JSON is being written."""
        tag, *parts = self._keys[state]
        return parts[0] if tag == "outer" else NOWHERE

    def begin(self) -> None:
        super().begin()
        self._host.begin()

    def start(self) -> tuple[int, int]:
        return self._outer(0), self._bottom

    def bottom(self) -> tuple[int, int] | None:
        return None

    def _row_of_outer(self, state: int, inner: int) -> list[int]:
        back = self._host.fallback(inner)
        row = self._row_of_json(inner) if back == NOWHERE else list(self.row(self._outer(back)))
        own = self._host.own_row(inner)
        for byte in range(256):
            target = own[self._host.classes[byte]]
            if target == NOWHERE:
                continue
            if back == NOWHERE and row[byte] != REJECT:
                raise OptionError(
                    f"JSON and another text of the grammar may both begin with {chr(byte)!r} here; "
                    "let them begin with different characters"
                )
            row[byte] = self._outer(target)
        return row

    def _row_of_json(self, inner: int) -> list[int]:
        ways = self._host.json_ways(inner)
        if not ways:
            return [REJECT] * 256
        goals = tuple(self._goals[number] for number, _ in ways)
        goal = self.reader.logic.any(goals)
        targets = tuple(target for _, target in ways)
        if len(set(targets)) == 1:
            value, back = self.value(goal, ()), (self._outer(targets[0]), self._bottom)
        else:
            value = self.value(goal, goals)
            back = (self.state("behind"), self._record_of(Behind(self, targets)))
        move = into(self._entering((value, 0), back))
        return [move if one != REJECT else REJECT for one in self.row(value)]

    def _row_of_behind(self, state: int) -> list[int]:
        return [JUMP] * 256

    def settled(self, state: int, record: int) -> tuple[int, int]:
        if self._keys[state] != ("behind",):
            return state, record
        found = self.record(record)
        return found.child, found.child_record

    def behind(self, targets: list[int]) -> At:
        """The place of a host that stands in one of these states."""
        state = targets[0]
        for other in targets[1:]:
            state = self._host.united(state, other)
        return At(self._outer(state), self._bottom)

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        inner = self._host_state(state)
        ways = [] if inner == NOWHERE else self._host.token_ways(inner)
        return [(number, self._outer(target)) for number, target in ways]

    def united(self, a: int, b: int) -> int:
        return self._outer(self._host.united(self._host_state(a), self._host_state(b)))

    def accepting(self, state: int) -> bool:
        inner = self._host_state(state)
        return inner != NOWHERE and self._host.accepting(inner)

    def dead(self, state: int) -> bool:
        inner = self._host_state(state)
        return inner != NOWHERE and self._host.dead(inner)

    def _folded_state(self, state: int) -> int:
        inner = self._host_state(state)
        if inner == NOWHERE:
            return super()._folded_state(state)
        return self._outer(self._host.folded(inner, 0)[0])
