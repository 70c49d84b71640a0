"""A task's file: one JSON object with everything that a model needs to do one job.

    task = Task.read(Path("intent.task.json").read_bytes())
    with task.open(model) as answerer:
        answerer.answer("where is my parcel?").text

It holds the model's SHA-256, the adapter (a GGUF file, in base64), the prompt's template, the
labels or the schema, the temperature and threshold of probabilities, the receipt of its training
and a card with what was measured. It does not hold the model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..adapter import AdapterFile, read_adapter
from ..constrain import json_schema
from ..errors import FormatError, OptionError, ThimbleError
from ..json_text import parse_json
from ..model import Model
from .answer import TEXT, Answerer, Shape
from .examples import KINDS, MOST_LABEL, MOST_LABELS

FORMAT = 1
"""`task` in every file: the meaning of its members."""
MOST_BYTES = 256 << 20
MOST_TEMPLATE = 10_000
MOST_TOKENS = 4096
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Task:
    """What a file holds, found sound."""

    name: str
    shape: Shape
    base: dict[str, str]
    """Of the model: `name`, `architecture`, and `sha256` of its file."""
    adapter: AdapterFile
    temperature: float
    threshold: float
    card: dict[str, Any]
    """What was measured, and on what."""
    receipt: dict[str, Any] | None

    @classmethod
    def read(cls, data: bytes | str) -> Task:
        """Read a file. Raises FormatError for what is none, or contradicts itself."""
        text = data if isinstance(data, str) else _utf8(data)
        said = parse_json(text, "the task")
        if not isinstance(said, dict) or said.get("task") != FORMAT:
            found = said.get("task") if isinstance(said, dict) else type(said).__name__
            raise FormatError(f"this is no task file: its task is {found!r:.40}, not {FORMAT}")
        base = said.get("base")
        if not isinstance(base, dict) or not all(
            isinstance(base.get(name), str) for name in ("name", "architecture", "sha256")
        ) or not _HASH.match(base["sha256"]):  # fmt: skip
            raise FormatError("the task's base must have a name, an architecture and a sha256")
        receipt = said.get("receipt")
        if receipt is not None and not isinstance(receipt, dict):
            raise FormatError("the task's receipt is no object")
        return cls(
            name=_text(said, "name", 200),
            shape=_shape(said),
            base={name: base[name] for name in ("name", "architecture", "sha256")},
            adapter=_adapter(said),
            temperature=_number(said, "temperature", 1e-3, 1e3),
            threshold=_number(said, "threshold", 0.0, 1.0),
            card=said["card"] if isinstance(said.get("card"), dict) else {},
            receipt=receipt,
        )

    def to_json(self) -> str:
        """Return the file; `read` makes the same task of it."""
        shape, adapter = self.shape, self.adapter
        made: dict[str, Any] = {
            "task": FORMAT,
            "name": self.name,
            "base": self.base,
            "kind": shape.kind,
            "template": shape.template,
            "lead": shape.lead,
            "labels": list(shape.labels),
            "schema": shape.schema,
            "max_tokens": shape.max_tokens,
            "one_line": shape.one_line,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "card": self.card,
            "adapter": {
                "sha256": adapter.sha256,
                "bytes": len(adapter.data),
                "gguf": base64.b64encode(adapter.data).decode(),
            },
            "receipt": self.receipt,
        }
        return json.dumps(made, ensure_ascii=False, indent=1) + "\n"

    def fits(self, model: Model, sha256: str = "") -> None:
        """Raise FormatError where a model is not the task's: its SHA-256, where it is known."""
        if sha256 and sha256 != self.base["sha256"]:
            raise FormatError(
                f"the task {self.name!r} is for the model {self.base['name']!r} with SHA-256 "
                f"{self.base['sha256'][:12]}…; {model.name!r} has {sha256[:12]}…"
            )
        if model.config.architecture != self.base["architecture"]:
            raise FormatError(
                f"the task {self.name!r} is for {self.base['name']!r}, a "
                f"{self.base['architecture']!r:.40}; {model.name!r} is a "
                f"{model.config.architecture!r}"
            )

    @contextmanager
    def open(
        self, model: Model, *, sha256: str = "", threshold: float | None = None
    ) -> Iterator[Answerer]:
        """Get ready to answer: the adapter comes into the model's memory, and is on the model only
        while it answers, so that several tasks are open at once and other sessions write as they
        did. `sha256` of the model's file is compared, where it is given."""
        self.fits(model, sha256)
        chosen = self.threshold if threshold is None else threshold
        adapter = model.prepare_adapter(self.adapter)
        try:
            answerer = Answerer(
                model, self.shape, temperature=self.temperature, threshold=chosen, adapter=adapter
            )
            try:
                yield answerer
            finally:
                answerer.close()
        finally:
            adapter.close()


