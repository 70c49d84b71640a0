"""A schema document: where its schemas are, and what a `$ref` leads to.

Drafts 4 to 2020-12: `$id` and draft 4's `id` open a resource of their own, `$anchor` and a `#name`
in an `$id` name a place in it. It knows nothing of what the keywords say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from ...errors import OptionError
from ...json_text import MAX_DEPTH, is_too_deep, pointer_at_depth
from ..effort import shortened
from ..nodes import MOST_SOURCE

_DRAFT = re.compile(r"^https?://json-schema\.org/(?:draft/(20\d\d)-\d\d|draft-0([3-7]))/schema#?$")
ONE = {
    "additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
"""Keywords whose value is a schema."""
LISTED = {"allOf", "anyOf", "oneOf", "prefixItems"}
NAMED = {
    "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties",
}  # fmt: skip


class Schema:
    """One schema of a document."""

    __slots__ = ("base", "draft", "path", "raw", "scope")

    def __init__(self, raw: Any, path: str, base: str, draft: int, scope: tuple[str, ...]) -> None:
        self.raw, self.path, self.base, self.draft, self.scope = raw, path, base, draft, scope

    def __repr__(self) -> str:
        return self.path


class Document:
    """A schema with all that it has inside."""

    def __init__(self, source: str) -> None:
        if len(source) > MOST_SOURCE:
            raise OptionError(
                f"the schema has {len(source):,} characters; {MOST_SOURCE:,} is the most"
            )
        if is_too_deep(source):
            place = shortened(pointer_at_depth(source))
            raise OptionError(
                f"{place}: more than {MAX_DEPTH} lists and objects stand within each other here"
            )
        try:
            raw = json.loads(source)
        except (ValueError, RecursionError) as error:
            wrong = OptionError(f"the JSON Schema is no JSON: {error}")
            wrong.at = getattr(error, "pos", None)
            raise wrong from None
        self.raw = raw
        self._found: dict[tuple[str, tuple[str, ...]], Schema] = {}
        self._resources: dict[str, tuple[Any, str, int, str]] | None = None
        """Of each base: what stands there, its path, its draft, and the base around it."""
        self._anchors: dict[tuple[str, str], tuple[str, bool]] = {}
        """Of a base and a name: the path, and whether it is a dynamic one."""
        self.dynamic = '"$dynamicRef"' in source or '"$recursiveRef"' in source
        self._has_ids = 'id"' in source or 'nchor"' in source
        self.root = self._schema(raw, "#", "", _draft(raw, 2020), ())

    def _schema(self, raw: Any, path: str, base: str, draft: int, scope: tuple[str, ...]) -> Schema:
        key = (path, scope)
        found = self._found.get(key)
        if found is None:
            if isinstance(raw, Mapping):
                draft = _draft(raw, draft)
                own = _identity(raw, draft)
                if own and self._has_ids:
                    base = urldefrag(urljoin(base, own)).url if own[0] != "#" else base
                    if self.dynamic and base not in scope:
                        scope = (*scope, base)
            found = self._found[key] = Schema(raw, path, base, draft, scope)
        return found

    def inside(self, schema: Schema, *keys: str | int) -> Schema:
        """The schema that stands in another at these keys."""
        raw, path = schema.raw, schema.path
        for key in keys:
            raw = raw[key]
            path = f"{path}/{escaped(key)}"
        return self._schema(raw, path, schema.base, schema.draft, schema.scope)

    def resolve(self, schema: Schema, reference: Any, *, dynamic: bool = False) -> Schema:
        """What a `$ref` in a schema leads to. Raises OptionError where there is nothing."""
        where = shortened(f"{schema.path}/$ref")
        if not isinstance(reference, str):
            raise wrong(where, reference, "a text, as in #/$defs/name")
        scope = schema.scope
        if dynamic:
            found = self._dynamic(schema, reference)
            if found is not None:
                return found
        if reference == "#" and not self._has_ids:
            return self._schema(self.raw, "#", "", self.root.draft, scope)
        if reference.startswith("#/") and not self._has_ids:
            return self._at(where, self.raw, "#", "", self.root.draft, reference[1:], scope)
        self._scan()
        assert self._resources is not None
        target, fragment = urldefrag(urljoin(schema.base, reference))
        if reference.startswith("#"):
            target = schema.base
        if target not in self._resources:
            raise OptionError(
                f"{where}: {reference!r:.90} is not in this document; put that schema under "
                "$defs, with its address as its $id"
            )
        raw, path, draft, around = self._resources[target]
        if self.dynamic and target not in scope:
            scope = (*scope, target)
        if fragment and not fragment.startswith("/"):
            anchor = self._anchors.get((target, unquote(fragment)))
            if anchor is None:
                raise OptionError(f"{where}: no schema calls itself {reference!r:.100}")
            return self._by_path(anchor[0], scope)
        return self._at(where, raw, path, around, draft, fragment, scope)

    def _dynamic(self, schema: Schema, reference: str) -> Schema | None:
        """The outermost schema of that dynamic name, where the nearest is one."""
        self._scan()
        target, name = urldefrag(urljoin(schema.base, reference))
        if reference.startswith("#"):
            target = schema.base
        here = self._anchors.get((target, name))
        if here is None or not here[1]:
            return None
        for base in schema.scope:
            anchor = self._anchors.get((base, name))
            if anchor is not None and anchor[1]:
                return self._by_path(anchor[0], schema.scope)
        return self._by_path(here[0], schema.scope)

    def recursive(self, schema: Schema) -> Schema:
        """What `$recursiveRef: "#"` of draft 2019-09 leads to."""
        self._scan()
        assert self._resources is not None
        root = (self.raw, "#", self.root.draft, "")
        raw, path, draft, around = self._resources.get(schema.base, root)
        if isinstance(raw, Mapping) and raw.get("$recursiveAnchor") is True:
            for base in schema.scope:
                outer, outer_path, outer_draft, outer_around = self._resources[base]
                if isinstance(outer, Mapping) and outer.get("$recursiveAnchor") is True:
                    return self._schema(outer, outer_path, outer_around, outer_draft, schema.scope)
        return self._schema(raw, path, around, draft, schema.scope)

    def _by_path(self, path: str, scope: tuple[str, ...]) -> Schema:
        return self._at(path, self.raw, "#", "", self.root.draft, path[1:], scope)

    def _at(
        self, where: str, raw: Any, path: str, base: str, draft: int, pointer: str,
        scope: tuple[str, ...],
    ) -> Schema:  # fmt: skip
        for part in pointer.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(raw, Mapping):
                draft = _draft(raw, draft)
                own = _identity(raw, draft)
                if own and own[0] != "#":
                    base = urldefrag(urljoin(base, own)).url
            if isinstance(raw, list) and key.isdecimal() and int(key) < len(raw):
                raw = raw[int(key)]
            elif isinstance(raw, Mapping) and key in raw:
                raw = raw[key]
            else:
                raise OptionError(
                    f"{where}: {pointer!r:.80} leads nowhere: there is no {key!r:.40}"
                )
            path = f"{path}/{escaped(key)}"
        return self._schema(raw, path, base, draft, scope)

    def _scan(self) -> None:
        """Find every resource and every name."""
        if self._resources is not None:
            return
        self._resources = {}
        self._enter(self.raw, "#", "", self.root.draft)
        work: list[tuple[Any, str, str, int]] = [(self.raw, "#", "", self.root.draft)]
        while work:
            raw, path, base, draft = work.pop()
            if isinstance(raw, Mapping):
                draft = _draft(raw, draft)
                base = self._enter(raw, path, base, draft)
            for key, part in _parts(raw):
                work.append((part, f"{path}/{escaped(key)}", base, draft))

    def _enter(self, raw: Any, path: str, base: str, draft: int) -> str:
        assert self._resources is not None
        own, around = _identity(raw, draft), base
        if own:
            target, fragment = urldefrag(urljoin(base, own))
            if own[0] != "#":
                base = target
                self._resources.setdefault(base, (raw, path, draft, around))
            if fragment:
                self._anchors[base, fragment] = (path, False)
        if path == "#":
            for address in (base, ""):
                self._resources.setdefault(address, (raw, path, draft, around))
        if isinstance(raw, Mapping):
            for key in ("$anchor", "$dynamicAnchor"):
                name = raw.get(key)
                if isinstance(name, str):
                    self._anchors[base, name] = (path, key == "$dynamicAnchor")
        return base


def escaped(key: str | int) -> str:
    """A key as a JSON pointer has it."""
    return str(key).replace("~", "~0").replace("/", "~1")


def wrong(where: str, value: object, right: str) -> OptionError:
    return OptionError(
        f"{shortened(where)} is {json.dumps(value, default=str):.60}; it must be {right}"
    )


def _draft(raw: Any, otherwise: int) -> int:
    name = raw.get("$schema") if isinstance(raw, Mapping) else None
    found = _DRAFT.match(name) if isinstance(name, str) else None
    return int(found[1] or found[2]) if found else otherwise


def _identity(raw: Any, draft: int) -> str:
    """The `$id` of a schema, or nothing."""
    if not isinstance(raw, Mapping):
        return ""
    if draft <= 7 and "$ref" in raw:
        return ""
    own = raw.get("id" if draft <= 4 else "$id")
    return own if isinstance(own, str) else ""


def _parts(raw: Any) -> Iterator[tuple[str | int, Any]]:
    """What stands in a schema and may be a schema or hold some: all but values."""
    if isinstance(raw, Mapping):
        for key, part in raw.items():
            if key not in ("enum", "const", "default", "examples") and isinstance(
                part, (dict, list)
            ):
                yield key, part
    elif isinstance(raw, list):
        for at, part in enumerate(raw):
            if isinstance(part, (dict, list)):
                yield at, part
