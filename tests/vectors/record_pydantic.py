"""Records what pydantic writes as JSON Schema for a list of features, with values that it takes and
others that it refuses: `python -m tests.vectors.record_pydantic` (with pydantic 2 installed)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import json
import pathlib
import re
import uuid
from collections import deque
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    Optional,
    TypeVar,
    Union,
)

import pydantic
from pydantic import (
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FutureDate,
    HttpUrl,
    Json,
    NegativeInt,
    NonNegativeFloat,
    NonPositiveInt,
    PastDate,
    PositiveFloat,
    PositiveInt,
    RootModel,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
    TypeAdapter,
    conlist,
    constr,
)  # fmt: skip
from typing_extensions import TypedDict

OUT = pathlib.Path(__file__).with_name("pydantic.json")
T = TypeVar("T")


class Color(enum.Enum):
    red = "red"
    green = "green"


class Level(enum.IntEnum):
    low = 1
    high = 2


class One(enum.Enum):
    only = "only"


class Person(BaseModel):
    name: str
    age: int = 3


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class OpenInts(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    name: str


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Left(BaseModel):
    right: Right | None = None


class Right(BaseModel):
    left: Left | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Box(BaseModel, Generic[T]):
    content: T


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclass
class Plain:
    a: int
    b: str = "x"


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")


class Described(BaseModel):
    """Words."""

    a: int = Field(title="A", description="the a", examples=[1], deprecated=True)


class Child(Person):
    school: str


class Numbers(RootModel[list[int]]):
    pass


class Nested(BaseModel):
    person: Person
    people: dict[str, Person]
    color: Color | None = None


class Extra(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"a": 1}], "x-note": "hello"})
    a: int


class Odd(BaseModel):
    a_b: int = Field(alias='we"ird\nname é')


def kind_of(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else value.kind
    return str(kind)


Tagged = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)]
FEATURES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "str": (str, ["", "a\"\\é\n"], [1]),
    "int": (int, [0, -12], ["1x", 1.5]),
    "float": (float, [1.5, 3, -2e-7], ["x"]),
    "bool": (bool, [True], ["q"]),
    "None": (None, [None], [0]),
    "Any": (Any, [1, {"a": [None]}], []),
    "Optional": (Optional[int], [1, None], ["x"]),  # noqa: UP045
    "Union": (Union[int, list[str]], [1, ["a"]], [{}]),  # noqa: UP007
    "Literal of one": (Literal["a"], ["a"], ["b"]),
    "Literal of several kinds": (Literal["a", 1, None, True], ["a", 1, None], ["b"]),
    "Enum": (Color, ["red"], ["blue"]),
    "IntEnum": (Level, [2], [3]),
    "Enum of one": (One, ["only"], ["other"]),
    "list": (list[int], [[], [1, 2]], [["x"]]),
    "set": (set[str], [["a", "b"]], [["a", 1]]),
    "frozenset of an Enum": (frozenset[Color], [["red", "green"]], [["blue"]]),
    "deque": (deque[int], [[1]], ["x"]),
    "tuple of fixed length": (tuple[int, str], [[1, "a"]], [[1], [1, "a", 2]]),
    "tuple of any length": (tuple[int, ...], [[], [1, 2]], [["x"]]),
    "empty tuple": (tuple[()], [[]], [[1]]),
    "dict": (dict[str, int], [{}, {"a": 1}], [{"a": "x"}]),
    "dict with constrained keys": (
        dict[Annotated[str, StringConstraints(pattern="^[a-z]+$")], int],
        [{"ab": 1}], [{"ab": "x"}],
    ),
    "dict with Literal keys": (dict[Literal["a", "b"], int], [{"a": 1}], [{"c": 1}]),
    "dict with Enum keys": (dict[Color, int], [{"red": 1}], [{"blue": 1}]),
    "dict with length": (Annotated[dict[str, int], Field(min_length=1, max_length=2)],
                         [{"a": 1}], [{}, {"a": 1, "b": 2, "c": 3}]),
    "list with length": (conlist(int, min_length=1, max_length=3), [[1]], [[], [1, 2, 3, 4]]),
    "str with length": (constr(min_length=2, max_length=4), ["abc", "éé"], ["a", "abcde"]),
    "str with pattern": (constr(pattern=r"^\d{3}-\w+$"), ["123-ab"], ["12-ab"]),
    "str with pattern and length": (constr(pattern="^[a-z]*$", max_length=3), ["abc"], ["abcd"]),
    "str of 20,000": (constr(max_length=20_000), ["abc"], [1]),
    "PositiveInt": (PositiveInt, [1, 12345678901], [0]),
    "NegativeInt": (NegativeInt, [-1], [0]),
    "NonPositiveInt": (NonPositiveInt, [0, -3], [1]),
    "PositiveFloat": (PositiveFloat, [0.5], [0, -1.5]),
    "NonNegativeFloat": (NonNegativeFloat, [0, 1.25], [-0.5]),
    "int between bounds": (Annotated[int, Field(ge=-3, lt=10)], [-3, 9], [10, -4]),
    "int of large bounds": (Annotated[int, Field(ge=1_000_000_000_000)], [1_000_000_000_000], [5]),
    "float of fractional bounds": (Annotated[float, Field(gt=-90.5, le=90.25)],
                                   [-90.25, 52.520008, 90.25], [-90.5, 90.5]),
    "multiple_of": (Annotated[int, Field(multiple_of=5)], [10, -15, 0], [7]),
    "multiple_of a fraction": (Annotated[float, Field(multiple_of=0.25)], [1.75, 2], [0.3]),
    "Decimal": (decimal.Decimal, [1.5, "2.25"], [[]]),
    "Decimal with bounds": (Annotated[decimal.Decimal, Field(ge=0, le=100, max_digits=5)],
                            [1.5], [-1]),
    "StrictInt": (StrictInt, [3], ["3"]),
    "StrictBool": (StrictBool, [True], ["true"]),
    "bytes": (bytes, ["abc"], [1]),
    "Base64Bytes": (Base64Bytes, ["YWJj"], [1]),
    "date": (dt.date, ["2024-02-29", "2020-01-31"], ["2023-02-29"]),
    "datetime": (dt.datetime, ["2024-05-06T07:08:09Z"], ["2024-05-06T25:08:09Z"]),
    "AwareDatetime": (AwareDatetime, ["2024-05-06T07:08:09+02:00"], ["x"]),
    "time": (dt.time, ["07:08:09Z"], ["25:08:09Z"]),
    "timedelta": (dt.timedelta, ["P3DT4H5M6S", "PT36H"], ["soon"]),
    "PastDate": (PastDate, ["1999-12-31"], ["1999-13-31"]),
    "FutureDate": (FutureDate, ["2999-12-31"], ["2999-13-31"]),
    "UUID": (uuid.UUID, ["123e4567-E89b-12d3-a456-426614174000"], ["123e4567"]),
    "AnyUrl": (AnyUrl, ["https://example.org/a?b=c#d"], ["no url"]),
    "HttpUrl": (HttpUrl, ["https://example.org/"], ["no url"]),
    "IPv4Address": (ipaddress.IPv4Address, ["192.168.0.1"], ["256.1.1.1"]),
    "IPv6Address": (ipaddress.IPv6Address, ["2001:db8::1"], ["2001:::1"]),
    "Path": (pathlib.Path, ["/tmp/x"], [1]),
    "Pattern": (re.Pattern[str], ["^a+$"], ["(a"]),
    "Json": (Json[list[int]], ["[1]"], [1]),
    "model": (Person, [{"name": "Ann", "age": 4}, {"name": "Bo"}], [{"age": 4}, {"name": 1}]),
    "model that forbids others": (Closed, [{"name": "a"}], [{"name": "a", "b": 1}]),
    "model that allows others": (Open, [{"name": "a", "b": 1}], [{"b": 1}]),
    "model that allows others of a type": (OpenInts, [{"name": "a", "b": 1}],
                                           [{"name": "a", "b": "x"}]),
    "recursive model": (Node, [{"value": 1, "children": [{"value": 2, "children": []}]}],
                        [{"value": 1, "children": [{}]}]),
    "models of each other": (Left, [{"right": {"left": {"right": None}}}], [{"right": 3}]),
    "discriminated union": (Annotated[Cat | Dog, Field(discriminator="kind")],
                            [{"kind": "cat", "lives": 9}, {"kind": "dog", "barks": True}],
                            [{"kind": "cat", "barks": True}, {"kind": "cow"}]),
    "discriminator that is called": (Tagged, [{"kind": "cat", "lives": 9}], [{"kind": "cow"}]),
    "union of models": (Cat | Dog, [{"kind": "dog", "barks": False}], [{"kind": "dog"}]),
    "generic model": (Box[list[int]], [{"content": [1]}], [{"content": "x"}]),
    "NamedTuple": (Point, [[1, 2]], [[1]]),
    "TypedDict": (Movie, [{"title": "x"}, {"title": "x", "year": 1999}], [{"year": 1999}]),
    "dataclass": (Plain, [{"a": 1, "b": "y"}], [{"b": "y"}]),
    "alias": (Aliased, [{"firstName": "x"}], [{"first_name": "x"}]),
    "alias with signs": (Odd, [{'we"ird\nname é': 1}], [{}]),
    "described fields": (Described, [{"a": 1}], [{"a": "x"}]),
    "inherited model": (Child, [{"name": "a", "age": 1, "school": "s"}], [{"name": "a"}]),
    "RootModel": (Numbers, [[1, 2]], [["x"]]),
    "nested models": (Nested, [{"person": {"name": "a"}, "people": {"b": {"name": "c"}}}],
                      [{"person": {"name": "a"}, "people": {"b": 1}}]),
    "extra words in the schema": (Extra, [{"a": 1}], [{}]),
    "list of optional": (list[int | None], [[1, None]], [["x"]]),
    "dict of lists of models": (dict[str, list[Person]], [{"a": [{"name": "b"}]}], [{"a": [1]}]),
}  # fmt: skip


def main() -> None:
    recorded = []
    for name, (kind, good, bad) in FEATURES.items():
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        for value, right in [(v, True) for v in good] + [(v, False) for v in bad]:
            try:
                adapter.validate_json(json.dumps(value))
            except pydantic.ValidationError:
                assert not right, (name, value)
            else:
                assert right, (name, value)
        tests = [{"valid": True, "data": value} for value in good]
        tests += [{"valid": False, "data": value} for value in bad]
        recorded.append({"name": name, "schema": adapter.json_schema(), "tests": tests})
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in recorded)
    OUT.write_text(f'{{"pydantic": "{pydantic.VERSION}", "features": [\n{lines}\n]}}\n')
    print(len(recorded), "features")


if __name__ == "__main__":
    main()
