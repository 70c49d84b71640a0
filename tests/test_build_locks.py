"""Lock files: everything pinned by hash, nothing that ties a checkout to a place."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "requirements" / "train.txt"
LOCKS = sorted(set((ROOT / "requirements").glob("*.txt")) - {TRAIN})


def pins(lock: Path) -> dict[str, str]:
    """Each pinned package with its marker, as `name` or `name ; marker` → version."""
    found = re.findall(r"^([\w.-]+)==(\S+)( ; [^\\]+)? \\$", lock.read_text(), re.MULTILINE)
    return {name + marker.rstrip(): version for name, version, marker in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_python_packages_are_pinned_by_hash(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert pins(lock)
    for line in lines:
        assert re.match(r"[\w.-]+==\S+.* \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line), line


def test_pytorch_is_pinned_by_version() -> None:
    """Its builds for processors and graphics cards differ, so one hash cannot be right."""
    lines = [line for line in TRAIN.read_text().splitlines() if not line.startswith("#")]
    assert [re.fullmatch(r"torch==\d+\.\d+\.\d+", line) is not None for line in lines] == [True]


@pytest.mark.parametrize("lock", [*LOCKS, TRAIN], ids=lambda lock: lock.stem)
def test_lock_files_name_no_place(lock: Path) -> None:
    text = lock.read_text()
    for word in ("://", "--index-url", "--find-links", "/home", "/root"):
        assert word not in text


def test_the_tests_run_what_play_runs() -> None:
    play, test = pins(ROOT / "requirements" / "play.txt"), pins(ROOT / "requirements" / "test.txt")
    for package, version in play.items():
        # What players need on some machines only, tests may need on all.
        name = package.partition(" ; ")[0]
        assert test.get(package, test.get(name)) == version, package


def test_the_compiler_is_the_same_everywhere() -> None:
    with (ROOT / "pyodide_pkg" / "pyproject.toml").open("rb") as file:
        (required,) = tomllib.load(file)["build-system"]["requires"]
    name, _, version = required.partition("==")
    for group in ("play", "test"):
        assert pins(ROOT / "requirements" / f"{group}.txt")[name] == version


def npm(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "web" / name).read_text(encoding="utf-8"))
    return read


def test_front_end_packages_are_pinned_by_hash_and_name_no_place() -> None:
    packages = {name: entry for name, entry in npm("package-lock.json")["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
        assert not entry.get("hasInstallScript") or name == "node_modules/esbuild", name


def test_front_end_versions_are_exact() -> None:
    package = npm("package.json")
    for version in (package["dependencies"] | package["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_setup_names_the_groups_that_there_are() -> None:
    command = [sys.executable, "-m", "tools.setup_env", "everything"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "play, model, check or test, not 'everything'" in ran.stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python3.6"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.6.15\nexit 1\n')
    old.chmod(0o755)
    command = ["make", "--no-print-directory", "setup", f"PYTHON={old}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode != 0
    first = ran.stderr.splitlines()[0]
    assert "needs Python 3.11 or newer" in first
    assert "Python 3.6.15" in first
