"""The table of how the JSON of a schema is written: name, values, label, and what each is for.

To add one is to add a field to `JsonOptions` here, and what it does in `constrain/schema/`. The
check of a value, the flags of the command line, what recordings and links carry, types and the form
of the page are made from this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .errors import OptionError


class Choice(NamedTuple):
    """What is known of one option besides its name."""

    usual: str
    other: str
    label: str
    help: str
    """One clause, for people: what the other value lets come."""
    words: tuple[str, str]
    """The values as a form has them."""


def _choice(usual: str, other: str, label: str, help: str, *words: str) -> Any:
    known = Choice(usual, other, label, help, (words[0], words[1]))
    return dataclasses.field(default=usual, metadata={"choice": known})


@dataclass(frozen=True, slots=True)
class JsonOptions:
    """How the JSON of a schema is written. Raises OptionError for what is no value of an option."""

    property_order: str = _choice(
        "schema", "any", "Order of members",
        "Members stand in the order of the schema, or in any", "As in the schema", "Any",
    )  # fmt: skip
    extra_members: str = _choice(
        "named", "standard", "Other members",
        "An object with properties has others where the schema speaks of them, or wherever it does "
        "not forbid them", "Where named", "Where not forbidden",
    )  # fmt: skip
    whitespace: str = _choice(
        "compact", "free", "White space",
        "At most one space behind a comma or colon, or any white space that JSON lets stand",
        "Compact", "Free",
    )  # fmt: skip
    escapes: str = _choice(
        "shortest", "any", "Escapes",
        "Each character of a value is spelled in the shortest way, or in any", "Shortest", "Any",
    )  # fmt: skip
    numbers: str = _choice(
        "short", "any", "Numbers",
        "At most 16 digits before and behind the point, 15 in all with bounds, whole numbers "
        "without one; or any", "Short", "Any",
    )  # fmt: skip
    formats: str = _choice(
        "kept", "passed", "Formats",
        "A known format holds, or is an annotation", "Kept", "Passed over",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, choice in JSON_OPTIONS.items():
            if getattr(self, name) not in (choice.usual, choice.other):
                raise OptionError(
                    f"{name} is {getattr(self, name)!r:.40}; it must be {choice.usual} or "
                    f"{choice.other}"
                )

    @staticmethod
    def of(options: JsonOptions | None, changes: object) -> JsonOptions:
        """Options with some of them changed, by their names. Raises OptionError for a name that
        does not exist, and for what is no object of names and values."""
        if not isinstance(changes, Mapping):
            raise OptionError(f"the options of JSON are an object, not {changes!r:.40}")
        for name in changes:
            if name not in JSON_OPTIONS:
                raise OptionError(f"{name!r:.40} is none of {', '.join(JSON_OPTIONS)}")
        return replace(options or JsonOptions(), **changes)

    def changes(self) -> dict[str, str]:
        """What is not as usual, by name."""
        return {
            name: getattr(self, name)
            for name, choice in JSON_OPTIONS.items()
            if getattr(self, name) != choice.usual
        }


JSON_OPTIONS: dict[str, Choice] = {
    field.name: field.metadata["choice"] for field in dataclasses.fields(JsonOptions)
}
"""The table, by name."""
AS_USUAL = JsonOptions()
AS_STANDARD = JsonOptions(
    property_order="any", whitespace="free", extra_members="standard", numbers="any"
)
"""The widest texts: what is valid is accepted, however it is written."""
