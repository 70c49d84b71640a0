"""Which file of a Hugging Face repository is meant, by the hub's list of its files.

    GET /api/models/USER/REPOSITORY/tree/main?recursive=true

gives a list of objects with `path`, `size` and `lfs.oid`, the SHA-256
(https://huggingface.co/docs/hub/api).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import LoadError, OptionError
from ..split import names_of_parts
from .address import Files, Repository, hub, on_hub
from .download import read

_MOST = 16 << 20
"""Bytes of a list that are read at most."""
_ENCODING = re.compile(r"(?:^|[-._])(I?Q\d\w*|BF16|F16|F32|MXFP4\w*)(?=[-.])", re.IGNORECASE)
_SHOWN = 12


def files_of(repository: Repository) -> Files:
    """The GGUF file of a repository that has one, or the one of the encoding that was named.

    Raises OptionError, naming what there is, where none or several are meant; what `read` raises.
    """
    listed = {one["path"]: one for one in _tree(repository.name)}
    models = [path for path in listed if _is_first(path)]
    if not models:
        raise OptionError(f"hf.co/{repository.name} holds no file that ends in .gguf")
    wanted = repository.tag.lower()
    meant = [path for path in models if not wanted or wanted == encoding_of(path).lower()]
    if len(meant) != 1:
        there = ", ".join(
            f"{path} ({_bytes(listed[path]):,} bytes)" for path in (meant or models)[:_SHOWN]
        )
        more = len(meant or models) - _SHOWN
        what = f"{len(meant)} files" if meant else f"no file of encoding {repository.tag!r:.40}"
        raise OptionError(
            f"hf.co/{repository.name} holds {what}; name one, as hf.co/{repository.name}/FILE.gguf "
            f"or hf.co/{repository.name}:Q4_0: {there}{f' and {more} more' if more > 0 else ''}"
        )
    (path,) = meant
    folder, slash, name = path.rpartition("/")
    parts = [f"{folder}{slash}{one}" for one in names_of_parts(name)]
    return on_hub(
        repository.name, path, digests=tuple(_digest(listed.get(one, {})) for one in parts)
    )


def encoding_of(path: str) -> str:
    """The encoding that a file's name ends with, or nothing."""
    found = _ENCODING.findall(path.rpartition("/")[2])
    return str(found[-1]) if found else ""


def _is_first(path: str) -> bool:
    """Whether it is a model's file, or the first part of one; `mmproj` files are no models."""
    name = path.rpartition("/")[2]
    return (
        name.lower().endswith(".gguf")
        and not name.lower().startswith("mmproj")
        and names_of_parts(name)[0] == name
    )


def _tree(repository: str) -> list[dict[str, Any]]:
    url = f"{hub()}/api/models/{repository}/tree/main?recursive=true"
    try:
        listed = json.loads(read(url, _MOST, hub=True))
    except ValueError:
        raise LoadError(f"{url} answered with no JSON") from None
    if not isinstance(listed, list):
        raise LoadError(f"{url} answered with no list of files")
    return [one for one in listed if isinstance(one, dict) and isinstance(one.get("path"), str)]


def _bytes(entry: dict[str, Any]) -> int:
    size = entry.get("size")
    return size if isinstance(size, int) else 0


def _digest(entry: dict[str, Any]) -> str | None:
    lfs = entry.get("lfs")
    oid = lfs.get("oid") if isinstance(lfs, dict) else None
    return oid if isinstance(oid, str) and re.fullmatch(r"[0-9a-f]{64}", oid) else None
