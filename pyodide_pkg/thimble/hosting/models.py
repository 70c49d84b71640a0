"""One's own GGUF files beside the site's models: checked, hashed once, listed as the page wants it.

Reads headers and digests only; it loads no weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import OptionError, ThimbleError
from ..fetch.folder import cache_folder
from ..gguf import GGUFHeader, read_file_header
from ..model_config import config_from_header
from ..split import check_whole
from ..tokenizer import tokenizer_from_metadata


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A GGUF file that is not part of the built site."""

    path: Path
    listing: dict[str, Any]
    """Its entry in `build.json`."""
    first: bool = True
    """Whether it is listed before the site's own, and so is the default; else behind them."""

    @property
    def name(self) -> str:
        return str(self.listing["name"])

    @property
    def file(self) -> str:
        """Its address in the site, named by its content like every asset."""
        return str(self.listing["file"])


def read_folder(folder: Path, *, first: bool = True) -> tuple[list[OwnModel], list[str]]:
    """The models of a folder, by name, and a line for each file that is none; `first` as of an
    OwnModel.

    Raises OptionError where there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise OptionError(f"{folder} is not a folder; a folder with GGUF files is wanted")
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    paths = sorted(path for path in files if path.suffix.lower() == ".gguf")
    if not paths:
        raise OptionError(f"{folder} holds no file that ends in .gguf")
    models: list[OwnModel] = []
    problems: list[str] = []
    with Digests() as digests:
        for path in paths:
            try:
                models.append(replace(_read(path, digests), first=first))
            except ThimbleError as error:
                problems.append(f"{path.name}: {error}")
            except OSError as error:
                problems.append(f"{path.name}: {error.strerror or error}")
    return models, problems


def _read(path: Path, digests: Digests) -> OwnModel:
    """Raises ThimbleError for a file that the engine would refuse."""
    header = read_file_header(path)
    check_whole(path.name, header)
    config_from_header(header)
    tokenizer_from_metadata(header.metadata)
    listing = {**describe(path, header), "sha256": digests.of(path)}
    # A file's name may hold anything; an address of ours holds what needs no escape.
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
    return OwnModel(path, {**listing, "file": f"assets/{stem}.{listing['sha256'][:8]}.gguf"})


def describe(path: Path, header: GGUFHeader) -> dict[str, Any]:
    """What a file says of itself, as `build.json` lists it; without its digest and address."""
    return {
        "name": path.stem,
        "title": str(header.metadata.get("general.name", path.stem)),
        "license": str(header.metadata.get("general.license", "unknown")),
        "parameters": sum(tensor.n_elements for tensor in header.tensors),
        "bytes": path.stat().st_size,
        **({"chat": True} if header.metadata.get("tokenizer.chat_template") else {}),
    }


def with_models(
    build: dict[str, Any], own: Sequence[OwnModel], only: Sequence[str] | None = None
) -> dict[str, Any]:
    """`build.json` with one's own models before the built ones, or behind them, as each says; or
    with those that `only` names.

    One's own take the place of built ones of the same name. The first is the default. Where the
    models are others, so is the build's hash: caches tell builds apart by it.
    Raises OptionError for a name that is not there.
    """
    if not own and only is None:
        return build
    before = [one.listing for one in own if one.first]
    behind = [one.listing for one in own if not one.first]
    offered = {model["name"]: model for model in [*before, *build["models"], *behind]}
    for one in own:
        offered[one.name] = one.listing
    if unknown := [name for name in only or () if name not in offered]:
        there = ", ".join(offered) or "none at all"
        raise OptionError(f"there is no model {', '.join(map(repr, unknown))}; there are {there}")
    names = list(offered) if only is None else list(dict.fromkeys(only))
    models = [_as_default(offered[name], place == 0) for place, name in enumerate(names)]
    if models == build["models"]:
        return build
    digest = hashlib.sha256(f"{build['build']}\n{json.dumps(models)}".encode()).hexdigest()
    return {**build, "build": digest, "models": models}


def _as_default(listing: dict[str, Any], default: bool) -> dict[str, Any]:
    others = {key: value for key, value in listing.items() if key != "default"}
    return {**others, "default": True} if default else others


class Digests:
    """SHA-256 of large files, remembered by path, size and time between runs."""

    def __init__(self, place: Path | None = None) -> None:
        self._place = place or cache_folder() / "digests.json"
        self._known: dict[str, list[Any]] = {}
        self._changed = False

    def __enter__(self) -> Digests:
        # A cache that cannot be read is an empty one.
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._place.read_bytes())
            if isinstance(known, dict):
                self._known = known
        return self

    def __exit__(self, *_: object) -> None:
        if not self._changed:
            return
        with contextlib.suppress(OSError):  # nothing is lost but time
            self._place.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=self._place.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._known, file)
            os.replace(beside, self._place)

    def of(self, path: Path) -> str:
        """The digest of a file's content, in hexadecimal."""
        key, stat = str(path.resolve()), path.stat()
        known = self._known.get(key)
        if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[key] = [stat.st_size, stat.st_mtime_ns, digest]
        self._changed = True
        return digest
