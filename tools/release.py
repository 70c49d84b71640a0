"""A release's files, all of one version number: `make release`.

    python -m tools.release

Writes the wheels, the source distribution and the npm package to `build/release/VERSION/`, with
`SHA256SUMS`. The version is `__version__` in `pyodide_pkg/thimble/__init__.py`; CHANGELOG.md must
have a dated section for it, and the checkout no change that is not committed. Nothing is published.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import backend
import build_archive
from tools import npm_package
from tools.fingerprint import BUILD, ROOT, digest_file

CHANGELOG = ROOT / "CHANGELOG.md"


class ReleaseError(RuntimeError):
    """What stands in the way of a release."""


def dated_versions(changelog: str) -> list[str]:
    """The versions that a changelog has with a date, newest first."""
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)


def check(version: str, changelog: str, changes: str) -> None:
    """Raise ReleaseError where this version must not be released from this checkout.

    `changes` is what `git status --porcelain` says.
    """
    dated = dated_versions(changelog)
    if version not in dated:
        raise ReleaseError(f"CHANGELOG.md lacks a line `## [{version}] - YYYY-MM-DD`")
    if dated[0] != version:
        raise ReleaseError(f"CHANGELOG.md has {dated[0]} above {version}: raise __version__")
    if changes:
        raise ReleaseError(f"commit these first:\n{changes}")


def write(folder: Path) -> list[Path]:
    """Make every file of the release in an empty folder; `build/site` must be there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    backend.build_wheel(str(folder))
    backend.build_wheel(str(folder), {"target": "wasm"})
    backend.build_sdist(str(folder))
    packed = npm_package.pack(BUILD / "npm-package")
    shutil.copyfile(packed, folder / packed.name)
    made = sorted(folder.iterdir())
    sums = "".join(f"{digest_file(path)}  {path.name}\n" for path in made)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
    return made


def main() -> int:
    version = build_archive.version()
    status = ["git", "status", "--porcelain"]
    changes = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    try:
        check(version, CHANGELOG.read_text(encoding="utf-8"), changes)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    for path in write(BUILD / "release" / version):
        print(path.relative_to(ROOT))
    print(f"Publish these, and mark the commit: git tag -a v{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
