"""What of Pyodide the site carries: its core, our wheel, NumPy where it can be had, one lock file.

The npm package is the source; nothing is fetched from a CDN when the page runs. Only NumPy's wheel
is not in it: it comes from a mirror folder, or from the address that Pyodide's lock file implies.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from pyodide_lock.cli import main as lockfile_command

from tools import stdlib
from tools.fingerprint import BUILD, ROOT, digest_file

NPM = ROOT / "web" / "node_modules" / "pyodide"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
LOCK = "pyodide-lock.json"
RELEASES = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{file_name}"
DOWNLOADS = BUILD / "downloads"
PATIENCE = 8.0
"""Seconds without an answer after which a download is given up: the site works without NumPy."""


def version() -> str:
    return str(json.loads((NPM / "package.json").read_text(encoding="utf-8"))["version"])


def copy_core(folder: Path, engine: Path, mirror: Path | None) -> bool:
    """Fill `folder` with everything that Pyodide loads from it; returns whether NumPy is there."""
    folder.mkdir(parents=True)
    for name in CORE:
        shutil.copyfile(NPM / name, folder / name)
    stdlib.write_archives(folder, NPM, engine)
    shutil.copyfile(engine, folder / engine.name)
    original = json.loads((NPM / LOCK).read_text(encoding="utf-8"))
    numpy = _numpy(original["packages"]["numpy"], mirror)
    packages = {}
    if numpy is not None:
        entry, wheel = numpy
        shutil.copyfile(wheel, folder / wheel.name)
        packages["numpy"] = entry
    _write_lock(folder, engine, {"info": original["info"], "packages": packages})
    return numpy is not None


def _write_lock(folder: Path, engine: Path, lock: dict[str, Any]) -> None:
    """The lock file of what we ship, with our wheel added to it as Pyodide's own tool does."""
    given, made = folder / "given.json", folder / LOCK
    # What the tool for Python 3.11 reads differs from what the newer one does: it insists on
    # `info.version` and refuses `tool` tables. The loader needs neither.
    lock["info"] = {**lock["info"], "version": version()}
    for entry in lock["packages"].values():
        entry.pop("tool", None)
    given.write_text(json.dumps(lock), encoding="utf-8")
    # The function behind `pyodide lockfile add-wheels`: the command itself needs a newer Python.
    arguments = ["add-wheels", "--input", str(given), "--output", str(made)]
    arguments += ["--base-path", str(folder), str(folder / engine.name)]
    lockfile_command(arguments, standalone_mode=False)
    given.unlink()
    result = json.loads(made.read_text(encoding="utf-8"))
    result.pop("tool", None)
    result["info"].pop("version", None)
    # Pyodide's tool finds out by the sources what can be imported; the page gets none.
    slim = stdlib.write_engine(folder, folder / engine.name)
    for entry in result["packages"].values():
        if entry["file_name"] == slim.name:
            entry["sha256"] = digest_file(slim)
    for entry in result["packages"].values():
        entry.pop("tool", None)
    made.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _numpy(entry: dict[str, Any], mirror: Path | None) -> tuple[dict[str, Any], Path] | None:
    """NumPy's lock entry and wheel, from the first place that has one that fits its digest."""
    if mirror is not None:
        for candidate in _mirror_entries(mirror, entry):
            wheel = mirror / candidate["file_name"]
            if wheel.is_file() and digest_file(wheel) == candidate["sha256"]:
                return candidate, wheel
        print(f"site: {mirror} has no {entry['file_name']} with the right SHA-256")
        return None
    kept = DOWNLOADS / entry["file_name"]
    if kept.is_file() and digest_file(kept) == entry["sha256"]:
        return entry, kept
    try:
        _download(entry, kept)
    except (OSError, ValueError) as error:
        print(f"site: without NumPy ({error}); --pyodide-mirror names a folder that has its wheel")
        return None
    return entry, kept


def _mirror_entries(mirror: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What a mirror may offer: the official wheel, or one that its own fragment describes."""
    fragment = mirror / "lock-fragment.json"
    if not fragment.is_file():
        return [entry]
    offered = json.loads(fragment.read_text(encoding="utf-8"))["packages"].get("numpy")
    return [entry, offered] if offered else [entry]


def _download(entry: dict[str, Any], kept: Path) -> None:
    url = RELEASES.format(version=version(), file_name=entry["file_name"])
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        data = answer.read()
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
    fresh.write_bytes(data)
    found = digest_file(fresh)
    if found != entry["sha256"]:
        fresh.unlink()
        raise ValueError(f"{url} has SHA-256 {found}, not {entry['sha256']}")
    os.replace(fresh, kept)
