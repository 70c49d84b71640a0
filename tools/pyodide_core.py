"""What of Pyodide the site carries: its core, our wheel, NumPy where it can be had, one lock file.

The npm package is the source; nothing is fetched from a CDN when the page runs. Only NumPy's wheel
is not in it: it comes from a mirror folder, or from the address that Pyodide's lock file implies.

What changes with the engine lies outside Pyodide's folder, each file under a hash of its own, so
that a new engine costs a visitor the engine and not Pyodide again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyodide_lock.cli import main as lockfile_command

from tools import stdlib
from tools.fingerprint import BUILD, ROOT, digest_file, digest_tree

NPM = ROOT / "web" / "node_modules" / "pyodide"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
LOCK = "pyodide-lock.json"
RELEASES = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{file_name}"
DOWNLOADS = BUILD / "downloads"
PATIENCE = 8.0
"""Seconds without an answer after which a download is given up: the site works without NumPy."""


def version() -> str:
    return str(json.loads((NPM / "package.json").read_text(encoding="utf-8"))["version"])


@dataclass(frozen=True, slots=True)
class Placed:
    """Where everything lies, below the folder of assets."""

    folder: Path
    """Pyodide's own files, and the wheels that it may be asked for."""
    engine: Path
    stdlib: Path
    library: Path
    lock: Path
    numpy: bool

    def needed(self) -> list[Path]:
        """What every visitor's browser fetches before the engine runs."""
        core = [self.folder / name for name in CORE]
        return [*core, self.engine, self.stdlib, self.lock]


def place(assets: Path, engine: Path, mirror: Path | None) -> Placed:
    """Put everything that Pyodide loads into `assets`, named by content."""
    original = json.loads((NPM / LOCK).read_text(encoding="utf-8"))
    numpy = _numpy(original["packages"]["numpy"], mirror)
    folder = _place_core(assets, numpy[1] if numpy else None)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        made = Path(scratch)
        stdlib.write_archives(made, NPM, engine)
        first = _place(assets, made / stdlib.FIRST)
        whole = _place(assets, made / stdlib.WHOLE)
        slim = stdlib.write_engine(made, engine)
        # The wheel keeps its name, which says what it is; the hash is its folder's.
        home = assets / f"engine.{digest_file(slim)[:8]}"
        home.mkdir()
        slim = slim.rename(home / slim.name)
        packages = {"numpy": numpy[0]} if numpy else {}
        lock = {"info": original["info"], "packages": packages}
        _write_lock(made, engine, f"../{home.name}/{slim.name}", digest_file(slim), lock)
        listed = _place(assets, made / LOCK)
    return Placed(folder, slim, first, whole, listed, numpy is not None)


def _place_core(assets: Path, numpy: Path | None) -> Path:
    folder = assets / "pyodide"
    folder.mkdir(parents=True)
    for name in CORE:
        shutil.copyfile(NPM / name, folder / name)
    if numpy is not None:
        shutil.copyfile(numpy, folder / numpy.name)
    return folder.rename(folder.with_name(f"pyodide.{digest_tree(folder)[:8]}"))


def _place(assets: Path, made: Path) -> Path:
    target = assets / f"{made.stem}.{digest_file(made)[:8]}{made.suffix}"
    shutil.copyfile(made, target)
    return target


def _write_lock(scratch: Path, engine: Path, name: str, sha256: str, lock: dict[str, Any]) -> None:
    """The lock file of what we ship, with our wheel added to it as Pyodide's own tool does.

    The tool finds out by the wheel's sources what can be imported; the page gets a wheel without
    sources, whose place and digest are `name`, relative to Pyodide's folder, and `sha256`.
    """
    given, made = scratch / "given.json", scratch / LOCK
    wheel = shutil.copyfile(engine, scratch / engine.name)
    # What the tool for Python 3.11 reads differs from what the newer one does: it insists on
    # `info.version` and refuses `tool` tables. The loader needs neither.
    lock["info"] = {**lock["info"], "version": version()}
    for entry in lock["packages"].values():
        entry.pop("tool", None)
    given.write_text(json.dumps(lock), encoding="utf-8")
    # The function behind `pyodide lockfile add-wheels`: the command itself needs a newer Python.
    arguments = ["add-wheels", "--input", str(given), "--output", str(made)]
    arguments += ["--base-path", str(scratch), str(wheel)]
    lockfile_command(arguments, standalone_mode=False)
    result = json.loads(made.read_text(encoding="utf-8"))
    result.pop("tool", None)
    result["info"].pop("version", None)
    for entry in result["packages"].values():
        entry.pop("tool", None)
        if entry["file_name"] == engine.name:
            entry |= {"file_name": name, "sha256": sha256}
    made.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def numpy_wheel(mirror: Path | None) -> Path | None:
    """NumPy's wheel for the page, from `mirror` or downloaded; None where it cannot be had."""
    found = _numpy(
        json.loads((NPM / LOCK).read_text(encoding="utf-8"))["packages"]["numpy"], mirror
    )
    return found[1] if found else None


def _numpy(entry: dict[str, Any], mirror: Path | None) -> tuple[dict[str, Any], Path] | None:
    """NumPy's lock entry and wheel, from the first place that has one that fits its digest."""
    if mirror is not None:
        for candidate in _mirror_entries(mirror, entry):
            wheel = mirror / candidate["file_name"]
            if wheel.is_file() and digest_file(wheel) == candidate["sha256"]:
                return candidate, wheel
        print(f"site: {mirror} has no {entry['file_name']} with the right SHA-256")
        return None
    cached = DOWNLOADS / entry["file_name"]
    if cached.is_file() and digest_file(cached) == entry["sha256"]:
        return entry, cached
    try:
        _download(entry, cached)
    except (OSError, ValueError) as error:
        print(f"site: without NumPy ({error}); --pyodide-mirror names a folder that has its wheel")
        return None
    return entry, cached


def _mirror_entries(mirror: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What a mirror may offer: the official wheel, or one that its own fragment describes."""
    fragment = mirror / "lock-fragment.json"
    if not fragment.is_file():
        return [entry]
    offered = json.loads(fragment.read_text(encoding="utf-8"))["packages"].get("numpy")
    return [entry, offered] if offered else [entry]


def _download(entry: dict[str, Any], cached: Path) -> None:
    url = RELEASES.format(version=version(), file_name=entry["file_name"])
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        data = answer.read()
    cached.parent.mkdir(parents=True, exist_ok=True)
    fresh = cached.with_name(f"{cached.name}.{os.getpid()}")
    fresh.write_bytes(data)
    found = digest_file(fresh)
    if found != entry["sha256"]:
        fresh.unlink()
        raise ValueError(f"{url} has SHA-256 {found}, not {entry['sha256']}")
    os.replace(fresh, cached)
