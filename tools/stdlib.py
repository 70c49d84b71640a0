"""Python's standard library in two archives: what the engine starts with, and all of it.

The first holds bytecode, because compiling the sources that Pyodide ships takes every visitor more
time than everything else in a start. Nothing in it is compressed: the server's compression sees
across files and does better. The second is fetched when an import asks for more
(`stdlib_rest.py`), and holds the sources, so that tracebacks show lines from then on; Jinja2 lies
in it too, which renders chat templates and is pure Python.

The engine's wheel gets the same treatment: bytecode where imports look first, nothing compressed,
and nothing that runs natively only.
"""

from __future__ import annotations

import importlib.metadata
import io
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import build_bytecode
from tools.fingerprint import BUILD, ROOT, digest_bytes, fingerprint

FIRST = "python_stdlib.zip"
"""The name that Pyodide asks for."""
WHOLE = "python_stdlib_whole.zip"

PACKAGES = ("jinja2", "markupsafe")
"""What `thimble.chat` imports beside the standard library; requirements/play.txt pins them."""

NATIVE_ONLY = (
    "thimble/cli/", "thimble/convert/", "thimble/hosting/", "thimble/__main__",
    "thimble/train/torch_", "thimble/train/optim", "thimble/train/processes",
    "thimble/train/rounding",
)  # fmt: skip
"""What of the engine no page can run, or has a use for."""
ASKED_FOR = ("thimble/grid_tables.py",)
"""What of the engine comes with the whole library: few models need it."""

TOOLS = Path(__file__).resolve().parent
CACHE = BUILD / "cache"


def write_archives(folder: Path, pyodide: Path, engine: Path) -> None:
    """Write both archives into `folder`; Pyodide's own one is in `pyodide`."""
    upstream = _read_archive(pyodide / FIRST) | _packages() | _later(engine)
    first = dict(_bytecode(pyodide, engine))
    first["_stdlib_rest.py"] = (TOOLS / "stdlib_rest.py").read_bytes()
    names = sorted(module_name(path) for path in upstream if path.endswith(".py"))
    listed = "".join(f"    {name!r},\n" for name in names)
    first["_stdlib_names.py"] = f"NAMES = frozenset((\n{listed}))\n".encode()
    (folder / FIRST).write_bytes(_archive(first))
    # The finder is in both: the whole archive takes the first one's place.
    ours = {name: data for name, data in first.items() if name.startswith("_stdlib_")}
    (folder / WHOLE).write_bytes(_archive(upstream | ours))


def _packages() -> dict[str, bytes]:
    """The sources and licences of `PACKAGES`, as they are installed here. What is compiled in them
    is for this machine; both do without it."""
    found = {}
    for name in PACKAGES:
        for file in importlib.metadata.files(name) or ():
            path = file.as_posix()
            if path.endswith(".py") or "LICENSE" in path:
                found[path] = file.read_binary()
    return found


def _later(engine: Path) -> dict[str, bytes]:
    """The sources of `ASKED_FOR`, out of the engine's wheel."""
    return {path: data for path, data in _read_archive(engine).items() if path in ASKED_FOR}


def write_engine(folder: Path, wheel: Path) -> Path:
    """The engine's wheel as the page gets it, in `folder`: no sources, nothing compressed, and
    without what runs natively only."""
    files = {}
    for path, data in _read_archive(wheel).items():
        if path.endswith((".py", "/RECORD")) or path.startswith(NATIVE_ONLY):
            continue
        if f"{_without_pycache(path).removesuffix('.pyc')}.py" not in ASKED_FOR:
            files[_without_pycache(path)] = data
    record = next(path for path in _read_archive(wheel) if path.endswith("/RECORD"))
    files[record] = "".join(f"{path},,\n" for path in [*sorted(files), record]).encode()
    written = folder / wheel.name
    written.write_bytes(_archive(files))
    return written


def module_name(path: str) -> str:
    """`a/b.py` and `a/b/__init__.py` are both the module `a.b`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _without_pycache(path: str) -> str:
    """Where bytecode without a source is looked for: `a/__pycache__/b.TAG.pyc` → `a/b.pyc`."""
    if not path.endswith(".pyc"):
        return path
    folder, _, name = path.rpartition("/")
    return f"{folder.removesuffix('/__pycache__')}/{name.partition('.')[0]}.pyc"


def _bytecode(pyodide: Path, engine: Path) -> dict[str, bytes]:
    """The bytecode of all modules there once the engine is; cached, since it takes long."""
    inputs = [TOOLS / "stdlib.mjs", pyodide / "package.json", engine]
    cached = CACHE / f"{digest_bytes(fingerprint(inputs, FIRST).encode())}.stdlib"
    if not cached.is_file():
        node = build_bytecode.find_node()
        if node is None:
            raise FileNotFoundError("Node was not found: run `make setup`")
        with tempfile.TemporaryDirectory() as scratch:
            command = [node, str(TOOLS / "stdlib.mjs"), str(pyodide), str(engine), scratch]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if ran.returncode:
                raise RuntimeError(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
            found = {
                path.relative_to(scratch).as_posix(): path.read_bytes()
                for path in Path(scratch).rglob("*.pyc")
            }
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = cached.with_suffix(".fresh")
        fresh.write_bytes(_archive(found))
        shutil.move(fresh, cached)
    return _read_archive(cached)


def _read_archive(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def _archive(files: dict[str, bytes]) -> bytes:
    """A zip of stored files, the same bytes every time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix on every machine
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name])
    return made.getvalue()
