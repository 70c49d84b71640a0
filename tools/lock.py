"""Refreshes the lock files: newest versions that pyproject.toml and package.json allow, by hash.

Needs the network. One resolution serves every Python and every machine; the files name neither a
registry nor a folder.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import build_bytecode
from tools.fingerprint import BUILD, ROOT

UV = "uv==0.13.9"
OPTIONS = (
    "--quiet",
    "--universal",
    "--fork-strategy=requires-python",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--upgrade",
)

# The larger group first: the smaller one takes its versions from it.
GROUPS = (
    ("test", None), ("play", "test"), ("server", "test"), ("node", None), ("pyodide", "test"),
    ("model", None),
)  # fmt: skip
ALONE = ("model",)
"""Without what they ask for."""


def main() -> int:
    uv = _uv()
    for group, like in GROUPS:
        lock = ROOT / "requirements" / f"{group}.txt"
        limits = ["--constraint", f"requirements/{like}.txt"] if like else []
        limits += ["--no-deps"] if group in ALONE else []
        command = [str(uv), "pip", "compile", *OPTIONS, *limits, "--group", group]
        ran = subprocess.run([*command, "--output-file", str(lock)], cwd=ROOT)
        if ran.returncode:
            return ran.returncode
        print(lock.relative_to(ROOT))
    npm = Path(build_bytecode.find_node() or "node").resolve().with_name("npm")
    command = [str(npm) if npm.exists() else "npm", "install", "--package-lock-only"]
    for folder in (ROOT / "web", ROOT / "web" / "npm" / "clients"):
        if code := subprocess.run(command, cwd=folder).returncode:
            return code
    return 0


def _uv() -> Path:
    """uv in an environment of its own: nothing but this file uses it."""
    folder = BUILD / "lock"
    uv = folder / "bin" / "uv"
    if not uv.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", UV]
        subprocess.run(pip, check=True)
    return uv


if __name__ == "__main__":
    sys.exit(main())
