"""Which part of a schema that nothing satisfies is to blame, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effort import shortened
from .document import Schema

if TYPE_CHECKING:
    from .reader import Reader


def why_not(reader: Reader, schema: Schema) -> str:
    """Which part of a schema that nothing satisfies excludes which."""
    raw, path = schema.raw, shortened(schema.path)
    if raw is False:
        return f"{path} is false, which no value satisfies"
    for _ in range(64):
        deeper = _impossible_member(reader, schema)
        if deeper is None:
            break
        schema = deeper
    raw, path = schema.raw, shortened(schema.path)
    if raw is False:
        return f"{path} is false, and it is required"
    if isinstance(raw, dict):
        core = dict(raw)
        for word in raw:
            rest = {key: value for key, value in core.items() if key != word}
            if not _alone(reader, schema, rest):
                core = rest
        words = [repr(word) for word in core]
        if len(words) > 1:
            listed = f"{', '.join(words[:-1])} and {words[-1]}"
            return f"no value satisfies {path}: its {listed:.120} exclude each other"
        if words:
            return f"no value satisfies {path}, because of its {words[0]:.60}"
    return f"no value satisfies {path}"


def _impossible_member(reader: Reader, schema: Schema) -> Schema | None:
    raw = schema.raw
    if not isinstance(raw, dict):
        return None
    if "$ref" in raw:
        return reader.document.resolve(schema, raw["$ref"])
    if raw.get("type") == "object" and isinstance(raw.get("properties"), dict):
        for name in raw.get("required", ()):
            if name in raw["properties"]:
                inner = reader.document.inside(schema, "properties", name)
                if not reader.satisfier.any_kind(reader.logic.schema(inner)):
                    return inner
    return None


def _alone(reader: Reader, schema: Schema, raw: dict[str, object]) -> bool:
    """Whether something satisfies these keywords of a schema by themselves."""
    part = Schema(raw, schema.path, schema.base, schema.draft, schema.scope)
    return reader.satisfier.any_kind(reader.logic.schema(part))