def _utf8(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise FormatError(f"the file has {len(data):,} bytes; a task has at most {MOST_BYTES:,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError("this is no task file: it is not in UTF-8") from None


def _text(said: dict[str, Any], name: str, most: int) -> str:
    value = said.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise FormatError(f"the task's {name} is {value!r:.40}; a text of at most {most} is right")
    return value


def _number(said: dict[str, Any], name: str, least: float, most: float) -> float:
    value: Any = said.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise FormatError(f"the task's {name} is {value!r:.40}; it must be from {least} to {most}")
    return float(value)


def _shape(said: dict[str, Any]) -> Shape:
    kind, labels, schema = said.get("kind"), said.get("labels"), said.get("schema")
    labels = labels if isinstance(labels, list) else [None]
    template, one_line = _text(said, "template", MOST_TEMPLATE), said.get("one_line")
    if kind not in KINDS:
        raise FormatError(f"the task's kind is {kind!r:.40}; it must be one of {', '.join(KINDS)}")
    if TEXT not in template:
        raise FormatError(f"the task's template {template!r:.60} has no {TEXT} in it")
    texts = all(isinstance(label, str) and 0 < len(label) <= MOST_LABEL for label in labels)
    if not texts or len(labels) > MOST_LABELS or len({*labels}) < len(labels) or (
        bool(labels) != (kind == "label")
    ):  # fmt: skip
        raise FormatError(f"the task's labels {labels!r:.60} are none of a task of kind {kind!r}")
    if (schema is not None) != (kind == "json"):
        has = "needs a" if kind == "json" else "has no"
        raise FormatError(f"a task of kind {kind!r} {has} schema")
    if schema is not None:
        try:
            json_schema(schema)
        except OptionError as error:
            raise FormatError(f"the task's schema is none: {error}") from None
    if not isinstance(one_line, bool):
        raise FormatError(f"the task's one_line is {one_line!r:.40}; true or false is right")
    return Shape(
        kind, template, _text(said, "lead", 10), tuple(labels), schema,
        int(_number(said, "max_tokens", 1, MOST_TOKENS)), one_line,
    )  # fmt: skip


def _adapter(said: dict[str, Any]) -> AdapterFile:
    value = said.get("adapter")
    if not isinstance(value, dict) or not isinstance(value.get("gguf"), str):
        raise FormatError("the task has no adapter: its adapter must have a gguf, in base64")
    try:
        data = base64.b64decode(value["gguf"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"the task's adapter is no base64: {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != value.get("sha256"):
        raise FormatError(
            f"the task's adapter has SHA-256 {digest[:12]}…, and the file says "
            f"{value.get('sha256')!r:.20}: it is damaged or was changed"
        )
    try:
        return read_adapter(data)
    except ThimbleError as error:
        raise FormatError(f"the task's adapter: {error}") from None


def schema_of(values: list[Any]) -> dict[str, Any]:
    """Return a JSON Schema that all these values keep: their members, in the order in which they
    come, and types."""
    types = {_type(value) for value in values}
    if types == {"integer", "number"}:
        types = {"number"}
    if len(types) != 1:
        return {"anyOf": [{"type": name} for name in sorted(types)]} if types else {}
    (kind,) = types
    if kind == "array":
        items = [item for value in values for item in value]
        return {"type": "array", "items": schema_of(items), "maxItems": max(map(len, values))}
    if kind != "object":
        return {"type": kind}
    names = dict.fromkeys(name for value in values for name in value)
    return {
        "type": "object",
        "properties": {n: schema_of([v[n] for v in values if n in v]) for n in names},
        "required": [n for n in names if all(n in v for v in values)],
        "additionalProperties": False,
    }


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"),
             (list, "array"), (dict, "object"))  # fmt: skip
    return next(name for kind, name in names if isinstance(value, kind))
