"""How a wheel is put together: which files, their metadata, and the same bytes every time.

Knows the wheel format and the package's `pyproject.toml`; knows nothing of compilers.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import re
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "thimble"
LIBRARY_SUFFIXES = (".so", ".dylib", ".dll", ".wasm")
GENERATOR = "thimble-backend"

# 2020-01-01: zip knows no time before 1980, and tools dislike times near that edge.
FIXED_TIME = 1577836800


@dataclass(frozen=True)
class Entry:
    """One file of an archive."""

    path: str
    data: bytes
    executable: bool = False


def project() -> dict[str, Any]:
    """The `[project]` table, with the version that `thimble/__init__.py` has."""
    with (HERE / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table | {"version": version()}


def version() -> str:
    """The one version number, of wheels, site and npm package. Read, not imported: the kernels may
    not have been compiled yet."""
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    found = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"thimble/__init__.py has {len(found)} lines with __version__, not one")
    return str(found[0])


def stem() -> str:
    """`thimble_lm-0.1.0`: how every file name of the distribution begins."""
    table = project()
    return f"{table['name'].replace('-', '_')}-{table['version']}"


def package_files() -> list[Entry]:
    """Everything in the package that is written by hand: sources and their data files."""
    found: list[Entry] = []
    for path in sorted(PACKAGE.rglob("*")):
        parts = path.relative_to(HERE).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and path.suffix not in (*LIBRARY_SUFFIXES, ".pyc"):
            found.append(Entry("/".join(parts), path.read_bytes()))
    return found


def front_end_files() -> list[Entry]:
    """The built site and the templates, where the package looks for them
    (`thimble/hosting/front_end.py`); nothing where the site has not been built."""
    site, templates = front_end_places()
    if not (site / "build.json").is_file():
        return []
    found: list[Entry] = []
    for folder, name in ((site, "_site"), (templates, "_templates")):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            # Whoever knows gzip only gets the file itself; an export packs it again.
            if path.suffix != ".gz":
                below = path.relative_to(folder).as_posix()
                found.append(Entry(f"thimble/{name}/{below}", path.read_bytes()))
    return found


def front_end_places() -> tuple[Path, Path]:
    """Site and templates: in a source distribution in a folder beside this file."""
    carried = HERE / "front_end"
    if carried.is_dir():
        return carried / "_site", carried / "_templates"
    checkout = HERE.parent
    return checkout / "build" / "site", checkout / "web" / "templates"


def metadata() -> str:
    """The METADATA file."""
    table = project()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {table['name']}",
        f"Version: {table['version']}",
        f"Summary: {table['description']}",
        f"License-Expression: {table['license']}",
    ]
    if _license_text() is not None:
        lines.append("License-File: LICENSE")
    lines += [f"Classifier: {name}" for name in table.get("classifiers", [])]
    lines += [f"Project-URL: {name}, {url}" for name, url in table.get("urls", {}).items()]
    lines.append(f"Keywords: {','.join(table['keywords'])}")
    lines.append(f"Requires-Python: {table['requires-python']}")
    lines += [f"Requires-Dist: {need}" for need in table.get("dependencies", [])]
    for extra, needs in table.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_with_extra(need, extra)}" for need in needs]
    readme = (HERE / table["readme"]).read_text(encoding="utf-8")
    lines += ["Description-Content-Type: text/markdown", "", readme]
    return "\n".join(lines)


def _with_extra(need: str, extra: str) -> str:
    name, _, marker = need.partition(";")
    condition = f"extra == '{extra}'"
    if marker.strip():
        condition = f"({marker.strip()}) and {condition}"
    return f"{name.strip()}; {condition}"


def _license_text() -> bytes | None:
    # In a checkout the licence lies one folder up; in a source distribution, beside this file.
    for place in (HERE, HERE.parent):
        if (place / "LICENSE").is_file():
            return (place / "LICENSE").read_bytes()
    return None


def dist_info(tag: str, *, pure: bool) -> list[Entry]:
    """The `.dist-info` folder without its RECORD."""
    folder = f"{stem()}.dist-info"
    wheel = (
        "Wheel-Version: 1.0\n"
        f"Generator: {GENERATOR} {project()['version']}\n"
        f"Root-Is-Purelib: {'true' if pure else 'false'}\n"
    )
    python, abi, platforms = tag.split("-")
    wheel += "".join(f"Tag: {python}-{abi}-{name}\n" for name in platforms.split("."))
    scripts = project().get("scripts", {})
    points = "[console_scripts]\n" + "".join(f"{k} = {v}\n" for k, v in sorted(scripts.items()))
    entries = [
        Entry(f"{folder}/METADATA", metadata().encode()),
        Entry(f"{folder}/WHEEL", wheel.encode()),
        Entry(f"{folder}/entry_points.txt", points.encode()),
    ]
    text = _license_text()
    if text is not None:
        entries.append(Entry(f"{folder}/licenses/LICENSE", text))
    return entries


def write_wheel(folder: Path, tag: str, content: list[Entry], *, pure: bool = False) -> str:
    """Write a wheel of `content` and its metadata; returns its file name."""
    entries = sorted(content, key=lambda entry: entry.path)
    entries += dist_info(tag, pure=pure)
    record = f"{stem()}.dist-info/RECORD"
    rows = [f"{entry.path},{_digest(entry.data)},{len(entry.data)}\n" for entry in entries]
    entries.append(Entry(record, ("".join(rows) + f"{record},,\n").encode()))
    name = f"{stem()}-{tag}.whl"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for entry in entries:
            file.writestr(_zip_info(entry), entry.data)
    _write_whole(folder / name, archive.getvalue())
    return name


def _digest(data: bytes) -> str:
    raw = hashlib.sha256(data).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _zip_info(entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(entry.path, date_time=(2020, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix on every machine: the permissions below are Unix's
    info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    # What is packed already gets no smaller.
    packed = entry.path.endswith((".br", ".gguf"))
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    return info


def write_sdist(folder: Path, *, front_end: bool = True) -> str:
    """Write the source distribution, with the built front end if there is one; returns its file
    name."""
    found = [
        *sorted(HERE.glob("*.py")),
        *sorted(HERE.glob("*.mjs")),
        HERE / "README.md",
        HERE / "pyproject.toml",
        *sorted((HERE / "kernels").glob("*.[ch]")),
    ]
    entries = [Entry(path.relative_to(HERE).as_posix(), path.read_bytes()) for path in found]
    entries += package_files()
    if front_end:
        entries += [
            Entry(entry.path.replace("thimble/", "front_end/", 1), entry.data)
            for entry in front_end_files()
        ]
    entries.append(Entry("PKG-INFO", metadata().encode()))
    text = _license_text()
    if text is not None:
        entries.append(Entry("LICENSE", text))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as file:
        for entry in sorted(entries, key=lambda entry: entry.path):
            info = tarfile.TarInfo(f"{stem()}/{entry.path}")
            info.size, info.mtime, info.mode = len(entry.data), FIXED_TIME, 0o644
            file.addfile(info, io.BytesIO(entry.data))
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=FIXED_TIME) as file_gz:
        file_gz.write(raw.getvalue())
    name = f"{stem()}.tar.gz"
    _write_whole(folder / name, packed.getvalue())
    return name


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    os.replace(beside, path)
